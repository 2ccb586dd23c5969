"""The tape: a scalar function, run once on Values that only write down what is done with them.

While ``compile`` traces a function, its inputs are ``Traced`` Values. Each operation on them, or on
a parameter, appends one node to three flat arrays: the operator and its two operands. Nothing else
is kept, so a tape of millions of nodes is small and quickly made.

An operand is the number of an earlier node, or negative for a constant: ``~k`` is the k-th one. A
comparison gives a ``Condition``. ``where`` records both of its branches; an ``if`` must decide, so
it is recorded as a guard: another row whose conditions would decide otherwise needs another tape.
"""

from __future__ import annotations

import copy
import functools
import itertools
import linecache
import operator
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any, NamedTuple, NoReturn, SupportsIndex, TypeAlias

import numpy

from microgradlike import loops, ops
from microgradlike.compiler import derivatives, rounds, tables
from microgradlike.compiler.choosing import choosing
from microgradlike.compiler.operations import (
    ARITIES,
    CARRIED,
    CODES,
    ENTRY,
    LOOP,
    NAMES,
    OF_RULE,
    RESULT,
    ROUND,
    SHARE,
    TABLE,
    TAKE,
    code_of,
    on_numbers,
    row_of,
)
from microgradlike.engine import (
    Choice,
    Value,
    equal,
    frame_of_user_code,
    give_operators,
    line_of_user_code,
    traced_on,
)
from microgradlike.inputs import beside, constant, describe, number  # noqa: F401  (beside: likewise)
from microgradlike.ops import OPERATORS, Operator, spell
from microgradlike.recording import FILENAME, kinds
from microgradlike.rules import CustomRule, Rule
from microgradlike.tables import take


class TracingError(TypeError):
    """A function did with a traced Value what cannot be replayed for other rows."""

    __module__ = "microgradlike"


#: What a comparison gives: a ``Condition``; or a bool, where it is the same for all rows. Type
#: checkers are not told, for of Values that are not traced it is a bool.
Truth: TypeAlias = Any

#: How conditions are decided: by their node, or by their place in the code and their numbers.
Follow: TypeAlias = Mapping[int, bool] | Callable[[int, bool], bool]

# ---- The tape ----------------------------------------------------------------------------------


class Decided(NamedTuple):
    """A condition that was decided.

    Attributes:
        at: how many nodes there were.
        node: of the condition.
        place: in the code.
        state: a number that differs where plain numbers of the function differ.
    """

    at: int
    node: int
    place: int
    state: int


