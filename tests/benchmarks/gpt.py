"""A training step of a GPT in plain scalars, beside others: ``python -m tests.benchmarks.gpt``.

The network is that of ``demos/transformer.py``: 4,192 parameters, one word a sample, and Adam. A
step is the loss, its gradient, and the new parameters; all in float64 on one thread, in turn. The
class ``Number`` is what people write first: the same scalar code runs with it as with ``Value``.
Needs the extra ``bench``; a peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import functools
import gc
import math
import time
from collections.abc import Callable
from typing import Any

import numpy

from demos import transformer
from microgradlike import compile, optim
from tests.benchmarks.side_by_side import (
    duration,
    in_float64_on_one_thread,
    jax,
    jnp,
    machine,
    torch,
)
from tests.benchmarks.timing import compare

RATE, KEEP, KEEP_SQUARE, EPS = 0.01, 0.85, 0.99, 1e-8
WORDS = ("marbury", "winford", "kelvale", "halston", "norwick", "durdale", "sterham", "albyten")
BATCH = 64

Step = Callable[[], float]


# ---- A plain engine ----------------------------------------------------------------------------


class Number:
    """A number that remembers what it was computed of, and the slope by each of these."""

    __slots__ = ("data", "grad", "parents", "slopes")

    def __init__(
        self, data: float, parents: tuple[Number, ...] = (), slopes: tuple[float, ...] = ()
    ) -> None:
        self.data = data
        self.grad = 0.0
        self.parents = parents
        self.slopes = slopes

    def __add__(self, other: Any) -> Number:
        if not isinstance(other, Number):
            return Number(self.data + other, (self,), (1.0,))
        return Number(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: Any) -> Number:
        if not isinstance(other, Number):
            return Number(self.data * other, (self,), (other,))
        return Number(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, power: float) -> Number:
        return Number(self.data**power, (self,), (power * self.data ** (power - 1),))

    def __neg__(self) -> Number:
        return self.__mul__(-1.0)

    def __sub__(self, other: Any) -> Number:
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> Number:
        return self.__neg__().__add__(other)

    def __truediv__(self, other: Any) -> Number:
        return self.__mul__(other**-1.0)

    __radd__ = __add__
    __rmul__ = __mul__

    def __gt__(self, other: Any) -> bool:
        return bool(self.data > other.data)

    def exp(self) -> Number:
        result = math.exp(self.data)
        return Number(result, (self,), (result,))

    def log(self) -> Number:
        return Number(math.log(self.data), (self,), (1.0 / self.data,))

    def relu(self) -> Number:
        return Number(max(self.data, 0.0), (self,), (float(self.data > 0.0),))

    def backward(self) -> None:
        order: list[Number] = []
        seen: set[Number] = set()
        path = [(self, iter(self.parents))]
        while path:
            node, left = path[-1]
            for parent in left:
                if parent not in seen:
                    seen.add(parent)
                    path.append((parent, iter(parent.parents)))
                    break
            else:
                order.append(node)
                path.pop()
        self.grad = 1.0
        for node in reversed(order):
            for parent, slope in zip(node.parents, node.slopes, strict=True):
                parent.grad += slope * node.grad


def plain(word: list[int]) -> Step:
    """The scalar code with that class, and Adam as a loop."""
    model = transformer.model(0, Number)
    parameters = transformer.parameters(model)
    means, squares = [0.0] * len(parameters), [0.0] * len(parameters)
    steps = 0

    def step() -> float:
        nonlocal steps
        steps += 1
        total = transformer.loss(model, word)
        total.backward()
        for k, p in enumerate(parameters):
            means[k] = KEEP * means[k] + (1 - KEEP) * p.grad
            squares[k] = KEEP_SQUARE * squares[k] + (1 - KEEP_SQUARE) * p.grad**2
            mean, square = means[k] / (1 - KEEP**steps), squares[k] / (1 - KEEP_SQUARE**steps)
            p.data -= RATE * mean / (square**0.5 + EPS)
            p.grad = 0.0
        return float(total.data)

    return step


# ---- Ours --------------------------------------------------------------------------------------


def adam(parameters: list[Any]) -> optim.Adam:
    return optim.Adam(parameters, lr=RATE, betas=(KEEP, KEEP_SQUARE), eps=EPS)


def eager(word: list[int]) -> Step:
    """The scalar code with Values."""
    model = transformer.model(0)
    optimizer = adam(transformer.parameters(model))

    def step() -> float:
        optimizer.zero_grad()
        total = transformer.loss(model, word)
        total.backward()
        optimizer.step()
        return float(total.data)

    return step


def compiled(words: Any, clock: Callable[[], float] = time.perf_counter) -> dict[str, Step]:
    """The scalar code compiled: with the loop of the public names, with one array, without Adam."""
    begun = clock()
    model = transformer.model(0)
    c = compile(functools.partial(transformer.loss, model)).trace(words)
    start = theta = c.theta()
    c.value_and_grad(start, words)
    label = "one word" if len(words) == 1 else f"{len(words)} words"
    print(f"first gradient of {label}: {clock() - begun:.2f} s", flush=True)
    optimizer, own = adam(transformer.parameters(model)), adam(c.parameters)

    def public() -> float:
        optimizer.zero_grad()
        total = c.mean(words)
        total.backward()
        optimizer.step()
        return total.item()

    def flat() -> float:
        nonlocal theta
        value, gradient = c.value_and_grad(theta, words)
        theta = own.next_theta(theta, gradient)
        return value

    return {
        "compiled": public,
        "compiled, one array": flat,
        "compiled, without Adam": lambda: c.value_and_grad(start, words)[0],
    }


# ---- With arrays -------------------------------------------------------------------------------


def arrays() -> dict[str, Any]:
    """The numbers of the model, a matrix for each name."""
    return {name: numpy.array(rows) for name, rows in transformer.model(0, float).items()}


def with_torch(words: Any) -> Step:
    """Tensors and PyTorch's functions."""
    F = torch.nn.functional
    p = {name: torch.tensor(a, requires_grad=True) for name, a in arrays().items()}
    given = torch.tensor(words)
    optimizer = torch.optim.Adam(p.values(), lr=RATE, betas=(KEEP, KEEP_SQUARE), eps=EPS)
    rows, length = len(words), words.shape[1] - 1

    def norm(x: Any) -> Any:
        return F.rms_norm(x, x.shape[-1:], eps=1e-5)

    def heads(x: Any) -> Any:
        return x.view(rows, length, transformer.HEADS, transformer.HEAD).transpose(1, 2)

    def step() -> float:
        optimizer.zero_grad()
        x = norm(F.embedding(given[:, :-1], p["letters"]) + p["places"][:length])
        seen = norm(x)
        query, key, value = (heads(seen @ p[name].T) for name in ("query", "key", "value"))
        heard = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + heard.transpose(1, 2).reshape(rows, length, -1) @ p["mix"].T
        x = x + torch.relu(norm(x) @ p["widen"].T) ** 2 @ p["narrow"].T
        total = F.cross_entropy((x @ p["guess"].T).flatten(0, 1), given[:, 1:].flatten())
        total.backward()
        optimizer.step()
        return float(total.detach())

    return step


