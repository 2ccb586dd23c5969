"""A compiled function as an ONNX file, with its gradient if that is wanted.

What it computes is said in ``arrays.py``; here is how ONNX says it. The arrays are written, not
computed (``symbolic.py``), and send their errors back by the same few words. So the forward pass is
that of JAX, and the backward pass follows what was written, whatever that is: paths, masks, tables
and loops need no second reading of the program. Operations have the slopes of the operator table,
whose formulas write nodes as they compute numbers elsewhere.

onnxruntime has no float64 for some operators, and few digits of others, such as Sigmoid. What it
computes in float64 to all digits is used; the rest is written out of that.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import onnx
from onnx import helper

from microgradlike import files, ops
from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.operations import row_of
from microgradlike.inputs import describe
from microgradlike.words import counted
from microgradlike.writers.arrays import Function, Operation, Step, check_rounds, slopes_times
from microgradlike.writers.refused import naming_the_line, power_of_ten
from microgradlike.writers.symbolic import (
    FLOAT,
    INDEX,
    ROWS,
    TRUTH,
    Made,
    Nodes,
    Number,
    Places,
    Send,
    Tensor,
    as_float,
    broadcast_shape,
    cast,
    concat,
    lifted,
    product,
    reached,
    sent_back,
    value,
    where,
    written,
)

if TYPE_CHECKING:
    from microgradlike.replay.derived import Derivatives

#: The lowest version of the operators that adds where it scatters, and of the format that has it.
OPSET, FORMAT = 16, 8
#: A file has so many bytes at most.
MOST = 2**31 - 1

# ---- Functions of formulas ---------------------------------------------------------------------


def _node(kind: str) -> Callable[[Tensor], Tensor]:
    return lambda x: written(kind, x)


def _two(x: Number, y: Number) -> list[Tensor]:
    nodes = next(v.nodes for v in (x, y) if isinstance(v, Tensor))
    return lifted(nodes, x, y)


def _divide(x: Number, y: Number) -> Tensor:
    return written("Div", *_two(x, y))


def _power(x: Number, y: Number) -> Tensor:
    return written("Pow", *_two(x, y))


def _sign(x: Tensor) -> Tensor:
    return where(x > 0, 1.0, where(x < 0, -1.0, x))


def _is_negative(x: Tensor) -> Tensor:
    return (x < 0) | (_divide(1.0, x) < 0)  # also -0.0


def _signed(size: Tensor, x: Tensor) -> Tensor:
    """A size with the sign of another number."""
    return where(_is_negative(x), -size, size)


def _huge(x: Tensor) -> float:
    """Squares of larger numbers are infinite."""
    return math.sqrt(float(numpy.finfo(x.nodes.float_type).max)) / 2


def _maximum(x: Number, y: Number) -> Tensor:
    x, y = _two(x, y)
    return where(x >= y, x, where(y > x, y, math.nan))


def _minimum(x: Number, y: Number) -> Tensor:
    x, y = _two(x, y)
    return where(x <= y, x, where(y < x, y, math.nan))


_exp, _log, _sqrt = _node("Exp"), _node("Log"), _node("Sqrt")
_sin, _cos, _tanh = _node("Sin"), _node("Cos"), _node("Tanh")


def _expm1(x: Tensor) -> Tensor:
    return _tanh(0.5 * x) * (_exp(x) + 1.0)


def _log1p(x: Tensor) -> Tensor:
    u = 1.0 + x
    rounded = (u == 1.0) | (abs(u) == math.inf)
    return where(u == 1.0, x, _log(u) * where(rounded, 1.0, _divide(x, u - 1.0)))


def _sinh(x: Tensor) -> Tensor:
    e, half = _expm1(abs(x)), _exp(0.5 * abs(x))
    return _signed(where(abs(x) < 20, 0.5 * (e + _divide(e, e + 1.0)), 0.5 * half * half), x)


def _cosh(x: Tensor) -> Tensor:
    half = _exp(0.5 * abs(x))
    return 0.5 * half * half + _divide(_divide(0.5, half), half)


def _asinh(x: Tensor) -> Tensor:
    t = abs(x)
    near = _log1p(t + _divide(t * t, 1.0 + _sqrt(1.0 + t * t)))
    return _signed(where(t < _huge(x), near, _log(t) + ops.LN2), x)


def _acosh(x: Tensor) -> Tensor:
    t = x - 1.0
    near = _log1p(t + _sqrt(t) * _sqrt(t + 2.0))
    return where(x > _huge(x), _log(x) + ops.LN2, near)


def _atanh(x: Tensor) -> Tensor:
    t = abs(x)
    return _signed(0.5 * _log1p(_divide(2.0 * t, 1.0 - t)), x)


def _atan(x: Tensor) -> Tensor:
    """That of float32, and what is missing: ``atan(x) = a + atan((x - tan a) / (1 + x tan a))``."""
    narrow = x.nodes.node("Cast", x.name(), to=onnx.TensorProto.FLOAT)
    near = x.nodes.node("Cast", x.nodes.node("Atan", narrow), to=x.nodes.types[FLOAT])
    a = x.like(Made(near, x.own_shape), x.shape)
    cos, sin = _cos(a), _sin(a)
    rest = _divide(x * cos - sin, cos + x * sin)
    found = where(x == 0, x, a + rest)
    return where(abs(x) > 1e17, _sign(x) * (math.pi / 2), found)


def _asin(x: Tensor) -> Tensor:
    return 2.0 * _atan(_divide(x, 1.0 + _sqrt((1.0 - x) * (1.0 + x))))


def _acos(x: Tensor) -> Tensor:
    return 2.0 * _atan(_sqrt(_divide(1.0 - x, 1.0 + x)))


def _by_size(x: Number, y: Number) -> tuple[Tensor, Tensor, Tensor]:
    """The larger size, the smaller one, and how much smaller it is."""
    p, q = map(abs, _two(x, y))
    large, small = where(p > q, p, q), where(p > q, q, p)
    ratio = where((large == math.inf) & (small == math.inf), 1.0, _divide(small, large))
    return large, small, where((large == 0) & (small == 0), 0.0, ratio)


def _atan2(x: Number, y: Number) -> Tensor:
    x, y = _two(x, y)
    angle = _atan(_by_size(x, y)[2])
    angle = where(abs(x) > abs(y), math.pi / 2 - angle, angle)
    return _signed(where(_is_negative(y), math.pi - angle, angle), x)


def _hypot(x: Number, y: Number) -> Tensor:
    large, small, ratio = _by_size(x, y)
    is_infinite = (large == math.inf) | (small == math.inf)
    return where(is_infinite, math.inf, large * _sqrt(1.0 + ratio * ratio))


def _logaddexp(x: Number, y: Number) -> Tensor:
    x, y = _two(x, y)
    return where(x == y, x + ops.LN2, _maximum(x, y) + _log1p(_exp(-abs(x - y))))


def _sigmoid(x: Tensor) -> Tensor:
    e = _exp(-abs(x))
    return _divide(where(x >= 0, 1.0, e), 1.0 + e)


def _softplus(x: Tensor) -> Tensor:
    return _maximum(x, 0.0) + _log1p(_exp(-abs(x)))


def _cbrt(x: Tensor) -> Tensor:
    return _signed(_power(abs(x), 1 / 3), x)


def _erf(x: Tensor) -> Tensor:
    """Near 0 the integral by Gauss and Legendre, which keeps all digits; beyond by ``erfc``."""
    places, weights = numpy.polynomial.legendre.leggauss(16)
    s = _column(x, (places + 1) / 2)
    under = _exp(-(_inside(x, 1.5)[None] * s) * (_inside(x, 1.5)[None] * s))
    near = x * (under * _column(x, weights / 2)).sum(0) * ops.TWO_OVER_SQRT_PI
    return where(abs(x) < 1.5, near, _sign(x) * (1.0 - _erfc_above(abs(x))))


def _erfc(x: Tensor) -> Tensor:
    above = _erfc_above(abs(x))
    return where(x < 0, 2.0 - above, above)


def _erfc_above(x: Tensor) -> Tensor:
    """``erfc`` of numbers that are not negative.

    F. Matta, A. Reichel, Uniform computation of the error function and other related functions,
    Mathematics of Computation 25 (1971), 339-344, with a step of 1/2.
    """
    squares = ((numpy.arange(14) + 0.5) / 2) ** 2
    parts = _divide(_column(x, numpy.exp(-squares)), _column(x, squares) + (x * x)[None])
    pole = where(x < 6.0, _divide(2.0, 1.0 + _exp(4 * math.pi * _inside(x, 6.0))), 0.0)
    far = where(x < 30.0, x, 30.0)  # beyond it is 0, not infinity times 0
    found = far * _exp(-x * x) * parts.sum(0) * (1 / math.pi) + pole
    return where(x != x, x, found)


def _inside(x: Tensor, most: float) -> Tensor:
    return where(abs(x) < most, x, 0.0)


def _column(x: Tensor, numbers: Floats) -> Tensor:
    """Numbers along a new first axis, beside those of a tensor."""
    shape = (len(numbers), *(1 for _ in x.shape))
    return Tensor(x.nodes, numbers.reshape(shape), shape)


def _trunc(x: Tensor) -> Tensor:
    return where(x < 0, written("Ceil", x), written("Floor", x))


def _divided(x: Number, y: Number) -> tuple[Tensor, Tensor]:
    """What is left of a number that is divided, and whether its sign is not the divisor's."""
    x, y = _two(x, y)
    rest = written("Mod", x, y, fmod=1)
    return rest, rest * _sign(y) < 0


