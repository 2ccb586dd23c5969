"""Formulas to be read: as plain text, as LaTeX, and as MathML, from one tree each.

A formula is a tree of Python's own ``ast``, as ``ops`` has them; the name of a node may be any text
that its user gave as a label. It is simplified as one does on paper, and then written in a style.
"""

from __future__ import annotations

import ast
import functools
import html
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy
import numpy.typing

from microgradlike import ops
from microgradlike.words import decimal, in_short, raised

Tree = ast.expr


# ---- Making trees ------------------------------------------------------------------------------


def term(value: float) -> str:
    """The number inside a sum or a product: a negative one in parentheses.

    >>> term(2.5), term(-3.0)
    ('2.5', '(-3)')
    """
    return f"({in_short(value)})" if value < 0 else in_short(value)


def operation(operator: str, operands: list[Tree]) -> Tree:
    """The operation as it is written: ``a * b``, ``-a``, ``tanh(a)``.

    A node that its user made may be called "mul" and have one operand, or three.
    """
    if operator == "neg" and len(operands) == 1:
        return ast.UnaryOp(ast.USub(), operands[0])
    if operator in ops.INFIX and len(operands) == 2:
        return ast.BinOp(operands[0], ops.INFIX[operator](), operands[1])
    return ast.Call(ast.Name(operator), operands, [])


def constant(number: float) -> Tree:
    """The number as a tree: -0 is not 0 where something is divided by it.

    >>> plain(constant(-0.0)), plain(constant(2.0))
    ('-0', '2')
    """
    if number == 0 and math.copysign(1, number) < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(0))
    return ast.Constant(number)


class Symbol(ast.Name):
    """The name of a quantity, and the number that it has."""

    def __init__(self, name: str, number: float) -> None:
        super().__init__(name)
        self.number = number


class Derivative(ast.expr):
    """The derivative of one quantity by another, and the number that it has."""

    def __init__(self, of: str, by: str, number: float) -> None:
        super().__init__()
        self.of, self.by, self.number = of, by, number


class Total(Derivative):
    """The derivative over all paths: MathML gives it an upright d, and the others a round ∂."""


def product(left: Tree, right: Tree) -> Tree:
    """left * right."""
    return ast.BinOp(left, ast.Mult(), right)


def total(terms: list[Tree]) -> Tree:
    """The sum of one or more terms, simplified."""
    return functools.reduce(_add, map(simplified, terms))


def filled(formula: str, trees: Mapping[str, Tree], numbers: Mapping[str, float]) -> Tree:
    """A formula of the operator table with trees for its operands, and simplified.

    Of ``a if x > y else b`` it is the side that these ``numbers`` take.

    >>> x, y = Symbol("c", -3.0), ast.Constant(2.0)
    >>> plain(filled("y * x ** (y - 1) if y != 0 else 0", {"x": x, "y": y}, {"y": 2.0}))
    '2 * c'
    """
    return simplified(_Fill(trees, numbers).visit(ast.parse(formula, mode="eval").body))


def conditions(formula: str, trees: Mapping[str, Tree], numbers: Mapping[str, float]) -> list[Tree]:
    """What holds on the side that ``filled`` takes, but not everywhere around it.

    >>> x = Symbol("c", -3.0)
    >>> [plain(c) for c in conditions("1 if x > 0 else 0 if x <= 0 else nan", {"x": x}, {"x": -3})]
    ['c <= 0']
    """
    fill = _Fill(trees, numbers)
    fill.visit(ast.parse(formula, mode="eval").body)
    return fill.conditions


_CONSTANTS = {name: ast.parse(text, mode="eval").body for name, text in ops.CONSTANTS.items()}


