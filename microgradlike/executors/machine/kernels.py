"""Kernels: small pieces of machine code, one for each kind of instruction and each formula.

A kernel goes over the lanes of a block of rows. They are compiled one by one, by numba, only those
that a program uses, once per machine. Each takes the same numbers, most of them addresses, so that
whoever runs a program calls the next kernel without knowing which it is:

``i_at``           where the instruction's own numbers are: slots, counts, places in ``lists``
``lists_at``       where the lists of slots are, of all instructions
``values, errors`` of the rows, one lane each: slot s stands at s * lanes
``once, owed``     what is computed once, and its errors
``theta, slopes``  the weights that only their layer uses, and their errors
``lanes, first``   how many rows there are, and whether they are the first ones

Loops over lanes become vector instructions. Each product and each sum is rounded as it is written:
a * b - c * d is 0 where both are equal, and a kernel gives the same numbers on any processor. Only
sums over rows, and products of matrices, are added up in whatever order is quickest. Functions such
as exp are NumPy's own loops, called by their address: as fast, as exact, and the same to the last
digit.
"""

from __future__ import annotations

import ast
import ctypes
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import numpy
from llvmlite import ir
from numba.core import cgutils

from microgradlike import ops
from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.instructions import HERE, IN_ONCE
from microgradlike.compiler.loops import loop
from microgradlike.compiler.operations import CONDITIONS, row_of
from microgradlike.executors.formulas import ON_ARRAYS
from microgradlike.executors.machine import emit
from microgradlike.executors.machine.addresses import (
    Pointer,
    address_of,
    address_of_source,
    invoke,
    moved,
    words,
)
from microgradlike.executors.machine.emit import Kind, written
from microgradlike.executors.machine.gemm import product
from microgradlike.ops import ALIASES, OPERATORS

#: What every kernel is given; all but the first two and the last two are pointers to numbers.
ARGUMENTS = (
    *("i_at", "lists_at", "values", "errors", "once", "owed", "theta", "slopes"),
    *("lanes", "first"),
)

# ---- The numbers of an instruction, by place ---------------------------------------------------
# Slots take two places: the first slot, and where they are listed, or -1 where they stand in a row.

#: Its kernel; the first slot that it writes, and how many.
KERNEL, OUT, OUTS = 0, 1, 2
#: The first of its rows of scratch.
SCRATCH = 9

#: Of an operation: its operands; whether it writes errors where nobody has written before; the
#: condition; where the addresses of the functions that it calls are listed.
X, Y, ASSIGN, MASK, FUNCTIONS = 4, 6, 8, 12, 11

#: Of layers, sums, products and folds: how many terms there are; the slots of values, and of the
#: second values of products.
TERMS, VALUES, SECOND = 3, 4, 14
#: The first weight or sign, or -1; whether it stands in theta; the first bias, or -1.
WEIGHTS, IN_THETA, BIAS = 6, 7, 8
#: Of an operation that is left out where a condition holds in no row: the condition; and whose
#: numbers it writes: its own (``OUT``), or errors (``X`` or ``Y``), or those of ``once`` (0).
CONDITION, WRITES = 16, 10
#: Going back: whether the errors of values are wanted (1), and nobody has written there (2);
#: likewise of second values; whether those of weights and of biases are wanted.
TO_VALUES, TO_SECOND, TO_WEIGHTS, TO_BIAS = 11, 16, 12, 13
#: Of layers: the functions of BLAS and of our own, or 0, for products; and room for the latter.
BLAS, OWN, ROOM = 10, 14, 15
#: Of folds: where the functions of a chain are listed; exp and log.
FOLD_FUNCTIONS, LOOPS = 12, 13
#: Of tables: how many entries there are, and of which kind the condition is; the entries stand one
#: after the other, from the first weight on, and VALUES are indices.
ENTRIES, MASKED = 8, 14
#: Of loops: the address of what is known of it; see ``looping.py``.
RECORD = 3
#: The kernel that is called if an error arrives.
OTHER = 17

#: So many numbers an instruction has.
WIDTH = 18
#: An instruction as numbers, by field.
Row: TypeAlias = list[int]


def joined(rows: list[Row | Ints]) -> Ints:
    """All rows as one array."""
    parts = [numpy.empty((0, WIDTH), numpy.int64)]
    for kind, some in itertools.groupby(rows, type):
        found = list(some)
        parts += [numpy.array(found, numpy.int64)] if kind is list else map(numpy.asarray, found)
    return parts[1] if len(parts) == 2 else numpy.concatenate(parts)


# ---- Addresses ---------------------------------------------------------------------------------


@written
def apply_one(builder: ir.IRBuilder, loop: ir.Value, data: ir.Value, *given: ir.Value) -> ir.Value:
    """out[k] = f(x[k]), for the loop of f that NumPy has at an address.

    It takes pointers to the operands, their count, their strides, and data of its own.
    """
    *operands, count = given
    size = 8 if operands[0].type.pointee == emit.DOUBLE else 4
    byte = ir.IntType(8).as_pointer()
    several = ir.ArrayType(emit.WORD, len(operands))
    places, strides = (cgutils.alloca_once(builder, several) for _ in range(2))
    length = cgutils.alloca_once(builder, emit.WORD)
    builder.store(count, length)
    for place, operand in enumerate(operands):
        pointer = builder.ptrtoint(operand, emit.WORD)
        builder.store(pointer, cgutils.gep_inbounds(builder, places, 0, place))
        builder.store(emit.WORD(size), cgutils.gep_inbounds(builder, strides, 0, place))
    pointers = [builder.bitcast(x, byte) for x in (places, length, strides)]
    return emit.invoke(builder, loop, *pointers, builder.inttoptr(data, byte))