class Tape:
    """What a function did with its inputs, as flat arrays.

    Attributes:
        code, left, right: for each node its operator (an index into ``NAMES``) and its operands;
            the left one of an input or a parameter is its number in the order of their first use.
        constants: the numbers that were met, in the order of their first use.
        parameters: the Values that the function closes over, in the order of their first use.
        guards: for each condition that was decided, by its node, how, and at which line.
        outputs: the operands that the function returned; ``single`` if it was one, not a list.
        numbers: those of the inputs in the row that is traced.
        found: those of all nodes so far, as far as somebody has asked for them.
        results: the numbers of the outputs in that row.
        written: the node that is computed as the engine does, for each that stands for it here.
        places: for each node the place in the code where it was made, if places are kept.
        decided: the guards in order, if places are kept.
        tried: how conditions were decided within rounds, also of such as were traced apart then.
        integers: the nodes of the inputs that were given as integers.
        compares_integers: whether ``a == b`` of two Values compared their numbers, as integers.
        needs_integers: whether anything relied on that they are.
        indices: the nodes that take from tables, and the length of the shortest one.
        tables, chains, steady, whole: what ``tables.py`` has found out so far.
        loops: what is known of the loops.

    Args:
        follow: how conditions are decided, by their node, instead of by their numbers; or what
            decides them, given their place in the code and what their numbers say.
        places: whether they are kept.
        tried: how conditions within rounds were decided by a tape that did the same.
    """

    def __init__(
        self, follow: Follow | None = None, places: bool = False, tried: Sequence[bool] = ()
    ) -> None:
        self.code: Any = bytearray()
        self.left: array[int] = _Placed("i") if places else array("i")
        self.right = array("i")
        self.constants: list[float] = []
        self.parameters: list[Value] = []
        self.guards: dict[int, tuple[bool, tuple[str, int]]] = {}
        self.outputs: list[int] = []
        self.single = True
        self.numbers: list[float] = []
        self.found: list[float] = []
        self.written: dict[int, int] = {}
        self.integers: set[int] = set()
        self.compares_integers = self.needs_integers = False
        self.indices: dict[int, int] = {}
        self.tables: dict[tuple[int, ...], tables.Known] = {}
        self.chains: dict[tuple[int, ...], int] = {}
        self.steady: set[int] = set()
        self.whole = bytearray()
        self.loops = rounds.Loops()
        self.refused: TracingError | None = None
        self.follow = follow or {}
        self.tried, self._tried_before = list[bool](), iter(tried)
        self.places: list[int] = []
        self.decided: list[Decided] = []
        self._constants: dict[float | str, int] = {}
        self._leaves: dict[Value, int] = {}
        self._made: dict[Value, None] = {}
        self._opposites: dict[int, Condition] = {}
        self._pairs: dict[tuple[str, int, int], Condition] = {}
        self._first_copy = -1  # of a constant
        self._varies = bytearray()  # which of the first nodes differ from row to row

    # ---- Writing ----

    def append(self, name: str, left: int, right: int = 0) -> int:
        """Write one node; its number."""
        node = len(self.code)
        self.code.append(CODES[name])
        self.left.append(left)
        self.right.append(right)
        return node

    def input(self, place: int, data: float) -> Traced:
        node = self.append("input", place)
        if type(data) is int:
            self.integers.add(node)
        self.numbers.append(float(data))
        return self.traced(node, self.numbers[-1])

    def traced(self, node: int, data: float) -> Traced:
        """The Value that stands for a node."""
        out = new(Traced)
        out.tape, out.node, out.number = self, node, data
        return out

    def condition(self, node: int, holds: bool) -> Condition:
        """The truth value that stands for a node."""
        return Condition(self, node, holds)

    def constant(self, value: float) -> int:
        """The operand for a plain number."""
        key = value or str(value)  # 0.0 and -0.0 are equal, but not the same
        place = self._constants.get(key)
        if place is None:
            place = self._constants[key] = ~len(self.constants)
            self.constants.append(value)
        return place

    def leaf(self, value: Value) -> int:
        """The operand for a Value that was not made by a traced operation."""
        if isinstance(value, Traced):
            self._ended(value)
        node = self._leaves.get(value)
        if node is not None:
            return node
        if value in self._made:
            return self.constant(value._number)  # nobody outside can ask for its gradient
        if value.op:
            self._refuse(
                "the function that is traced uses a Value that was computed before, by "
                f"{value.op}, at {line_of_user_code()}; compute it within the function, or close "
                "over its number: v.data"
            )
        node = self._leaves[value] = self.append("parameter", len(self.parameters))
        self.parameters.append(value)
        return node

    def operand(self, value: Value | float) -> tuple[int, float]:
        """The operand for a number or Value of any kind, and its number in the row that is traced.

        A Value within another one's tape is refused.
        """
        if isinstance(value, Traced):
            if value.tape is not self:
                self._ended(value)
            return value.node, value.number
        if isinstance(value, Value):
            return self.leaf(value), value._number
        return self.constant(value), value

    # ---- What the engine tells while a function is traced ----

    def made(self, value: Value) -> None:
        """A Value made by the function itself is a constant of it."""
        self._made[value] = None

    def apply(self, rule: Rule, x: Value | float, y: Value | float | None, data: float) -> Value:
        """An operation on Values of which none is traced: parameters, or made by the function."""
        operands = (x,) if y is None else (x, y)
        if all(v in self._made for v in operands if isinstance(v, Value)):
            return Value(data)
        left, right = ([self.operand(v)[0] for v in operands] + [0])[:2]
        return self.traced(self.append(NAMES[OF_RULE[rule.name]], left, right), data)

    def compare(self, comparison: Callable[..., bool], x: Value, y: Any) -> Truth:
        """``x < y`` and the like: a Condition, or the truth itself if it can never change."""
        if isinstance(y, Condition):
            y = y.value()
        if not isinstance(y, Value):
            y = constant(y, "a comparison") if _is_number(y) else NotImplemented
            if y is NotImplemented:
                return NotImplemented
        (left, a), (right, b) = self.operand(x), self.operand(y)
        if left < 0 and right < 0:
            return comparison(a, b)
        if comparison in (operator.gt, operator.ge):
            left, right = right, left
        node = self.append(_COMPARISONS[comparison], left, right)
        return Condition(self, node, bool(comparison(a, b)))

    def is_same(self, x: Traced, y: object, comparison: Callable[..., bool]) -> Truth:
        """``x == y`` as the user writes it; slopes compare numbers, by ``engine.equal``."""
        if isinstance(y, Condition):
            y = y.value()
        if x is y:
            return comparison is operator.eq
        if isinstance(y, Value):
            tables.whole(self)
            if tables.is_whole(self, x.node) and tables.is_whole(self, self.operand(y)[0]):
                self.compares_integers = self.needs_integers = True
                return self.compare(comparison, x, y)
            self._refuse(
                f"a == b, or a != b, of two Values, at {line_of_user_code()}: it asks whether they "
                "are the same node; to compare their numbers, write abs(a - b) < 1e-9, or "
                "(a <= b) & (a >= b); tuples compare by ==, so give sorted, max or min a key, such "
                "as key=lambda t: t[0]"
            )
        return self.compare(comparison, x, y)

    def copied(self, value: Value) -> Value:
        """A node of its own with the same number, which a function is differentiated by.

        A constant gets one, too; ``close`` makes it a constant again.
        """
        node, data = self.operand(value)
        copy = self.traced(self.append("where", node), data)
        if node < 0 and self._first_copy < 0:
            self._first_copy = copy.node
        return copy

    def is_constant(self, value: object) -> bool:
        """Whether it is a number that does not differ from row to row, nor is a parameter."""
        if not isinstance(value, Traced):
            return True
        varies = self._varies
        for node in range(len(varies), value.node + 1):  # each is asked once
            count = ARITIES[self.code[node]]
            operands = (self.left[node], self.right[node])[:count]
            varies.append(not count or any(v >= 0 and varies[v] for v in operands))
        return not varies[value.node]

    def number_if_constant(self, value: Value) -> Value | float:
        """The number of a constant; anything else as it is."""
        return self.operand(value)[1] if self.is_constant(value) else value

    def gradients(self, out: Traced, inputs: Sequence[Value]) -> list[Value]:
        """The derivatives of a traced Value by others, written on this tape."""
        return derivatives.traced_gradients(out, inputs)

    def detach(self, value: Value) -> Value:
        """The same number, through which no error flows."""
        node, data = self.operand(value)
        return self.traced(self.append("detach", node), data) if node >= 0 else Value(data)

    def custom(self, value: object, parents: tuple[Value, ...], slopes: Any, name: str) -> Value:
        """A node of the user's own: the number of one Value, and slopes that are others."""
        return _custom(self, value, parents, slopes, name)

    def written_as(self, short: Traced, written: Traced) -> None:
        """The engine computes another formula than the one that a program is made from.

        Both are the same but for rounding. Where that decides a comparison, or where numbers are
        so large that rows are computed as they were written, it is the engine's.
        """
        self.written[short.node], short.number = written.node, written.number

    def take(self, entries: Sequence[Value | float], index: Value) -> Value | float:
        """The entry of a table that an index names."""
        return tables.take(self, entries, index)

    def note_index(self, node: int, count: int) -> None:
        """A node takes from a table of so many entries."""
        rounds.index(self, node, count)

    def loop(self, *given: Any) -> tuple[bool, object]:
        """Whether a loop could be written down as one; and if so what its last round hands on."""
        try:
            return True, rounds.traced(self, *given)
        except rounds.Apart:
            return False, None

    def need_whole(self, count: Value) -> None:
        """Refuse a count of rounds that may be a fraction in some row."""
        rounds.need_whole(self, count)

    def counts(self, value: object) -> None:
        """Note that a Value is a whole number in all rows, such as that of a round."""
        if isinstance(value, Traced):
            self.loops.counted.add(value.node)

    def share(self, parent: Value | float, slope: Value | float) -> Value:
        """What adds nothing to a sum, and sends its error, times a slope, to a parent."""
        operands = self.operand(parent)[0], self.operand(slope)[0]
        return self.traced(self.append(SHARE, *operands), -0.0)

    def refuse(self, value: Value, what: str, instead: str = "") -> NoReturn:
        """A number was asked for, which would be that of the first row for all others too."""
        if not isinstance(value, Traced) and value in self._made:
            return  # type: ignore[misc]  # a constant is what it is
        line = line_of_user_code()
        if not instead and "max" in line.rpartition(": ")[2]:
            instead = "softmax(values) and logsumexp(values) take off the largest by themselves"
        self._refuse(
            f"{what} of a Value in a function that is traced, at {line}: its number "
            f"differs from row to row, so it cannot be read; {instead or _INSTEAD}"
        )

    def _ended(self, value: Traced) -> NoReturn:
        self._refuse(
            "a traced Value was kept after its function had returned, and is used at "
            f"{line_of_user_code()}; a traced function runs once, for all rows: return what you "
            "need from it, and keep nothing"
        )

    def _refuse(self, sentence: str) -> NoReturn:
        """What is refused stays refused, also where the function itself catches the error."""
        error = TracingError(sentence)
        self.refused = self.refused or error
        raise error

    # ---- Branches ----

    def guard(self, condition: Condition) -> bool:
        """Decide a condition as the row that is traced does; rows that would not are not of it."""
        if condition.node not in self.guards:
            len(self.code)  # raises if the tape has ended
            if self.loops.open and rounds.is_within(self, condition.node):
                raise rounds.Apart
            frame = frame_of_user_code()
            lined_up = isinstance(self.left, _Placed)
            place = _place(frame) if lined_up or callable(self.follow) else 0
            holds = self._decide(condition, place)
            # The text of the line is looked up only if somebody wants to know.
            self.guards[condition.node] = holds, (frame.f_code.co_filename, frame.f_lineno)
            if lined_up:
                self.decided.append(Decided(len(self.code), condition.node, place, _state(frame)))
        return self.guards[condition.node][0]

    def _decide(self, condition: Condition, place: int) -> bool:
        if callable(self.follow):
            return self.follow(place, condition.number)
        if self.loops.open:  # it may be undone, and then its node is another one's
            self.tried.append(bool(next(self._tried_before, condition.number)))
            return self.tried[-1]
        return self.follow.get(condition.node, condition.number)

    # ---- The end ----

    def close(self) -> None:
        """The function has returned; from now on its Values are refused."""
        needed = (*self.outputs, *self.guards) if self.loops.told else ()
        if any(rounds.is_within(self, node) for node in needed if node >= 0):
            self._ended(None)  # type: ignore[arg-type]  # a Value of a round that is over
        self.nodes, self.code = self.code, _Ended(self)
        if isinstance(self.left, _Placed):
            self.places, self.left = self.left.places, array("i", self.left)
        if self._first_copy >= 0:
            _fold(self)
        self._leaves.clear()
        self.tables.clear()
        for value in self._made:
            if sys.getrefcount(value) > _UNSHARED:
                raise TracingError(
                    f"the traced function made {value!r} and kept it; make parameters before "
                    "compile, so that they are the same at every call, and write constants as "
                    "plain numbers"
                )
        self._made.clear()

    def same_as(self, other: Tape) -> bool:
        """Whether both did the same with the same numbers, perhaps with other parameters."""
        return (
            self.nodes == other.nodes
            and self.left == other.left
            and self.right == other.right
            and self.outputs == other.outputs
            and list(map(repr, self.constants)) == list(map(repr, other.constants))
            and self.loops.rounds == other.loops.rounds
        )


