"""The estimators for scikit-learn: its own checks, its own networks beside them, and bad input."""

from __future__ import annotations

import copy
import importlib
import json
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import numpy
import pandas
import pytest
import scipy.sparse
import sklearn
from sklearn import datasets, neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from threadpoolctl import threadpool_limits

import microgradlike.sklearn
from microgradlike import Value, functions, losses
from microgradlike.nn import MLP
from microgradlike.sklearn import (
    ACTIVATIONS,
    CLASSIFICATION,
    REGRESSION,
    MLPClassifier,
    MLPRegressor,
    Network,
    _packed,
    _Rows,
    _unpacked,
)
from tests.executors import only_numpy

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Products are so small here that threads of BLAS wait for each other most of the time."""
    with threadpool_limits(1):
        yield


DRAW = numpy.random.default_rng(0)
X = DRAW.normal(size=(60, 3))
SIDES = (X[:, 0] > X[:, 1]).astype(int)
THIRDS = numpy.digitize(X[:, 0], [-0.5, 0.5])
NUMBERS = X @ [1.0, -2.0, 0.5] + 0.1 * DRAW.normal(size=60)
LABELS = numpy.column_stack([SIDES, X[:, 2] > 0, X[:, 0] > 1]).astype(int)

#: Two epochs of five batches, with few neurons.
QUICK = {"hidden_layer_sizes": [5], "max_iter": 2, "batch_size": 12, "random_state": 0}


def apart(ours: Any, theirs: Any) -> float:
    """The largest difference of two fitted networks' parameters."""
    pairs = zip(
        [*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True
    )
    return max(float(numpy.abs(a - b).max()) for a, b in pairs)


# ---- scikit-learn's own checks -----------------------------------------------------------------

#: So many there are, of classifier and regressor, in the versions of scikit-learn that are known.
CHECKS = {"1.6": (66, 60), "1.7": (65, 59), "1.8": (65, 59), "1.9": (66, 60)}

CHECKING = """
import json, warnings
warnings.simplefilter("ignore")
from sklearn.utils.estimator_checks import check_estimator
from microgradlike import sklearn
found = {}
for name in ("MLPClassifier", "MLPRegressor"):
    checks = check_estimator(getattr(sklearn, name)(), on_fail=None, on_skip=None)
    found[name] = [(c["check_name"], c["status"], str(c["exception"])) for c in checks]
print(json.dumps(found))
"""


def test_all_checks_of_scikit_learn_pass_and_none_is_skipped() -> None:
    # The one of array API inputs is skipped unless this is set before SciPy is imported.
    ran = subprocess.run(
        [sys.executable, "-c", CHECKING],
        env=os.environ | {"SCIPY_ARRAY_API": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(ran.stdout)
    assert [check for checks in found.values() for check in checks if check[1] != "passed"] == []
    counts = tuple(map(len, found.values()))
    known = CHECKS.get(".".join(sklearn.__version__.split(".")[:2]))
    assert counts == known if known else min(counts) >= 59


# ---- Beside scikit-learn's networks ------------------------------------------------------------


@pytest.mark.parametrize("activation", ["identity", "logistic", "relu", "tanh"])
@pytest.mark.parametrize("y", [SIDES, THIRDS, LABELS, NUMBERS, X @ DRAW.normal(size=(3, 2))])
def test_the_same_random_state_gives_the_same_network(activation: str, y: Any) -> None:
    name = "MLPRegressor" if y.dtype == float else "MLPClassifier"
    is_of_two = y.dtype == float and y.ndim == 2  # theirs halves the loss, but not its gradient
    for options, tolerance in (
        ({"solver": "sgd", "batch_size": 13}, 1e-12),
        ({"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5, "alpha": 3.0}, 1e-12),
        # Theirs adds epsilon before the bias is undone, which counts where a slope is nearly 0.
        ({"solver": "adam", "learning_rate_init": 0.01, "epsilon": 1e-14, "alpha": 0.0}, 1e-7),
        ({"solver": "lbfgs", "alpha": 0.1, "max_iter": 5}, 1e-8),
    ):
        if is_of_two and options["solver"] == "lbfgs":
            continue
        options = {
            **{"hidden_layer_sizes": [6, 4], "activation": activation},
            **{"max_iter": 30, "tol": 0.0, "n_iter_no_change": 99},
            **options,
        }
        ours, theirs = (
            getattr(module, name)(random_state=3, **options).fit(X, y)
            for module in (microgradlike.sklearn, neural_network)
        )
        assert ours.n_iter_ == theirs.n_iter_
        assert apart(ours, theirs) < tolerance
        numpy.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=100 * tolerance)
        if options["solver"] != "lbfgs" and not is_of_two:
            numpy.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-6)
        for method in ("predict_proba", "predict_log_proba"):
            if name == "MLPClassifier":
                found, wanted = (getattr(model, method)(X) for model in (ours, theirs))
                numpy.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)
        for attribute in ("n_layers_", "n_outputs_", "out_activation_", "t_"):
            assert getattr(ours, attribute) == getattr(theirs, attribute)


@pytest.mark.parametrize(
    "load", ["load_iris", "load_wine", "load_breast_cancer", "load_digits", "load_diabetes"]
)
def test_as_good_as_scikit_learn_within_a_standard_error(load: str) -> None:
    inputs, y = getattr(datasets, load)(return_X_y=True)
    name = "MLPRegressor" if load == "load_diabetes" else "MLPClassifier"
    if name == "MLPRegressor":
        y = scale(y)
    ours, theirs = (
        cross_val_score(
            make_pipeline(StandardScaler(), getattr(module, name)(random_state=0)), inputs, y, cv=3
        )
        for module in (microgradlike.sklearn, neural_network)
    )
    error = theirs.std(ddof=1) / len(theirs) ** 0.5
    assert abs(ours.mean() - theirs.mean()) <= error


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rate", ["invscaling", "adaptive"])
def test_learning_rates_change_as_scikit_learn_changes_them(rate: str, momentum: float) -> None:
    options = {
        **{"solver": "sgd", "momentum": momentum, "learning_rate": rate, "random_state": 0},
        **{"hidden_layer_sizes": [5], "tol": 1e-3, "learning_rate_init": 0.1, "max_iter": 80},
    }
    ours, theirs = (
        module.MLPRegressor(**options).fit(X, NUMBERS)
        for module in (microgradlike.sklearn, neural_network)
    )
    assert ours.n_iter_ == theirs.n_iter_
    assert apart(ours, theirs) < 1e-10


def test_early_stopping_keeps_the_best_weights_as_scikit_learn_does() -> None:
    options = {
        **{"early_stopping": True, "random_state": 0, "learning_rate_init": 0.03},
        **{"solver": "sgd", "n_iter_no_change": 4, "validation_fraction": 0.3},
    }
    ours, theirs = (
        module.MLPClassifier(**options).fit(X, SIDES)
        for module in (microgradlike.sklearn, neural_network)
    )
    assert ours.validation_scores_ == theirs.validation_scores_
    assert ours.best_validation_score_ == max(ours.validation_scores_)
    assert ours.best_loss_ is None
    assert apart(ours, theirs) < 1e-10
    assert ours.n_iter_ > numpy.argmax(ours.validation_scores_) + 1  # the best was not the last


# ---- The gradient is the engine's --------------------------------------------------------------


def eager_loss(model: MLP, loss: str, outputs: list[Value], targets: list[float]) -> Any:
    """What a row adds, in the words of ``losses``."""
    match loss:
        case "log_loss":
            return losses.cross_entropy(outputs, targets.index(1.0))
        case "binary_log_loss":
            pairs = zip(outputs, targets, strict=True)
            return functions.sum([losses.binary_cross_entropy(*pair) for pair in pairs])
        case "squared_error":
            return losses.mse(outputs, targets) * len(outputs) / 2
        case "absolute_error":
            return losses.mae(outputs, targets) * len(outputs)
        case _:
            return losses.huber(outputs, targets) * len(outputs)


@pytest.mark.parametrize("loss", [*REGRESSION, *CLASSIFICATION])
def test_loss_and_gradient_are_those_of_the_engine(loss: str) -> None:
    for activation, name in ACTIVATIONS.items():
        outputs = 3 if loss == "log_loss" else 2
        network = Network((3, 4, outputs), activation, loss)
        theta = DRAW.normal(size=len(network.parameters))
        targets = DRAW.normal(size=(8, 2))
        if loss in CLASSIFICATION:
            targets = numpy.eye(outputs)[DRAW.integers(outputs, size=8)]
        rows = _Rows(X[:8], targets, DRAW.uniform(0.1, 2.0, size=8), targets)
        value, gradient = network.loss(theta, rows, 0.7)

        model = MLP(3, [4, outputs], activation=[name, "linear"])
        parameters, weights = list[Value](), list[Value]()
        for layer in model.layers:
            weights += (here := [w for neuron in layer.neurons for w in neuron.w])
            parameters += here + [neuron.b for neuron in layer.neurons]
        for parameter, number in zip(parameters, theta.tolist(), strict=True):
            parameter.data = number
        found = 0.7 / 2 * losses.l2(weights)
        for x, target, weight in zip(*map(numpy.ndarray.tolist, rows[:3]), strict=True):
            found = found + weight * eager_loss(model, loss, model(x), target)
        found = found / float(rows.weights.sum())
        found.backward()
        assert value == pytest.approx(found.data, rel=1e-12)
        expected = [parameter.grad for parameter in parameters]
        numpy.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-13)
        numpy.testing.assert_allclose(
            network.outputs(theta, X[:8]), [[v.data for v in model(x)] for x in X[:8].tolist()]
        )


def test_weights_and_biases_come_out_of_theta_as_they_went_in() -> None:
    sizes = (3, 4, 2)
    theta = DRAW.normal(size=4 * 4 + 5 * 2)
    coefs, intercepts = _unpacked(theta, sizes)
    assert [part.shape for part in (*coefs, *intercepts)] == [(3, 4), (4, 2), (4,), (2,)]
    assert (_packed(coefs, intercepts) == theta).all()


def test_numpy_computes_the_same_without_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = MLPClassifier(**QUICK).fit(X, THIRDS)
    only_numpy(monkeypatch)
    NETWORKS.clear()
    plain = MLPClassifier(**QUICK).fit(X, THIRDS)
    NETWORKS.clear()
    assert apart(machine, plain) < 1e-12


@pytest.mark.parametrize("y", [SIDES, THIRDS, NUMBERS])
def test_the_network_in_values_is_the_one_that_was_fitted(y: Any) -> None:
    estimator = MLPRegressor if y is NUMBERS else MLPClassifier
    model = estimator([5, 4], activation="gelu", max_iter=5, random_state=0).fit(X, y)
    outputs = model.predict(X) if y is NUMBERS else model.decision_function(X)
    network = model.to_mlp()
    for x, wanted in zip(X.tolist(), numpy.reshape(outputs, (60, -1)), strict=True):
        found = network(x)
        values = found if isinstance(found, list) else [found]
        numpy.testing.assert_allclose([v.data for v in values], wanted, rtol=1e-12)
    network.parameters()[0].data = 100.0  # it is a copy
    again = model.predict(X) if y is NUMBERS else model.decision_function(X)
    assert (outputs == again).all()


# ---- What is compiled is shared ----------------------------------------------------------------


NETWORKS = microgradlike.sklearn._kept


def test_a_grid_search_compiles_each_shape_once_and_processes_find_the_same() -> None:
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**QUICK))
    grid = {
        "mlpclassifier__alpha": [1e-4, 10.0],
        "mlpclassifier__hidden_layer_sizes": [(7,), (7, 3)],
    }
    NETWORKS.clear()
    alone = GridSearchCV(pipeline, grid, cv=3).fit(X, THIRDS)
    assert {sizes for sizes, *_ in NETWORKS} == {(3, 7, 3), (3, 7, 3, 3)}
    first = list(NETWORKS.values())
    with joblib.parallel_backend("loky"):
        both = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, THIRDS)
    assert set(map(id, NETWORKS.values())) == set(map(id, first))
    key = "mean_test_score"
    assert alone.cv_results_[key].tolist() == both.cv_results_[key].tolist()
    assert apart(alone.best_estimator_[-1], both.best_estimator_[-1]) == 0