#: out[k] = f(x[k], y[k]).
apply_two = apply_one


class _UFunc(ctypes.Structure):
    """The beginning of NumPy's ``PyUFuncObject``, which is the same in all its versions."""

    _fields_ = (
        ("references", ctypes.c_ssize_t),
        ("type", ctypes.c_void_p),
        *((name, ctypes.c_int) for name in ("nin", "nout", "nargs", "identity")),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        *((name, ctypes.c_int) for name in ("ntypes", "reserved")),
        ("name", ctypes.c_char_p),
        ("types", ctypes.POINTER(ctypes.c_char)),
    )


def loop_of(function: numpy.ufunc, number: str) -> tuple[int, int]:
    """The address of a ufunc's loop over such numbers, and what that is given as its data."""
    found = _UFunc.from_address(id(function))
    assert found.name.decode() == function.__name__ and found.nargs == function.nargs
    wanted = numpy.dtype(number).num
    for place in range(found.ntypes):
        kinds = found.types[place * found.nargs : (place + 1) * found.nargs]
        if set(kinds) == {wanted}:
            return found.functions[place] or 0, found.data[place] or 0
    raise TypeError(f"{function} has no loop over {number}")


# ---- What kernels are made of ------------------------------------------------------------------


def place_of(base: Pointer, slot: int, lanes: int) -> Pointer:
    """The pointer to a slot's numbers."""
    found: Pointer = moved(base, slot * lanes)
    return found


def row(pointer: Pointer, count: int) -> Pointer:
    """So many numbers from a pointer on."""
    return pointer


def slot_of(i: Ints, lists: Ints, field: int, k: int) -> int:
    """The k-th slot of a field: they stand in a row from the first one on, or are listed."""
    found: int = i[field] + k if i[field + 1] < 0 else lists[i[field + 1] + k]
    return found


@loop(fastmath={"reassoc", "contract"})
def total(x: Floats | Pointer, count: int) -> float:
    """The sum, in whatever order is quickest."""
    found = 0.0
    for k in range(count):
        found += x[k]
    return found


@loop(fastmath={"reassoc", "contract"})
def inner(x: Floats | Pointer, y: Floats | Pointer, count: int) -> float:
    """The sum of the products."""
    found = 0.0
    for k in range(count):
        found += x[k] * y[k]
    return found


def kernel(function: Callable[..., None], number: str) -> int:
    """The address of a kernel for float64 or float32, compiled now unless it was before."""
    return address_of(function, arguments(number))


def arguments(number: str) -> tuple[Kind, ...]:
    """The kinds of what a kernel is given."""
    pointer = (emit.DOUBLE if number == "float64" else emit.SINGLE).as_pointer()
    return (emit.WORD, emit.WORD, *[pointer] * 6, emit.WORD, emit.WORD)


# ---- Formulas ----------------------------------------------------------------------------------
# The source of a kernel is made of the text of a formula. Its arithmetic is one loop over the
# lanes; each call of a function before it is a loop of NumPy, from one scratch row into another.

#: Functions that are spelt out in arithmetic.
SPELT = {
    "abs": "abs({0})",
    "divide": "{0} / {1}",
    "sqrt": "math.sqrt({0})",
    **{name: f"math.{name}({{0}})" for name in ("floor", "ceil", "trunc", "rint")},
    "sign": "(1.0 if {0} > 0 else -1.0 if {0} < 0 else {0})",
    "maximum": "({0} if {0} >= {1} else {1} if {1} > {0} else math.nan)",
    "minimum": "({0} if {0} <= {1} else {1} if {1} < {0} else math.nan)",
}
SPELT_FIRST = {
    "sigmoid": "(1.0 if {0} >= 0 else exp(-abs({0}))) / (1.0 + exp(-abs({0})))",
    "softplus": "maximum({0}, 0.0) + log1p(exp(-abs({0})))",
}

_UFUNCS = {"power": numpy.power}


# erf, to 2 units of the last digit, as arithmetic and one exp, since NumPy has none and SciPy's is
# slow. Up to 1 it is x times a polynomial in 2 x x - 1; above, 1 - exp(-x x) / x times one in 1 / x
# (shifted to run from -1 to 1). Both are Chebyshev expansions of the function itself.
_ERF_SMALL = (
    0.9654687386698673, -0.1405360890227171, 0.019852496688983708, -0.0022854855611440673,
    0.00021751715604160108, -1.7537169441492004e-05, 1.2233827383524026e-06,
    -7.511569160710623e-08, 4.115800597661665e-09, -2.03524938661036e-10, 9.167606748998164e-12,
    -3.7910973708931526e-13, 1.4548169783352384e-14, -5.16472878942302e-16,
)  # fmt: skip
_ERF_LARGE = (
    0.49723662099305616, -0.07182069355507985, -0.0021207182125815367, 0.006458093746429845,
    -0.0027822581082737655, 0.0006669058310054277, 3.019548597898745e-06, -0.00010245739975235222,
    6.528273102782377e-05, -2.613537799784118e-05, 6.361540827082013e-06, 3.736463521536222e-07,
    -1.522159417475397e-06, 1.0800219671639424e-06, -5.298833568127473e-07,
    1.8105138434746034e-07, -1.0572924305960131e-08, -2.2699661079330693e-08,
    1.9098027047351497e-09, -6.5198727757674625e-09, 1.7940061006288432e-08,
    -6.859587018188287e-09, -3.313682737367722e-09, 1.8574829941347636e-09,
)  # fmt: skip


