"""The ways in which a backward pass goes wrong: right ones in which one thing is changed.

Nothing here knows the numbers of a wrong engine. A wrong slope is a formula of the operator table
with one part changed; a wrong pass is one in which nodes send in another order, too often, not at
all, or overwrite what was there. Each is computed, and the one whose numbers came out is named.
"""

from __future__ import annotations

import ast
import copy
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from microgradlike import ops
from microgradlike.engine import Value, topological_order
from microgradlike.ops import Operator
from microgradlike.sweep import nodes, sent_to

# ---- Wrong slopes ------------------------------------------------------------------------------


class Wrong(NamedTuple):
    """What an operation might send to one of its operands, in the place of the right share."""

    kind: str
    slope: str
    """The formula that was changed, as far as there is one."""
    sent: str
    """What it sends, as a formula of x, y, out, and error, the upstream gradient."""
    overwrites: bool = False

    def share(self, x: float, y: float, out: float, upstream: float) -> float:
        """What it sends at a point."""
        return float(ops.on_floats(self.sent)(x, y, out, 0.0, upstream))


def main_slope(operator: Operator, place: int) -> str:
    """The slope without what it is at special points, as one knows it by heart.

    >>> main_slope(ops.OPERATORS["pow"], 0), main_slope(ops.OPERATORS["tanh"], 0)
    ('y * x ** (y - 1)', '1 - out * out')
    """
    tree = ast.parse(operator.slopes[place], mode="eval").body
    while isinstance(tree, ast.IfExp):
        branch = tree.orelse if isinstance(tree.body, ast.Constant) else tree.body
        if isinstance(branch, ast.Constant | ast.IfExp):
            return operator.slopes[place]
        tree = branch
    return ast.unparse(tree)


def right_share(operator: Operator, place: int) -> Wrong:
    """What a right operation sends."""
    slope = operator.slopes[place]
    return Wrong("right", slope, f"error * ({slope})")


def wrong_shares(operator: Operator, place: int) -> Iterator[Wrong]:
    """What an operation with one mistake sends to an operand, the most telling ones first."""
    right = main_slope(operator, place)
    yield Wrong("overwritten", right, f"error * ({right})", overwrites=True)
    yield Wrong("sign", right, f"-error * ({right})")
    yield Wrong("nothing", right, "0 * error")
    yield Wrong("upstream", right, right)
    exchanged = _exchanged(right)
    if exchanged != right and len(operator.slopes) == 2:
        yield Wrong("swapped", exchanged, f"error * ({exchanged})")
    yield Wrong("slope", right, "error")
    yield Wrong("added", right, f"error + ({right})")
    for text in (f"{right} * error", f"error * {right}"):
        yield Wrong("parentheses", right, text)
    for other in range(len(operator.slopes)):
        if other != place:
            text = main_slope(operator, other)
            yield Wrong("other", text, f"error * ({text})")
    if "out" in right and len(operator.slopes) == 1:
        text = re.sub(r"\bout\b", "x", right)
        yield Wrong("input", text, f"error * ({text})")
    yield Wrong("value", "out", "error * out")
    spelt_out = re.sub(r"\bout\b", f"({operator.value})", right)
    for text in dict.fromkeys((*_changed(right), *_changed(spelt_out))):
        yield Wrong("formula", text, f"error * ({text})")


def _exchanged(formula: str) -> str:
    return re.sub(r"\b[xy]\b", lambda name: "y" if name[0] == "x" else "x", formula)


def _changed(formula: str) -> Iterator[str]:
    """The formula with one of its parts changed or left out.

    >>> list(_changed("1 - out * out"))[:3]
    ['1', 'out * out', '1 + out * out']
    """
    tree = ast.parse(formula, mode="eval")
    for place, node in enumerate(ast.walk(tree)):
        for change in _CHANGES.get(_kind(node), ()):
            twin = copy.deepcopy(tree)
            found = next(itertools.islice(ast.walk(twin), place, None))
            yield ast.unparse(ast.fix_missing_locations(_Replace(found, change(found)).visit(twin)))


def _kind(node: ast.AST) -> type[ast.AST] | None:
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        return type(node.op)
    return type(node) if isinstance(node, ast.Name | ast.Call) else None


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def _with(operator: ast.operator) -> Callable[..., ast.AST]:
    return lambda node: ast.BinOp(node.left, operator, node.right)


def _left(node: ast.BinOp) -> ast.AST:
    return node.left


def _right(node: ast.BinOp) -> ast.AST:
    return node.right


#: What may be written in the place of a part of a formula.
_CHANGES: Mapping[type[ast.AST] | None, Sequence[Callable[..., ast.AST]]] = {
    ast.Add: (_left, _right, _with(ast.Sub())),
    ast.Sub: (_left, _right, _with(ast.Add())),
    ast.Mult: (_left, _right, _with(ast.Add()), _with(ast.Div())),
    ast.Div: (
        _left,
        lambda node: ast.BinOp(ast.Constant(1), ast.Div(), node.right),
        _with(ast.Mult()),
    ),
    ast.Pow: (_left, _with(ast.Mult())),
    ast.USub: (lambda node: node.operand,),
    ast.Name: (lambda node: ast.Name({"out": "x", "x": "out"}.get(node.id, node.id)),),
    ast.Call: (lambda node: node.args[0],),
}