def test_what_was_not_used_for_longest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    NETWORKS.clear()
    monkeypatch.setattr(microgradlike.sklearn, "KEPT", 70)
    models = [fitted(hidden_layer_sizes=[size]) for size in (5, 6)]  # of 26 and 31 parameters
    assert len(NETWORKS) == 2
    models[0].predict(X)
    fitted(hidden_layer_sizes=[7])  # 36
    assert [sizes for sizes, *_ in NETWORKS] == [(3, 5, 1), (3, 7, 1)]
    fitted(hidden_layer_sizes=[99])
    assert len(NETWORKS) == 1
    assert (models[1].predict(X) == fitted(hidden_layer_sizes=[6]).predict(X)).all()


def test_threads_that_share_a_network_find_the_same() -> None:
    models = [MLPRegressor(**QUICK | {"random_state": k, "max_iter": 20}) for k in range(4)]
    alone = [clone(model).fit(X, NUMBERS) for model in models]
    NETWORKS.clear()
    both = joblib.Parallel(n_jobs=4, prefer="threads")(
        joblib.delayed(model.fit)(X, NUMBERS) for model in models
    )
    assert [apart(*pair) for pair in zip(alone, both, strict=True)] == [0] * 4


# ---- Labels, weights, frames -------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["no", "yes"],
        [False, True],
        [-5, 100],
        [2.0, 2.5e9],
        numpy.array(["x", "longer"], object),
        ["c", "a", "b"],
        [300, -1, 7],
    ],
)
def test_labels_of_any_type(names: Any) -> None:
    names = numpy.array(names)
    places = (SIDES, THIRDS)[len(names) - 2]
    if names.dtype == float:
        names = names.round()  # others are no classes
    model = MLPClassifier([8], solver="lbfgs", alpha=1.0, random_state=0).fit(X, names[places])
    assert model.classes_.tolist() == sorted(names.tolist())
    assert model.predict(X).dtype.kind == names.dtype.kind or names.dtype == object
    assert model.score(X, names[places]) > 0.9
    likely = model.predict_proba(X).argmax(axis=1)
    assert (model.classes_[likely] == model.predict(X)).all()
    numpy.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)