def _horner(coefficients: tuple[float, ...], variable: str) -> str:
    """A polynomial as source, the constant term first."""
    text = repr(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        text = f"({text} * {variable} + {coefficient!r})"
    return text


def _erf(x: str, out: str, call: str) -> list[str]:
    """The loops of erf, from one row into another one, around a call of exp."""
    return [
        "for lane in range(n):",
        f"    {out}[lane] = -{x}[lane] * {x}[lane]",
        call,
        "for lane in range(n):",
        f"    size = abs({x}[lane])",
        f"    small = {x}[lane] * {_horner(_ERF_SMALL, '(2.0 * size * size - 1.0)')}",
        "    inverse = 1.0 / (1.0 if size < 1.0 else size if size < 6.25 else 6.25)",
        "    shifted = (2.0 * inverse - 1.16) / 0.84",
        f"    large = 1.0 - {out}[lane] * inverse * {_horner(_ERF_LARGE, 'shifted')}",
        f"    {out}[lane] = small if size <= 1.0 else math.copysign(large, {x}[lane])",
    ]


class Named(ast.NodeTransformer):
    """Spells the numbers of a formula.

    Args:
        spelling: how.
    """

    def __init__(self, spelling: Mapping[str, str]) -> None:
        self.spelling = spelling

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = getattr(ops, node.id, None)
        spelt = f"({value!r})" if isinstance(value, float) else self.spelling.get(node.id, node.id)
        spelt = {"(inf)": "math.inf", "(nan)": "math.nan"}.get(spelt, spelt)
        return ast.parse(spelt, mode="eval").body


class _Loops(Named):
    """Takes the calls out of a formula: ``steps`` are loops, what is left is arithmetic.

    Args:
        spelling: how the numbers of the formula are spelt.
    """

    def __init__(self, spelling: Mapping[str, str]) -> None:
        super().__init__(spelling)
        self.steps: list[str] = []
        self.functions: list[str] = []
        self.rows = 0
        self._known: dict[str, str] = {}

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = ast.unparse(node.func)
        operands = [f"({ast.unparse(x)})" for x in node.args]
        if name in SPELT_FIRST:
            first = ast.parse(SPELT_FIRST[name].format(*operands), mode="eval").body
            found: ast.expr = self.visit(first)
            return found
        operands = [ast.unparse(self.visit(x)) for x in node.args]
        if name in SPELT:
            spelt = SPELT[name].format(*(f"({x})" for x in operands))
            return ast.parse(spelt, mode="eval").body
        text = f"{name}({operands})"
        if text not in self._known:
            places = ", ".join(map(self._place, operands))
            out = self._new()
            at = 2 * len(self.functions)
            self.functions.append(name)
            if name == "erf":
                self.functions[-1] = "exp"
                call = f"apply_one(lists[f + {at}], lists[f + {at + 1}], p_{out}, p_{out}, n)"
                self.steps += _erf(places.removeprefix("p_"), out, call)
            else:
                call = "apply_one" if len(operands) == 1 else "apply_two"
                loop = f"lists[f + {at}], lists[f + {at + 1}]"
                self.steps.append(f"{call}({loop}, {places}, p_{out}, n)")
            self._known[text] = out
        return ast.parse(f"{self._known[text]}[lane]", mode="eval").body

    def _new(self) -> str:
        out, self.rows = f"s{self.rows}", self.rows + 1
        return out

    def _place(self, expression: str) -> str:
        """The address of the values of an expression, which may need a row of their own."""
        if expression.endswith("[lane]") and expression[:-6].isidentifier():
            return f"p_{expression[:-6]}"
        out = self._new()
        self.steps += ["for lane in range(n):", f"    {out}[lane] = {expression}"]
        return f"p_{out}"


def elementwise(
    number: str, operation: str, kinds: str, by: str = "", mask: str = ""
) -> tuple[int, int, list[int]]:
    """The kernel of an operation, forward, or backward by one of its operands.

    Args:
        number: "float64" or "float32".
        operation: its name on the tape.
        kinds: for each operand "v", values of rows, or "o", a number that is computed once.
        by: "x" or "y": the operand that gets the error; "" forward.
        mask: where the error arrives: "" everywhere, "v" or "o" where that is not 0, "d" where the
            error itself is not 0.

    Returns:
        Its address, the number of scratch rows that it needs, and the addresses of the functions
        that it calls.
    """
    source, rows, functions = _source(operation, kinds, by, mask)
    return from_source(source, number), rows, _addresses(functions, number)


def without_calls(text: str, names: Mapping[str, str]) -> str | None:
    """A formula as source, some of its names spelt so; None if it calls a function."""
    loops = _Loops(names)
    found = _arithmetic(text, loops)
    return None if loops.steps else found


def _addresses(functions: Iterable[str], number: str) -> list[int]:
    """The loops of these functions, and what they are given."""
    loops = (
        loop_of(found, number)
        if isinstance(found := _UFUNCS.get(name) or ON_ARRAYS.get(name), numpy.ufunc)
        else (_called_back(name, number), 0)
        for name in functions
    )
    return list(itertools.chain(*loops))


def read(text: str) -> None:
    """LookupError or AttributeError if a formula names what no kernel knows."""
    loops = _Loops({})
    _arithmetic(text, loops)
    _addresses(loops.functions, "float64")


_LOOP = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)


@functools.cache
def _called_back(name: str, number: str) -> int:
    """The address of a loop over a function of floats that has none in NumPy: it calls Python."""
    function = getattr(ops, name)
    kind = numpy.ctypeslib.as_ctypes_type(numpy.dtype(number))
    operands = len(OPERATORS[ALIASES.get(name, name)].slopes)

    def loop(pointers: int, count: int, strides: int, data: int) -> None:
        size = ctypes.c_ssize_t.from_address(count).value
        places = (ctypes.c_void_p * (operands + 1)).from_address(pointers)
        *given, out = ((kind * size).from_address(place) for place in places)
        for k in range(size):
            out[k] = function(*(x[k] for x in given))

    called = _LOOP(loop)
    _CALLED_BACK.append(called)
    return ctypes.cast(called, ctypes.c_void_p).value or 0