def _fold(tape: Tape) -> None:
    """What is computed of nothing but constants, where these are differentiated by, is one.

    So that others keep their numbers, their nodes stay, as constants that nobody uses.
    """
    known: dict[int, int] = {}
    for node in range(tape._first_copy, len(tape.nodes)):
        code = tape.nodes[node]
        sides = (tape.left, tape.right)[: ARITIES[code]]
        for side in sides:
            side[node] = known.get(side[node], side[node])
        if all(side[node] >= 0 for side in sides):
            continue
        found = _operand_for(tape, NAMES[code], [side[node] for side in sides])
        if found is not None:
            known[node], tape.nodes[node] = found, CODES["constant"]
    tape.outputs = [known.get(out, out) for out in tape.outputs]
    tape.loops.rounds = [found.moved(lambda v: known.get(v, v)) for found in tape.loops.rounds]
    for node in known:
        tape.guards.pop(node, None), tape.indices.pop(node, None)


def _operand_for(tape: Tape, name: str, operands: list[int]) -> int | None:
    """What can stand instead of a node, as it has constants as operands; None if nothing."""
    if name in (TABLE, ENTRY, LOOP, RESULT):
        return None
    if name == TAKE:
        index, end = operands
        found = tables.entries_of(tape, end) if index < 0 else []
        return found[int(tape.constants[~index])] if index < 0 else None
    if operands and max(operands) < 0:
        x, y = ([tape.constants[~v] for v in operands] + [0.0])[:2]
        return tape.constant(on_numbers(name, x, y))
    numbers = [tape.constants[~v] if v < 0 else None for v in operands]
    for known, other in zip(numbers, reversed(operands), strict=True):
        if known is not None and name in ("and", "or"):
            return tape.constant(known) if bool(known) is (name == "or") else other
    if name in ("keep", "reach", SHARE) and numbers[0] is not None:
        return operands[1] if name != SHARE and numbers[0] else tape.constant(-0.0)
    return None