def test_what_a_decision_is_made_of() -> None:
    two = MLPClassifier(**QUICK).fit(X, SIDES)
    scores = two.decision_function(X)
    assert scores.shape == (60,)
    assert (two.predict(X) == (scores > 0)).all()
    numpy.testing.assert_allclose(two.predict_proba(X)[:, 1], 1 / (1 + numpy.exp(-scores)))
    assert MLPClassifier(**QUICK).fit(X, THIRDS).decision_function(X).shape == (60, 3)
    many = MLPClassifier(**QUICK).fit(X, LABELS)
    assert (many.predict(X) == (many.decision_function(X) > 0)).all()
    numpy.testing.assert_allclose(numpy.exp(many.predict_log_proba(X)), many.predict_proba(X))


def test_logarithms_of_probabilities_that_are_too_small_for_a_float() -> None:
    model = MLPClassifier([], random_state=0).fit(X, SIDES)
    model.coefs_ = [1e4 * coef for coef in model.coefs_]
    assert model.predict_proba(X).min() == 0.0
    assert numpy.isfinite(model.predict_log_proba(X)).all()
    assert model.predict_log_proba(X).min() < -745


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_a_weight_of_three_is_the_row_three_times(estimator: Any) -> None:
    y = THIRDS if estimator is MLPClassifier else NUMBERS
    weights = DRAW.integers(0, 4, size=60)
    options = {"hidden_layer_sizes": [5], "solver": "lbfgs", "max_iter": 8, "random_state": 0}
    weighted = estimator(**options).fit(X, y, sample_weight=weights)
    repeated = estimator(**options).fit(numpy.repeat(X, weights, 0), numpy.repeat(y, weights))
    assert apart(weighted, repeated) < 1e-8
    # A row of weight 0 is in no batch, whatever the batches are.
    some = weights > 0
    left_out = estimator(**QUICK).fit(X, y, sample_weight=some)
    assert apart(left_out, estimator(**QUICK).fit(X[some], y[some])) == 0