class _Fill(ast.NodeTransformer):
    def __init__(self, trees: Mapping[str, Tree], numbers: Mapping[str, float]) -> None:
        self.trees = {**_CONSTANTS, **trees}
        self.numbers = {**vars(ops), **numbers}
        self.conditions: list[Tree] = []

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        test = ops.formula(ast.unparse(node.test), self.numbers)
        taken = test(*(self.numbers.get(name) for name in ("x", "y", "out", "tie")))
        self._note(node, taken)
        return self.visit(node.body if taken else node.orelse)

    def _note(self, node: ast.IfExp, taken: bool) -> None:
        """A test is worth telling unless it only excludes a point, or another one follows it."""
        kinds = {type(part) for part in ast.walk(node.test)}
        if taken and ast.NotEq not in kinds:
            told = node.test
        elif not taken and isinstance(node.test, ast.Compare) and type(node.test.ops[0]) in _NOT:
            if isinstance(node.orelse, ast.IfExp):
                return
            test = node.test
            told = ast.Compare(test.left, [_NOT[type(test.ops[0])]()], test.comparators)
        else:
            return
        told = self.visit(told)
        if not _holds_anyway(told):
            self.conditions.append(told)

    def visit_Name(self, node: ast.Name) -> Tree:
        return self.trees.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> Tree:
        return ast.Call(node.func, [self.visit(argument) for argument in node.args], [])


def _holds_anyway(test: Tree) -> bool:
    """Whether a test that holds is one of numbers alone, or compares a thing with itself."""
    if isinstance(test, ast.Compare) and ast.dump(test.left) == ast.dump(test.comparators[0]):
        return True
    return not any(isinstance(part, ast.Name) for part in ast.walk(test))


_NOT = {ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Lt: ast.GtE, ast.GtE: ast.Lt}


def evaluated(tree: Tree) -> Tree:
    """The tree with the numbers put in for symbols and derivatives.

    >>> plain(evaluated(product(Derivative("y", "v", 2.0), Symbol("x", -3.0))))
    '2 * (-3)'
    """
    match tree:
        case Symbol():
            return constant(tree.number)
        case Derivative():
            return ast.Constant(tree.number)
        case ast.Call(func, arguments):
            return ast.Call(func, [evaluated(argument) for argument in arguments], [])
        case ast.UnaryOp(op, operand):
            return ast.UnaryOp(op, evaluated(operand))
        case ast.BinOp():
            rest = []
            while isinstance(tree, ast.BinOp):  # no recursion: a sum may have thousands of terms
                rest.append((tree.op, evaluated(tree.right)))
                tree = tree.left
            return functools.reduce(lambda x, y: ast.BinOp(x, *y), reversed(rest), evaluated(tree))
    return tree


# ---- Simplifying, as one does on paper ---------------------------------------------------------


def simplified(tree: Tree) -> Tree:
    """The same value with less to read: no factor 1, no term 0, no double minus.

    >>> plain(simplified(ast.parse("1 * (x ** (2 - 1)) - -y * 1", mode="eval").body))
    'x + y'
    """
    if isinstance(tree, ast.UnaryOp):
        return _negated(simplified(tree.operand))
    if isinstance(tree, ast.Call):
        return ast.Call(tree.func, [simplified(argument) for argument in tree.args], [])
    if not isinstance(tree, ast.BinOp):
        return tree
    left, right = simplified(tree.left), simplified(tree.right)
    if isinstance(tree.op, ast.Mod | ast.FloorDiv):
        return ast.BinOp(left, tree.op, right)
    return _SIMPLER[type(tree.op)](left, right)


def _add(left: Tree, right: Tree) -> Tree:
    if _is(left, 0):
        return right
    if _is(right, 0):
        return left
    if isinstance(right, ast.UnaryOp):
        return _subtract(left, right.operand)
    return _whole(left, right, lambda x, y: x + y) or ast.BinOp(left, ast.Add(), right)


def _subtract(left: Tree, right: Tree) -> Tree:
    if _is(right, 0):
        return left
    if _is(left, 0):
        return _negated(right)
    if isinstance(right, ast.UnaryOp):
        return _add(left, right.operand)
    return _whole(left, right, lambda x, y: x - y) or ast.BinOp(left, ast.Sub(), right)


