"""Machine code for the part of Python in which kernels are written.

numba could compile them as well, and does compile the loops of the compiler; but for each kernel it
works out what all of Python could mean, which takes ten times as long as the machine code itself.
A kernel knows whole numbers, floats, conditions, and pointers to numbers. It has assignments,
choices and loops, and calls functions of the same kind. This writes it down for LLVM, whose
optimiser and whose place in memory are those of numba.

Numbers mean what they mean in numba: a float of a source is a float64, a float32 that meets it is
one, too, and a division is that of the processor.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from llvmlite import ir

WORD, TRUTH, DOUBLE, SINGLE = ir.IntType(64), ir.IntType(1), ir.DoubleType(), ir.FloatType()
VOID, WORDS = ir.VoidType(), WORD.as_pointer()

Kind: TypeAlias = "ir.Type"
Number: TypeAlias = "ir.Value"

#: How products and sums may be rounded, if not as they are written.
Rounding: TypeAlias = "frozenset[str]"
AS_WRITTEN: Rounding = frozenset()

#: Numbers of two kinds become the wider one.
_WIDTH = {TRUTH: 0, WORD: 1, SINGLE: 2, DOUBLE: 3}

#: Functions that take no time.
_QUICK = (
    *("abs", "math.sqrt", "math.copysign", "math.floor", "math.ceil", "math.trunc", "math.rint"),
)

#: Functions that LLVM knows; others are those of C.
_KNOWN = (
    *("exp", "log", "log10", "sin", "cos", "pow", "sqrt", "copysign"),
    *("floor", "ceil", "trunc", "rint"),
)

_COMPARISONS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_OF_WORDS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_"}
_OF_FLOATS = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}


class _Wider(Exception):
    """A variable, or what a function returns, is of a wider kind than was known so far."""


class Module:
    """Functions that call each other.

    Args:
        module: of LLVM, where they are written.
    """

    def __init__(self, module: ir.Module) -> None:
        self.module = module
        self._written: dict[tuple[object, ...], ir.Function] = {}

    def function(
        self, name: str, tree: ast.FunctionDef, names: Mapping[str, object], kinds: Sequence[Kind],
        rounding: Rounding = AS_WRITTEN, eager: bool = False, is_inner: bool = False,
    ) -> ir.Function:  # fmt: skip
        """Write a function for arguments of these kinds."""
        known: dict[str, Kind] = {}
        while True:
            kind = ir.FunctionType(known.get("return", VOID), kinds)
            function = ir.Function(self.module, kind, self.module.get_unique_name(name))
            if is_inner:
                make_inner(function)
            try:
                _Function(self, function, tree, names, rounding, eager, known)
            except _Wider:
                del self.module.globals[function.name]
            else:
                return function

    def helper(self, function: Any, kinds: Sequence[Kind], rounding: Rounding) -> ir.Function:
        """A function that another one calls; it rounds as that one, unless it says otherwise."""
        own = getattr(function, "targetoptions", {}).get("fastmath", rounding)
        rounding = frozenset(own) if own else AS_WRITTEN
        plain = getattr(function, "py_func", function)
        key = plain, tuple(map(spelt, kinds)), rounding
        if key not in self._written:
            tree, names = read(source_of(plain)), plain.__globals__
            self._written[key] = self.function(
                plain.__name__, tree, names, kinds, rounding, is_inner=True
            )
        return self._written[key]


def make_inner(function: ir.Function) -> None:
    """Write a function into whoever calls it."""
    function.linkage = "internal"
    function.attributes.add("alwaysinline")


def written(write: Callable[..., Any]) -> Any:
    """What kernels call and is LLVM already: ``write`` is given the builder, then numbers."""
    write.write = write  # type: ignore[attr-defined]
    return write


def invoke(builder: ir.IRBuilder, address: Number, *given: Number) -> Number:
    """Call what is at an address, a kernel for one."""
    kind = ir.FunctionType(VOID, [number.type for number in given])
    return builder.call(builder.inttoptr(address, kind.as_pointer()), given)


@functools.cache
def source_of(function: Callable[..., object]) -> str:
    """The source of a function, at the left edge."""
    return textwrap.dedent(inspect.getsource(function))


@functools.cache
def read(source: str) -> ast.FunctionDef:
    """The source of a function, read."""
    (found,) = ast.parse(source).body
    assert isinstance(found, ast.FunctionDef)
    return found


def spelt(kind: Kind) -> str:
    """A kind as text, which two that differ do not share."""
    pointee = getattr(kind, "pointee", None)
    return str(kind) if pointee is None else f"{spelt(pointee)}*"


class Numbers:
    """Variables of a function, and what is computed of them.

    Args:
        home: where the function is written.
        function: which one.
        names: what names outside of it mean.
        rounding: of its products and sums.
        eager: whether all that it reads is there, also on the side that is not taken.
        known: the kinds of its variables, and of what it returns, as far as they are known.

    Attributes:
        b: writes where the function goes on.
    """

    def __init__(
        self, home: Module, function: ir.Function, names: Mapping[str, object],
        rounding: Rounding, eager: bool, known: dict[str, Kind],
    ) -> None:  # fmt: skip
        self.home, self.ir, self.names, self.known, self.eager = home, function, names, known, eager
        self.flags = tuple(sorted(rounding))
        self.places: dict[str, Number] = {}
        self.entry = function.append_basic_block("entry")  # all room is made there
        self.b = ir.IRBuilder(function.append_basic_block("start"))

    def enter(self) -> None:
        """Begin with what was written: no more room is made."""
        ir.IRBuilder(self.entry).branch(self.ir.blocks[1])

    # ---- Variables ----

    def room(self, kind: Kind) -> Number:
        """Room for a number, as long as the function runs."""
        with self.b.goto_block(self.entry):
            return self.b.alloca(kind)

    def assign(self, name: str, number: Number) -> None:
        kind = self.known.setdefault(name, number.type)
        self.check(name, number.type)
        if name not in self.places:
            self.places[name] = self.room(kind)
        self.b.store(self.to(number, kind), self.places[name])

    def check(self, name: str, kind: Kind) -> None:
        """Begin anew if this kind is wider than what was known."""
        known = self.known.get(name)
        wider = kind if known is None else common(known, kind)
        if wider != known:
            self.known[name] = wider
            raise _Wider

    def to(self, number: Number, kind: Kind) -> Number:
        """The number as one of another kind."""
        own = number.type
        if own == kind:
            return number
        if isinstance(kind, ir.VectorType) and not isinstance(own, ir.VectorType):
            return self.all_lanes(self.to(number, kind.element), kind)
        if kind == TRUTH:
            return self.holds(number)
        if kind == WORD:
            return self.b.zext(number, kind) if own == TRUTH else self.b.fptosi(number, kind)
        if own == TRUTH:
            return self.b.uitofp(number, kind)
        if own == WORD:
            return self.b.sitofp(number, kind)
        return self.b.fpext(number, kind) if kind == DOUBLE else self.b.fptrunc(number, kind)

    def all_lanes(self, number: Number, kind: ir.VectorType) -> Number:
        """The same number in each lane of a vector."""
        if isinstance(number, ir.Constant):
            return kind([number.constant] * kind.count)
        one = self.b.insert_element(kind(ir.Undefined), number, ir.IntType(32)(0))
        places = ir.VectorType(ir.IntType(32), kind.count)(None)
        return self.b.shuffle_vector(one, kind(ir.Undefined), places)

    def holds(self, number: Number) -> Number:
        """Whether a number is true."""
        if _element(number.type) == TRUTH:
            return number
        if number.type == WORD:
            return self.b.icmp_signed("!=", number, WORD(0))
        return self.b.fcmp_unordered("!=", number, self.to(DOUBLE(0.0), number.type))

    def block(self) -> ir.Block:
        return self.ir.append_basic_block()

    # ---- Numbers ----

    def number(self, node: ast.expr) -> Number:
        found: Number = getattr(self, f"_{type(node).__name__}")(node)
        return found

    def _Constant(self, node: ast.Constant) -> Number:
        return _constant(node.value)

    def _Name(self, node: ast.Name) -> Number:
        if node.id in self.places:
            return self.b.load(self.places[node.id])
        return _constant(self.names[node.id])

    def _Attribute(self, node: ast.Attribute) -> Number:
        return _constant(getattr(math, node.attr))

    def _Subscript(self, node: ast.Subscript) -> Number:
        if isinstance(node.value, ast.Name) and f"{node.value.id}[0]" in self.places:
            return self.b.load(self.places[ast.unparse(node)])
        return self.b.load(self.place(node))

    def place(self, node: ast.Subscript) -> Number:
        """The pointer to an entry."""
        return self.b.gep(self.number(node.value), [self.to(self.number(node.slice), WORD)])

    def _UnaryOp(self, node: ast.UnaryOp) -> Number:
        number = self.number(node.operand)
        if isinstance(node.op, ast.Not):
            return self.b.not_(self.holds(number))
        assert isinstance(node.op, ast.USub)
        if isinstance(number, ir.Constant):
            return number.type(-number.constant)
        return self.b.neg(number) if number.type == WORD else self.b.fneg(number)

    def _BinOp(self, node: ast.BinOp) -> Number:
        return self.operation(node.op, self.number(node.left), self.number(node.right))

    def operation(self, op: ast.operator, x: Number, y: Number) -> Number:
        kind = common(common(x.type, y.type), WORD)
        if kind == WORD and isinstance(op, ast.Div):
            kind = DOUBLE
        x, y = self.to(x, kind), self.to(y, kind)
        if kind != WORD:
            found: Number = getattr(self.b, _OF_FLOATS[type(op)])(x, y, flags=self.flags)
            return found
        if isinstance(op, ast.FloorDiv | ast.Mod):
            return self.divided(op, x, y)
        name = _OF_WORDS[type(op)]
        found = getattr(self.b, name)(x, y, **({} if name == "and_" else {"flags": ("nsw",)}))
        return found

    def divided(self, op: ast.operator, x: Number, y: Number) -> Number:
        """The quotient, rounded down, or what is left."""
        left = self.b.srem(x, y)
        other_sign = self.b.icmp_signed("<", self.b.xor(left, y), WORD(0))
        is_lower = self.b.and_(self.b.icmp_signed("!=", left, WORD(0)), other_sign)
        if isinstance(op, ast.Mod):
            return self.b.add(left, self.b.select(is_lower, y, WORD(0)))
        return self.b.sub(self.b.sdiv(x, y), self.b.zext(is_lower, WORD))

    def _Compare(self, node: ast.Compare) -> Number:
        (op,), (right,) = node.ops, node.comparators
        if isinstance(op, ast.In):
            assert isinstance(right, ast.Tuple)
            equal = [ast.Compare(node.left, [ast.Eq()], [each]) for each in right.elts]
            return self.number(ast.BoolOp(ast.Or(), list(equal)))
        x, y = self.number(node.left), self.number(right)
        kind = common(common(x.type, y.type), WORD)
        x, y, sign = self.to(x, kind), self.to(y, kind), _COMPARISONS[type(op)]
        if kind == WORD:
            return self.b.icmp_signed(sign, x, y)
        compare = self.b.fcmp_unordered if sign == "!=" else self.b.fcmp_ordered
        return compare(sign, x, y)

    def _BoolOp(self, node: ast.BoolOp) -> Number:
        is_and = isinstance(node.op, ast.And)
        found = self.holds(self.number(node.values[0]))
        for operand in node.values[1:]:
            if self.is_harmless(operand):
                other = self.holds(self.number(operand))
                kind = common(found.type, other.type)
                found, other = self.to(found, kind), self.to(other, kind)
                found = self.b.and_(found, other) if is_and else self.b.or_(found, other)
            else:
                sides = operand, ast.Constant(not is_and)
                found = self.either(found, *(sides if is_and else reversed(sides)))
        return found

    def _IfExp(self, node: ast.IfExp) -> Number:
        condition = self.holds(self.number(node.test))
        if not (self.is_harmless(node.body) and self.is_harmless(node.orelse)):
            return self.either(condition, node.body, node.orelse)
        a, b = self.number(node.body), self.number(node.orelse)
        kind = common(a.type, b.type)
        if isinstance(condition.type, ir.VectorType):
            kind = ir.VectorType(_element(kind), condition.type.count)
        return self.b.select(condition, self.to(a, kind), self.to(b, kind))

    def is_harmless(self, node: ast.expr) -> bool:
        """Whether this can be computed where it is not wanted.

        It reads nothing that may not be there, and calls nothing that takes time.
        """
        for each in ast.walk(node):
            if isinstance(each, ast.Subscript) and not self.eager:
                return False
            if isinstance(each, ast.Call) and ast.unparse(each.func) not in _QUICK:
                return False
        return True

    def either(self, condition: Number, a: ast.expr, b: ast.expr) -> Number:
        """One of two numbers, of which only that one is computed."""
        sides = [self.block(), self.block()]
        after = self.block()
        self.b.cbranch(condition, *sides)
        numbers, ends = [], []
        for block, node in zip(sides, (a, b), strict=True):
            self.b.position_at_end(block)
            numbers.append(self.number(node))
            ends.append(self.b.block)
        kind = common(numbers[0].type, numbers[1].type)
        for k, end in enumerate(ends):
            self.b.position_at_end(end)
            numbers[k] = self.to(numbers[k], kind)
            self.b.branch(after)
        self.b.position_at_end(after)
        found = self.b.phi(kind)
        for number, end in zip(numbers, ends, strict=True):
            found.add_incoming(number, end)
        return found

    # ---- Calls ----

    def _Call(self, node: ast.Call) -> Number:
        given = [self.number(each) for each in node.args]
        if isinstance(node.func, ast.Attribute):
            return self.mathematical(node.func.attr, given)
        assert isinstance(node.func, ast.Name)
        own = getattr(self, f"call_{node.func.id}", None)
        if own is not None:
            return own(*given)
        called: Any = self.names[node.func.id]
        if hasattr(called, "write"):
            return called.write(self.b, *given)
        kinds = [number.type for number in given]
        return self.b.call(self.home.helper(called, kinds, frozenset(self.flags)), given)

    def mathematical(self, name: str, given: Sequence[Number]) -> Number:
        kind = functools.reduce(common, (number.type for number in given))
        kind = kind if _element(kind) in (SINGLE, DOUBLE) else DOUBLE
        given = [self.to(number, kind) for number in given]
        of = ir.FunctionType(kind, [kind] * len(given))
        if name in _KNOWN:
            return self.b.call(self.intrinsic(f"llvm.{name}", of), given)
        module = self.home.module
        in_c = name + ("f" if kind == SINGLE else "")
        return self.b.call(module.globals.get(in_c) or ir.Function(module, of, in_c), given)

    def intrinsic(self, name: str, of: ir.FunctionType) -> ir.Function:
        """A function of numbers of one kind that LLVM has itself."""
        kind = of.args[0]
        lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
        name += f".{lanes}f{32 if _element(kind) == SINGLE else 64}"
        return self.home.module.globals.get(name) or ir.Function(self.home.module, of, name)

    def call_words(self, address: Number) -> Number:
        return self.b.inttoptr(address, WORDS)

    def call_moved(self, pointer: Number, count: Number) -> Number:
        return self.b.gep(pointer, [count])

    def call_numbers_at(self, address: Number, like: Number) -> Number:
        return self.b.inttoptr(address, like.type)

    def call_abs(self, x: Number) -> Number:
        return self.b.call(self.intrinsic("llvm.fabs", ir.FunctionType(x.type, [x.type])), [x])

    def call_int(self, x: Number) -> Number:
        return self.to(x, WORD)

    def call_max(self, x: Number, y: Number) -> Number:
        return self.b.select(self.b.icmp_signed(">", y, x), y, x)

    def call_min(self, x: Number, y: Number) -> Number:
        return self.b.select(self.b.icmp_signed("<", y, x), y, x)

    def call_invoke(self, *given: Number) -> Number:
        return invoke(self.b, *given)


class _Function(Numbers):
    """A function, statement by statement.

    Args:
        tree: its source; the others are those of ``Numbers``.
    """

    def __init__(
        self, home: Module, function: ir.Function, tree: ast.FunctionDef,
        names: Mapping[str, object], rounding: Rounding, eager: bool, known: dict[str, Kind],
    ) -> None:  # fmt: skip
        super().__init__(home, function, names, rounding, eager, known)
        self.loops: list[tuple[ir.Block, ir.Block]] = []  # where to go on, and where to leave
        for parameter, given in zip(tree.args.args, function.args, strict=True):
            self.assign(parameter.arg, given)
        self.body(tree.body)
        if not self.b.block.is_terminated:
            if "return" in known:
                self.b.unreachable()
            else:
                self.b.ret_void()
        self.enter()

    # ---- Statements ----

    def body(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if self.b.block.is_terminated:
                return
            getattr(self, f"_{type(statement).__name__}")(statement)

    def _Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.number(node.value)

    def _Pass(self, _: ast.Pass) -> None:
        pass

    def _Assign(self, node: ast.Assign) -> None:
        (target,) = node.targets
        self.store(target, node.value)

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        assert node.value is not None
        self.store(node.target, node.value)

    def store(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple):
            if isinstance(value, ast.IfExp):
                assert isinstance(value.body, ast.Tuple) and isinstance(value.orelse, ast.Tuple)
                sides = zip(value.body.elts, value.orelse.elts, strict=True)
                value = ast.Tuple([ast.IfExp(value.test, a, b) for a, b in sides])
            assert isinstance(value, ast.Tuple)
            numbers = [self.number(each) for each in value.elts]
            for each, number in zip(target.elts, numbers, strict=True):
                self.put(each, number)
        elif isinstance(value, ast.Tuple) and isinstance(target, ast.Name):
            for k, each in enumerate(value.elts):  # whose parts are named by their place
                self.assign(f"{target.id}[{k}]", self.number(each))
        else:
            self.put(target, self.number(value))

    def put(self, target: ast.expr, number: Number) -> None:
        if isinstance(target, ast.Name):
            self.assign(target.id, number)
        else:
            assert isinstance(target, ast.Subscript)
            self.put_at(self.place(target), number)

    def put_at(self, place: Number, number: Number) -> None:
        self.b.store(self.to(number, place.type.pointee), place)

    def _AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            old = self.number(ast.Name(node.target.id))
            self.assign(node.target.id, self.operation(node.op, old, self.number(node.value)))
        else:
            assert isinstance(node.target, ast.Subscript)
            place = self.place(node.target)
            number = self.number(node.value)
            self.put_at(place, self.operation(node.op, self.b.load(place), number))

    def _If(self, node: ast.If) -> None:
        condition = self.holds(self.number(node.test))
        then, after = self.block(), self.block()
        other = self.block() if node.orelse else after
        self.b.cbranch(condition, then, other)
        for block, statements in ((then, node.body), (other, node.orelse)):
            if block is not after:
                self.b.position_at_end(block)
                self.body(statements)
                self.go(after)
        self.b.position_at_end(after)

    def go(self, block: ir.Block) -> None:
        if not self.b.block.is_terminated:
            self.b.branch(block)

    @contextmanager
    def looping(self, again: ir.Block, after: ir.Block) -> Iterator[None]:
        """What is written here is the body of a loop."""
        self.loops.append((again, after))
        yield
        self.loops.pop()
        self.go(again)
        self.b.position_at_end(after)

    def _While(self, node: ast.While) -> None:
        test, inside, after = self.block(), self.block(), self.block()
        self.b.branch(test)
        self.b.position_at_end(test)
        self.b.cbranch(self.holds(self.number(node.test)), inside, after)
        self.b.position_at_end(inside)
        with self.looping(test, after):
            self.body(node.body)

    def _For(self, node: ast.For) -> None:
        assert isinstance(node.iter, ast.Call) and isinstance(node.target, ast.Name)
        given = [self.number(each) for each in node.iter.args]
        given = [WORD(0), *given] if len(given) == 1 else given
        start, end, step = [*given, WORD(1)][:3]
        is_down = isinstance(step, ir.Constant) and step.constant < 0
        counter = self.room(WORD)
        self.b.store(start, counter)
        test, inside, again, after = (self.block() for _ in range(4))
        self.b.branch(test)
        self.b.position_at_end(test)
        here = self.b.load(counter)
        self.b.cbranch(self.b.icmp_signed(">" if is_down else "<", here, end), inside, after)
        self.b.position_at_end(again)
        self.b.store(self.b.add(self.b.load(counter), step, flags=("nsw",)), counter)
        self.b.branch(test)
        self.b.position_at_end(inside)
        self.assign(node.target.id, here)
        with self.looping(again, after):
            self.body(node.body)

    def _Break(self, _: ast.Break) -> None:
        self.b.branch(self.loops[-1][1])

    def _Continue(self, _: ast.Continue) -> None:
        self.b.branch(self.loops[-1][0])

    def _Return(self, node: ast.Return) -> None:
        if node.value is None:
            self.b.ret_void()
            return
        number = self.number(node.value)
        self.check("return", number.type)
        self.b.ret(self.to(number, self.known["return"]))


def _element(kind: Kind) -> Kind:
    """What a vector is made of; any other kind is that of one number."""
    return kind.element if isinstance(kind, ir.VectorType) else kind


def common(x: Kind, y: Kind) -> Kind:
    """The kind of what two numbers become together."""
    if x == y:
        return x
    for vector in (x, y):
        if isinstance(vector, ir.VectorType):
            return ir.VectorType(common(_element(x), _element(y)), vector.count)
    if {x, y} == {WORD, SINGLE}:  # a float32 cannot be every whole number
        return DOUBLE
    return max(x, y, key=_WIDTH.__getitem__)


def _constant(value: object) -> Number:
    if isinstance(value, bool):
        return TRUTH(int(value))
    if isinstance(value, int):
        return WORD(value)
    assert isinstance(value, float), value
    return DOUBLE(value)