def test_frames_have_names() -> None:
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    y = pandas.Series(numpy.array(["no", "yes"])[SIDES], dtype="category")
    model = MLPClassifier(**QUICK).fit(frame, y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.n_features_in_ == 3
    assert set(model.predict(frame)) <= {"no", "yes"}
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])


def test_several_numbers_for_each_row() -> None:
    both = numpy.column_stack([NUMBERS, X[:, 0] ** 2])
    model = MLPRegressor([20], activation="tanh", solver="lbfgs", random_state=0, max_iter=500)
    assert model.fit(X, both).predict(X).shape == (60, 2)
    assert model.score(X, both) > 0.99
    with pytest.warns(DataConversionWarning):
        assert MLPRegressor(**QUICK).fit(X, NUMBERS[:, None]).predict(X).shape == (60,)


def test_outliers_pull_less_at_an_absolute_error() -> None:
    y = NUMBERS.copy()
    y[:3] += 1000.0
    found = {}
    for loss in REGRESSION:
        model = MLPRegressor(
            [], loss=loss, learning_rate_init=0.05, max_iter=1000, random_state=0, alpha=0.0
        ).fit(X, y)
        answers: Any = model.predict(X)
        found[loss] = numpy.abs(answers - NUMBERS)[3:].max()
    assert found["squared_error"] > 20
    assert max(found["absolute_error"], found["huber"]) < 1


