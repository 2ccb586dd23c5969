"""Fits beside scikit-learn's own networks, as a table: ``python -m tests.benchmarks.estimators``.

Both have the same parameters and the same ``random_state``, and so the same first weights and the
same batches: they do the same work, and how far apart their weights are is a column. Each fit runs
in a process of its own, on one thread, which has fitted something small before; so a first fit is
one of a shape that was not compiled yet. The row of a new process has the imports as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy
from sklearn import datasets, neural_network
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from microgradlike import sklearn as ours
from tests.benchmarks.side_by_side import Ready, duration, flat, in_turn, machine, start

#: The fits by name: data, estimator, and its parameters but ``random_state``.
FITS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "iris": ("load_iris", "MLPClassifier", {}),
    "wine": ("load_wine", "MLPClassifier", {}),
    "breast cancer": ("load_breast_cancer", "MLPClassifier", {}),
    "digits": ("load_digits", "MLPClassifier", {}),
    "diabetes": ("load_diabetes", "MLPRegressor", {}),
    "digits, sgd": ("load_digits", "MLPClassifier", {"solver": "sgd"}),
    "digits, lbfgs": ("load_digits", "MLPClassifier", {"solver": "lbfgs"}),
    "digits, tanh, (256, 128)": (
        *("load_digits", "MLPClassifier"),
        {"hidden_layer_sizes": (256, 128), "activation": "tanh", "max_iter": 30},
    ),
    "diabetes, early stopping": ("load_diabetes", "MLPRegressor", {"early_stopping": True}),
}

#: Fits of two shapes, three folds, and the whole for the best.
SEARCH = "wine, a grid search of 19 fits"
GRID = {"alpha": [1e-4, 1e-2, 1.0], "hidden_layer_sizes": [(50,), (100,)]}

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
#: Both packages find their bytecode, as installed ones do.
KEPT = {"PYTHONDONTWRITEBYTECODE": ""}

#: The fit that a new process is asked for.
NEW = "iris, in a new process"
NEW_PROCESS = """
import time
begun = time.{clock}()
from {module} import MLPClassifier
from sklearn.datasets import load_iris
MLPClassifier(random_state=0).fit(*load_iris(return_X_y=True))
print(time.{clock}() - begun)
"""


def data(name: str) -> tuple[Any, Any]:
    """Inputs and targets, those of a regression scaled as well."""
    X, y = getattr(datasets, name)(return_X_y=True)
    return scale(X), scale(y) if name == "load_diabetes" else y


def weights(model: Any) -> Any:
    """All numbers of a fitted network."""
    return flat([*model.coefs_, *model.intercepts_])


def fit(name: str, module: Any) -> Ready:
    """What fits anew at each call."""
    if name == SEARCH:
        X, y = data("load_wine")
        network = module.MLPClassifier(random_state=0)
        search = GridSearchCV(network, GRID, cv=3)
        return Ready(lambda: search.fit(X, y).best_estimator_, weights)
    loader, kind, options = FITS[name]
    X, y = data(loader)
    model = getattr(module, kind)(random_state=0, **options)
    return Ready(lambda: model.fit(X, y), weights)


def measure(name: str, clock: Callable[[], float]) -> dict[str, float]:
    """The first fit of both, and the medians of those that follow, in turn."""
    warnings.simplefilter("ignore")  # the default number of epochs is rarely enough
    X, y = data("load_iris")
    for module in (ours, neural_network):
        module.MLPClassifier([3], max_iter=5).fit(X, y)
        module.MLPClassifier([3], max_iter=5, solver="lbfgs").fit(X, y)
        module.MLPRegressor(hidden_layer_sizes=[3], max_iter=5).fit(X, y)
    both = [start(lambda m=m: fit(name, m), clock) for m in (neural_network, ours)]  # type: ignore[misc]
    theirs, own = both
    found = in_turn(own, theirs, clock)
    return {**found, "first": own.seconds, "its first": theirs.seconds}


def in_its_own_process(name: str, busy: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.estimators", "--of", name]
    ran = subprocess.run(
        command + ["--busy"] * busy,
        env=os.environ | ONE_THREAD,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def new_processes(busy: bool) -> dict[str, float]:
    """The medians of five each, in turn."""
    seconds: dict[str, list[float]] = {"microgradlike.sklearn": [], "sklearn.neural_network": []}
    for _ in range(5):
        for module, kept in seconds.items():
            clock = "process_time" if busy else "perf_counter"
            code = NEW_PROCESS.format(module=module, clock=clock)
            command = [sys.executable, "-W", "ignore", "-c", code]
            ran = subprocess.run(
                command,
                env=os.environ | ONE_THREAD | KEPT,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            kept.append(float(ran.stdout))
    own, theirs = (float(numpy.median(kept)) for kept in seconds.values())
    return {"ours": own, "median": theirs}


def row(name: str, known: dict[str, float]) -> str:
    """A line of the table."""
    cells = [name, duration(known["ours"]), f"{known['median'] / known['ours']:.2g}"]
    first = ("first", "its first")
    cells += [duration(known[key]) if key in known else "" for key in first]
    cells += [f"{known['apart']:.0e}" if "apart" in known else ""]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("names", nargs="*", metavar="name", help="fits; by default all")
    parser.add_argument("--busy", action="store_true", help="seconds of the processor")
    parser.add_argument("--of", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.of:
        clock = time.process_time if given.busy else time.perf_counter
        print(json.dumps(measure(given.of, clock)))
        return
    print(f"{machine()}\n")
    print("| fit | ours | scikit-learn / ours | first fit | its first fit | apart |")
    print("|---|---|---|---|---|---|")
    for name in given.names or [*FITS, SEARCH, NEW]:
        known = new_processes(given.busy) if name == NEW else in_its_own_process(name, given.busy)
        print(row(name, known), flush=True)


if __name__ == "__main__":
    main()
