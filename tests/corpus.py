"""The frozen corpus: what the compiler makes of 256 programs, their numbers, and 60 pictures.

    python -m tests.corpus             compares all with ``tests/corpus.json``; names what differs
    python -m tests.corpus --write     writes the file anew; a commit that does so says why

Of each program the file has what ``describe()`` says, a hash of its lists of instructions, and
hashes of the bits of its values and derivatives on both executors. The bits depend on the machine
and on the libraries, so they are compared only where these are the ones that the file names.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import platform
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest

import viz
from microgradlike import Compiled, Value, compile, functions, losses, nn, take
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.instructions import (
    BY_ERROR,
    HERE,
    IN_ONCE,
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Products,
    Singles,
    Sums,
    Take,
)
from microgradlike.compiler.operations import NAMES
from microgradlike.compiler.passes import build
from microgradlike.compiler.program import Program as Compiler
from microgradlike.compiler.slots import in_few_slots
from microgradlike.replay.as_written import without_tables
from tests.executors import only_numpy
from tests.programs import Program
from tests.published import LEARNING, gpt

FILE = Path(__file__).with_name("corpus.json")

# ---- The programs ------------------------------------------------------------------------------


class Case(NamedTuple):
    """A function, and arrays of its arguments."""

    function: Callable[..., Any]
    columns: tuple[Any, ...]


#: Of the random ones, by seed.
SEEDS = 180


def _random(seed: int, tables: bool = False) -> Case:
    program = Program(seed, tables)
    return Case(program, program.examples(5, special=seed % 2 == 1))


def _published(name: str) -> Case:
    program = import_module(f"tests.published.{name}")
    draw = random.Random(0)
    parameters = program.parameters(Value)
    for p in values_of(parameters):
        p.data += draw.uniform(-0.01, 0.01)
    columns = tuple(column[:2] for column in program.examples())
    return Case(lambda *row: program.loss(parameters, *row), columns)


def values_of(parameters: Any) -> list[Any]:
    """The Values of nested lists and dicts."""
    if isinstance(parameters, dict):
        parameters = list(parameters.values())
    if isinstance(parameters, list | tuple):
        return [v for part in parameters for v in values_of(part)]
    return [parameters]


def matrix(outs: int, ins: int, seed: int = 0) -> list[list[Value]]:
    draw = numpy.random.default_rng(seed)
    return [list(map(Value, row)) for row in draw.normal(size=(outs, ins)).round(3).tolist()]


def rows(*shape: int) -> Any:
    return numpy.random.default_rng(len(shape)).normal(size=shape).round(3)


def labels(count: int, classes: int) -> Any:
    return numpy.arange(count) % classes


def network(*sizes: int, activation: str = "relu", loss: Any = losses.mse) -> Case:
    model = nn.MLP(sizes[0], list(sizes[1:]), activation=activation, seed=0)
    y = labels(4, sizes[-1]) if loss is losses.cross_entropy else rows(4)
    return Case(lambda x, y: loss(model(x), y), (rows(4, sizes[0]), y))


def _moons() -> Case:
    model = nn.MLP(2, [16, 16, 1], seed=0)

    def loss(x: Any, y: Any) -> Any:
        return losses.hinge(model(x), y) + 1e-4 * sum(p**2 for p in model.parameters())

    return Case(loss, (rows(4, 2), [1, -1, 1, 1]))


def _convolution() -> Case:
    kernels, bias = matrix(3, 9), matrix(1, 3)[0]

    def f(image: Any) -> Any:
        return functions.sum(
            functions.tanh(
                functions.dot(kernel, [image[i + a][j + b] for a in range(3) for b in range(3)])
                + shift
            )
            for kernel, shift in zip(kernels, bias, strict=True)
            for i in range(4)
            for j in range(4)
        )

    return Case(f, (rows(2, 6, 6),))


def _attention() -> Case:
    q, k, v = (matrix(4, 4, seed) for seed in range(3))

    def f(tokens: Any) -> Any:
        queries, keys, values = (
            [[functions.dot(row, token) for row in weights] for token in tokens]
            for weights in (q, k, v)
        )
        out = []
        for query in queries:
            shares = functions.softmax([functions.dot(query, key) / 2.0 for key in keys])
            out += [functions.dot(shares, column) for column in zip(*values, strict=True)]
        return functions.sum(functions.tanh(x) for x in out)

    return Case(f, (rows(2, 3, 4),))


def _recurrent() -> Case:
    w, u = matrix(4, 3), matrix(4, 4, 1)

    def f(steps: Any) -> Any:
        state: list[Any] = [0.0] * 4
        for x in steps:
            state = [
                functions.tanh(functions.dot(a, x) + functions.dot(b, state))
                for a, b in zip(w, u, strict=True)
            ]
        return functions.sum(state)

    return Case(f, (rows(3, 5, 3),))


def _mixture() -> Case:
    means, scales = matrix(3, 2), matrix(3, 2, 1)

    def f(x: Any) -> Any:
        parts = [
            -functions.sum(
                ((a - m) / functions.exp(s)) ** 2 for a, m, s in zip(x, *of, strict=True)
            )
            for of in zip(means, scales, strict=True)
        ]
        return functions.logsumexp(parts)

    return Case(f, (rows(4, 2),))


def _branches() -> Case:
    w = matrix(1, 3)[0]

    def f(x: Any, y: Any) -> Any:
        total = functions.dot(w, x)
        return total * total if total > y else functions.sin(total) - y

    return Case(f, (rows(6, 3), rows(6)))


def _factors() -> Case:
    """Users and items, each with a row of a table."""
    users, items = matrix(5, 3), matrix(7, 3, 1)

    def f(user: Any, item: Any, y: Any) -> Any:
        found = functions.dot(take(users, user), take(items, item))
        return (found - y) ** 2

    return Case(f, (labels(6, 5), labels(6, 4) + 3, rows(6)))


def _tokens() -> Case:
    """The next token of three, by a network on their rows; the table is that of the scores, too."""
    words, model = nn.Embedding(6, 4, seed=0), nn.MLP(12, [5, 4], seed=0)

    def f(tokens: Any, target: Any) -> Any:
        h = model([v for token in tokens for v in words(token)])
        scores = [functions.dot(row, h) for row in words.table]
        return functions.logsumexp(scores) - take(scores, target)

    return Case(f, ((labels(12, 6)[::-1] * 5 % 6).reshape(4, 3), labels(4, 6)))


def _tables() -> Case:
    """Tables of numbers, and of what is computed once; an index that is computed, and a branch."""
    w = matrix(1, 4)[0]

    def f(i: Any, j: Any, x: Any) -> Any:
        scale = take([1.5, -2.0, 0.5, 1.5], functions.abs(i - j))
        squares = [v * v for v in w]
        if i == j:
            return take(squares, i) * x
        return functions.where(i + 1 < j, take(w, j), scale * x) + take(squares, j) * scale

    return Case(f, (labels(7, 4), labels(7, 3), rows(7)))


def _scalars(operations: int) -> Case:
    """A chain of operations that have little in common."""
    names = ("sin", "tanh", "exp", "sqrt", "atan", "sigmoid", "log1p", "abs")

    def f(x: Any, y: Any) -> Any:
        pool, choose = [x, y, x * y], random.Random(operations)
        for _ in range(operations):
            a, b = choose.choice(pool), choose.choice(pool[-3:])
            new = getattr(functions, choose.choice(names))(a)
            pool.append(choose.choice((new * 0.5 + b, new - b * 0.3, new * b)))
            pool[-1] = functions.tanh(pool[-1])
        return functions.sum(pool[-3:])

    return Case(f, (rows(3), rows(3) * 2))


def _expression(text: str, count: int) -> Case:
    """A formula of x and of parameters a, b."""
    a, b = Value(0.7), Value(-1.3)
    space = {name: getattr(functions, name) for name in functions.FUNCTIONS} | {"a": a, "b": b}
    names = "xyz"[:count]
    return Case(eval(f"lambda {', '.join(names)}: {text}", space), tuple(rows(4) for _ in names))


EXPRESSIONS = (
    ("a * x + b", 1),
    ("(a * x + b - y) ** 2", 2),
    ("where(x > y, a * x, b * y)", 2),
    ("where(x > 0, sqrt(where(x > 0, x, 1)), 0.0) * a", 1),
    ("maximum(maximum(a * x, b * y), z)", 3),
    ("minimum(x, 0.0) + maximum(x, 0.0) * b", 1),
    ("logaddexp(x, y) * a", 2),
    ("logsumexp([x, a * y, b * z])", 3),
    ("sum(softmax([x, y, z])) + softmax([a * x, y, b])[1]", 3),
    ("[a * x, b * x, x * x]", 1),
    ("[a * x + b * y, a * x - b * y]", 2),
    ("x * x + y * y + z * z", 3),
    ("x * y + y * z + z * x", 3),
    ("a * a + b * b + x", 1),
    ("exp(a * b) * x + exp(a * b) * y", 2),
    ("x / y - y / x + a / b", 2),
    ("power(abs(x), a) + hypot(x, b)", 1),
    ("atan2(y, x) * sigmoid(a * x)", 2),
    ("clip(x, -0.5, 0.5) + relu(y) * a", 2),
    ("x + a + b + 1.0 + a * b", 1),
    ("x.detach() * y + a.detach() * x", 2),
    ("where((x > 0) & (y > 0), x * y, where(x > y, a, b))", 2),
    ("where(a > b, x * a, x * b)", 1),
    ("mean([x, y, z]) * prod([a, x, y])", 3),
    ("gelu(x) + silu(y) + elu(z)", 3),
    ("erf(x) * log1p(abs(y) + 1.5)", 2),
    ("(x + y) - x", 2),
    ("[a, b, x]", 1),
)


def _of_constants() -> Case:
    a, b = Value(0.7), Value(-1.3)
    return Case(lambda x: a * b + functions.exp(a) + 0.0 * x, (rows(3),))


def cases() -> dict[str, Callable[[], Case]]:
    """Each program by its name; it is made when it is asked for."""
    part = functools.partial
    cross = losses.cross_entropy
    return {
        **{f"random {seed}": part(_random, seed) for seed in range(SEEDS)},
        **{f"published {name}": part(_published, name) for name in LEARNING},
        **{text: part(_expression, text, count) for text, count in EXPRESSIONS},
        "constants": _of_constants,
        "moons": _moons,
        "tanh network": part(network, 2, 8, 8, 1, activation="tanh"),
        "digits": part(network, 64, 16, 10, loss=cross),
        "small classes": part(network, 3, 5, 4, loss=cross),
        "sigmoid network": part(network, 4, 6, 1, activation="sigmoid"),
        "wide": part(network, 40, 30, 20, 1),
        "convolution": _convolution,
        "attention": _attention,
        "recurrent": _recurrent,
        "mixture": _mixture,
        "branches": _branches,
        **{f"scalars {count}": part(_scalars, count) for count in (5, 60, 200, 900)},
        "factors": _factors,
        "tokens": _tokens,
        "tables": _tables,
        **{f"random tables {seed}": part(_random, seed, tables=True) for seed in range(20)},
    }


# ---- What the compiler makes of them -----------------------------------------------------------


def _plain(thing: Any) -> Any:
    """Slots and numbers as lists."""
    if isinstance(thing, numpy.ndarray):
        return [thing.shape, thing.tolist()]
    return thing


def _mask(i: Instruction, here: str) -> Any:
    names = {HERE: here, IN_ONCE: "once", BY_ERROR: "nonzero"}
    name = names.get(i.mask.kind, "always")
    return [name, _plain(i.mask.slots)] if i.mask.kind in (HERE, IN_ONCE) else name


def listing(i: Any, here: str) -> list[Any]:
    """An instruction of the list ``here`` as plain lists, however its class is laid out."""
    found = [type(i).__name__, i.out, i.count]
    if isinstance(i, Singles):
        (left_once, left), (right_once, right) = i.operands
        both, kinds = i.has_two(), i.mask.kind
        masks = numpy.where((kinds == HERE) | (kinds == IN_ONCE), i.mask.slots, 0)
        sides = [left_once, left, right_once & both, numpy.where(both, right, 0)]
        # By their names: a new row of the table gives all that follow it other codes.
        operations = [NAMES[code] for code in i.operations]
        found += map(_plain, (i.depends, operations, *sides, kinds, masks, i.outs))
        return found
    found += [int(i.depends), _mask(i, here)]
    names = {
        Layer: ("weights", "signs", "values", "bias", "bias_signs"),
        Sums: ("weights", "signs", "values", "bias", "bias_signs"),
        Products: ("first", "second", "signs", "bias", "bias_signs"),
        Fold: ("operation", "values"),
        Elementwise: ("operation",),
        Take: ("index", "table"),
    }[type(i)]
    found += [_plain(getattr(i, name)) for name in names]
    if isinstance(i, Elementwise):
        found += [[bool(x.once), _plain(x.slots)] for x in i.operands]
    return found


def _hash(*things: Any) -> str:
    return hashlib.sha256("\n".join(map(str, things)).encode()).hexdigest()[:16]


def program_hash(program: Compiler, backward: bool = True) -> str:
    """Of all that an executor is told, perhaps without what counts in a backward pass alone."""
    stages = [
        [listing(i, here) for i in getattr(program, here).instructions] for here in ("once", "rows")
    ]
    for line in (line for stage in stages for line in stage if not backward):
        for place in (10, 9, 3) if line[0] == "Singles" else (4, 3):
            del line[place]
    return _hash(
        *stages,
        *(program.once.slots, program.rows.slots, program.parameters, program.constants.tolist()),
        *(program.inputs, program.outputs, [x.tolist() for x in program.watched]),
    )


def instructions(c: Compiled) -> str:
    """A hash of all programs of all paths: that of the values, and those that look at branches."""
    found = []
    for path in c._paths:
        for replay in (path.replay, path.guards, path.ties):
            found.append(program_hash(replay.program) if replay else "")
        found.append(program_hash(in_few_slots(path.replay.program), backward=False))
        tape = path.tape
        written = without_tables(tape, tape.outputs)[:2]
        found.append(program_hash(build(Graph(*written, as_written=True))))
    return _hash(*found)


def found_by(c: Compiled, columns: Any, most_bent: float = math.inf) -> list[Any]:
    """Values, slopes by inputs and by parameters, and for few inputs the second derivatives.

    Those are left out where the traces have ``most_bent`` operations or more.
    """
    found = [c(*columns), c.jacobian(*columns)]
    if found[0].ndim == 1:
        found += c.value_and_grad(c.theta(), *columns)
    if found[1].shape[-1] < 6 and sum(len(path.tape.nodes) for path in c._paths) < most_bent:
        found.append(c.hessian(*columns))
    return found


def numbers(case: Case) -> str:
    """A hash of the bits of values, and of derivatives by parameters and by inputs."""
    found = found_by(compile(case.function, check=False), case.columns)
    every = numpy.concatenate([numpy.ravel(x) for x in found])
    every[numpy.isnan(every)] = math.nan  # its sign means nothing
    return hashlib.sha256(every.tobytes()).hexdigest()[:16]


def structure(case: Case) -> dict[str, str]:
    c = compile(case.function, check=False).trace(*case.columns)
    return {"describe": c.describe(), "instructions": instructions(c)}


def bits(case: Callable[[], Case]) -> dict[str, str]:
    found = {"machine": numbers(case())}
    with pytest.MonkeyPatch.context() as patch:
        only_numpy(patch)
        found["numpy"] = numbers(case())
    return found


# ---- The pictures ------------------------------------------------------------------------------


def _hand() -> Value:
    a, b, c, d = (Value(v, name) for v, name in zip((2.0, -3.0, 1.5, 4.0), "abcd", strict=True))
    out = functions.sin(a * b) + c**2 / d
    out.backward()
    return out


def _network_loss() -> Value:
    model = nn.MLP(2, [3, 1], seed=1, activation="tanh")
    out: Value = losses.mse(model([0.5, -1.0]), 1.0)
    out.backward()
    return out


def _deep_loss() -> Value:
    model = nn.MLP(4, [12, 12, 2], seed=2)
    out: Value = losses.cross_entropy(model([0.5, -1.0, 0.25, 2.0]), 1)
    out.backward()
    return out


def _random_root(seed: int) -> Value:
    program = Program(seed)
    columns, target = program.examples(1)
    outs = program(*program.row(columns[0], target[0], Value))
    out: Value = functions.sum(outs) if isinstance(outs, list) else outs
    out.backward()
    return out


def _gpt_root() -> Value:
    state = gpt.parameters(Value)
    out: Value = gpt.loss(state, next(zip(*gpt.examples(), strict=True))[0])
    out.backward()
    return out


DRAWN = ("moons", "digits", "convolution", "attention", "mixture", "branches", "scalars 60",
         "recurrent", "small classes", "where(x > y, a * x, b * y)", "x * x + y * y + z * z",
         "published lstm", "published lecture", "random 3", "random 8", "random 21")  # fmt: skip


def _compiled_picture(name: str) -> bytes:
    case = cases()[name]()
    c = compile(case.function, check=False).trace(*case.columns)
    return viz.draw_compiled(c).svg().encode()


def _page(save: Callable[[Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page"
        for suffix in (".html", ".svg"):
            try:
                return Path(save(path.with_suffix(suffix))).read_bytes()
            except ValueError:  # it is of the other kind
                continue
    raise AssertionError("nothing was saved")


def pictures() -> dict[str, Callable[[], bytes]]:
    """Each picture or page by its name; it is drawn when it is asked for."""
    roots = {"hand": _hand, "network": _network_loss, "deep": _deep_loss, "gpt": _gpt_root}
    roots |= {f"random {seed}": functools.partial(_random_root, seed) for seed in range(16)}
    options: dict[str, dict[str, Any]] = {
        "down": {"rankdir": "TB"},
        "up": {"rankdir": "BT"},
        "left": {"rankdir": "RL"},
        "forward": {"gradients": False},
        "no constants": {"constants": False},
        "step 3": {"step": 3},
        "dark": {"theme": "dark"},
        "folded": {"fold": True},
    }

    def drawn(make: Callable[[], Value], **how: Any) -> Callable[[], bytes]:
        return lambda: viz.draw(make(), **how).svg().encode()

    small = {name: roots[name] for name in ("hand", "network", "random 5")}
    return {
        **{f"draw {name}": drawn(make) for name, make in roots.items()},
        **{
            f"draw {name}, {what}": drawn(small[name], **how)
            for what, how in options.items()
            for name in ("hand", "network")
        },
        **{f"compiled {name}": functools.partial(_compiled_picture, name) for name in DRAWN},
        **{
            f"animate {name}": functools.partial(_page, functools.partial(_animate, make))
            for name, make in small.items()
        },
        **{
            f"stepper {name}": functools.partial(_page, functools.partial(_stepper, make))
            for name, make in small.items()
        },
        "draw several": lambda: viz.draw([_hand(), _network_loss()]).svg().encode(),
        "network": lambda: viz.draw_network(nn.MLP(2, [3, 1], seed=1)).svg().encode(),
    }


def _animate(make: Callable[[], Value], path: Path) -> Any:
    return viz.animate(make(), path)


def _stepper(make: Callable[[], Value], path: Path) -> Any:
    return viz.save_stepper(make(), path)


# ---- The file ----------------------------------------------------------------------------------


def machine() -> str:
    """What the bits of numbers depend on."""
    parts = [f"{name} {version(name)}" for name in ("numpy", "numba", "scipy")]
    found = numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return ", ".join([platform.machine(), platform.python_version(), *parts, *found])


def everything() -> Iterator[tuple[str, dict[str, str]]]:
    """The entries of the file, one after the other."""
    for name, make in cases().items():
        yield f"program: {name}", structure(make()) | bits(make)
    for name, drawn in pictures().items():
        yield f"picture: {name}", {"bytes": hashlib.sha256(drawn()).hexdigest()[:16]}


def main(write: bool) -> int:
    if write:
        entries = dict(everything())
        content = json.dumps({"machine": machine()} | entries, indent=0, ensure_ascii=False)
        FILE.write_text(content + "\n")
        print(f"{len(cases())} programs and {len(pictures())} pictures written")
        return 0
    frozen = json.loads(FILE.read_text())
    same_machine = frozen.pop("machine") == machine()
    if not same_machine:
        print(f"numbers are not compared: this machine, or a library, is another: {machine()}")
    count = 0
    for name, found in everything():
        expected = frozen.pop(name, {})
        for what, now in found.items():
            if expected.get(what) != now and (same_machine or what not in ("machine", "numpy")):
                count += 1
                print(f"{name}, {what}:\n  was {expected.get(what)}\n  is  {now}", flush=True)
    for name in frozen:
        print(f"{name} is gone")
    print(f"{count + len(frozen)} differences")
    return int(bool(count or frozen))


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