# ---- Going on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fits_are_the_epochs_of_a_fit(solver: str) -> None:
    options = QUICK | {"solver": solver, "max_iter": 4, "shuffle": False, "momentum": 0.7}
    whole = MLPClassifier(**options).fit(X, THIRDS)
    model = MLPClassifier(**options)
    for _ in range(2):
        model.partial_fit(X, THIRDS, classes=[0, 1, 2])
    copies = [model, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for each in copies:
        for _ in range(2):
            each.partial_fit(X, THIRDS)
        assert apart(each, whole) == 0
        assert each.loss_curve_ == whole.loss_curve_
        assert each.t_ == whole.t_ == 240


def test_partial_fit_learns_classes_that_come_later() -> None:
    model = MLPClassifier([20], learning_rate_init=0.02, random_state=0)
    for _ in range(60):
        for label in ("low", "middle", "high"):
            some = numpy.array(["low", "middle", "high"])[THIRDS] == label
            model.partial_fit(
                X[some], numpy.full(some.sum(), label), classes=["high", "low", "middle"]
            )
    assert model.score(X, numpy.array(["low", "middle", "high"])[THIRDS]) > 0.9
    assert MLPRegressor(**QUICK).partial_fit(X, NUMBERS).partial_fit(X, NUMBERS).t_ == 120


def test_a_pickle_is_small_and_predicts_the_same() -> None:
    model = MLPClassifier([100], max_iter=2, random_state=0).fit(X, SIDES)
    content = pickle.dumps(model)
    assert len(content) < 60_000  # no Values, no program
    assert (pickle.loads(content).predict_proba(X) == model.predict_proba(X)).all()


def test_warm_start_goes_on_and_plain_fits_start_anew() -> None:
    model = MLPRegressor(**QUICK, warm_start=True).fit(X, NUMBERS)
    first = model.loss_curve_[-1]
    assert model.fit(X, NUMBERS).loss_curve_[-1] < first
    assert len(model.loss_curve_) == 4
    model.set_params(solver="lbfgs", max_iter=20).fit(X, NUMBERS)
    model.set_params(solver="sgd", early_stopping=True).fit(X, NUMBERS)
    assert len(model.validation_scores_) == model.n_iter_
    again = MLPRegressor(**QUICK).fit(X, NUMBERS)
    assert apart(again.fit(X, NUMBERS), MLPRegressor(**QUICK).fit(X, NUMBERS)) == 0
    with pytest.raises(ValueError, match=r"layers of \(3, 5, 1\) with relu, but layers of \(3, 6,"):
        model.set_params(hidden_layer_sizes=[6]).fit(X, NUMBERS)


def test_weights_belong_to_the_activation_that_they_were_fitted_with() -> None:
    model = fitted(warm_start=True)
    before = model.predict_proba(X)
    model.set_params(activation="tanh")
    assert (model.predict_proba(X) == before).all()
    with pytest.raises(ValueError, match=r"with relu, but layers of .* with tanh are wanted"):
        model.fit(X, SIDES)


def test_the_training_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    model = MLPRegressor(**QUICK, verbose=True, early_stopping=True).fit(X, NUMBERS)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"Iteration 1, loss = {model.loss_curve_[0]:.8f}"
    assert told[1].startswith("Validation score: ")
    MLPRegressor(**QUICK, verbose=True, tol=10.0, n_iter_no_change=1).set_params(
        max_iter=9, solver="sgd", learning_rate="adaptive", learning_rate_init=4e-6
    ).fit(X, NUMBERS)
    *_, over = capsys.readouterr().out.splitlines()
    assert over == (
        "Training loss did not improve more than tol=10.000000 for 1 consecutive epochs. Stopping."
    )
    model = MLPRegressor(**QUICK | {"solver": "lbfgs", "max_iter": 4}, verbose=1).fit(X, NUMBERS)
    assert capsys.readouterr().out.count("Iteration") == len(model.loss_curve_) == model.n_iter_


def test_warnings_are_at_the_line_that_called_fit() -> None:
    for model, wanted in (
        (MLPClassifier(**QUICK), "Maximum iterations (2) reached"),
        (MLPClassifier(**QUICK | {"batch_size": 99}), "batch_size=99 is more than there are rows"),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, SIDES)
        assert wanted in str(caught[0].message)
        assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        MLPClassifier(solver="lbfgs", max_iter=2).fit(X, SIDES)


def test_an_interrupt_keeps_whole_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = Network.loss, iter(range(100))

    def interrupted(*given: Any) -> Any:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return real(*given)

    MLPClassifier(**QUICK).fit(X, SIDES)
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="interrupted by user"):
        patch.setattr(Network, "loss", interrupted)
        model = MLPClassifier(**QUICK).fit(X, SIDES)
    assert model.n_iter_ == 1
    assert apart(model, MLPClassifier(**QUICK | {"max_iter": 1}).fit(X, SIDES)) == 0


