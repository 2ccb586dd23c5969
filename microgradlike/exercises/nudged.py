"""Slopes from values alone, by central differences: what every answer is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from microgradlike import ops
from microgradlike.differences import numeric_derivative
from microgradlike.engine import Value
from microgradlike.rules import CustomRule
from microgradlike.sweep import Step, computed_again, nodes


def gradient(root: Value, node: Value) -> float:
    """How fast the result changes when one node is nudged, whatever it was computed from.

    >>> a = Value(3.0)
    >>> b = a * a
    >>> round(gradient(b * a, b), 9), round(gradient(b * a, a), 9)
    (3.0, 27.0)
    """
    if node is root:
        return 1.0
    above = {node: node.data}
    for other in nodes(root):
        if not above.keys().isdisjoint(other.parents):
            above[other] = other.data
    users = list(above)[1:]

    def moved(x: float) -> float:
        above[node] = x
        for user in users:
            above[user] = computed_again(user, above)
        return above.get(root, root.data)

    return numeric_derivative(moved, node.data).slope


def local_slope(step: Step) -> float:
    """How fast one operation changes when one of its operands is nudged, and the others are not.

    >>> from microgradlike.sweep import backward_steps
    >>> a = Value(3.0)
    >>> [round(local_slope(step), 9) for step in backward_steps(a * a)]
    [3.0, 3.0]
    """
    rule = step.node._rule
    if rule is None or isinstance(rule, CustomRule):
        return step.slope
    value = ops.on_floats(rule.operator.value)
    operands = [float(x) for x in step.node.operands] + [0.0]

    def moved(x: float) -> float:
        changed = [*operands[: step.place], x, *operands[step.place + 1 :]]
        return float(value(changed[0], changed[1], 0.0, rule.tie))

    return numeric_derivative(moved, step.parent.data).slope


def times_computed(f: Callable[..., object], point: Sequence[float]) -> int:
    """How often a function is computed when its inputs are nudged one after the other.

    >>> times_computed(lambda a, b: a * b, [2.0, 3.0])
    3
    """
    run = [f(*map(Value, point))]
    for place, x in enumerate(point):
        run.append(f(*map(Value, [*point[:place], x + 0.01, *point[place + 1 :]])))
    return len(run)


def same(one: float, other: float) -> bool:
    """Whether an answer and the number found by nudging agree.

    >>> same(2.0, 2.0000000001), same(2.0, 2.01)
    (True, False)
    """
    return abs(one - other) <= 1e-6 * max(1.0, abs(one))