def _multiply(left: Tree, right: Tree) -> Tree:
    derived = isinstance(left, Derivative)
    if _is(left, 0) or (_is(right, 0) and not derived):  # "dy/dv * 0" says that the error is lost
        return ast.Constant(0)
    if _is(left, 1):
        return right
    if _is(right, 1):
        return left
    for one, other in (left, right), (right, left):
        if isinstance(one, ast.UnaryOp):
            pair = (one.operand, other) if one is left else (other, one.operand)
            return _negated(_multiply(*pair))
        if _is(one, -1):
            return _negated(other)
    if _is_fraction(right) and _is(right.left, 1) and not derived:
        return _divide(left, right.right)
    return _whole(left, right, lambda x, y: x * y) or ast.BinOp(left, ast.Mult(), right)


def _divide(left: Tree, right: Tree) -> Tree:
    if _is(right, 1):
        return left
    if isinstance(left, ast.UnaryOp):
        return _negated(_divide(left.operand, right))
    return ast.BinOp(left, ast.Div(), right)


def _raise(left: Tree, right: Tree) -> Tree:
    if _is(right, 1):
        return left
    return ast.Constant(1) if _is(right, 0) else ast.BinOp(left, ast.Pow(), right)


_SIMPLER: dict[type[ast.operator], Callable[[Tree, Tree], Tree]] = {
    ast.Add: _add,
    ast.Sub: _subtract,
    ast.Mult: _multiply,
    ast.Div: _divide,
    ast.Pow: _raise,
}


def _negated(tree: Tree) -> Tree:
    if isinstance(tree, ast.UnaryOp):
        return tree.operand
    if isinstance(tree, ast.Constant):
        return ast.Constant(-_number(tree))
    return ast.UnaryOp(ast.USub(), tree)


def _number(tree: ast.Constant) -> Any:
    return tree.value


def _is_fraction(tree: Tree) -> TypeGuard[ast.BinOp]:
    return isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Div)


def _is(tree: Tree, value: int) -> bool:
    return isinstance(tree, ast.Constant) and tree.value == value


def _whole(left: Tree, right: Tree, compute: Callable[..., Any]) -> Tree | None:
    """The result of whole numbers, which one writes at once; 2 / 3 and 0.1 * 3 stay as they are."""
    if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
        result = compute(_number(left), _number(right))
        if all(float(v).is_integer() for v in (_number(left), _number(right), result)):
            return ast.Constant(result)
    return None


# ---- Writing trees in a style ------------------------------------------------------------------

# How tightly a formula holds together: what is looser than its place allows gets parentheses.
TEST, SUM, PRODUCT, POWER, ATOM = range(5)


class Written(NamedTuple):
    """A formula, or part of one, and how tightly it holds together."""

    text: str
    binding: int = ATOM


