"""scikit-learn estimators: networks of this package, fitted, piped and searched like any other.

The parameters are those of ``sklearn.neural_network``, with the same meaning; a ``random_state``
gives the same first weights and the same batches. The gradients are the engine's: a network and its
loss are compiled once in a process, and all estimators of that shape share them.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import numpy
import numpy.typing

from microgradlike import functions as f
from microgradlike import losses, nn, optim
from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.engine import Value
from microgradlike.replay.compiled import Compiled

try:
    import scipy.optimize
    import scipy.sparse
    import scipy.special
    import sklearn
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier as Theirs
    from sklearn.utils import check_random_state
    from sklearn.utils._param_validation import Interval, StrOptions
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import (
        _check_partial_fit_first_call,
        check_classification_targets,
        unique_labels,
    )
    from sklearn.utils.optimize import _check_optimize_result
    from sklearn.utils.validation import (
        _check_sample_weight,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )
except ImportError as error:
    raise ImportError(
        "microgradlike.sklearn needs scikit-learn 1.6 or newer: "
        'pip install "microgradlike[sklearn]"'
    ) from error

if TYPE_CHECKING:
    from sklearn.utils import Tags

__all__ = ["MLPClassifier", "MLPRegressor"]

ArrayLike: TypeAlias = "numpy.typing.ArrayLike"
#: An array, nested lists, or a DataFrame.
Data: TypeAlias = object
#: Targets, or class labels of any type.
Labels: TypeAlias = "numpy.typing.NDArray[numpy.generic]"
#: The loss of one example, of the outputs of a network and the targets.
Loss: TypeAlias = Callable[[list[Value], list[Value]], Value]
Self = TypeVar("Self", bound="_Perceptron")


# ---- A network and its loss, compiled ----------------------------------------------------------

#: What scikit-learn calls an activation, and the name of that function here.
ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"} | {
    name: name for name in ("elu", "gelu", "leaky_relu", "relu", "silu", "softplus", "tanh")
}


def _summed(
    loss: Callable[[object, object], Value], outputs: list[Value], targets: list[Value]
) -> Value:
    """A loss that is the mean over the outputs, as their sum."""
    return len(outputs) * loss(outputs, targets)


def _half_squares(outputs: list[Value], targets: list[Value]) -> Value:
    return _summed(losses.mse, outputs, targets) / 2


# ``losses`` asks at each call whether targets can be those of classes, and here they are.


def _right_class(outputs: list[Value], targets: list[Value]) -> Value:
    """``losses.cross_entropy`` of targets that are 1 for the right class and 0 for the others."""
    found: Value = f.logsumexp(outputs) - f.dot(targets, outputs)
    return found


def _right_sides(outputs: list[Value], targets: list[Value]) -> Value:
    """``losses.binary_cross_entropy``, of targets 0 and 1, as the sum over the outputs."""
    pairs = zip(outputs, targets, strict=True)
    found: Value = f.sum([t * f.softplus(-z) + (1 - t) * f.softplus(z) for z, t in pairs])
    return found


#: What a regressor can make small, and a classifier, as scikit-learn names it.
REGRESSION: dict[str, Loss] = {
    "squared_error": _half_squares,
    "absolute_error": functools.partial(_summed, losses.mae),
    "huber": functools.partial(_summed, losses.huber),
}
CLASSIFICATION: dict[str, Loss] = {
    "log_loss": _right_class,
    "binary_log_loss": _right_sides,
}

#: The activation of the outputs, which is a part of the loss; the others have none.
OUT_ACTIVATIONS = {"log_loss": "softmax", "binary_log_loss": "logistic"}


class _Rows(NamedTuple):
    """Examples: inputs, what the loss is told of each, weights; and ``y`` as it was given."""

    X: Floats
    targets: Floats
    weights: Floats
    y: Labels

    def take(self, places: Ints) -> _Rows:
        X, targets, weights, y = self
        return _Rows(X[places], targets[places], weights[places], y[places])


def _model(sizes: Sequence[int], activation: str) -> tuple[nn.MLP, list[Value]]:
    """A network, and its parameters in the order of ``theta``.

    That is the order in which a compiled program reads them: of layer after layer the weights,
    neuron by neuron, and then the biases.
    """
    inputs, *layers = sizes
    hidden = [ACTIVATIONS[activation]] * (len(layers) - 1)
    model, parameters = nn.MLP(inputs, layers, activation=[*hidden, "linear"], seed=0), []
    for layer in model.layers:
        parameters += [w for neuron in layer.neurons for w in neuron.w]
        parameters += [neuron.b for neuron in layer.neurons]
    return model, parameters


class Network:
    """A network of a shape and its loss, compiled, for any numbers of its parameters.

    It is one program: of each row the loss, and then the outputs.

    Args:
        sizes: the number of inputs, and of neurons in each layer.
        activation: of the hidden layers, one of ``ACTIVATIONS``; the outputs have none.
        loss: one of ``REGRESSION`` or ``CLASSIFICATION``.
    """

    def __init__(self, sizes: tuple[int, ...], activation: str, loss: str) -> None:
        model, self.parameters = _model(sizes, activation)
        error_of = (REGRESSION | CLASSIFICATION)[loss]

        def row(x: list[Value], targets: list[Value], weight: Value) -> list[Value]:
            out = model(x)
            outputs = out if isinstance(out, list) else [out]
            return [weight * error_of(outputs, targets), *outputs]

        ones = [(numpy.ones((a, b)), numpy.zeros(b)) for a, b in itertools.pairwise(sizes)]
        self._decays, self._outputs = _packed(*zip(*ones, strict=True)), sizes[-1]
        self._row = Compiled(row, sending=1, check=False, parameters=self.parameters)
        # Whoever gets it finds it traced: threads that share it have nothing left to make.
        X = numpy.linspace(-1.0, 1.0, 2 * sizes[0]).reshape(2, -1)
        theta = numpy.linspace(-1.0, 1.0, len(self.parameters))
        self.loss(theta, _Rows(X, numpy.eye(2, self._outputs), numpy.ones(2), X), 0)

    def loss(self, theta: Floats, rows: _Rows, alpha: float) -> tuple[float, Floats]:
        """What is made small, and its gradient.

        Args:
            theta: the parameters.
            rows: the examples.
            alpha: half of it times the squares of all weights is added to the loss of the rows.

        Returns:
            The mean over the rows by their weights; and the gradient, of the shape of ``theta``.
        """
        count, total = len(rows.X), rows.weights.sum()
        columns = rows.X, rows.targets, rows.weights * (count / total)
        results, gradient = self._row.run(theta, columns, [1 / count])
        decay = self._decays * theta  # as the weight_decay of an optimiser
        decay *= alpha / total
        gradient += decay
        return float(results[:, 0].mean() + decay @ theta / 2), gradient

    def outputs(self, theta: Floats, X: Floats) -> Floats:
        """The outputs of all rows, shape (rows, outputs)."""
        columns = X, numpy.zeros((len(X), self._outputs)), numpy.zeros(len(X))
        return self._row.run(theta, columns)[0][:, 1:]


#: What weights add up to, at least: what is divided by less may be infinite.
LEAST = 1e-300

#: The networks of a process, the one that was used last at the end. They stay compiled as long as
#: they have so many parameters together; each takes about 800 bytes.
KEPT = 250_000
_kept: dict[tuple[tuple[int, ...], str, str], Network] = {}
_compiling = threading.Lock()


def _network(sizes: tuple[int, ...], activation: str, loss: str) -> Network:
    """One that was compiled before, if there is one."""
    key = sizes, activation, loss
    with _compiling:
        network = _kept.pop(key, None) or Network(*key)
        _kept[key] = network
        while len(_kept) > 1 and sum(len(each.parameters) for each in _kept.values()) > KEPT:
            del _kept[next(iter(_kept))]
    return network


def _packed(coefs: Sequence[Floats], intercepts: Sequence[Floats]) -> Floats:
    """``theta`` of a network with these weights, of shape (inputs, neurons), and biases."""
    layers = zip([coef.T.ravel() for coef in coefs], intercepts, strict=True)
    return numpy.concatenate([part for layer in layers for part in layer])


def _unpacked(theta: Floats, sizes: Sequence[int]) -> tuple[list[Floats], list[Floats]]:
    coefs, intercepts, rest = [], [], theta
    for inputs, neurons in itertools.pairwise(sizes):
        weights, biases, rest = numpy.split(rest, [inputs * neurons, (inputs + 1) * neurons])
        coefs.append(weights.reshape(neurons, inputs).T.copy())
        intercepts.append(biases.copy())
    return coefs, intercepts


# ---- The training ------------------------------------------------------------------------------


class _Training(BaseEstimator):  # type: ignore[misc]
    """All parameters of an estimator, and how its network is trained."""

    _parameter_constraints = Theirs._parameter_constraints | {
        "activation": [StrOptions(set(ACTIVATIONS))],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | numpy.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun

    n_iter_: int
    t_: int
    loss_: float
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    coefs_: list[Floats]
    intercepts_: list[Floats]
    _activation: str
    _optimizer: optim.Optimizer | dict[str, object] | None

    # ---- What a subclass knows ----

    def _loss_name(self) -> str:
        raise NotImplementedError

    def _answers(self, outputs: Floats) -> Labels:
        """What is predicted, from the outputs of the network."""
        raise NotImplementedError

    def _right(self, rows: _Rows, answers: Labels) -> float:
        """How right answers are: 1 if all are."""
        raise NotImplementedError

    # ---- Solvers ----

    def _begin(self, sizes: Sequence[int]) -> Floats:
        """Nothing is learned so far: random weights, drawn as scikit-learn does.

        Source: Glorot and Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural
        Networks", 2010.
        """
        self.n_layers_, self.n_outputs_ = len(sizes), sizes[-1]
        self.out_activation_ = OUT_ACTIVATIONS.get(self._loss_name(), "identity")
        self.n_iter_, self.t_ = 0, 0
        self.loss_curve_ = []
        self.validation_scores_ = self.best_loss_ = self.best_validation_score_ = None
        self._optimizer = None
        coefs, intercepts = [], []
        for inputs, neurons in itertools.pairwise(sizes):
            bound = numpy.sqrt((2 if self.activation == "logistic" else 6) / (inputs + neurons))
            coefs.append(self._random_state.uniform(-bound, bound, (inputs, neurons)))
            intercepts.append(self._random_state.uniform(-bound, bound, neurons))
        return _packed(coefs, intercepts)

    def _descend(self, network: Network, theta: Floats, rows: _Rows) -> Floats:
        """L-BFGS, on all rows at once."""
        last = 0.0

        def cost(theta: Floats) -> tuple[float, Floats]:
            nonlocal last
            last, gradient = network.loss(theta, rows, self.alpha)
            return last, gradient

        self.n_iter_ = 0
        found = scipy.optimize.minimize(
            *(cost, theta),
            jac=True,
            method="L-BFGS-B",
            callback=lambda _: self._note(last),
            options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol},
        )
        self.n_iter_ = _check_optimize_result("lbfgs", found, self.max_iter)
        best: Floats = found.x
        self.loss_ = self.best_loss_ = float(found.fun)
        if not numpy.isfinite([self.loss_, *best]).all():
            raise FloatingPointError("it leads to NaN or infinity")
        return best

    def _train(self, network: Network, theta: Floats, rows: _Rows, incremental: bool) -> Floats:
        """Epochs of batches, until none is better than those before."""
        optimizer = self._stepping(network, incremental)
        if not incremental or self.best_loss_ is None:
            self._best, self._unimproved = -math.inf, 0
        measured = None
        if self.early_stopping:
            rows, measured = self._set_aside(rows)
        count = len(rows.X)
        wanted = 200 if self.batch_size == "auto" else int(self.batch_size)
        if self.batch_size != "auto" and wanted > count:
            warn(f"batch_size={wanted} is more than there are rows; all {count} are one batch")
        size = min(wanted, count)
        best, order = theta, numpy.arange(count)
        self.n_iter_ = 0
        try:
            while self.n_iter_ < (1 if incremental else self.max_iter):
                if self.shuffle:
                    order = order[self._random_state.permutation(count)]
                theta = self._epoch(network, optimizer, theta, rows, order, size)
                if self._is_better(network, theta, measured) or measured is None:
                    best = theta
                if self._ends(optimizer):
                    return best
        except KeyboardInterrupt:
            warn("Training interrupted by user.")
            return best
        if not incremental:
            warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
            )
        return best

    def _stepping(self, network: Network, incremental: bool) -> optim.Optimizer:
        """The optimiser: a new one, or in ``partial_fit`` that of the last call."""
        kept = self._optimizer if incremental else None
        if isinstance(kept, optim.Optimizer):
            return kept
        made: optim.Optimizer
        if self.solver == "sgd":
            made = optim.SGD(
                *(network.parameters, self.learning_rate_init),
                momentum=self.momentum,
                nesterov=self.nesterovs_momentum and self.momentum > 0,
            )
        else:
            made = optim.Adam(
                *(network.parameters, self.learning_rate_init),
                betas=(self.beta_1, self.beta_2),
                eps=self.epsilon,
            )
        if kept is not None:  # a state, from a pickle
            made.load_state_dict(kept)
        self._optimizer = made
        return made

    def _set_aside(self, rows: _Rows) -> tuple[_Rows, _Rows]:
        """Rows to learn from, and rows to measure by; classes have the same shares in both."""
        learned, measured = train_test_split(
            numpy.arange(len(rows.X)),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=rows.y if rows.y.ndim == 1 and isinstance(self, ClassifierMixin) else None,
        )
        if len(measured) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        return rows.take(learned), rows.take(measured)

    def _epoch(
        self, network: Network, optimizer: optim.Optimizer, theta: Floats, rows: _Rows,
        order: Ints, size: int,
    ) -> Floats:  # fmt: skip
        """All rows once, in this order, with a step for each batch."""
        count, total = len(order), 0.0
        for start in range(0, count, size):
            some = rows.take(order[start : start + size])
            loss, gradient = network.loss(theta, some, self.alpha)
            theta = optimizer.next_theta(theta, gradient)
            total += loss * len(some.X)
        self.t_ += count
        self._note(total / count)
        return theta

    def _note(self, loss: float) -> None:
        """An epoch is over, or an iteration."""
        self.n_iter_ += 1
        self.loss_ = loss
        self.loss_curve_.append(loss)
        self._say(f"Iteration {self.n_iter_}, loss = {loss:.8f}")

    def _is_better(self, network: Network, theta: Floats, measured: _Rows | None) -> bool:
        """Whether these parameters are better than all before; counts the epochs that are not."""
        before = self._best
        if measured is None:
            now = -self.loss_
            self._best = max(before, now)
            self.best_loss_ = -self._best
        else:
            now = self._right(measured, self._answers(network.outputs(theta, measured.X)))
            self._best = max(before, now)
            self.best_validation_score_ = self._best
            self.validation_scores_ = [*(self.validation_scores_ or ()), now]
            self._say(f"Validation score: {now:f}")
        self._unimproved = self._unimproved + 1 if now < before + self.tol else 0
        return now > before

    def _ends(self, optimizer: optim.Optimizer) -> bool:
        """Whether the training is over; else the next epoch has its learning rate."""
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            _change_rate(optimizer, self.learning_rate_init / (self.t_ + 1) ** self.power_t)
        if self._unimproved <= self.n_iter_no_change:
            return False
        what = "Validation score" if self.early_stopping else "Training loss"
        told = (
            f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} "
            "consecutive epochs."
        )
        if self.solver == "sgd" and self.learning_rate == "adaptive" and optimizer.lr > 1e-6:
            self._unimproved = 0
            _change_rate(optimizer, optimizer.lr / 5)
            self._say(f"{told} Setting learning rate to {optimizer.lr:f}")
            return False
        self._say(f"{told} Stopping.")
        return True

    def _say(self, told: str) -> None:
        if self.verbose:
            print(told)


def warn(told: str, kind: type[Warning] = UserWarning) -> None:
    """A warning at the line that called ``fit``."""
    warnings.warn(told, kind, stacklevel=5)


# ---- What both estimators share ----------------------------------------------------------------


def _takes_batches(estimator: _Perceptron) -> bool:
    if estimator.solver == "lbfgs":
        raise AttributeError(
            'partial_fit takes a step for each batch, and solver="lbfgs" has none; '
            'use "adam" or "sgd"'
        )
    return True


def _change_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Give an optimiser another learning rate. In scikit-learn's momentum are steps, each of the
    rate that it was taken with; in ours are gradients, so the older ones are weighted anew."""
    if isinstance(optimizer, optim.SGD) and optimizer.velocity is not None:
        optimizer.velocity = optimizer.velocity * (optimizer.lr / rate)
    optimizer.lr = rate