#: What to do where a number was asked for.
_INSTEAD = (
    "compute with the functions of microgradlike, such as exp(v) and floor(v), choose with "
    "where(condition, x, y), and use v.detach() where no error should flow"
)
_AS_KEY = (
    "in a dict or a set it would be found by its identity; compare it: if v == 1, or "
    "where(v == 1, x, y), and look up id(v) where the node itself is meant"
)
_AS_TEXT = (
    "decide with if v == 1, or where(v == 1, x, y); to look at numbers, call the function itself "
    "on Values, without compile"
)
_AS_INDEX = (
    "for table[v] write take(table, v), of a list of Values or of rows of them, or make the table "
    "by nn.Embedding(count, size); for range(v), go as far as any row does, and choose by "
    "where(k < v, x, y)"
)
_AS_INTEGER = (
    "a column of integers holds integers as it is, and floor(v) makes one; for table[int(v)] write "
    "take(table, v)"
)


class _Ended:
    """Stands in for the arrays of a tape that has ended."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def __len__(self) -> int:
        self.tape._ended(None)  # type: ignore[arg-type]


def _references() -> int:
    """How many references a Value has that only a dict holds, while one walks over the dict."""
    made: dict[Value, None] = {Value(0.0): None}
    return next(sys.getrefcount(value) for value in made)


_UNSHARED = _references()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or hasattr(value, "__float__")


def _is_real(value: object) -> bool:
    """Whether it is a plain number that can be an output."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_COMPARISONS: dict[Callable[..., object], str] = {
    **{operator.lt: "lt", operator.gt: "lt", operator.le: "le", operator.ge: "le"},
    **{operator.eq: "eq", operator.ne: "ne"},
}