def _remainder(x: Number, y: Number) -> Tensor:
    x, y = _two(x, y)
    rest, crosses = _divided(x, y)
    return where(rest == 0, abs(rest) * _sign(y), where(crosses, rest + y, rest))


def _floor_divide(x: Number, y: Number) -> Tensor:
    x, y = _two(x, y)
    rest, crosses = _divided(x, y)
    plain = _divide(x, y)
    whole = written("Round", _divide(x - rest, y)) - as_float(crosses)
    return where(y == 0, plain, where(whole == 0, _signed(abs(whole), plain), whole))


def _round_to(x: Number, y: Number) -> Tensor:
    """As ``round_to`` and ``round_to_tens`` in C, without ``fma``: the error of a product is found
    by halves of its factors (T. J. Dekker, A floating-point technique for extending the available
    precision, Numerische Mathematik 18 (1971), 224-242)."""
    x, y = _two(x, y)
    digits = [None] if y.known is None else y.known.ravel().tolist()
    powers = numpy.array(list(map(power_of_ten, digits))).reshape(y.own_shape)
    ten = Tensor(y.nodes, powers, y.shape, thin=y.thin)
    whole = written("Round", _divide(x, ten))
    rest = x - whole * ten - _lost(whole, ten)
    tens = (whole + as_float(rest > 0.5 * ten) - as_float(rest < -0.5 * ten)) * ten
    z = x * ten
    whole, lost = written("Round", z), _lost(x, ten)
    half = z - whole
    up, down = (half == 0.5) & (lost > 0), (half == -0.5) & (lost < 0)
    near = _divide(whole + as_float(up) - as_float(down), ten)
    most = 2.0 / float(numpy.finfo(x.nodes.float_type).eps)
    before = y < 0
    found = where(abs(where(before, _divide(x, ten), z)) < most, where(before, tens, near), x)
    return _signed(abs(found), x)