class Plain:
    """Python's own syntax, and ``dy/dx`` for a derivative."""

    exact = False

    def write(self, tree: Tree) -> Written:
        """The tree in this style."""
        match tree:
            case ast.Name(id=name):
                return Written(self.name(name))
            case ast.Constant():
                text = repr(tree.value) if self.exact else in_short(_number(tree))
                return self.number(text.removesuffix(".0"))
            case ast.UnaryOp(operand=operand):
                return Written(f"{self.minus}{self.within(operand, PRODUCT)}", SUM)
            case Derivative(of=of, by=by):
                return self.derivative(of, by)
            case ast.Call(ast.Name(id=name), arguments):
                return self.call(name, [self.write(argument).text for argument in arguments])
            case ast.BinOp(left, ast.Div(), right):
                return self.fraction(left, right)
            case ast.BinOp(left, ast.Pow(), right):
                return self.power(left, right)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self.chain(tree, SUM, (ast.Add, ast.Sub))
            case ast.BinOp():
                return self.chain(tree, PRODUCT, (ast.Mult, ast.Mod, ast.FloorDiv))
            case ast.Compare(left, [op], [right]):
                sides = (self.write(side).text for side in (left, right))
                return Written(self.comparisons[type(op)].join(sides), TEST)
            case ast.BoolOp(ast.And(), tests):
                return Written(" and ".join(self.write(test).text for test in tests), TEST)
        raise TypeError(f"{ast.dump(tree)} is no part of a formula")

    def chain(self, tree: Tree, binding: int, signs: tuple[type[ast.operator], ...]) -> Written:
        """Terms or factors, without recursion: a sum may have thousands of them."""
        rest = []
        while isinstance(tree, ast.BinOp) and isinstance(tree.op, signs):
            loose = isinstance(tree.op, ast.Add | ast.Mult) and not _is_negative(tree.right)
            tight = binding + (not loose or _is_fraction(tree.right))
            rest.append(f"{self.signs[type(tree.op)]}{self.within(tree.right, tight)}")
            tree = tree.left
        return Written("".join([self.within(tree, binding), *reversed(rest)]), binding)

    def within(self, tree: Tree, binding: int) -> str:
        """The tree in a place that needs it to hold together so tightly."""
        written = self.write(tree)
        return written.text if written.binding >= binding else self.parentheses(written.text)

    minus = "-"
    signs: Mapping[type[ast.operator], str] = {
        ast.Add: " + ",
        ast.Sub: " - ",
        ast.Mult: " * ",
        ast.Mod: " % ",
        ast.FloorDiv: " // ",
    }
    comparisons: Mapping[type[ast.cmpop], str] = {
        ast.Gt: " > ",
        ast.GtE: " >= ",
        ast.Lt: " < ",
        ast.LtE: " <= ",
        ast.Eq: " == ",
    }

    def parentheses(self, text: str) -> str:
        return f"({text})"

    def name(self, name: str) -> str:
        return name

    def number(self, text: str) -> Written:
        return Written(text, SUM if text.startswith("-") else ATOM)

    def derivative(self, of: str, by: str) -> Written:
        of, by = (v if v.isidentifier() else f"({v})" for v in (of, by))
        return Written(f"d{of}/d{by}")

    def call(self, name: str, arguments: list[str]) -> Written:
        return Written(f"{name}({', '.join(arguments)})")

    def fraction(self, top: Tree, bottom: Tree) -> Written:
        return Written(f"{self.within(top, PRODUCT)} / {self.within(bottom, POWER)}", PRODUCT)

    def power(self, base: Tree, exponent: Tree) -> Written:
        return Written(f"{self.within(base, ATOM)}**{self.within(exponent, ATOM)}", POWER)

    def parts(self, trees: list[Tree]) -> list[str]:
        """The sides of an equation, without those that repeat the one before."""
        texts = [self.write(tree).text for tree in trees]
        return [text for text, last in zip(texts, [None, *texts], strict=False) if text != last]

    def line(self, trees: list[Tree]) -> str:
        """An equation: the trees with ``=`` between them."""
        return " = ".join(self.parts(trees))

    def note(self, text: str) -> str:
        """A line of words among equations."""
        return f"# {text}"

    def lines(self, lines: list[str]) -> str:
        """Equations below each other."""
        return "\n".join(lines)


class Line(Plain):
    """One line of text with the signs of print.

    >>> x = Symbol("x", 2.0)
    >>> Line().write(ast.BinOp(product(x, ast.Constant(-3)), ast.Sub(), x)).text
    'x × (−3) − x'
    >>> [Line().write(ast.BinOp(x, ast.Pow(), ast.Constant(y))).text for y in (2, 0.5)]
    ['x²', 'x^0.5']
    """

    minus = "−"
    signs: Mapping[type[ast.operator], str] = {
        **Plain.signs,
        ast.Sub: " − ",
        ast.Mult: " × ",
        ast.Mod: " mod ",
    }

    def number(self, text: str) -> Written:
        written = super().number(text)
        return written._replace(text=text.replace("-", "−"))

    def fraction(self, top: Tree, bottom: Tree) -> Written:
        over, under = self.within(top, PRODUCT), self.within(bottom, POWER)
        return Written(f"{over} ÷ {under}", PRODUCT)

    def power(self, base: Tree, exponent: Tree) -> Written:
        below, above = self.within(base, ATOM), self.within(exponent, ATOM)
        return Written(f"{below}{raised(above)}", POWER)