class _Perceptron(_Training):
    """A multi-layer perceptron; its subclasses know what it is to learn."""

    def _learned(self, y: Labels, is_new: bool) -> tuple[Floats, int]:
        """What the loss is told of each row, shape (rows, targets); and how many outputs it takes.

        Args:
            y: checked, of one or two dimensions.
            is_new: whether nothing is known of the targets so far.
        """
        raise NotImplementedError

    # ---- Fitting ----

    def fit(self: Self, X: Data, y: Data, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from examples, from new weights on; with ``warm_start``, from those that it has.

        Args:
            X: the inputs, shape (rows, features): an array or a DataFrame.
            y: what is to be predicted, an entry for each row.
            sample_weight: how much each row counts, from 0 up; by default all the same.

        Returns:
            Itself.

        Raises:
            ValueError: a parameter is out of range, nothing can be learned from the data, or the
                training diverges.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(
        self: Self, X: Data, y: Data, sample_weight: ArrayLike | None, incremental: bool
    ) -> Self:
        self._validate_params()
        if incremental and self.early_stopping:
            raise ValueError(
                "partial_fit takes all rows to learn from, so it does not support "
                "early_stopping=True; use fit"
            )
        is_new = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        if is_new:  # should this fit fail, nothing is left that looks fitted
            self.__dict__.pop("coefs_", None)
        rows, outputs = self._rows(X, y, sample_weight, is_new, incremental)
        sizes = (rows.X.shape[1], *self._hidden(), outputs)
        if is_new:
            self._activation = self.activation
        elif (sizes, self.activation) != (self._sizes(), self._activation):
            raise ValueError(
                f"the weights that there are make layers of {self._sizes()} with "
                f"{self._activation}, but layers of {sizes} with {self.activation} are wanted; "
                "start anew with fit and warm_start=False"
            )
        network = _network(sizes, self._activation, self._loss_name())
        self._random_state = check_random_state(self.random_state)
        theta = self._begin(sizes) if is_new else _packed(self.coefs_, self.intercepts_)
        try:
            # In each epoch a score would check its parameters: those of here are known to be right.
            with sklearn.config_context(skip_parameter_validation=True):
                if self.solver == "lbfgs":
                    theta = self._descend(network, theta, rows)
                else:
                    theta = self._train(network, theta, rows, incremental)
        except FloatingPointError as error:
            of_all = self.solver == "lbfgs"
            raise ValueError(
                f"the training diverged in {'iteration' if of_all else 'epoch'} "
                f"{self.n_iter_ + 1}; scale X and y, as StandardScaler does"
                f"{'' if of_all else ', or lower learning_rate_init'}"
            ) from error
        self.coefs_, self.intercepts_ = _unpacked(theta, sizes)
        return self

    def _rows(
        self, X: Data, y: Data, sample_weight: ArrayLike | None, is_new: bool, incremental: bool
    ) -> tuple[_Rows, int]:
        """The examples, checked, and how many outputs they ask for."""
        if scipy.sparse.issparse(y):
            raise TypeError(
                "Sparse data was passed for y, but dense data is required. Use '.toarray()' to "
                "convert to a dense numpy array."
            )
        inputs, labels = validate_data(
            self, X, y, multi_output=True, dtype=numpy.float64, reset=is_new
        )
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = column_or_1d(labels, warn=True)
        weights = _check_sample_weight(
            sample_weight, inputs, dtype=numpy.float64, ensure_non_negative=True
        )
        targets, outputs = self._learned(labels, is_new and not incremental)
        rows = _Rows(inputs, targets, weights, labels)
        with numpy.errstate(over="ignore"):
            total = weights.sum()
        if not LEAST < total < math.inf:
            raise ValueError(
                f"the sample weights add up to {total}, by which they cannot be divided; give "
                "numbers such as 1.0 and 0.5, and 0 only to what is to be left out"
            )
        if not weights.all():  # what counts nothing is as good as not there
            rows = rows.take(numpy.flatnonzero(weights))
        return rows, outputs

    def _hidden(self) -> list[int]:
        given = numpy.atleast_1d(numpy.array(self.hidden_layer_sizes, object))
        if given.ndim > 1 or any(isinstance(size, Iterable) for size in given):
            raise ValueError(
                "hidden_layer_sizes has a number of neurons for each hidden layer, such as "
                f"(100, 50), but got {self.hidden_layer_sizes}"
            )
        hidden: list[int] = given.tolist()
        return hidden

    # ---- What was fitted ----

    def _sizes(self) -> tuple[int, ...]:
        return (len(self.coefs_[0]), *map(len, self.intercepts_))

    def _outputs(self, X: Data) -> Floats:
        """Of the network, for rows that somebody asks about."""
        check_is_fitted(self)
        inputs = validate_data(self, X, dtype=numpy.float64, reset=False)
        network = _network(self._sizes(), self._activation, self._loss_name())
        return network.outputs(_packed(self.coefs_, self.intercepts_), inputs)

    def predict(self, X: Data) -> Labels:
        """What the network answers.

        Args:
            X: the inputs, shape (rows, features).

        Returns:
            An entry for each row, as ``y`` had.

        Raises:
            ValueError: X has other features than those that it was fitted with, or NaN.
        """
        return self._answers(self._outputs(X))

    def to_mlp(self) -> nn.MLP:
        """The fitted network in Values: to look at, to draw, or to differentiate.

        Returns:
            A model of one example, whose outputs have no activation: they are what
            ``decision_function`` gives, or ``predict`` of a regressor.

        >>> model = MLPRegressor([3], solver="lbfgs", random_state=0).fit([[0], [1]], [0.0, 1.0])
        >>> round(model.to_mlp()([0.0]).data, 3), round(model.to_mlp()([1.0]).data, 3)
        (0.0, 1.0)
        """
        check_is_fitted(self)
        model, parameters = _model(self._sizes(), self._activation)
        theta = _packed(self.coefs_, self.intercepts_).tolist()
        for parameter, number in zip(parameters, theta, strict=True):
            parameter.data = number
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coefs_")

    def __getstate__(self) -> dict[str, object]:
        """A pickle has the numbers of the optimiser, and no network: that is compiled anew."""
        state: dict[str, object] = dict(super().__getstate__())
        if isinstance(optimizer := state.get("_optimizer"), optim.Optimizer):
            state["_optimizer"] = optimizer.state_dict()
        return state


# ---- The estimators ----------------------------------------------------------------------------


class MLPClassifier(ClassifierMixin, _Perceptron):  # type: ignore[misc]
    """A network that tells classes apart, with the parameters of scikit-learn's.

    Args:
        hidden_layer_sizes: how many neurons each hidden layer has.
        activation: of the hidden layers: "relu", "tanh", "logistic", "identity"; also "elu",
            "gelu", "leaky_relu", "silu", "softplus".
        solver: "adam", "sgd", or "lbfgs", which takes all rows at once.
        alpha: half of it times the squares of the weights is added to the loss of all rows.
        batch_size: how many rows there are in a batch; "auto" is 200, or all if they are fewer.
        learning_rate: of "sgd": "constant"; "invscaling", divided by (t + 1)^power_t after t rows;
            "adaptive", divided by 5 where "constant" would stop.
        learning_rate_init: the learning rate of the first step.
        power_t: see ``learning_rate``.
        max_iter: so many epochs at most; iterations, of "lbfgs".
        shuffle: whether each epoch has the rows in another order.
        random_state: of first weights, order and validation rows: an int, or a generator.
        tol: a loss, or a validation score, that is better by less does not count as better.
        verbose: whether each epoch is told.
        warm_start: whether ``fit`` goes on from the weights that there are.
        momentum, nesterovs_momentum: of "sgd"; see ``optim.SGD``.
        early_stopping: whether some rows are set aside to measure by. The training ends, with the
            best weights, when their score does not improve any more; without, when the loss
            does not.
        validation_fraction: how many these are, as a part of all.
        beta_1, beta_2, epsilon: of "adam"; see ``optim.Adam``.
        n_iter_no_change: after more epochs than this that are not better, the training ends.
        max_fun: so many times "lbfgs" may ask for a gradient.

    Attributes:
        classes_: the class labels, sorted.
        coefs_, intercepts_: for each layer the weights, shape (inputs, neurons), and the biases.
        n_iter_, t_: epochs of the last fit, and rows of all.
        loss_, best_loss_, loss_curve_: the mean loss in the last epoch, the best, and each.
        validation_scores_, best_validation_score_: with ``early_stopping``.
        n_features_in_, feature_names_in_: of what it was fitted with.
        n_layers_, n_outputs_, out_activation_: of the network, inputs counted as a layer.

    A label may be of any type; ``y`` may also be a matrix of 0 and 1, with several labels for
    a row.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = MLPClassifier([16], solver="lbfgs", random_state=0, max_iter=1000).fit(X, y)
    >>> model.score(X, y) > 0.97
    True
    """

    def _loss_name(self) -> str:
        is_softmax = not self._has_many and len(self.classes_) > 2
        return "log_loss" if is_softmax else "binary_log_loss"

    def _learned(self, y: Labels, is_new: bool) -> tuple[Floats, int]:
        check_classification_targets(y)
        if y.ndim == 2 and not set(numpy.unique(y).tolist()) <= {0, 1}:
            raise ValueError(
                f"y has {y.shape[1]} columns, so each holds 0 or 1, whether a row has that label; "
                "of a single label give one dimension"
            )
        found = unique_labels(y)
        if is_new:
            self.classes_ = found
        classes = self.classes_.tolist()
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} tells classes apart, but there is only one class, "
                f"{classes[0]!r}; give examples of two at least"
            )
        if unknown := set(found.tolist()) - set(classes):
            raise ValueError(
                f"y has {sorted(unknown, key=str)}, but the classes are {classes}; name all of "
                "them when the training begins"
            )
        if not hasattr(self, "coefs_"):
            self._has_many = y.ndim == 2
        elif self._has_many != (y.ndim == 2):
            raise ValueError(
                "y has one label for each row, or several, as when the training began; start anew "
                "with fit and warm_start=False"
            )
        if self._has_many:
            return y.astype(float), y.shape[1]
        places = numpy.searchsorted(self.classes_, y)
        if len(classes) == 2:
            return places[:, None].astype(float), 1
        return numpy.eye(len(classes))[places], len(classes)

    def _scores(self, outputs: Floats) -> Floats:
        """A score for each class; of two classes the first one has 0."""
        both = numpy.column_stack([numpy.zeros(len(outputs)), outputs])
        return both if outputs.shape[1] == 1 else outputs

    def _answers(self, outputs: Floats) -> Labels:
        if self._has_many:
            return (outputs > 0).astype(int)
        answers: Labels = self.classes_[self._scores(outputs).argmax(axis=1)]
        return answers

    def _right(self, rows: _Rows, answers: Labels) -> float:
        return float(accuracy_score(rows.y, answers, sample_weight=rows.weights))

    @available_if(_takes_batches)  # type: ignore[untyped-decorator]
    def partial_fit(
        self: Self, X: Data, y: Data, *, classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """One epoch more, with these rows; not for "lbfgs".

        Args:
            X, y, sample_weight: as for ``fit``.
            classes: all class labels that there will be; needed in the first call.

        Returns:
            Itself.

        Raises:
            ValueError: as for ``fit``; or y has a class that was not named.

        >>> model = MLPClassifier([8], random_state=0)
        >>> for X, y in ([[[0.0], [1.0]], ["no", "yes"]], [[[2.0]], ["yes"]]):
        ...     model = model.partial_fit(X, y, classes=["no", "yes"])
        >>> model.t_
        3
        """
        _check_partial_fit_first_call(self, classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def decision_function(self, X: Data) -> Floats:
        """The outputs of the network, from which probabilities are made.

        Args:
            X: as for ``predict``.

        Returns:
            Shape (rows, classes), in the order of ``classes_``; of two classes that of the second,
            shape (rows,), which is above 0 where that one is predicted.
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def predict_proba(self, X: Data) -> Floats:
        """The probability of each class.

        Args:
            X: as for ``predict``.

        Returns:
            Shape (rows, classes), in the order of ``classes_``.
        """
        outputs = self._outputs(X)
        if self._has_many:
            each: Floats = scipy.special.expit(outputs)
            return each
        found: Floats = scipy.special.softmax(self._scores(outputs), axis=1)
        return found

    def predict_log_proba(self, X: Data) -> Floats:
        """The logarithm of these probabilities, also of those that are too small for a float.

        Args:
            X: as for ``predict``.

        Returns:
            Shape (rows, classes), in the order of ``classes_``.
        """
        outputs = self._outputs(X)
        if self._has_many:
            each: Floats = scipy.special.log_expit(outputs)
            return each
        found: Floats = scipy.special.log_softmax(self._scores(outputs), axis=1)
        return found

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, _Perceptron):  # type: ignore[misc]
    """A network that predicts numbers, one for each row or several.

    Args:
        loss: "squared_error", which is halved; "absolute_error"; or "huber", which is halved
            squares up to an error of 1 and straight beyond. Outliers pull less at the last two.
            Of several outputs it is the sum.

    The other parameters and the attributes are those of ``MLPClassifier``, but for ``classes_``.
    The validation score is R2.

    >>> import numpy
    >>> X = numpy.linspace(-1, 1, 50)[:, None]
    >>> model = MLPRegressor([16], activation="tanh", solver="lbfgs", random_state=0)
    >>> model.fit(X, X.ravel() ** 2).score(X, X.ravel() ** 2) > 0.99
    True
    """

    _parameter_constraints = _Perceptron._parameter_constraints | {
        "loss": [StrOptions(set(REGRESSION))]
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        loss: str = "squared_error",
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | numpy.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
        )
        self.loss = loss

    def _loss_name(self) -> str:
        return self.loss

    def _learned(self, y: Labels, is_new: bool) -> tuple[Floats, int]:
        try:
            # Texts and moments have numbers, too, but nobody meant them.
            targets = y.astype(float, casting="unsafe" if y.dtype == object else "same_kind")
        except (TypeError, ValueError):
            wrong = next((each for each in y.flat if not isinstance(each, Real)), y.dtype)
            raise ValueError(
                f"y holds the numbers that are to be predicted, but got {wrong!r}; "
                "MLPClassifier tells classes apart"
            ) from None
        return targets.reshape(len(y), -1), targets[0].size

    def _answers(self, outputs: Floats) -> Labels:
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _right(self, rows: _Rows, answers: Labels) -> float:
        return float(r2_score(rows.y, answers, sample_weight=rows.weights))

    @available_if(_takes_batches)  # type: ignore[untyped-decorator]
    def partial_fit(
        self: Self, X: Data, y: Data, *, sample_weight: ArrayLike | None = None
    ) -> Self:
        """One epoch more, with these rows; not for "lbfgs".

        Args:
            X, y, sample_weight: as for ``fit``.

        Returns:
            Itself.

        Raises:
            ValueError: as for ``fit``.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