def _lost(x: Tensor, y: Tensor) -> Tensor:
    """What a product loses by rounding."""
    factor = 2.0 ** math.ceil(-math.log2(float(numpy.finfo(x.nodes.float_type).eps)) / 2 + 0.5) + 1

    def halves(v: Tensor) -> tuple[Tensor, Tensor]:
        far = factor * v
        high = far - (far - v)
        return high, v - high

    (a, b), (c, d) = halves(x), halves(y)
    return b * d - (x * y - a * c - b * c - a * d)


#: What the names in formulas mean.
NAMES: Mapping[str, object] = {
    **ops.NUMBERS,
    **{"exp": _exp, "log": _log, "sqrt": _sqrt, "sin": _sin, "cos": _cos, "tanh": _tanh},
    **{"expm1": _expm1, "log1p": _log1p, "sinh": _sinh, "cosh": _cosh, "asinh": _asinh},
    **{"acosh": _acosh, "atanh": _atanh, "atan": _atan, "asin": _asin, "acos": _acos},
    **{"exp2": lambda x: _power(2.0, x), "log2": lambda x: _divide(_log(x), ops.LN2)},
    **{"log10": lambda x: _divide(_log(x), ops.LN10), "tan": lambda x: _divide(_sin(x), _cos(x))},
    **{"atan2": _atan2, "hypot": _hypot, "logaddexp": _logaddexp, "sigmoid": _sigmoid},
    **{"softplus": _softplus, "cbrt": _cbrt, "erf": _erf, "erfc": _erfc, "sign": _sign},
    **{"maximum": _maximum, "minimum": _minimum, "abs": abs, "where": where},
    **{"floor": _node("Floor"), "ceil": _node("Ceil"), "rint": _node("Round"), "trunc": _trunc},
    **{"divide": _divide, "power": _power, "remainder": _remainder},
    **{"floor_divide": _floor_divide, "round_to": _round_to},
    **{"logical_and": lambda x, y: x & y, "logical_or": lambda x, y: x | y},
    "logical_not": lambda x: ~x,
}