#: These are called as long as the process lives.
_CALLED_BACK: list[object] = []


@functools.cache
def _source(operation: str, kinds: str, by: str, mask: str) -> tuple[str, int, tuple[str, ...]]:
    table, tie = row_of(operation)
    assert table is not None
    text = ops.sent(table.slopes["xy".index(by)], tie) if by else table.value
    if operation in CONDITIONS:
        text = f"1.0 if {text} else 0.0"
    names = dict(zip("xy", kinds, strict=False))
    spelling = {name: f"{name}[lane]" if kind == "v" else name for name, kind in names.items()}
    spelling |= {"out": "z[lane]", "tie": repr(float(tie)), "error": "d[lane]"}
    loops = _Loops(spelling)
    copies = by and operation == "detach"  # of an error under a condition
    found = "d[lane]" if copies else _arithmetic(text, loops)
    if mask:
        arrives = {"v": "m[lane]", "o": "m", "d": "d[lane]"}[mask]
        found = f"({found}) if {arrives} != 0 else 0.0"
    sums = by and names[by] == "o"
    if found == "s0[lane]" and len(loops.steps) == 1 and not by:  # a call, and nothing else
        loops.steps, loops.rows = [loops.steps[0].replace("p_s0", "p_z")], 0
        found = ""
    rows = loops.rows + bool(sums)
    merges = not rows and "o" not in kinds + mask
    return _written(names, by, mask, found, loops, bool(sums), merges), rows, tuple(loops.functions)


def _arithmetic(text: str, loops: _Loops) -> str:
    spelt = ops.spell(text, lambda name: name)
    return ast.unparse(loops.visit(ast.parse(spelt, mode="eval")))


def _written(
    names: Mapping[str, str], by: str, mask: str, found: str, loops: _Loops, sums: bool,
    merges: bool,
) -> str:  # fmt: skip
    """The source of a kernel, around the expression of one lane."""
    fields = {"x": X, "y": Y, "m": MASK}
    reads = dict(names) | ({"m": mask} if mask in ("v", "o") else {})
    lines = [
        "i, lists = words(i_at), words(lists_at)",
        f"n, count, f = lanes, i[{OUTS}], i[{FUNCTIONS}]",
    ]
    if merges:
        lists = " and ".join(f"i[{fields[name] + 1}] < 0" for name in reads)
        lines.append(f"if {lists}:\n        n, count = lanes * count, 1")
    if found and not (loops.rows or sums):
        lines += _of_one_row(names, by, mask, found)
    body = []

    def slot(name: str) -> str:
        return f"slot_of(i, lists, {fields[name]}, j)"

    def known(name: str, base: str, slot: str) -> None:
        body.append(f"p_{name} = place_of({base}, {slot}, lanes)")
        body.append(f"{name} = row(p_{name}, n)")

    known("z", "values", f"i[{OUT}] + j")
    if by:
        known("d", "errors", f"i[{OUT}] + j")
    for name, kind in reads.items():
        if kind == "v":
            known(name, "values", slot(name))
        else:
            body.append(f"{name} = row(place_of(once, {slot(name)}, 1), 1)[0]")
    for k in range(loops.rows + sums):
        known(f"s{k}", "values", f"i[{SCRATCH}] + {k}")
    body += loops.steps
    if not by:
        body += ["for lane in range(n):", f"    z[lane] = {found}"] if found else []
    elif sums:
        last = f"s{loops.rows}"
        body += ["for lane in range(n):", f"    {last}[lane] = {found}"]
        body.append(f"row(place_of(owed, {slot(by)}, 1), 1)[0] += total({last}, n)")
    else:
        known("e", "errors", slot(by))
        body += [
            f"if i[{ASSIGN}]:",
            "    for lane in range(n):",
            f"        e[lane] = {found}",
            "else:",
        ]
        body += ["    for lane in range(n):", f"        e[lane] += {found}"]
    inside = "\n".join(f"        {line}" for line in "\n".join(body).split("\n"))
    start = "\n    ".join(lines)
    return (
        f"def kernel({', '.join(ARGUMENTS)}):\n    {start}\n    for j in range(count):\n{inside}\n"
    )


def _of_one_row(names: Mapping[str, str], by: str, mask: str, found: str) -> list[str]:
    """The same for a single row: a loop over the outputs, each of which is one number."""
    fields = {"x": X, "y": Y, "m": MASK}
    places = {
        name: f"{'values' if kind == 'v' else 'once'}[slot_of(i, lists, {fields[name]}, j)]"
        for name, kind in (dict(names) | ({"m": mask} if mask in ("v", "o") else {})).items()
    }
    places |= {"z": f"values[i[{OUT}] + j]", "d": f"errors[i[{OUT}] + j]"}
    text = ast.unparse(_InPlace(places).visit(ast.parse(found, mode="eval")))
    into = f"errors[slot_of(i, lists, {fields[by]}, j)]" if by else places["z"]
    lines = ["if n == 1:"]
    if by:
        lines += [
            f"    if i[{ASSIGN}]:",
            "        for j in range(count):",
            f"            {into} = {text}",
            "        return",
        ]
    return [
        *lines,
        "    for j in range(count):",
        f"        {into} {'+=' if by else '='} {text}",
        "    return",
    ]