def _place(frame: FrameType) -> int:
    """Where a frame is in its code, as a number."""
    return _places(frame.f_code)[frame.f_lasti // 2]


@functools.lru_cache(maxsize=4096)
def _places(code: CodeType) -> list[int]:
    """For each instruction the place of its expression.

    A call can be one instruction or another, as Python finds best, at the same place in the text.
    """
    places: Iterable[object] = range(len(code.co_code) // 2)
    if hasattr(code, "co_positions"):  # since Python 3.11
        places = code.co_positions()
    return [hash((id(code), place)) for place in places]


class _Placed(array):  # type: ignore[type-arg]
    """The left operands of the nodes, and with each the place in the code where it was made.

    Attributes:
        places: of all nodes.
    """

    def __init__(self, _: str) -> None:
        self.places: list[int] = []

    def append(self, left: int) -> None:
        super().append(left)
        frame = sys._getframe(1)
        while frame.f_globals is _GLOBALS and frame.f_back:
            frame = frame.f_back
        self.places.append(_place(frame))


_GLOBALS = globals()

#: So many frames are looked at, and so many items of a container.
_FRAMES, _ITEMS = 8, 64

#: What is the same number for all rows that decide alike. A float may be a Value on another path.
_WHOLE = (int, str, type(None))


def _state(frame: FrameType | None) -> int:
    """A number that differs where whole numbers, texts and truth values of a function differ.

    What the function does next may depend on them, without that being a condition.
    """
    found: list[object] = []
    for _ in range(_FRAMES):
        if frame is None or frame.f_code is _traced.__code__:
            break
        for name, value in list(frame.f_locals.items()):
            found += name, _whole(value)
            if isinstance(value, list | tuple | set | dict):
                items = value.values() if isinstance(value, dict) else value
                found += len(value), *map(_whole, itertools.islice(items, _ITEMS))
            elif not isinstance(value, Value) and isinstance(
                inside := getattr(value, "__dict__", None), dict
            ):
                found += map(_whole, itertools.islice(inside.values(), _ITEMS))
        frame = frame.f_back
    return hash(tuple(found))


def _whole(value: object) -> object:
    return value if isinstance(value, _WHOLE) else "."


_HERE = __file__.rpartition("compiler")[0]


# ---- Conditions --------------------------------------------------------------------------------


class Condition(Choice):
    """Whether a comparison of traced Values holds: for ``where`` in each row, for ``if`` in one."""

    __slots__ = ("node", "number", "tape")

    def __init__(self, tape: Tape, node: int, holds: bool) -> None:
        self.tape, self.node, self.number = tape, node, holds

    def __bool__(self) -> bool:
        return self.tape.guard(self)

    def opposite(self) -> Condition:
        """The condition that holds where this one does not."""
        tape = self.tape
        found = tape._opposites.get(self.node)
        if found is None:
            found = Condition(tape, tape.append("not", self.node), not self.number)
            tape._opposites[self.node], tape._opposites[found.node] = found, self
        return found

    def picks(self) -> Condition:
        """The same condition, by which the smaller one of both is taken, or the larger one."""
        self.tape.code[self.node] = CODES["lower"]
        return self

    def is_opposite(self, other: Condition) -> bool:
        """Whether the other one is known to hold just where this one does not."""
        opposite = self.tape._opposites.get(self.node)
        return opposite is not None and opposite.node == other.node

    def kept(self, x: Value | float, by: str = "keep") -> Traced:
        """``x`` where the condition holds, and nothing elsewhere."""
        node, data = self.tape.operand(x)
        node = self.tape.append(by, self.node, node)
        return self.tape.traced(node, data if self.number else -0.0)

    def choose(self, x: Value | float, y: Value | float) -> Value:
        return self.kept(x) + self.opposite().kept(y)

    def _with(self, name: str, other: object, both: Callable[..., Truth]) -> Truth:
        if isinstance(other, Condition):
            pairs, key = self.tape._pairs, (name, self.node, other.node)
            if key not in pairs:
                node = self.tape.append(*key)
                pairs[key] = Condition(self.tape, node, bool(both(self.number, other.number)))
            return pairs[key]
        if isinstance(other, bool | numpy.bool_):
            return self if bool(other) is (name == "and") else bool(other)
        return both(bool(self), other)

    def __and__(self, other: object) -> Truth:
        return self._with("and", other, operator.and_)

    def __or__(self, other: object) -> Truth:
        return self._with("or", other, operator.or_)

    def __xor__(self, other: Any) -> Truth:
        if isinstance(other, Condition):
            return (self & other.opposite()) | (self.opposite() & other)
        if isinstance(other, bool | numpy.bool_):
            return self.opposite() if other else self
        return bool(self) ^ other

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __ne__(self, other: object) -> Truth:
        if isinstance(other, Condition | bool | numpy.bool_):
            return self ^ other
        return self.value() != other

    def __eq__(self, other: object) -> Truth:
        if isinstance(other, Condition | bool | numpy.bool_):
            different = self ^ other
            return different.opposite() if isinstance(different, Condition) else not different
        return self.value() == other

    # Whatever else is done with a truth value asks which one it is.
    def __hash__(self) -> int:
        return hash(bool(self))

    def __index__(self) -> int:
        return int(bool(self))

    __int__ = __index__

    def __float__(self) -> float:
        return float(bool(self))

    def __repr__(self) -> str:
        return repr(bool(self))

    def __format__(self, spec: str) -> str:
        return format(bool(self), spec)

    def __round__(self, digits: int | None = None) -> int:
        return round(bool(self), digits)

    def __invert__(self) -> Value:
        return -1 - self.value()  # as of True and False: -2 and -1


# ---- Traced Values -----------------------------------------------------------------------------


def _no_number(name: str) -> Any:
    """An attribute that a traced Value does not have: its number differs from row to row."""
    return property(
        lambda self: self.tape.refuse(self, f"reading .{name}"),
        lambda self, _: self.tape.refuse(self, f"writing .{name}"),
    )


class Traced(Value, has_own_operators=True):
    """A Value that knows its node on a tape and its number in the row that is being traced."""

    __slots__ = ("node", "number", "tape")

    tape: Tape
    node: int
    number: float
    data = _no_number("data")
    grad = _no_number("grad")

    def __getattr__(self, name: str) -> str:
        # The slots of an eager Value are never filled here, so whoever reads them ends up here.
        if name == "_label":
            return ""
        if name in Value.__slots__:
            self.tape.refuse(self, f"reading .{name.lstrip('_')}")
        raise AttributeError(f"a traced Value has no attribute {name!r}")

    def __init__(self, *_: object, **__: object) -> None:
        """``Value(v)`` of a traced Value is that Value."""

    @property
    def op(self) -> str:
        return str(NAMES[self.tape.code[self.node]])

    @property
    def is_result(self) -> bool:
        return True

    def backward(self, *arguments: object) -> None:
        self.tape.refuse(self, "backward()")

    def detach(self) -> Value:
        return self.tape.detach(self)

    def __repr__(self) -> str:
        return self._text("text, such as print(v) or str(v),", sys._getframe(1))

    def __format__(self, spec: str) -> str:
        if spec:
            self.tape.refuse(self, f"the format {spec!r}", _AS_TEXT)
        return self._text('text, such as f"{v}",', sys._getframe(1))

    def _text(self, what: str, asking: FrameType) -> str:
        """Only for our own sentences, and for whoever looks at it when its tape has ended."""
        ours = asking.f_code.co_filename.startswith(_HERE)
        if not ours and not isinstance(self.tape.code, _Ended):
            self.tape.refuse(self, what, _AS_TEXT)
        return "a traced Value"

    def __hash__(self) -> int:
        self.tape.refuse(self, "the hash", _AS_KEY)

    def __float__(self) -> float:
        self.tape.refuse(self, "float(v), or a function of math,")

    def __int__(self) -> int:
        self.tape.refuse(self, "int(v)", _AS_INTEGER)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        self.tape.refuse(self, "a copy")

    def __copy__(self) -> Value:
        self.tape.refuse(self, "a copy")

    def __deepcopy__(self, memo: dict[int, object]) -> Value:
        self.tape.refuse(self, "a copy")

    def __index__(self) -> int:
        self.tape.refuse(self, "range(v), or an index,", _AS_INDEX)

    def __bool__(self) -> bool:
        return bool(self.tape.compare(operator.ne, self, 0))

    def __eq__(self, other: object) -> Truth:
        return self.tape.is_same(self, other, operator.eq)

    def __ne__(self, other: object) -> Truth:
        return self.tape.is_same(self, other, operator.ne)

    def __lt__(self, other: object) -> Truth:
        return self.tape.compare(operator.lt, self, other)

    def __le__(self, other: object) -> Truth:
        return self.tape.compare(operator.le, self, other)

    def __gt__(self, other: object) -> Truth:
        return self.tape.compare(operator.gt, self, other)

    def __ge__(self, other: object) -> Truth:
        return self.tape.compare(operator.ge, self, other)


_RECORD = """\
    out = new(Traced)
    out.tape, out.node, out.number = tape, len(code), data
    code.append(op)
    tape.left.append(left)
    tape.right.append(right)
    return out
"""

_UNARY = """
def {name}(x):
    tape = x.tape
    code = tape.code
    op, left, right, data = {code_x}, x.node, 0, {traced_x}
"""

_BINARY = """
def {name}(x, y):
    tape = x.tape
    code = tape.code
    left = x.node
    if isinstance(y, Value):
        op = {code_xy}
        if y.__class__ is Traced:
            if y.tape is not tape:
                tape.operand(y)
            right, data = y.node, {traced_xy}
        else:
            right, data = tape.leaf(y), {plain_y}
    else:
        if type(y) is not float:
            y = {number}(y, {symbol!r})
            if y is NotImplemented:
                return y
        op, right, data = {code_x}, tape.constant(y), {traced_x}
"""

_REFLECTED = """
def reflected_{name}(y, x):
    tape = y.tape
    code = tape.code
    right = y.node
    if isinstance(x, Value):
        op, left, data = {code_xy}, tape.leaf(x), {plain_x}
    else:
        if type(x) is not float:
            x = {number}(x, {symbol!r})
            if x is NotImplemented:
                return x
        op, left, data = {code_y}, tape.constant(x), {traced_y}
"""


def _spelt(row: Operator, **operands: str) -> str:
    """The value of a row, with its operands spelt in this way."""
    names = {"x": "x", "y": "y", "abs": "abs", **operands}
    return spell(row.value, lambda name: names.get(name, f"ops.{name}"))


def _write(row: Operator) -> str:
    convert = "constant" if row.method else "beside"
    fill: dict[str, object] = {"name": row.name, "symbol": row.symbol, "number": convert}
    for to in kinds(row):
        fill[f"code_{to}"] = code_of(row, to)
        fill[f"traced_{to}"] = _spelt(row, **{operand: f"{operand}.number" for operand in to})
    fill["plain_y"] = _spelt(row, x="x.number", y="y._number")
    fill["plain_x"] = _spelt(row, x="x._number", y="y.number")
    heads = (_BINARY, _REFLECTED) if len(row.slopes) == 2 else (_UNARY,)
    return "".join(head.format(**fill) + _RECORD for head in heads)


@functools.cache
def _install() -> None:
    """Write the methods of traced Values, when the first function is traced."""
    source = "".join(map(_write, OPERATORS.values()))
    filename = f"{FILENAME} on a tape"
    linecache.cache[filename] = len(source), None, source.splitlines(True), filename
    made: dict[str, Callable[..., Value]] = {}
    exec(compile(source, filename, "exec"), globals(), made)
    give_operators(Traced, made)
    for name in ("lt", "le", "gt", "ge"):
        setattr(Condition, f"__{name}__", _as_number(getattr(operator, name)))
    for row in OPERATORS.values():
        if row.method and hasattr(operator, row.name):
            setattr(Condition, row.method, _as_number(getattr(operator, row.name)))
        if row.reflected_method:
            of_values = _as_number(getattr(operator, row.name), reflected=True)
            setattr(Condition, row.reflected_method, of_values)


def _as_number(of_values: Callable[..., object], reflected: bool = False) -> Callable[..., object]:
    """An operator of Values for truth values, which count as 1 and 0."""
    if reflected:
        return lambda self, other: of_values(other, self.value())
    return lambda self, *other: of_values(self.value(), *other)


new = object.__new__
Traced.__name__ = Value.__name__  # Python's own sentences about it are read by who wrote Values


# ---- Tracing -----------------------------------------------------------------------------------


def trace(
    f: Callable[..., object],
    example: Sequence[object],
    follow: Follow | None = None,
    places: bool = False,
    tried: Sequence[bool] = (),
) -> Tape:
    """Run a function once on traced inputs, and return its tape.

    Args:
        f: a function of Values and of nested lists of them; it returns a Value, or a list of them.
        example: its arguments for one row, as numbers and nested lists of them. Ints stay integers
            in all rows.
        follow: how its conditions are decided, if not by the numbers of that row; see ``Tape``.
        places: whether the tape tells where in the code each node was made.
        tried: see ``Tape``.

    Raises:
        TracingError: ``f`` needs the number of a Value, keeps one, or returns something else.

    >>> tape = trace(lambda x: 2 * x + 1, [3.0])
    >>> [NAMES[code] for code in tape.nodes]
    ['input', 'mul', 'add']
    """
    _install()
    tape = Tape(follow, places, tried)
    try:
        return _traced(f, example, tape)
    except derivatives.Unrolled:
        tape = Tape(follow, places)
        tape.loops.apart = True
        return _traced(f, example, tape)


def _traced(f: Callable[..., object], example: Sequence[object], tape: Tape) -> Tape:
    """Run a function on traced inputs of this tape, and end it."""
    count = itertools.count()

    def traced(value: Any) -> Any:
        if isinstance(value, list):
            return [traced(part) for part in value]
        return tape.input(next(count), value)

    arguments = [traced(value) for value in example]
    with traced_on(tape), choosing(f):
        try:
            result: Any = f(*arguments)
        except Exception as error:
            if tape.refused is None or tape.refused is error:
                raise
            raise tape.refused from error
        if tape.refused is not None:
            raise tape.refused
        del arguments
        if isinstance(result, numpy.ndarray) and not result.ndim:
            result = result.item()  # what numpy.where returns, for one
        tape.single = not isinstance(result, list | tuple | numpy.ndarray)
        outputs = [result] if tape.single else list(result)
        if tape.guards:  # on a path of its own it may be a number, which is the same for its rows
            outputs = [Value(out) if _is_real(out) else out for out in outputs]
        if not outputs or not all(isinstance(out, Value) for out in outputs):
            wrong = next((out for out in outputs if not isinstance(out, Value)), result)
            raise TracingError(
                "a function to be compiled returns a Value or a list of Values, but this one "
                f"returned {_returned(wrong)}"
            )
        tape.outputs = [tape.operand(out)[0] for out in outputs]
        del result, outputs  # what the function has kept of its own Values is found out now
        tape.close()
    return tape


def _custom(tape: Tape, value: object, parents: tuple[Value, ...], slopes: Any, name: str) -> Value:
    """See ``Tape.custom``."""
    if not callable(slopes) and not all(isinstance(s, Value) for s in slopes or [None]):
        tape._refuse(
            f"the slopes of {name!r} are plain numbers, at {line_of_user_code()}, which would "
            "be those of the first row for all; give a function of its parents that gives "
            "Values, such as custom(value, (x,), lambda x: 2 * x)"
        )
    if not isinstance(value, Value):
        tape._refuse(
            f"the value of {name!r} is a plain number, at {line_of_user_code()}, which would "
            "be that of the first row for all; compute it from Values: their slopes are left "
            "out"
        )
    out = tape.detach(value)
    for parent, slope in zip(parents, CustomRule(name, parents, slopes).values(), strict=True):
        out = out + tape.share(parent, slope)
    return out


def wider(tape: Tape) -> Tape:
    """A copy of a tape that has ended, to which further nodes can be appended."""
    copy_of: Tape = copy.copy(tape)
    copy_of.code = copy_of.nodes = bytearray(tape.nodes)
    copy_of.left, copy_of.right = tape.left[:], tape.right[:]
    copy_of.constants, copy_of._constants = list(tape.constants), dict(tape._constants)
    copy_of.chains, copy_of.loops = dict(tape.chains), copy.copy(tape.loops)
    copy_of.loops.rounds = list(tape.loops.rounds)
    return copy_of


def play(tape: Tape, inputs: Sequence[Any], parameters: Sequence[Any] | None = None) -> list[Value]:
    """Do once more what a tape holds, with Values instead of its inputs; the outputs.

    The conditions that were decided are decided again.

    Args:
        tape: of a function.
        inputs: of which the outputs are wanted.
        parameters: instead of those of the tape, if others are meant.
    """
    parameters = tape.parameters if parameters is None else parameters
    found: list[Any] = [None] * len(tape.nodes)

    def of(operand: int) -> Any:
        return tape.constants[~operand] if operand < 0 else found[operand]

    def play_nodes(nodes: Iterable[int]) -> None:
        for node in nodes:
            name, left = NAMES[tape.nodes[node]], tape.left[node]
            if name == "input":
                found[node] = inputs[left]
            elif name == "parameter":
                found[node] = parameters[left]
            elif name == TAKE:
                entries = list(map(of, tables.entries_of(tape, tape.right[node])))
                found[node] = take(entries, of(left))
            elif name == LOOP:
                found[node] = play_rounds(rounds.round_of(tape, node))
            elif name == RESULT:
                found[node] = found[left][int(of(tape.right[node]))]
            elif name not in (TABLE, ENTRY, *_NOT_COMPUTED):  # who is above it has its entries
                found[node] = _played(name, of(left), of(tape.right[node]))
            if node in tape.guards:
                bool(found[node])

    def play_rounds(one: rounds.Round) -> loops.State:
        state, rows = list(map(of, one.first)), [list(map(of, row)) for row in one.rows]
        nodes = rounds.computed(tape, one)

        def begin(state: loops.State, row: loops.State = ()) -> loops.State:
            for leaf, value in zip([*one.carried, *one.given], [*state, *row], strict=True):
                found[leaf] = value
            play_nodes(nodes)
            return of(one.going) if one.going >= 0 else None

        def step(state: loops.State, *row: loops.State) -> loops.State:
            if one.going < 0:
                begin(state, *row)
            return list(map(of, one.results))

        return loops.rounds_of(step, state, rows, begin if one.going >= 0 else None)

    # Of a round there may also be what nobody reads.
    play_nodes(node for node in range(len(tape.nodes)) if not rounds.is_within(tape, node))
    for short, written in tape.written.items():
        if isinstance(found[short], Traced):
            found[short].tape.written_as(found[short], found[written])
    outputs = map(of, tape.outputs)
    return [out if isinstance(out, Value) else Value(out) for out in outputs]


#: What is given, or has no number.
_NOT_COMPUTED = ("constant", CARRIED, ROUND)


def _played(name: str, x: Any, y: Any) -> Any:
    """An operation done once more, with Values or numbers as its operands."""
    row = row_of(name)[0]
    if name == SHARE:
        on = next((v.tape for v in (x, y) if isinstance(v, Traced)), None)
        return on.share(x, y) if on else -0.0
    if row and row.name in OPERATORS:
        second = (y,)[: len(row.slopes) - 1]
        if isinstance(x, Value):
            return x.recorded[row.name](x, *second)
        if second and isinstance(y, Value):
            return y.reflected[row.name](y, x)
        return ops.on_floats(row.value)(x, *(*second, 0.0)[:1], 0.0, 0.0)
    if name == "detach":
        return x.detach()
    if name in ("keep", "reach"):
        return x.kept(y, by=name) if isinstance(x, Condition) else y if x else -0.0
    if name == "not":
        return x.opposite() if isinstance(x, Condition) else not x
    if name == "lower":
        found = x < y
        return found.picks() if isinstance(found, Condition) else found
    both = {"and": operator.and_, "or": operator.or_, "eq": equal}.get(name)
    return (both or getattr(operator, name))(x, y)


def _returned(wrong: object) -> str:
    """What a function returned that is no Value, and what to do about it."""
    if isinstance(wrong, Condition):
        return "a comparison; return where(x > y, 1.0, 0.0), or what you want of it"
    if isinstance(wrong, int | float):
        return f"{describe(wrong)}; return Value({float(wrong)}) where it is a constant"
    if wrong is None:
        return "None; end it with return"
    if isinstance(wrong, Mapping):
        return f"a {type(wrong).__name__}; return a list of its Values"
    if isinstance(wrong, list | tuple | numpy.ndarray):
        if not len(wrong):
            return f"{describe(wrong)}; return at least one"
        return "a list or an array within a list; return one flat list"
    return describe(wrong)