@functools.cache
def operation(name: str) -> Operation:
    """An operation on tensors, with the value and the slopes of the operator table."""
    row, tie = row_of(name)
    assert row is not None
    compute = ops.formula(row.value, NAMES, element_by_element=True)
    times_slopes = slopes_times(_LIBRARY, name)

    def of(*operands: Tensor) -> Tensor:
        x, y = operands[0].held(), operands[1].held() if len(operands) == 2 else None
        nodes = x.nodes
        with nodes.named(name.split()[0]):
            found = written("Relu", x) if name == "relu" else compute(x, y, None, tie)
        (found,) = lifted(nodes, found)
        out = as_float(found).broadcast(broadcast_shape(*(v.shape for v in operands)))

        def back(times_slope: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
            return lambda error: times_slope((x, y, out), error)

        return out.sending(
            *(
                Send(operand, back(times_slope))
                for operand, slope, times_slope in zip(
                    operands, row.slopes, times_slopes, strict=True
                )
                if slope != "0"
            )
        )

    return of


# ---- The library -------------------------------------------------------------------------------


class OnnxLibrary:
    """How ONNX says what a program computes.

    Args:
        rounds: of a loop that ends by itself, so many are done at most.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def numbers(self, array: Floats, like: Tensor) -> Tensor:
        rounded = array.astype(like.nodes.float_type)  # as the model holds them
        return Tensor(like.nodes, rounded.astype(float), array.shape)

    def places(self, array: Ints, like: Tensor) -> Ints:
        return array

    def where(self, condition: Tensor, x: Number, y: Number) -> Tensor:
        many = [v for v in (x, y) if isinstance(v, Tensor) and len(v.shape) == 2]
        if not (many and len(many[0]) > 1 and len(condition.shape) == 1 and condition.nodes.sends):
            return where(condition, x, y)

        def one(v: Number, k: int) -> Number:
            return v[k : k + 1] if isinstance(v, Tensor) and len(v.shape) == 2 else v

        # Output by output: of the error of one nothing arrives at another one, not even 0.
        places = range(len(many[0]))
        return concat([where(condition, one(x, k), one(y, k)) for k in places])

    def held(self, x: Tensor) -> Tensor:
        return x.held()

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        return concat(parts)

    def rounded(self, x: Tensor) -> Tensor:
        return x

    def product(self, weights: Tensor, values: Tensor) -> Tensor:
        with values.nodes.named("layer"):
            return product(weights, values)

    def wider(self, x: Tensor, rows: int) -> Tensor:
        return x.broadcast((*x.shape[:-1], rows))

    def largest(self, x: Tensor) -> Tensor:
        return x.max(1)

    def truths(self, found: Sequence[Tensor | bool], like: Tensor) -> Tensor:
        return concat([x.reshape(1) for x in lifted(like.nodes, *found)])

    def ones(self, count: int, like: Tensor) -> Tensor:
        return Tensor(like.nodes, numpy.ones(1 if count == ROWS else count), (count,), thin=True)

    def whole(self, x: Tensor) -> Tensor:
        return cast(x, INDEX)

    def operation(self, name: str) -> Operation:
        return operation(name)

    def formula(self, text: str) -> Operation:
        return ops.formula(text, NAMES, element_by_element=True)

    def rounds(self, step: Step, state: Tensor, given: Tensor) -> Tensor:
        return _Loop(step, state, given, len(given)).last()

    def rounds_while(self, step: Step, state: Tensor) -> Tensor:
        return _Loop(step, state, None, self._rounds).last()


#: For whom loops do not matter.
_LIBRARY = OnnxLibrary(rounds=1)


class _Loop:
    """Rounds, forward and back.

    Going forward, what each round was handed is kept. Going back, a round is computed once more
    from that, and sends its error to the round before. The errors of what it reads of what was
    computed before the loop are added up.

    Args:
        step: see ``arrays.py``.
        first: what the first round is handed.
        given: what each round reads, or None.
        rounds: how many there are, at most.
    """

    def __init__(self, step: Step, first: Tensor, given: Tensor | None, rounds: int) -> None:
        self.step, self.nodes, self.rounds = step, first.nodes, rounds
        # As tensors of their own: a round may read the same from outside, too.
        self.first = first.full().reshape(*first.shape)
        self.given = None if given is None else given.full().reshape(*given.shape)
        self.before = self.nodes.tensors
        self._sent: dict[int, dict[Tensor, Tensor]] = {}

    def _made(self, name: str, like: Tensor) -> Tensor:
        return like.like(Made(name, like.shape), like.shape, thin=False)

    def _begin(self) -> tuple[str, str]:
        self.nodes.written.append([])
        return self.nodes.given("round"), self.nodes.given("goes_on")

    def _run(self, number: str, state: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """What a round is handed and reads, as leaves, and what it hands on."""
        state = state.leaf() if self.nodes.sends else state
        if self.given is None:
            return state, None, self.step(state).broadcast(self.first.shape).full()
        shape = self.given.shape[1:]
        row = self.nodes.node("Gather", self.given.name(), number, axis=0)
        given = self.given.like(Made(row, shape), shape)
        given = given.leaf() if self.given.is_sent else given
        return state, given, self.step(state, given).broadcast(self.first.shape).full()

    def last(self) -> Tensor:
        """What the last round hands on."""
        number, goes_on = self._begin()
        state = self._made(self.nodes.given("state"), self.first)
        _, _, after = self._run(number, state)
        found = reached(after, self.before)
        own = [x for x in (self.first, self.given) if x is not None]
        sends = any(x.is_sent for x in (*own, *found))
        going = Tensor(self.nodes, Made(goes_on, ()), (), TRUTH)
        more = going if self.given is not None else (after[-1] != 0).any()
        body = self.nodes.body(
            "rounds", [self._number(number), value(goes_on, going), value(state.name(), state)],
            [more, after, *([state] if sends else [])],
        )  # fmt: skip
        inputs = [self._known(self.rounds), self._known(True), self.first.name()]
        name, *self._kept = self.nodes.nodes("Loop", inputs, 1 + sends, body=body)
        sent = (self._send(x) for x in (*own, *found))
        return self.first.like(Made(name, self.first.shape), self.first.shape, *sent, thin=False)

    def _known(self, number: int) -> str:
        return self.nodes.constant(numpy.array(number))

    def _number(self, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ())

    def _send(self, to: Tensor) -> Send:
        def back(error: Tensor) -> Tensor:
            if error.number not in self._sent:
                self._sent[error.number] = self._sent_back(error.full())
            return self._sent[error.number].get(to, _zeros(to))

        return Send(to, back)

    def _sent_back(self, error: Tensor) -> dict[Tensor, Tensor]:
        """The errors of all that the loop reads."""
        nodes, kept = self.nodes, self._kept[0]
        number, goes_on = self._begin()
        error_of_round = self._made(nodes.given("error"), self.first)
        count = nodes.node("Gather", nodes.node("Shape", kept), self._known(0))
        one = self._known(1)
        turned = nodes.node("Sub", nodes.node("Sub", count, one), number)
        row = nodes.node("Gather", kept, turned, axis=0)
        state, given, after = self._run(turned, self._made(row, self.first))
        found = sent_back(after, error_of_round, self.before)
        others = [x for x in found if x.number < self.before]
        sums = [self._made(nodes.given("sum"), x) for x in others]
        going = Tensor(nodes, Made(goes_on, ()), (), TRUTH)
        zeros = _zeros(self.first)
        outputs = [going, found.get(state, zeros).full()]
        outputs += [(s + found[x]).full() for s, x in zip(sums, others, strict=True)]
        if given is not None and given.is_sent:
            outputs.append(found.get(given, _zeros(given)).full())
        inputs = [self._number(number), value(goes_on, going)]
        inputs += [value(x.name(), x) for x in (error_of_round, *sums)]
        body = nodes.body("rounds_back", inputs, outputs)
        starts = [error.name(), *(_zeros(x).full().name() for x in others)]
        names = nodes.nodes(
            "Loop", [count, self._known(True), *starts], len(outputs) - 1, body=body
        )
        errors = {self.first: self._made(names[0], self.first)}
        for x, name in zip(others, names[1:], strict=False):
            errors[x] = self._made(name, x)
        if given is not None and self.given is not None and given.is_sent:
            errors[self.given] = self._made(names[-1], self.given)[::-1]
        return errors


def _zeros(like: Tensor) -> Tensor:
    shape = tuple(1 if n == ROWS else n for n in like.shape)
    return Tensor(like.nodes, numpy.zeros(shape), like.shape, thin=True)


# ---- A compiled function -----------------------------------------------------------------------


class _Parameters:
    """Parameters in the model: each piece that is used together, or all of them as an input.

    Args:
        nodes: of the model.
        theta: their numbers.
        labels: their names.
        given: the name of the input; "" for none.
    """

    def __init__(self, nodes: Nodes, theta: Floats, labels: Sequence[str], given: str) -> None:
        self.nodes, self.theta, self.labels, self.given = nodes, theta, labels, given
        self._known: dict[tuple[object, ...], str] = {}
        #: In which piece each of them stands, and where there.
        self._pieces: list[Tensor] = []
        self._piece, self._place = numpy.full((2, len(theta)), -1)
        if given:
            self._stands(numpy.arange(len(theta)), given, theta.shape)

    def __call__(self, places: Ints) -> str:
        """The name of the numbers at these places, in the shape of these."""
        key = places.tobytes(), places.shape
        if key not in self._known:
            self._known[key] = self._found(places)
        return self._known[key]

    def _stands(self, places: Ints, name: str, shape: tuple[int, ...]) -> None:
        self._piece[places], self._place[places] = len(self._pieces), numpy.arange(len(places))
        self._pieces.append(Tensor(self.nodes, Made(name, shape), shape).reshape(len(places)))

    def _found(self, places: Ints) -> str:
        """A number stands in the model once; where it is used otherwise, it is taken from there."""
        flat = places.ravel()
        new = numpy.unique(flat[self._piece[flat] < 0])
        if len(new) == len(flat):
            name = self.nodes.initializer(self._name(flat), self.theta[places])
            self._stands(flat, name, places.shape)
            return name
        if len(new):
            self._stands(new, self.nodes.initializer(self._name(new), self.theta[new]), new.shape)
        used = numpy.unique(self._piece[flat])
        pieces = [self._pieces[piece] for piece in used.tolist()]
        begins = dict(
            zip(used.tolist(), numpy.cumsum([0, *map(len, pieces)]).tolist(), strict=False)
        )
        at = (
            numpy.array([begins[piece] for piece in self._piece[flat].tolist()]) + self._place[flat]
        )
        return concat(pieces)[at].name(places.shape)

    def _name(self, places: Ints) -> str:
        """What is common to the names of some parameters."""
        parts = [self.labels[place].split(".") for place in places.tolist()]
        if len(set(map(len, parts))) > 1:
            return "parameters"
        return (
            ".".join(some[0] for some in zip(*parts, strict=True) if len(set(some)) == 1)
            or "parameters"
        )


class _Model:
    """A compiled function as a model, while it is written.

    Args:
        c: the function.
        dtype: "float64" or "float32".
        theta_as_input, rounds: see ``microgradlike.to_onnx``.
    """

    def __init__(self, c: Derivatives, dtype: str, theta_as_input: bool, rounds: int) -> None:
        self.c, self.numbers = c, c.theta()
        if not theta_as_input and len(self.numbers) * numpy.dtype(dtype).itemsize > MOST:
            many = counted(len(self.numbers), "parameter")
            raise ValueError(
                f"an ONNX file holds 2 GB at most, less than {many} in {dtype}; make them an input "
                "by theta_as_input=True"
            )
        self.arguments = _names_of(c, len(c._shapes))
        self.nodes = Nodes(numpy.dtype(dtype), self.arguments)
        self.function = Function(c, OnnxLibrary(rounds))
        self.given = self.nodes.unique("theta") if theta_as_input else ""
        outputs = ("output", "mean", "sum", "gradient", *map("gradient_{}".format, self.arguments))
        self.names = {name: self.nodes.unique(name) for name in outputs}  # before a node has one
        labels = [v.label or "parameters" for v in c.parameters]
        self.nodes.parameters = _Parameters(self.nodes, self.numbers, labels, self.given)
        self.nodes.theta = None if theta_as_input else self.numbers
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: dict[str, Tensor] = {}

    def write(self, gradient: bool, reduce: str) -> onnx.ModelProto:
        """The model, checked."""
        nodes, c = self.nodes, self.c
        nodes.sends = gradient
        count = len(self.numbers)
        theta = Tensor(nodes, Places(numpy.arange(count)), (count,), is_leaf=gradient)
        columns = self._columns(gradient)
        if self.given:
            self.inputs.append(value(self.given, theta))
        found = self.function(theta, columns)
        self.outputs[self.names["output"]] = found
        if gradient:
            self._write_gradient(found, theta, columns, reduce)
        name = str(getattr(c.function, "__name__", "")).strip("<>") or "function"
        graph = nodes.graph(name, self.inputs, self.outputs, inspect.getdoc(c.function) or "")
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT,
            producer_name="microgradlike", producer_version=_version(),
        )  # fmt: skip
        onnx.checker.check_model(model, full_check=True)
        return model

    def _columns(self, gradient: bool) -> list[Tensor]:
        """The arguments, which become inputs of the model."""
        nodes = self.nodes
        shapes = [(ROWS, *shape) for shape in self.function.shapes]
        for name, shape in zip(self.arguments, shapes, strict=True):
            self.inputs.append(value(name, Tensor(nodes, Made(name, shape), shape)))
        if not shapes:
            return []
        names, counts = self.arguments, [self._rows_of(name) for name in self.arguments]
        if len(names) > 1:
            # One row would be repeated for those of another argument. So each argument is read from
            # entry 0 on of a list that has no other: where counts differ, that is not found.
            differ = nodes.node("Sub", nodes.node("Max", *counts), nodes.node("Min", *counts))
            with nodes.named("all_arguments_have_one_entry_for_each_row"):
                begin = nodes.node("Gather", nodes.whole(0), differ, axis=0)
            end = nodes.whole(ROWS)
            names = [nodes.node("Slice", name, begin, end, nodes.whole(0)) for name in names]
        nodes.rows = self._rows_of(names[0])
        return [
            Tensor(nodes, Made(name, shape), shape, is_leaf=gradient)
            for name, shape in zip(names, shapes, strict=True)
        ]

    def _rows_of(self, name: str) -> str:
        shape = self.nodes.node("Shape", name)
        return self.nodes.node("Slice", shape, self.nodes.whole(0), self.nodes.whole(1))

    def _write_gradient(
        self, found: Tensor, theta: Tensor, columns: Sequence[Tensor], reduce: str
    ) -> None:
        """The backward pass; if the function returns a list, one for each output."""
        nodes, single = self.nodes, self.function.single
        seeds = numpy.ones((1, 1)) if single else numpy.eye(found.shape[-1])
        own = tuple(1 if n == ROWS else n for n in found.shape)
        with nodes.named("back"):
            errors = [
                sent_back(found, Tensor(nodes, seed.reshape(own), found.shape, thin=True))
                for seed in seeds
            ]

        def gradient(leaf: Tensor) -> Tensor:
            parts = [found.get(leaf, _zeros(leaf)) for found in errors]
            return parts[0] if single else concat([part[None] for part in parts])

        by_theta = gradient(theta)
        if columns:
            total = found.held().sum(0)
            if reduce == "mean":
                rows = nodes.node("Cast", nodes.rows, to=nodes.types[FLOAT])
                count = Tensor(nodes, Made(rows, (1,)), (1,)).reshape()
                total, by_theta = _divide(total, count), _divide(by_theta, count)
            self.outputs[self.names[reduce]] = total
        self.outputs[self.names["gradient"]] = by_theta
        for name, column in zip(self.arguments, columns, strict=True):
            each = gradient(column)
            self.outputs[self.names[f"gradient_{name}"]] = each if single else each.swapaxes(0, 1)


def _version() -> str:
    return str(sys.modules[__name__.partition(".")[0]].__version__)


def _names_of(c: Derivatives, count: int) -> list[str]:
    """The names of the arguments; those of ``*args`` are numbered."""
    found: list[str] = []
    for name, parameter in inspect.signature(c.function).parameters.items():
        several = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        found += [f"{name}_{k}" for k in range(count - len(found))] if several else [name]
    return found[:count]


def to_onnx(
    c: Derivatives, path: str | os.PathLike[str], gradient: bool, reduce: str, dtype: str,
    theta_as_input: bool, rounds: int,
) -> Path:  # fmt: skip
    """Write a compiled function as an ONNX file; see ``microgradlike.to_onnx``."""
    if not hasattr(c, "_paths"):
        raise TypeError(
            f"to_onnx takes a function that was compiled, as by compile(f), but got {describe(c)}"
        )
    named = files.ending_in(path, "an ONNX model", ".onnx")
    if reduce not in ("mean", "sum"):
        raise ValueError(f'reduce is "mean" or "sum", but got {describe(reduce)}')
    if dtype not in ("float64", "float32"):
        raise ValueError(f'dtype is "float64" or "float32", but got {describe(dtype)}')
    check_rounds(rounds)
    c.theta()  # raises if it was not traced
    with naming_the_line(c), numpy.errstate(all="ignore"):
        model = _Model(c, dtype, theta_as_input, rounds).write(gradient, reduce)
    return files.write(named, model.SerializeToString())