# ---- Wrong passes ------------------------------------------------------------------------------

#: The operands of a node in the order in which a pass goes to them.
Operands = Callable[[Value], Sequence[Value]]

#: Finds the nodes in the order in which they send; some perhaps twice, some not at all.
Order = Callable[[], Iterable[Value]]


class Pass(NamedTuple):
    """A backward pass with one mistake."""

    kind: str
    order: Order
    overwrites: Collection[str] = ()
    """The operators that overwrite a gradient where they should add to it."""

    def gradients(self, root: Value, passes: int = 1, adds: bool = False) -> dict[Value, float]:
        """The gradients that it leaves behind.

        Args:
            root: the result.
            passes: how often it runs; nothing is set to zero between.
            adds: whether it adds 1 to the gradient of the result, where others set it to 1.
        """
        found = dict.fromkeys(nodes(root), 0.0)
        for _ in range(passes):
            found[root] = found[root] + 1.0 if adds else 1.0
            for node in self.order():
                for _, parent, slope, _ in sent_to(node):
                    before = 0.0 if node.op in self.overwrites else found[parent]
                    found[parent] = before + slope * found[node]
        return found


def right_order(root: Value) -> list[Value]:
    """The operations from the result to the leaves, each when all its shares have arrived."""
    return topological_order(root)[::-1]


def wrong_passes(root: Value) -> Iterator[Pass]:
    """The passes with one mistake, by any way of going through the graph.

    Those of a kind differ in which operand they go to first, which may be left to chance.
    """
    yield Pass("one step", lambda: [root])
    yield Pass("one step", partial(topological_order, root))
    for operands in _ways(root):
        for operators in (("add", "mul"), ("add",), ("mul",)):
            yield Pass("overwritten", partial(_sorted, root, operands), operators)
        # Two mistakes at once: this is the one to mend first.
        yield Pass("overwritten", partial(_breadth_first, root, operands), ("add", "mul"))
        yield Pass("overwritten", partial(_each_way, root, operands), ("add", "mul"))
        yield Pass("same value", partial(_sorted, root, operands, lambda node: node.data))
        yield Pass("repeated", partial(_each_way, root, operands))
        yield Pass("repeated", partial(_sorted_each_way, root, operands))
        yield Pass("early", partial(_breadth_first, root, operands))
        yield Pass("early", partial(_depth_first, root, operands))
    order = right_order(root)
    for count in range(len(order), -1, -1):
        for some in itertools.combinations(order, count):
            yield Pass("left out", partial(iter, some))


def _ways(root: Value) -> Iterator[Operands]:
    """All ways to choose which operand comes first at each node, and whether one that is there
    twice counts twice.
    """
    inner = [node for node in nodes(root) if len(set(node.parents)) > 1]
    for turned in itertools.product((False, True), repeat=len(inner)):
        turn = {node for node, turns in zip(inner, turned, strict=True) if turns}
        for once in (True, False):

            def operands(node: Value, turn: set[Value] = turn, once: bool = once) -> list[Value]:
                found = list(dict.fromkeys(node.parents) if once else node.parents)
                return found[::-1] if node in turn else found

            yield operands


def _sorted(root: Value, operands: Operands, same: Callable[[Value], object] = id) -> list[Value]:
    """A topological order, as micrograd finds it; ``same`` tells which nodes are one to it."""
    found: list[Value] = []
    seen: set[object] = set()

    def visit(node: Value) -> None:
        if same(node) not in seen:
            seen.add(same(node))
            for operand in operands(node):
                visit(operand)
            found.append(node)

    visit(root)
    return found[::-1]


def _sorted_each_way(root: Value, operands: Operands) -> list[Value]:
    """The same where nobody notes which nodes were visited."""
    found = [root]
    for operand in reversed(operands(root)):
        found += _sorted_each_way(operand, operands)
    return found


def _each_way(root: Value, operands: Operands) -> Iterator[Value]:
    """Each node sends, and then its operands do, as often as they are reached."""
    yield root
    for operand in operands(root):
        yield from _each_way(operand, operands)


def _depth_first(root: Value, operands: Operands) -> list[Value]:
    """The same, but each node sends once, when it is reached for the first time."""
    return list(dict.fromkeys(_each_way(root, operands)))


def _breadth_first(root: Value, operands: Operands) -> list[Value]:
    """Level by level, each node once, when it is reached for the first time."""
    found = {root: None}
    for node in (queue := [root]):
        for operand in operands(node):
            if operand not in found:
                found[operand] = None
                queue.append(operand)
    return list(found)
