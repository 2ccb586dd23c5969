"""A GPT of scalars: one token at a time, keys and values in lists that grow, and Adam by hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from microgradlike import Value

DOCS = ["ada", "bea", "dab"]
LETTERS = sorted(set("".join(DOCS)))
BOS = len(LETTERS)
VOCABULARY = BOS + 1
N_LAYER, N_EMBD, N_HEAD, BLOCK = 1, 4, 2, 4
HEAD = N_EMBD // N_HEAD


def tokens(doc: str) -> list[int]:
    return [BOS, *(LETTERS.index(letter) for letter in doc), BOS]


def one_hot(token: int) -> list[float]:
    return [float(token == other) for other in range(VOCABULARY)]


def examples() -> tuple[Any, ...]:
    """The documents, which are all of one length, as rows of one-hot rows."""
    return ([[one_hot(token) for token in tokens(doc)] for doc in DOCS],)


def parameters(number: Callable[[float], Any]) -> dict[str, Any]:
    draw = random.Random(42)

    def matrix(nout: int, nin: int) -> list[Any]:
        return [[number(draw.gauss(0, 0.3)) for _ in range(nin)] for _ in range(nout)]

    state = {
        "wte": matrix(VOCABULARY, N_EMBD),
        "wpe": matrix(BLOCK, N_EMBD),
        "lm_head": matrix(VOCABULARY, N_EMBD),
    }
    for i in range(N_LAYER):
        for name in ("attn_wq", "attn_wk", "attn_wv", "attn_wo"):
            state[f"layer{i}.{name}"] = matrix(N_EMBD, N_EMBD)
        state[f"layer{i}.mlp_fc1"] = matrix(4 * N_EMBD, N_EMBD)
        state[f"layer{i}.mlp_fc2"] = matrix(N_EMBD, 4 * N_EMBD)
    return state


def linear(x: Any, w: list[Any]) -> list[Any]:
    return [sum(wi * xi for wi, xi in zip(wo, x, strict=True)) for wo in w]


def softmax(logits: list[Any]) -> list[Any]:
    max_val = max(val.data for val in logits)
    exps = [(val - max_val).exp() for val in logits]
    total = sum(exps)
    return [e / total for e in exps]


def plain_softmax(logits: list[Any]) -> list[Any]:
    """The same without a look at the data."""
    exps = [val.exp() for val in logits]
    total = sum(exps)
    return [e / total for e in exps]


def rmsnorm(x: list[Any]) -> list[Any]:
    ms = sum(xi * xi for xi in x) / len(x)
    scale = (ms + 1e-5) ** -0.5
    return [xi * scale for xi in x]


def step(
    state: dict[str, Any],
    embedding: list[Any],
    position: int,
    keys: list[list[Any]],
    values: list[list[Any]],
    softmax: Callable[[list[Any]], list[Any]],
) -> list[Any]:
    """The logits of the next token."""
    x = [t + p for t, p in zip(embedding, state["wpe"][position], strict=True)]
    x = rmsnorm(x)
    for i in range(N_LAYER):
        # 1) attention, to this token and all before it
        residual = x
        x = rmsnorm(x)
        q = linear(x, state[f"layer{i}.attn_wq"])
        keys[i].append(linear(x, state[f"layer{i}.attn_wk"]))
        values[i].append(linear(x, state[f"layer{i}.attn_wv"]))
        attended: list[Any] = []
        for h in range(N_HEAD):
            hs = h * HEAD
            q_h = q[hs : hs + HEAD]
            k_h = [k[hs : hs + HEAD] for k in keys[i]]
            v_h = [v[hs : hs + HEAD] for v in values[i]]
            logits = [sum(q_h[j] * k[j] for j in range(HEAD)) / HEAD**0.5 for k in k_h]
            weights = softmax(logits)
            attended.extend(
                sum(w * v[j] for w, v in zip(weights, v_h, strict=True)) for j in range(HEAD)
            )
        x = linear(attended, state[f"layer{i}.attn_wo"])
        x = [a + b for a, b in zip(x, residual, strict=True)]
        # 2) a perceptron
        residual = x
        x = rmsnorm(x)
        x = linear(x, state[f"layer{i}.mlp_fc1"])
        x = [xi.relu() ** 2 for xi in x]
        x = linear(x, state[f"layer{i}.mlp_fc2"])
        x = [a + b for a, b in zip(x, residual, strict=True)]
    return linear(x, state["lm_head"])


def by_index(state: dict[str, Any], doc: str) -> Any:
    """The loss of one document as published: tokens are places in lists, the largest is read."""
    ids = tokens(doc)
    keys: list[list[Any]] = [[] for _ in range(N_LAYER)]
    values: list[list[Any]] = [[] for _ in range(N_LAYER)]
    losses = []
    for position in range(len(ids) - 1):
        embedding = state["wte"][ids[position]]
        probs = softmax(step(state, embedding, position, keys, values, softmax))
        losses.append(-probs[ids[position + 1]].log())
    return (1 / len(losses)) * sum(losses)


def loss(state: dict[str, Any], document: Any) -> Any:
    """The same where the document is a row of data, its tokens one-hot."""
    keys: list[list[Any]] = [[] for _ in range(N_LAYER)]
    values: list[list[Any]] = [[] for _ in range(N_LAYER)]
    losses = []
    for position in range(len(document) - 1):
        columns = zip(*state["wte"], strict=True)
        embedding = linear(document[position], list(columns))
        probs = plain_softmax(step(state, embedding, position, keys, values, plain_softmax))
        hit = sum(p * y for p, y in zip(probs, document[position + 1], strict=True))
        losses.append(-hit.log())
    return (1 / len(losses)) * sum(losses)


def train(state: dict[str, Any], total: Callable[[], Any], num_steps: int = 8) -> list[float]:
    params = [p for mat in state.values() for row in mat for p in row]
    for p in params:
        p.m = p.v = 0.0
    lr, beta1, beta2, eps = 0.05, 0.9, 0.95, 1e-8
    losses = []
    for k in range(num_steps):
        loss = total()
        loss.backward()
        lr_t = lr * (1 - k / num_steps)
        for p in params:
            p.m = beta1 * p.m + (1 - beta1) * p.grad
            p.v = beta2 * p.v + (1 - beta2) * p.grad**2
            m_hat = p.m / (1 - beta1 ** (k + 1))
            v_hat = p.v / (1 - beta2 ** (k + 1))
            p.data -= lr_t * m_hat / (v_hat**0.5 + eps)
            p.grad = 0
        losses.append(float(loss))
    return losses


def babble(state: dict[str, Any], seed: int) -> str:
    """A document that the model makes up."""
    draw = random.Random(seed)
    keys: list[list[Value]] = [[] for _ in range(N_LAYER)]
    values: list[list[Value]] = [[] for _ in range(N_LAYER)]
    token, text = BOS, ""
    for position in range(BLOCK):
        probs = softmax(step(state, state["wte"][token], position, keys, values, softmax))
        token = draw.choices(range(VOCABULARY), weights=[p.data for p in probs])[0]
        if token == BOS:
            break
        text += LETTERS[token]
    return text
