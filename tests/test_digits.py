"""Handwritten digits, learned from plain scalars."""

from __future__ import annotations

import numpy
from sklearn.datasets import load_digits

from microgradlike import fit, losses, optim
from microgradlike.nn import MLP


def test_the_digits_are_learned_in_seconds() -> None:
    digits = load_digits()
    order = numpy.random.default_rng(0).permutation(len(digits.target))
    seen, held_out = order[:1400], order[1400:]
    X, y = digits.data / 16, digits.target
    model = MLP(64, [32, 10], seed=0)
    history = fit(
        model, X[seen], y[seen], loss=losses.cross_entropy, epochs=12, batch_size=32,
        optimizer=optim.Adam(model.parameters(), lr=1e-2), progress=False,
        validation=(X[held_out], y[held_out]),
    )  # fmt: skip
    assert history.validation_metric[-1] >= 0.97