class _InPlace(ast.NodeTransformer):
    """Spells a number of a row as where it stands."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = places

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.places:
            return ast.parse(self.places[node.id], mode="eval").body
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        return self.visit(node.value) if isinstance(node.value, ast.Name) else node


@functools.cache
def from_source(source: str, number: str, *further: Callable[..., None]) -> int:
    """The address of a kernel of which there is only text.

    Args:
        source: of the kernel, which reads nothing that is not there.
        number: "float64" or "float32".
        further: what it calls that is not of this file.
    """
    names = globals() | {function.__name__: function for function in further}
    return address_of_source(source, names, arguments(number), eager=True)


# ---- Under a condition -------------------------------------------------------------------------


def if_error_arrives(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """The other kernel, unless the errors of all outputs are zero."""
    i = words(i_at)
    count = i[OUTS] * lanes
    found = row(place_of(errors, i[OUT], lanes), count)
    for k in range(count):
        if found[k] != 0:
            invoke(i[OTHER], i_at, lists_at, values, errors, once, owed, theta, slopes, lanes,
                   first)  # fmt: skip
            return


def if_taken(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """The other kernel, unless the condition holds in no row; then ones, or errors of zero."""
    i, lists = words(i_at), words(lists_at)
    holds = row(place_of(values, i[CONDITION], lanes), lanes)
    for k in range(lanes):
        if holds[k] != 0:
            invoke(i[OTHER], i_at, lists_at, values, errors, once, owed, theta, slopes, lanes,
                   first)  # fmt: skip
            return
    if i[WRITES] == OUT:
        found, count = row(place_of(values, i[OUT], lanes), lanes), i[OUTS] * lanes
        for k in range(count):
            found[k] = 1.0
    elif i[WRITES] and i[ASSIGN]:
        for j in range(i[OUTS]):
            sent = row(place_of(errors, slot_of(i, lists, i[WRITES], j), lanes), lanes)
            for k in range(lanes):
                sent[k] = 0.0


# ---- Layers ------------------------------------------------------------------------------------
#: Layers of fewer weights are loops.
SMALL = 64


def _inputs(i: Ints, lists: Ints, base: Pointer, lanes: int) -> Pointer:
    """The pointer to the values of a layer, one after the other: a copy if they stand apart."""
    if i[VALUES + 1] < 0:
        return place_of(base, i[VALUES], lanes)
    for k in range(i[TERMS]):
        x, copy = row(place_of(base, lists[i[VALUES + 1] + k], lanes), lanes), i[SCRATCH] + k
        kept = row(place_of(base, copy, lanes), lanes)
        for lane in range(lanes):
            kept[lane] = x[lane]
    return place_of(base, i[SCRATCH], lanes)


def layer(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """out = weights values + bias."""
    i, lists = words(i_at), words(lists_at)
    outs, ins = i[OUTS], i[TERMS]
    weights = place_of(theta if i[IN_THETA] else once, i[WEIGHTS], 1)
    x = _inputs(i, lists, values, lanes)
    z = place_of(values, i[OUT], lanes)
    if outs * ins >= SMALL:
        product(i[BLAS], i[OWN], i[ROOM], 0, 0, outs, lanes, ins, weights, x, 0, z)
        if i[BIAS] >= 0:
            bias = row(place_of(once, i[BIAS], 1), outs)
            for j in range(outs):
                out, b = row(place_of(z, j, lanes), lanes), bias[j]
                for lane in range(lanes):
                    out[lane] += b
        return
    w = row(weights, outs * ins)
    for j in range(outs):
        out = row(place_of(z, j, lanes), lanes)
        b = row(place_of(once, i[BIAS] + j, 1), 1)[0] if i[BIAS] >= 0 else 0.0
        x0, w0 = row(x, lanes), w[j * ins]
        if i[BIAS] >= 0:
            for lane in range(lanes):
                out[lane] = w0 * x0[lane] + b
        else:
            for lane in range(lanes):
                out[lane] = w0 * x0[lane]
        for k in range(1, ins):
            xk, wk = row(place_of(x, k, lanes), lanes), w[j * ins + k]
            for lane in range(lanes):
                out[lane] += wk * xk[lane]


def layer_back(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """The errors of weights, biases and values: delta x values, delta, and weights x delta."""
    i, lists = words(i_at), words(lists_at)
    outs, ins = i[OUTS], i[TERMS]
    delta = place_of(errors, i[OUT], lanes)
    if i[TO_WEIGHTS]:
        x = _inputs(i, lists, values, lanes)
        found = place_of(slopes if i[IN_THETA] else owed, i[WEIGHTS], 1)
        keep = 0 if i[IN_THETA] and first else 1
        if outs * ins >= SMALL:
            product(i[BLAS], i[OWN], i[ROOM], 0, 1, outs, ins, lanes, delta, x, keep, found)
        else:
            w = row(found, outs * ins)
            for j in range(outs):
                d = row(place_of(delta, j, lanes), lanes)
                for k in range(ins):
                    one = inner(d, row(place_of(x, k, lanes), lanes), lanes)
                    w[j * ins + k] = w[j * ins + k] + one if keep else one
    if i[TO_BIAS]:
        for j in range(outs):
            error = total(row(place_of(delta, j, lanes), lanes), lanes)
            row(place_of(owed, i[BIAS] + j, 1), 1)[0] += error
    if i[TO_VALUES]:
        weights = place_of(theta if i[IN_THETA] else once, i[WEIGHTS], 1)
        assigns = 1 if i[TO_VALUES] & 2 else 0
        apart = i[VALUES + 1] >= 0
        sent = place_of(values, i[SCRATCH], lanes) if apart else place_of(errors, i[VALUES], lanes)
        keep = 0 if apart or assigns else 1
        if outs * ins >= SMALL:
            product(i[BLAS], i[OWN], i[ROOM], 1, 0, ins, lanes, outs, weights, delta, keep, sent)
        else:
            w = row(weights, outs * ins)
            for k in range(ins):
                e = row(place_of(sent, k, lanes), lanes)
                if not keep:
                    for lane in range(lanes):
                        e[lane] = 0.0
                for j in range(outs):
                    d, wj = row(place_of(delta, j, lanes), lanes), w[j * ins + k]
                    for lane in range(lanes):
                        e[lane] += wj * d[lane]
        if apart:
            for k in range(ins):
                e = row(place_of(errors, lists[i[VALUES + 1] + k], lanes), lanes)
                s = row(place_of(sent, k, lanes), lanes)
                if assigns:
                    for lane in range(lanes):
                        e[lane] = s[lane]
                else:
                    for lane in range(lanes):
                        e[lane] += s[lane]


# ---- Sums and products -------------------------------------------------------------------------

#: Sums of so many terms, in a row, are added up in whatever order is quickest if there is one lane.
LONG = 16


def sums(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """out = weight x value + weight x value + ... + bias."""
    i, lists = words(i_at), words(lists_at)
    terms = i[TERMS]
    for j in range(i[OUTS]):
        z = row(place_of(values, i[OUT] + j, lanes), lanes)
        in_a_row = lanes == 1 and i[VALUES + 1] < 0 and terms >= LONG
        if in_a_row and i[WEIGHTS] >= 0:  # what is computed once may be a long sum
            weights = row(place_of(once, i[WEIGHTS] + j * terms, 1), terms)
            z[0] = inner(weights, row(place_of(values, i[VALUES] + j * terms, 1), terms), terms)
        elif in_a_row:
            z[0] = total(row(place_of(values, i[VALUES] + j * terms, 1), terms), terms)
        else:
            for k in range(terms):
                at = j * terms + k
                x = row(place_of(values, slot_of(i, lists, VALUES, at), lanes), lanes)
                w = row(place_of(once, i[WEIGHTS] + at, 1), 1)[0] if i[WEIGHTS] >= 0 else 1.0
                if k == 0:
                    for lane in range(lanes):
                        z[lane] = w * x[lane]
                else:
                    for lane in range(lanes):
                        z[lane] += w * x[lane]
        if i[BIAS] >= 0:
            b = row(place_of(once, i[BIAS] + j, 1), 1)[0]
            for lane in range(lanes):
                z[lane] += b


def sums_back(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """delta x value for the weights, weight x delta for the values."""
    i, lists = words(i_at), words(lists_at)
    terms = i[TERMS]
    for j in range(i[OUTS]):
        d = row(place_of(errors, i[OUT] + j, lanes), lanes)
        if i[TO_BIAS]:
            row(place_of(owed, i[BIAS] + j, 1), 1)[0] += total(d, lanes)
        for k in range(terms):
            at = j * terms + k
            slot = slot_of(i, lists, VALUES, at)
            if i[TO_WEIGHTS]:
                x = row(place_of(values, slot, lanes), lanes)
                row(place_of(owed, i[WEIGHTS] + at, 1), 1)[0] += inner(d, x, lanes)
            if i[TO_VALUES]:
                e = row(place_of(errors, slot, lanes), lanes)
                w = row(place_of(once, i[WEIGHTS] + at, 1), 1)[0] if i[WEIGHTS] >= 0 else 1.0
                if i[TO_VALUES] & 2:
                    for lane in range(lanes):
                        e[lane] = w * d[lane]
                else:
                    for lane in range(lanes):
                        e[lane] += w * d[lane]


def products(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """out = value x value + value x value + ... + bias."""
    i, lists = words(i_at), words(lists_at)
    terms = i[TERMS]
    for j in range(i[OUTS]):
        z = row(place_of(values, i[OUT] + j, lanes), lanes)
        in_a_row = lanes == 1 and i[VALUES + 1] < 0 and i[SECOND + 1] < 0 and terms >= LONG
        if in_a_row and i[WEIGHTS] < 0:
            x = row(place_of(values, i[VALUES] + j * terms, 1), terms)
            z[0] = inner(x, row(place_of(values, i[SECOND] + j * terms, 1), terms), terms)
        else:
            for k in range(terms):
                at = j * terms + k
                x = row(place_of(values, slot_of(i, lists, VALUES, at), lanes), lanes)
                y = row(place_of(values, slot_of(i, lists, SECOND, at), lanes), lanes)
                w = row(place_of(once, i[WEIGHTS] + at, 1), 1)[0] if i[WEIGHTS] >= 0 else 1.0
                if k == 0:
                    for lane in range(lanes):
                        z[lane] = w * x[lane] * y[lane]
                else:
                    for lane in range(lanes):
                        z[lane] += w * x[lane] * y[lane]
        if i[BIAS] >= 0:
            b = row(place_of(once, i[BIAS] + j, 1), 1)[0]
            for lane in range(lanes):
                z[lane] += b


def products_back(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """delta x the other value."""
    i, lists = words(i_at), words(lists_at)
    terms = i[TERMS]
    for j in range(i[OUTS]):
        d = row(place_of(errors, i[OUT] + j, lanes), lanes)
        if i[TO_BIAS]:
            row(place_of(owed, i[BIAS] + j, 1), 1)[0] += total(d, lanes)
        for k in range(terms):
            at = j * terms + k
            a, b = slot_of(i, lists, VALUES, at), slot_of(i, lists, SECOND, at)
            x, y = row(place_of(values, a, lanes), lanes), row(place_of(values, b, lanes), lanes)
            w = row(place_of(once, i[WEIGHTS] + at, 1), 1)[0] if i[WEIGHTS] >= 0 else 1.0
            if i[TO_SECOND]:
                e = row(place_of(errors, b, lanes), lanes)
                if i[TO_SECOND] & 2:
                    for lane in range(lanes):
                        e[lane] = w * d[lane] * x[lane]
                else:
                    for lane in range(lanes):
                        e[lane] += w * d[lane] * x[lane]
            if i[TO_VALUES]:
                e = row(place_of(errors, a, lanes), lanes)
                if i[TO_VALUES] & 2:
                    for lane in range(lanes):
                        e[lane] = w * d[lane] * y[lane]
                else:
                    for lane in range(lanes):
                        e[lane] += w * d[lane] * y[lane]


# ---- Tables ------------------------------------------------------------------------------------


def take(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """out = the entry of the index, a row of the table; NaN where there is none."""
    i, lists = words(i_at), words(lists_at)
    width, entries = i[TERMS], i[ENTRIES]
    for place in range(i[OUTS] // width):
        index = row(place_of(values, slot_of(i, lists, VALUES, place), lanes), lanes)
        out = place_of(values, i[OUT] + place * width, lanes)
        for lane in range(lanes):
            at = index[lane]
            if at >= 0 and at < entries:
                entry = place_of(once, i[WEIGHTS] + int(at) * width, 1)
                for k in range(width):
                    out[k * lanes + lane] = entry[k]
            else:
                for k in range(width):
                    out[k * lanes + lane] = math.nan


def take_back(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """delta for the entry that was taken."""
    i, lists = words(i_at), words(lists_at)
    width, entries, masked = i[TERMS], i[ENTRIES], i[MASKED]
    slot = slot_of(i, lists, MASK, 0)
    reached = row(place_of(values, slot, lanes), lanes)
    if masked == IN_ONCE and row(place_of(once, slot, 1), 1)[0] == 0:
        return
    for place in range(i[OUTS] // width):
        index = row(place_of(values, slot_of(i, lists, VALUES, place), lanes), lanes)
        sent = place_of(errors, i[OUT] + place * width, lanes)
        for lane in range(lanes):
            at = index[lane]
            if at >= 0 and at < entries and (masked != HERE or reached[lane] != 0):
                entry = place_of(owed, i[WEIGHTS] + int(at) * width, 1)
                for k in range(width):
                    entry[k] += sent[k * lanes + lane]


# ---- Folds -------------------------------------------------------------------------------------


def _shares(i: Ints, lists: Ints, values: Pointer, share: Pointer, j: int) -> float:
    """exp(value - largest) of each value of a single row; returns the largest."""
    terms, f = i[TERMS], i[LOOPS]
    most = values[slot_of(i, lists, VALUES, j * terms)]
    for k in range(terms):
        x = values[slot_of(i, lists, VALUES, j * terms + k)]
        most = x if x > most or x != x else most
        share[k] = x
    for k in range(terms):
        share[k] = share[k] - most
    apply_one(lists[f], lists[f + 1], share, share, terms)
    return most


def logsumexp(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """out = log(exp(value) + exp(value) + ...), as seen from the largest value."""
    i, lists = words(i_at), words(lists_at)
    terms, f = i[TERMS], i[LOOPS]
    for j in range(i[OUTS] if lanes == 1 else 0):
        place = place_of(values, i[SCRATCH], 1)
        most = _shares(i, lists, values, place, j)
        out = place_of(values, i[OUT] + j, 1)
        out[0] = total(place, terms)
        apply_one(lists[f + 2], lists[f + 3], out, out, 1)
        out[0] = out[0] + most if abs(most) < math.inf else most
    for j in range(i[OUTS] if lanes > 1 else 0):
        z = row(place_of(values, i[OUT] + j, lanes), lanes)
        places = place_of(values, i[SCRATCH], lanes), place_of(values, i[SCRATCH] + 1, lanes)
        largest, e = row(places[0], lanes), row(places[1], lanes)
        for k in range(terms):
            x = row(place_of(values, slot_of(i, lists, VALUES, j * terms + k), lanes), lanes)
            if k == 0:
                for lane in range(lanes):
                    largest[lane] = x[lane]
            else:
                for lane in range(lanes):
                    largest[lane] = (
                        x[lane] if x[lane] > largest[lane] or x[lane] != x[lane] else largest[lane]
                    )
        for k in range(terms):
            x = row(place_of(values, slot_of(i, lists, VALUES, j * terms + k), lanes), lanes)
            for lane in range(lanes):
                e[lane] = x[lane] - largest[lane]
            apply_one(lists[f], lists[f + 1], places[1], places[1], lanes)
            if k == 0:
                for lane in range(lanes):
                    z[lane] = e[lane]
            else:
                for lane in range(lanes):
                    z[lane] += e[lane]
        out = place_of(values, i[OUT] + j, lanes)
        apply_one(lists[f + 2], lists[f + 3], out, out, lanes)
        for lane in range(lanes):
            z[lane] = z[lane] + largest[lane] if abs(largest[lane]) < math.inf else largest[lane]


def logsumexp_back(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """delta times each value's share, as seen from the largest value; NaN where that is infinite.

    exp(value - out) would be as inexact as the last digit of out is large.
    """
    i, lists = words(i_at), words(lists_at)
    terms, f = i[TERMS], i[LOOPS]
    for j in range(i[OUTS] if lanes == 1 else 0):
        share = place_of(values, i[SCRATCH], 1)
        _shares(i, lists, values, share, j)
        error = errors[i[OUT] + j] / total(share, terms)
        if i[TO_VALUES] & 2:
            for k in range(terms):
                errors[slot_of(i, lists, VALUES, j * terms + k)] = error * share[k]
        else:
            for k in range(terms):
                errors[slot_of(i, lists, VALUES, j * terms + k)] += error * share[k]
    if lanes == 1:
        return
    largest = row(place_of(values, i[SCRATCH] + terms, lanes), lanes)
    whole = row(place_of(values, i[SCRATCH] + terms + 1, lanes), lanes)
    for j in range(i[OUTS]):
        d = row(place_of(errors, i[OUT] + j, lanes), lanes)
        for k in range(terms):
            x = row(place_of(values, slot_of(i, lists, VALUES, j * terms + k), lanes), lanes)
            for lane in range(lanes):
                is_larger = k == 0 or x[lane] > largest[lane] or x[lane] != x[lane]
                largest[lane] = x[lane] if is_larger else largest[lane]
                whole[lane] = 0.0
        for k in range(terms):
            x = row(place_of(values, slot_of(i, lists, VALUES, j * terms + k), lanes), lanes)
            place = place_of(values, i[SCRATCH] + k, lanes)
            share = row(place, lanes)
            for lane in range(lanes):
                share[lane] = x[lane] - largest[lane]
            apply_one(lists[f], lists[f + 1], place, place, lanes)
            for lane in range(lanes):
                whole[lane] += share[lane]
        for lane in range(lanes):
            whole[lane] = d[lane] / whole[lane]
        for k in range(terms):
            slot = slot_of(i, lists, VALUES, j * terms + k)
            e = row(place_of(errors, slot, lanes), lanes)
            share = row(place_of(values, i[SCRATCH] + k, lanes), lanes)
            if i[TO_VALUES] & 2:
                for lane in range(lanes):
                    e[lane] = whole[lane] * share[lane]
            else:
                for lane in range(lanes):
                    e[lane] += whole[lane] * share[lane]


def fold(number: str, operation: str, back: bool) -> tuple[int, int, list[int]]:
    """The kernel of a chain of one operation, value by value; as ``elementwise`` it returns three.

    Of its scratch rows so many as there are terms come on top, and one more.
    """
    source, rows, functions = _source_of_fold(operation, back)
    return from_source(source, number), rows, _addresses(functions, number)


@functools.cache
def _source_of_fold(operation: str, back: bool) -> tuple[str, int, tuple[str, ...]]:
    table, tie = row_of(operation)
    assert table is not None
    spelling = {"x": "x[lane]", "y": "y[lane]", "out": "z[lane]", "error": "c[lane]"}
    loops = _Loops(spelling)
    value = _arithmetic(table.value, loops)
    forward, loops.steps = loops.steps, []
    by_x, by_y = (_arithmetic(ops.sent(slope, tie), loops) for slope in table.slopes)
    body = [
        "at = j * terms",
        f"x = row(place_of(values, slot_of(i, lists, {VALUES}, at), lanes), n)",
        f"z = row(place_of(values, i[{SCRATCH}], lanes), n)",
        "for lane in range(n):",
        "    z[lane] = x[lane]",
        "for k in range(1, terms):",
        *(f"    {line}" for line in _of_pair("k", loops.rows)),
        *(f"    {line}" for line in [*forward, "for lane in range(n):", f"    z[lane] = {value}"]),
    ]
    if back:
        body += [
            f"c = row(place_of(values, i[{SCRATCH}] + terms, lanes), n)",
            f"d = row(place_of(errors, i[{OUT}] + j, lanes), n)",
            "for lane in range(n):",
            "    c[lane] = d[lane]",
            "for k in range(terms - 1, -1, -1):",
            f"    e = row(place_of(errors, slot_of(i, lists, {VALUES}, at + k), lanes), n)",
            f"    if i[{TO_VALUES}] & 2:",
            "        for lane in range(n):",
            "            e[lane] = 0.0",
            "    if k == 0:",
            "        for lane in range(n):",
            "            e[lane] += c[lane]",
            "        break",
            *(f"    {line}" for line in [*_of_pair("k", loops.rows), *loops.steps]),
            "    for lane in range(n):",
            f"        e[lane] += {by_y}",
            f"        c[lane] = {by_x}",
        ]
    else:
        body += [
            f"out = row(place_of(values, i[{OUT}] + j, lanes), n)",
            "for lane in range(n):",
            "    out[lane] = z[lane]",
        ]
    inside = "\n".join(f"        {line}" for line in body)
    source = (
        f"def kernel({', '.join(ARGUMENTS)}):\n    i, lists = words(i_at), words(lists_at)\n"
        f"    n, terms, f = lanes, i[{TERMS}], i[{FOLD_FUNCTIONS}]\n"
        f"    for j in range(i[{OUTS}]):\n{inside}\n"
    )
    return source, loops.rows, tuple(loops.functions)


def _of_pair(k: str, rows: int) -> list[str]:
    """What a fold has made so far, its next value, what that gives, and scratch rows."""
    found = []
    for name, slot in (
        ("x", f"i[{SCRATCH}] + {k} - 1"),
        ("y", f"slot_of(i, lists, {VALUES}, at + {k})"),
        ("z", f"i[{SCRATCH}] + {k}"),
        *((f"s{row}", f"i[{SCRATCH}] + terms + 1 + {row}") for row in range(rows)),
    ):
        found += [f"p_{name} = place_of(values, {slot}, lanes)", f"{name} = row(p_{name}, n)"]
    return found


#: The kernels of instructions, beside those that are written from formulas.
OF_INSTRUCTIONS = (
    *(if_error_arrives, layer, layer_back, sums, sums_back, products, products_back),
    *(take, take_back, logsumexp, logsumexp_back),
)