def with_jax(words: Any) -> Step:
    """One jitted function for the whole step."""
    rows, length = len(words), words.shape[1] - 1
    mask = numpy.tril(numpy.ones((length, length), bool))

    def norm(x: Any) -> Any:
        return x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)

    def heads(x: Any) -> Any:
        return x.reshape(rows, length, transformer.HEADS, transformer.HEAD)

    def cost(p: Any, words: Any) -> Any:
        x = norm(p["letters"][words[:, :-1]] + p["places"][:length])
        seen = norm(x)
        query, key, value = (heads(seen @ p[name].T) for name in ("query", "key", "value"))
        scores = jnp.einsum("rqhd,rkhd->rhqk", query, key) / transformer.HEAD**0.5
        weights = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
        heard = jnp.einsum("rhqk,rkhd->rqhd", weights, value).reshape(rows, length, -1)
        x = x + heard @ p["mix"].T
        x = x + jax.nn.relu(norm(x) @ p["widen"].T) ** 2 @ p["narrow"].T
        chances = jax.nn.log_softmax(x @ p["guess"].T, axis=-1)
        return -jnp.take_along_axis(chances, words[:, 1:, None], axis=-1).mean()

    def update(state: Any, words: Any) -> Any:
        p, means, squares, count = state
        value, slopes = jax.value_and_grad(cost)(p, words)
        count = count + 1
        means = jax.tree.map(lambda m, g: KEEP * m + (1 - KEEP) * g, means, slopes)
        squares = jax.tree.map(
            lambda s, g: KEEP_SQUARE * s + (1 - KEEP_SQUARE) * g * g, squares, slopes
        )

        def moved(a: Any, m: Any, s: Any) -> Any:
            root = jnp.sqrt(s / (1 - KEEP_SQUARE**count)) + EPS
            return a - RATE * m / (1 - KEEP**count) / root

        return value, (jax.tree.map(moved, p, means, squares), means, squares, count)

    start = jax.tree.map(jnp.asarray, arrays())
    zeros = jax.tree.map(jnp.zeros_like, start)
    jitted = jax.jit(update)
    state, given = (start, zeros, zeros, jnp.asarray(0.0)), jnp.asarray(words)

    def step() -> float:
        nonlocal state
        value, state = jitted(state, given)
        return float(value)

    return step


# ---- The table ---------------------------------------------------------------------------------


def main() -> None:
    """Measure all steps, of one word and of a batch, and print them as a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpt")
    parser.add_argument("--busy", action="store_true", help="seconds of the processor")
    clock = time.process_time if parser.parse_args().busy else time.perf_counter
    in_float64_on_one_thread()
    one = numpy.array([transformer.ids(WORDS[0])])
    many = numpy.array([transformer.ids(WORDS[k % len(WORDS)]) for k in range(BATCH)])
    slow: dict[str, Step] = {
        "a plain class": plain(one[0].tolist()),
        "eager": eager(one[0].tolist()),
    }
    fast: dict[str, tuple[int, Step]] = {}
    for words in (one, many):
        makers = {"PyTorch": with_torch} if torch else {}
        makers |= {"JAX": with_jax} if jax else {}
        steps = compiled(words, clock) | {name: make(words) for name, make in makers.items()}
        starts = [step() for step in steps.values()]
        assert max(starts) - min(starts) < 1e-9, "all compute the same loss"
        label = "one word" if len(words) == 1 else f"{len(words)} words"
        fast |= {f"{name}, {label}": (len(words), step) for name, step in steps.items()}
    gc.freeze()  # the cycle collector walks what the graphs are made of, not what was imported
    medians = dict(zip(slow, compare(list(slow.values()), 5, clock=clock), strict=True))
    steps_of = [step for _, step in fast.values()]
    medians |= zip(fast, compare(steps_of, 15, 5, clock), strict=True)
    plainly = medians["a plain class"]
    print(f"\n{machine()}\n\n| step | time | a word | times as fast as a plain class |")
    print("|---|---|---|---|")
    for name, seconds in medians.items():
        rows = fast[name][0] if name in fast else 1
        each = seconds / rows
        print(f"| {name} | {duration(seconds)} | {duration(each)} | {plainly / each:,.3g} |")


if __name__ == "__main__":
    main()