class Exact(Plain):
    """As Plain, with every digit: Python that computes the same."""

    exact = True


def _is_negative(tree: Tree) -> bool:
    return isinstance(tree, ast.UnaryOp) or (isinstance(tree, ast.Constant) and _number(tree) < 0)


_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"),
    *("lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
)
_STEMS = dict(zip(_GREEK, "αβγδεζηθικλμνξπρστφχψω", strict=True))


def _stem_and_index(name: str) -> tuple[str, str]:
    """``w1`` and ``w_1`` as w with the index 1; any other name as it is."""
    stem = name.rstrip("0123456789")
    index = name[len(stem) :]
    stem = stem.removesuffix("_") if index else stem
    if stem.isalpha() and stem.isascii() and (len(stem) == 1 or stem in _STEMS):
        return stem, index
    return name, ""


class Latex(Plain):
    """LaTeX, for a document or for MathJax."""

    signs: Mapping[type[ast.operator], str] = {
        ast.Add: " + ",
        ast.Sub: " - ",
        ast.Mult: r" \cdot ",
        ast.Mod: r" \bmod ",
        ast.FloorDiv: r" \mathbin{//} ",
    }
    functions: Mapping[str, str] = {
        **{name: rf"\{name}" for name in ("exp", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
        **{"asin": r"\arcsin", "acos": r"\arccos", "atan": r"\arctan", "log": r"\ln"},
        **{"maximum": r"\max", "minimum": r"\min", "log2": r"\log_2", "log10": r"\log_{10}"},
    }
    _escapes: Mapping[str, str] = {
        **{c: rf"\{c}" for c in "#$%&_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    }

    def parentheses(self, text: str) -> str:
        return rf"\left({text}\right)"

    def name(self, name: str) -> str:
        stem, index = _stem_and_index(name)
        if stem != name or (len(stem) == 1 and stem.isalpha() and stem.isascii()):
            letter = rf"\{stem}" if stem in _STEMS else stem
            return f"{letter}_{{{index}}}" if index else letter
        if name in _STEMS:
            return rf"\{name}"
        return rf"\text{{{self.escaped(name)}}}"

    @classmethod
    def escaped(cls, text: str) -> str:
        """The text with LaTeX's special characters spelt out."""
        return "".join(cls._escapes.get(c, c) for c in text)

    def number(self, text: str) -> Written:
        if text.lstrip("-") in ("inf", "NaN"):
            return Written(text.replace("inf", r"\infty").replace("NaN", r"\text{NaN}"), SUM)
        mantissa, _, exponent = text.partition("e")
        if exponent:
            return Written(rf"{mantissa} \cdot 10^{{{exponent}}}", SUM)
        return super().number(text)

    def derivative(self, of: str, by: str) -> Written:
        return Written(rf"\frac{{\partial {self.name(of)}}}{{\partial {self.name(by)}}}")

    def call(self, name: str, arguments: list[str]) -> Written:
        inside = ", ".join(arguments)
        if name == "sqrt":
            return Written(rf"\sqrt{{{inside}}}")
        if name == "abs":
            return Written(rf"\left|{inside}\right|")
        spelt = name.replace("_", r"\_")
        function = self.functions.get(name) or rf"\operatorname{{{spelt}}}"
        return Written(f"{function}{self.parentheses(inside)}")

    def fraction(self, top: Tree, bottom: Tree) -> Written:
        return Written(rf"\frac{{{self.write(top).text}}}{{{self.write(bottom).text}}}", POWER)

    def power(self, base: Tree, exponent: Tree) -> Written:
        return Written(f"{self.within(base, ATOM)}^{{{self.write(exponent).text}}}", POWER)

    def line(self, trees: list[Tree]) -> str:
        first, *rest = self.parts(trees)
        return " ".join([f"{first} &", *(f"= {part}" for part in rest)])

    def note(self, text: str) -> str:
        return rf"& \text{{{self.escaped(text)}}}"

    def lines(self, lines: list[str]) -> str:
        rows = " \\\\\n".join(lines)
        return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"


#: As browsers have it; marimo takes it from all that it shows.
_ROOM = "padding:0.5ex 0.4em"


class MathML(Plain):
    """MathML, which browsers show without any library."""

    minus = '<mo form="prefix">−</mo>'
    signs: Mapping[type[ast.operator], str] = {
        ast.Add: "<mo>+</mo>",
        ast.Sub: "<mo>−</mo>",
        ast.Mult: "<mo>·</mo>",
        ast.Mod: "<mo>mod</mo>",
        ast.FloorDiv: "<mo>//</mo>",
    }

    def write(self, tree: Tree) -> Written:
        if isinstance(tree, Total):
            return self.ratio('<mi mathvariant="normal">d</mi>', tree.of, tree.by)
        return super().write(tree)

    def parentheses(self, text: str) -> str:
        return f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>"

    def name(self, name: str) -> str:
        stem, index = _stem_and_index(name)
        letter = f"<mi>{html.escape(_STEMS.get(stem, stem), quote=False)}</mi>"
        return f"<msub>{letter}<mn>{index}</mn></msub>" if index else letter

    def number(self, text: str) -> Written:
        if text.startswith("-"):
            return Written(f"{self.minus}{self.number(text[1:]).text}", SUM)
        if text == "inf":
            return Written("<mi>∞</mi>")
        mantissa, _, exponent = text.partition("e")
        if exponent:
            power = f"<msup><mn>10</mn><mrow>{self.number(exponent).text}</mrow></msup>"
            return Written(f"<mn>{mantissa}</mn><mo>·</mo>{power}", SUM)
        return Written(f"<mn>{text}</mn>")

    def derivative(self, of: str, by: str) -> Written:
        return self.ratio("<mo>∂</mo>", of, by)

    def ratio(self, d: str, of: str, by: str) -> Written:
        """A derivative with this letter d."""
        top, bottom = (f"<mrow>{d}{self.name(name)}</mrow>" for name in (of, by))
        return Written(f"<mfrac>{top}{bottom}</mfrac>")

    def call(self, name: str, arguments: list[str]) -> Written:
        inside = "<mo>,</mo>".join(arguments)
        if name == "sqrt":
            return Written(f"<msqrt>{inside}</msqrt>")
        if name == "abs":
            return Written(f"<mrow><mo>|</mo>{inside}<mo>|</mo></mrow>")
        return Written(f"<mrow><mi>{name}</mi>{self.parentheses(inside)}</mrow>")

    def fraction(self, top: Tree, bottom: Tree) -> Written:
        parts = (f"<mrow>{self.write(part).text}</mrow>" for part in (top, bottom))
        return Written(f"<mfrac>{''.join(parts)}</mfrac>", POWER)

    def power(self, base: Tree, exponent: Tree) -> Written:
        below = f"<mrow>{self.within(base, ATOM)}</mrow>"
        return Written(f"<msup>{below}<mrow>{self.write(exponent).text}</mrow></msup>", POWER)

    def line(self, trees: list[Tree]) -> str:
        first, *rest = self.parts(trees)
        equals = "".join(f"<mo>=</mo>{part}" for part in rest)
        right, left = (f'<mtd style="text-align:{side};{_ROOM}">' for side in ("right", "left"))
        cells = f"{right}<mrow>{first}</mrow></mtd>{left}<mrow>{equals}</mrow></mtd>"
        return f"<mtr>{cells}</mtr>"

    def note(self, text: str) -> str:
        words = html.escape(text, quote=False)
        return f'<mtr><mtd columnspan="2" style="{_ROOM}"><mtext>{words}</mtext></mtd></mtr>'

    def lines(self, lines: list[str]) -> str:
        rows = "\n".join(lines)
        return (
            '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">'
            f'<mtable displaystyle="true">\n{rows}\n</mtable></math>'
        )


def plain(tree: Tree) -> str:
    """The tree as plain text."""
    return Plain().write(tree).text


def in_cell(mathml: str, instead: str) -> str:
    """Equations for the cell of a notebook, and what it shows as long as it is not trusted.

    Jupyter then takes away the frame and leaves what is in it. Of the equations it would leave
    letters that run together: of the two kinds of ``display`` its list knows only ``none``. A
    browser takes the last one.

    Args:
        mathml: the equations.
        instead: HTML, of simple tags.
    """
    shown = f'<div style="display:none;display:flow-root;overflow-x:auto">{mathml}</div>'
    return f"{shown}<iframe hidden>{instead}</iframe>"


# ---- An equation with the numbers of its terms below them --------------------------------------


class Term(NamedTuple):
    """A term of an equation, the numbers that it has, and what it means."""

    formula: Tree
    numbers: numpy.typing.ArrayLike
    """One number, the numbers of a column, or those of a matrix, row by row."""
    words: str
    names: Sequence[str] = ()
    """What the rows of the numbers are called."""


#: The words below a term are broken into lines of about this many letters.
WORDS_WIDTH = 18


def with_numbers(*parts: Term | str) -> str:
    """An equation in MathML: the formula, below each term its numbers, and below these its words.

    Args:
        parts: the terms, and the signs between them, such as "=", "×" or "(".

    Returns:
        One ``<math>`` element. Numbers have three significant digits.

    >>> delta, slope = Term(ast.Name("delta"), 0.25, "delta"), Term(ast.Name("s"), 0.5, "slope")
    >>> math = with_numbers(delta, "=", Term(ast.Name("a"), 0.5, "arrives"), "×", slope)
    >>> math.count("<mo>×</mo>"), math.count("<mn>0.5</mn>"), "<mtext>arrives</mtext>" in math
    (2, 2, True)
    """
    style = MathML()
    formulas, numbers, words = [], [], []
    for part in parts:
        if isinstance(part, str):
            sign = f"<mo>{html.escape(part)}</mo>"
            formulas.append(sign)
            numbers.append(sign)
            words.append("")
        else:
            formulas.append(style.write(part.formula).text)
            numbers.append(_table_of(part))
            lines = textwrap.wrap(part.words, WORDS_WIDTH, break_on_hyphens=False)
            words.append(_rows([_text(line)] for line in lines))
    words = [f'<mstyle mathsize="80%">{said}</mstyle>' for said in words]
    table = _rows([formulas, numbers, words])
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">{table}</math>'


def _table_of(term: Term) -> str:
    """The numbers of a term: one as it is, more as a column or a matrix in parentheses."""
    style, array = MathML(), numpy.asarray(term.numbers, dtype=float)

    def written(number: float) -> str:
        return style.number(decimal(number)).text

    if array.size == 1:
        return written(array.item())
    rows = [[written(number) for number in row] for row in array.reshape(len(array), -1).tolist()]
    names = [_text(name) for name in term.names]
    named = [[name, *row] for name, row in zip(names, rows, strict=True)] if names else rows
    return style.parentheses(_rows(named))


def _text(text: str) -> str:
    # A cell that is too narrow would break words at their spaces, and hide the rest.
    return f"<mtext>{html.escape(text, quote=False)}</mtext>".replace(" ", "\u00a0")


def _rows(rows: Iterable[list[str]]) -> str:
    cells = ("".join(f'<mtd style="{_ROOM}">{cell}</mtd>' for cell in row) for row in rows)
    lines = "".join(f"<mtr>{row}</mtr>" for row in cells)
    return f'<mtable displaystyle="true">{lines}</mtable>'
