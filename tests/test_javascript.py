"""The operator table in JavaScript, in a real browser: the numbers of the engine."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy
import pytest

from microgradlike import Value, javascript
from microgradlike.engine import topological_order
from microgradlike.flow import backward_steps
from microgradlike.ops import OPERATORS
from microgradlike.sweep import sent_to
from tests.programs import Program, flat, groups
from tests.test_edge_cases import ROWS, Row, same, same_value

Evaluate = Callable[..., Any]

#: The number of each node as the script finds it; then the gradients of some.
RUN = """(graphs) => graphs.map(([rows, seeds, asked]) => {
    const graph = engine.read(rows);
    engine.forward(graph);
    engine.backward(graph, seeds);
    return [String(graph.at(-1).data === 0 ? 1 / graph.at(-1).data : graph.at(-1).data),
        asked.map((place) => String(graph[place].grad))];
})"""

#: The value, the slopes, and whether anything passes, of single operations at given operands.
ONE_BY_ONE = """(asked) => asked.map(([name, x, y, out, tie]) => {
    const operator = engine.OPERATORS[name];
    [x, y, out] = [x, y, out].map(Number);
    return [operator.value(x, y), ...operator.slopes.map((slope) => slope(x, y, out, tie)),
        ...operator.passes.map((passes) => Number(passes(x, y, out, tie)))].map(String);
})"""

#: The gradients of graphs whose values are given.
SWEEP = """(graphs) => graphs.map((rows) => {
    const graph = engine.read(rows);
    engine.backward(graph, [[graph.length - 1, 1]]);
    return graph.map((node) => String(node.grad));
})"""


@pytest.fixture(scope="module")
def evaluate(browser: Any) -> Iterator[Evaluate]:
    page = browser.new_page()
    page.add_script_tag(content=javascript.engine())
    yield page.evaluate
    page.close()


def nodes_of(root: Value) -> list[Value]:
    """Leaves, and then the operations."""
    order = topological_order(root)
    leaves = dict.fromkeys(p for node in order for p in node.parents if not p.op)
    return [*(leaves or ([] if root.op else [root])), *order]


def close(found: str, expected: float) -> bool:
    number = float(found.replace("Infinity", "inf"))
    if math.isfinite(expected):
        return math.isclose(number, expected, rel_tol=1e-13, abs_tol=1e-300)
    return same(number, expected)


# ---- The special points ------------------------------------------------------------------------


def test_every_row_of_the_page_of_special_points(evaluate: Evaluate) -> None:
    graphs, wanted = [], []
    for row in ROWS:
        leaves = [Value(v) for v in row.point]
        out = row.function(*leaves)
        if not isinstance(out, Value) or not out.op:
            continue
        nodes = list(dict.fromkeys([*leaves, *nodes_of(out)]))
        graphs.append([javascript.graph(nodes), [[len(nodes) - 1, 1]], list(range(len(leaves)))])
        wanted.append(row)
    assert len(wanted) > 300
    for row, (value, slopes) in zip(wanted, evaluate(RUN, graphs), strict=True):
        _as_promised(row, value, slopes)


def _as_promised(row: Row, value: str, slopes: Sequence[str]) -> None:
    if row.value == 0:  # its sign is told by the infinity that it divides to
        assert value == ("-Infinity" if math.copysign(1, row.value) < 0 else "Infinity"), row
    else:
        assert same_value(float(value.replace("Infinity", "inf")), row.value), (row, value)
    for found, slope in zip(slopes, row.slopes, strict=True):
        assert same(float(found.replace("Infinity", "inf")), slope), (row, found)


# ---- Random programs ---------------------------------------------------------------------------


def roots(seeds: Sequence[int]) -> Iterator[Value]:
    for seed in seeds:
        program = Program(seed)
        columns, target = program.examples(1, special=seed % 2 == 1)
        for root in flat(program(*program.row(columns[0], target[0], Value)))[:1]:
            if root.op:
                yield root


@groups(0, 5000, 1000)
def test_random_programs(evaluate: Evaluate, seeds: range) -> None:
    graphs = list(map(nodes_of, roots(seeds)))
    check_operations(evaluate, graphs)
    check_gradients(evaluate, graphs)


def check_operations(evaluate: Evaluate, graphs: list[list[Value]]) -> None:
    """Value and slopes of each to 1e-13, at the operands that the engine has."""
    asked: dict[str, tuple[Any, Value]] = {}
    for nodes in graphs:
        for node in filter(operator.attrgetter("op"), nodes):
            x, y = (*map(float, node.operands), math.nan)[:2]
            tie = node._rule.tie  # type: ignore[union-attr]
            told = (node.op, *map(javascript.in_json, (x, y, node.data)), tie)
            asked.setdefault(json.dumps(told), (told, node))
    found = evaluate(ONE_BY_ONE, [told for told, _ in asked.values()])
    for (told, node), numbers in zip(asked.values(), found, strict=True):
        assert close(numbers[0], node.data), (told, numbers)
        sides = len(OPERATORS[node.op].slopes)
        for side, _, slope, passes in sent_to(node):
            assert close(numbers[1 + side], slope), (told, slope, numbers)
            assert numbers[1 + sides + side] == str(int(passes)), (told, passes, numbers)


def check_gradients(evaluate: Evaluate, graphs: list[list[Value]]) -> None:
    found = evaluate(SWEEP, list(map(javascript.graph, graphs)))
    for nodes, numbers in zip(graphs, found, strict=True):
        expected, sizes = {nodes[-1]: 1.0}, dict.fromkeys(nodes, 0.0)
        sizes[nodes[-1]] = 1.0
        for step in backward_steps(nodes[-1]):
            expected[step.parent] = step.after
            with numpy.errstate(all="ignore"):  # shares may cancel: how large they were counts
                sizes[step.parent] += float(numpy.abs(step.slope) * numpy.float64(sizes[step.node]))
        for node, number in zip(nodes, numbers, strict=True):
            ours, theirs = float(number.replace("Infinity", "inf")), expected.get(node, 0.0)
            if math.isfinite(theirs):
                assert not abs(ours - theirs) > 1e-13 * sizes[node] + 1e-300, (node, ours, theirs)
                assert math.isfinite(ours), (node, ours, theirs)
            else:
                assert same(ours, theirs), (node, ours, theirs)