# ---- Bad input ---------------------------------------------------------------------------------


def fitted(**options: Any) -> Any:
    return MLPClassifier(**QUICK | options).fit(X, SIDES)


def begun(y: Any = SIDES, **options: Any) -> Any:
    return MLPClassifier(**QUICK | options).partial_fit(X, y, classes=numpy.unique(y))


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (
            lambda: MLPClassifier().fit(scipy.sparse.csr_matrix(X), SIDES),
            *(TypeError, "Sparse data was passed for X, but dense data is required"),
        ),
        (
            lambda: MLPClassifier().fit(X, scipy.sparse.csr_matrix(LABELS)),
            *(TypeError, "Sparse data was passed for y, but dense data is required"),
        ),
        (
            lambda: MLPRegressor().fit(X, numpy.array(["low", "high"])[SIDES]),
            *(ValueError, r"y holds the numbers that are .* got .*'high'.*; MLPClassifier tells"),
        ),
        (
            lambda: MLPRegressor().fit(X, numpy.array([1.0, "x"], object)[SIDES]),
            *(ValueError, "numbers that are to be predicted, but got 'x'"),
        ),
        (
            lambda: MLPRegressor().fit(X, pandas.date_range("2020", periods=60)),
            *(ValueError, r"numbers that are to be predicted, but got .*datetime64\('2020-01-01"),
        ),
        (
            lambda: MLPClassifier().fit(X, numpy.full(60, "a")),
            *(ValueError, "tells classes apart, but there is only one class, 'a'; give examples"),
        ),
        (
            lambda: MLPClassifier().partial_fit(X, 0 * SIDES, classes=[0]),
            *(ValueError, "there is only one class, 0; give examples of two at least"),
        ),
        (
            lambda: begun().partial_fit(X, SIDES + 1),
            *(ValueError, r"y has \[2\], but the classes are \[0, 1\]; name all of them"),
        ),
        (
            lambda: begun().partial_fit(X, SIDES.astype(str)),
            *(ValueError, r"y has \['0', '1'\], but the classes are \[0, 1\]"),
        ),
        (
            lambda: begun(LABELS[:, :2]).partial_fit(X, SIDES),
            *(ValueError, "y has one label for each row, or several, as when the training began"),
        ),
        (
            lambda: fitted(warm_start=True).fit(X, THIRDS),
            *(ValueError, r"y has \[2\], but the classes are \[0, 1\]"),
        ),
        (
            lambda: MLPClassifier().partial_fit(X, SIDES),
            *(ValueError, "classes must be passed on the first call to partial_fit"),
        ),
        (
            lambda: MLPClassifier(solver="lbfgs").partial_fit,
            *(AttributeError, "has no attribute 'partial_fit'"),
        ),
        (
            lambda: begun(early_stopping=True),
            *(ValueError, "it does not support early_stopping=True; use fit"),
        ),
        (
            lambda: MLPClassifier().fit(X, LABELS * 3),
            *(ValueError, "y has 3 columns, so each holds 0 or 1"),
        ),
        (lambda: MLPClassifier().fit(X, NUMBERS), ValueError, "Unknown label type: continuous"),
        (
            lambda: MLPRegressor().fit(numpy.where(X > 2, numpy.nan, X), NUMBERS),
            *(ValueError, "Input X contains NaN"),
        ),
        (
            lambda: MLPRegressor().fit(X, numpy.where(X[:, 0] > 1, numpy.inf, NUMBERS)),
            *(ValueError, "Input y contains infinity"),
        ),
        (
            lambda: fitted().predict(X[:, :2]),
            *(ValueError, "X has 2 features, but MLPClassifier is expecting 3 features"),
        ),
        (
            lambda: fitted(activation="foo"),
            *(ValueError, "The 'activation' parameter of MLPClassifier must be a str among"),
        ),
        (lambda: fitted(momentum=1.0), ValueError, "'momentum' .* in the range"),
        (
            lambda: MLPRegressor(loss="poisson").fit(X, NUMBERS),
            *(ValueError, "The 'loss' parameter of MLPRegressor must be a str among"),
        ),
        (
            lambda: fitted(hidden_layer_sizes=[5, 0]),
            *(ValueError, "the number of inputs and neurons of an MLP is at least 1, but got 0"),
        ),
        (
            lambda: fitted(hidden_layer_sizes=[5.5]),
            *(TypeError, r"the number of inputs and neurons of an MLP is an int, but got 5\.5"),
        ),
        (
            lambda: fitted(hidden_layer_sizes=[[5, 4], 6]),
            *(ValueError, r"a number of neurons for each hidden layer, such as \(100, 50\)"),
        ),
        (
            lambda: fitted(hidden_layer_sizes=[[5], [6]]),
            *(ValueError, r"a number of neurons for each hidden layer, such as \(100, 50\)"),
        ),
        (
            lambda: MLPClassifier().fit(X, SIDES, sample_weight=numpy.full(60, 1e308)),
            *(ValueError, "the sample weights add up to inf, by which they cannot be divided"),
        ),
        (
            lambda: MLPClassifier().fit(X, SIDES, sample_weight=-numpy.ones(60)),
            *(ValueError, "Negative values in data passed to `sample_weight`"),
        ),
        (
            lambda: MLPRegressor().fit(1e200 * X, NUMBERS),
            *(ValueError, "the training diverged in epoch 1; scale X and y, as StandardScaler"),
        ),
        (
            lambda: MLPRegressor(solver="lbfgs").fit(1e200 * X, NUMBERS),
            *(ValueError, "the training diverged in iteration 1; scale X and y, .* does$"),
        ),
        (
            lambda: MLPRegressor(solver="sgd", learning_rate_init=1e10).fit(X, NUMBERS),
            *(ValueError, "the training diverged in epoch .*; scale X and y"),
        ),
        (
            lambda: fitted(early_stopping=True, validation_fraction=0.01),
            *(ValueError, "The test_size = 1 should be greater or equal to the number of classes"),
        ),
        (lambda: MLPClassifier().predict(X), NotFittedError, "is not fitted yet"),
    ],
)
def test_what_is_wrong_is_told(call: Callable[[], object], kind: Any, told: str) -> None:
    with pytest.raises(kind, match=told):
        call()


def test_a_fit_that_fails_leaves_nothing_that_looks_fitted() -> None:
    model = fitted()
    with pytest.raises(ValueError, match="only one class"):
        model.fit(X, numpy.full(60, "a"))
    with pytest.raises(NotFittedError):
        model.predict(X)
    # What goes on keeps what it had.
    model = begun()
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="the classes are"):
        model.partial_fit(X, SIDES + 1)
    assert (model.predict_proba(X) == before).all()


@pytest.fixture
def without_sklearn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "microgradlike.sklearn")
    yield


def test_without_scikit_learn_the_extra_is_named(without_sklearn: None) -> None:
    with pytest.raises(ImportError, match=r'pip install "microgradlike\[sklearn\]"'):
        importlib.import_module("microgradlike.sklearn")


def test_the_package_itself_does_not_load_scikit_learn() -> None:
    code = "import sys, microgradlike; print([m for m in sys.modules if m.startswith('sklearn')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
