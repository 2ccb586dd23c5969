"""Is this a seven? How sure the network is, and which pixels convinced it.

After this stop you can say what the confidence of a network is worth, and how to ask it for its
reasons. A network of 2,410 weights and biases is trained on handwritten digits, saved, and then
only used: a confidence for each picture, the mistakes it is sure of, and the slope of "seven" at
each pixel. It is also shown a cat, for which it has no word.

Run it with ``python -m demos.cat``.
"""

# %%
from __future__ import annotations

import textwrap
import time
from typing import Any, TypeAlias

import numpy
import numpy.typing
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from skimage import color, data, transform
from sklearn.datasets import load_digits

from demos import options
from microgradlike import Value, compile, fit, logsumexp, losses, no_grad, optim, softmax
from microgradlike.nn import MLP
from viz import style

Array: TypeAlias = "numpy.typing.NDArray[numpy.float64]"

demo = options(__doc__)

# %% [markdown]
# ## Why not a cat?
#
# It was tried. Without a download there is one photograph of a cat. A network
# that learned from one side of it, and from other photographs, recognised the fur on the other
# side. But it had learned "brown": of photographs that it never saw, it called up to half of the
# pieces of a coffee table a cat, with more than 90% confidence; and without colour it only
# guessed. One photograph cannot tell cats from brown. Of the digits there are enough pictures.
#
# They are 1,797, of 8 x 8 pixels; 0 is paper and 1 is ink. They lie more or less in the order of
# their 13 writers (see "Sample grouping" in Inria's course on scikit-learn, which also found where
# each hand begins). If they were shuffled, each hand would be in the training and in the test, and
# the test too easy. So the last 510, from where a new hand begins, are put away as the test.

# %%
X, y = load_digits(return_X_y=True)
X = X / 16
CUT = 1287
seen, seen_y, unseen, unseen_y = X[:CUT], y[:CUT], X[CUT:], y[CUT:]


# %% [markdown]
# First the training. The network has ten outputs, one score for each word from "zero" to "nine".
# Cross-entropy is small when the right word gets nearly all of the confidence.


# %%
def network() -> MLP:
    """64 pixels, 32 neurons, 10 scores; with tanh its slopes change smoothly, without jumps."""
    return MLP(64, [32, 10], activation="tanh", seed=demo.seed)


def trained(pictures: Array, labels: Any) -> MLP:
    """A network that has learned these pictures."""
    model = network()
    epochs, batch_size = 40, 32
    steps = epochs * -(-len(pictures) // batch_size)
    fit(
        model,
        pictures,
        labels,
        loss=losses.cross_entropy,
        optimizer=optim.Adam(model.parameters(), lr=optim.cosine(0.01, steps)),
        epochs=epochs,
        batch_size=batch_size,
        seed=demo.seed,
    )
    return model


start = time.perf_counter()
saved = trained(seen, seen_y).save(demo.out / "cat_model.npz")
demo.say(f"Trained on {len(seen)} pictures in {time.perf_counter() - start:.1f} seconds.")
print("wrote", saved)

# %% [markdown]
# Then the use of it: "inference". From here on there is only the file, as on another machine. No
# label is needed to answer, no graph is recorded and no weight changes: one picture at a time
# within `no_grad()`, or compiled for all pictures at once. Softmax turns the ten scores into ten
# positive numbers that add up to 100%; the largest is what the network says, and how sure it is.

# %%
model = network()
model.load(saved)
confidences = compile(lambda pixels: softmax(model(pixels)))
confidences.trace(unseen[:1])  # once, so that the time below is that of the work

start = time.perf_counter()
with no_grad():
    one = [share.data for share in softmax(model(unseen[0]))]
alone = time.perf_counter() - start
start = time.perf_counter()
shares = confidences(unseen)
together = time.perf_counter() - start
assert numpy.allclose(one, shares[0], rtol=1e-9, atol=1e-12), "two ways to the same confidences"
demo.say(
    f"One picture within `no_grad()` takes {alone * 1e3:.1f} ms; compiled, {len(unseen)} pictures "
    f"take {together * 1e3:.1f} ms."
)

said, sure = shares.argmax(axis=1), shares.max(axis=1)
right = said == unseen_y
known = (confidences(seen).argmax(axis=1) == seen_y).mean()
demo.say(
    f"The training accuracy is {known:.1%} of {len(seen)} pictures that it learned from, the test "
    f"accuracy {right.mean():.1%} of {len(unseen)} pictures that it never saw."
)


def percent(share: float) -> str:
    """A confidence; softmax never gives quite 0% or 100%, so neither is said."""
    return "> 99.9%" if share > 0.999 else "< 0.1%" if share < 0.001 else f"{share:.1%}"


def mean(numbers: Any) -> str:
    """The mean as a percentage, if there is anything to take it of."""
    return f"{numbers.mean():.1%}" if len(numbers) else style.NOT_YET


print(f"{'test pictures of':18}{'pictures':>9}{'right':>7}{'sure, if right':>16}{'if wrong':>10}")
for digit in range(10):
    these = unseen_y == digit
    hits, misses = sure[these & right], sure[these & ~right]
    print(f"{digit:<18}{these.sum():9}{len(hits):7}{mean(hits):>16}{mean(misses):>10}")

# %% [markdown]
# **Is confidence truth?** Of those pictures of which it is 90% sure, at least 90% should be right.

# %%
print(f"{'how sure':18}{'pictures':>9}{'right':>7}{'share':>8}")
for low, high in ((0.9, 1.0), (0.5, 0.9), (0.0, 0.5)):
    these = (sure > low) & (sure <= high)
    band = f"{low:.0%} to {high:.0%}"
    print(f"{band:18}{these.sum():9}{right[these].sum():7}{mean(right[these]):>8}")
print(f"wrong, and more than 90% sure: {(~right & (sure > 0.9)).sum()} pictures")

# %% [markdown]
# A second network shows what shuffling would have done. It learned from shuffled pictures, and is
# used for nothing else.

# %%
mixed = numpy.random.default_rng(demo.seed).permutation(len(X))
other = trained(X[mixed[:CUT]], y[mixed[:CUT]])
easy = compile(other)(X[mixed[CUT:]]).argmax(axis=1) == y[mixed[CUT:]]
demo.say(
    f"It scores {easy.mean():.1%}. That is too good: each writer's hand was in its training and in "
    "its test."
)

# %% [markdown]
# Now the cat: 90 square pieces of its photograph, shrunk to 8 x 8, dark as ink and light as paper.
# The network has ten words and no "none of these", and softmax shares out 100% among the ten.

# %%
chelsea: Any = data.chelsea  # scikit-image's functions have no types
resize: Any = transform.resize
photograph: Array = color.rgb2gray(chelsea())
pieces = [
    photograph[top : top + size, left : left + size]
    for size in (300, 200, 150, 100)
    for top in range(0, 300 - size + 1, 50)
    for left in range(0, 451 - size + 1, 50)
]


def as_digit(piece: Array) -> Array:
    """64 pixels from paper to ink, like those of a digit."""
    small = 1 - resize(piece, (8, 8), anti_aliasing=True).ravel()
    found: Array = (small - small.min()) / numpy.ptp(small)
    return found


cats = numpy.array([as_digit(piece) for piece in pieces])
cat_shares = confidences(cats)
cat_said, cat_sure = cat_shares.argmax(axis=1), cat_shares.max(axis=1)
favourite = numpy.bincount(cat_said).argmax()
demo.say(
    f"{len(cats)} pieces of the photograph of a cat: right 0, for it has no such word. It says "
    f"{favourite} most often, is {mean(cat_sure)} sure on average, and more than 90% sure of "
    f"{(cat_sure > 0.9).sum()} pieces. **High confidence means: of my ten words, this one by far. "
    "It does not mean: this is true.**"
)


# %%
def picture_of(axes: Axes, pixels: Array, wrong: bool = False) -> None:
    """Ink on paper; what is wrong has a thick frame."""
    if pixels.size == 64:
        axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=1)
    else:
        axes.imshow(pixels, cmap="gray")  # a photograph, as clear as its light allows
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=style.INK if wrong else style.BORDER, linewidth=3 if wrong else 0.8)


def heading(axes: Axes, text: str) -> None:
    """What a row of pictures is, at its left."""
    axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=10, labelpad=10)


ACROSS = 7
sevens = numpy.flatnonzero(unseen_y == 7)[:ACROSS]
blunders = numpy.flatnonzero(~right)
blunders = blunders[numpy.argsort(-sure[blunders])][:ACROSS]
shown_cats = numpy.linspace(0, len(cats) - 1, ACROSS).astype(int)  # evenly, not the best ones

figure = Figure(figsize=(10.5, 7.2), layout="constrained")
grid = figure.subplots(4, ACROSS, squeeze=False)
for axes in grid.flat:
    axes.set_axis_off()
for row, chosen in enumerate((sevens, blunders)):
    for axes, place in zip(grid[row], chosen, strict=False):
        axes.set_axis_on()
        picture_of(axes, unseen[place].reshape(8, 8), wrong=not right[place])
        verdict = "✓ right" if right[place] else f"✗ in truth {unseen_y[place]}"
        axes.set_xlabel(f"says {said[place]}, {percent(sure[place])}\n{verdict}", fontsize=10)
for column, place in enumerate(shown_cats):
    for axes in grid[2:, column]:
        axes.set_axis_on()
    picture_of(grid[2, column], pieces[place])
    picture_of(grid[3, column], cats[place].reshape(8, 8), wrong=True)
    grid[3, column].set_xlabel(
        f"says {cat_said[place]}, {percent(cat_sure[place])}\n✗ in truth a cat", fontsize=10
    )
for axes, text in zip(
    grid[:, 0],
    (
        f"The first {ACROSS} sevens\nof the test",
        "The mistakes\nit is most\nsure of",
        "Pieces of\na photograph\nof a cat",
        "The same, as the\nnetwork sees them:\nwhat does it say?",
    ),
    strict=True,
):
    heading(axes, text)
figure.suptitle("What the network says of pictures it never saw, and how sure it is", fontsize=13)
demo.show(
    figure,
    "cat_confidence.png",
    "What the network says of pictures it never saw, and how sure it is: right, wrong, and of a "
    "cat, for which it has no word.",
)

# %% [markdown]
# ## Which pixels say "seven"?
#
# We ask for one number that is large when the network is sure of seven: the *odds*, which are its
# confidence in seven ÷ its confidence in all other words, and of these the logarithm, so that even
# odds, 50% each, give 0, and anything above 0 is more than 50%. The slope of this number at a pixel
# tells what a little more ink there would do: with + it would raise the word seven, with − lower
# it. (The slope of the confidence itself would be nearly 0 wherever the network is nearly sure:
# softmax is flat there.) It is the backward pass of training, only carried on past the weights, to
# the pixels.


# %%
def seven_against_all(pixels: Any) -> Any:
    """log(confidence in seven / confidence in all other words)."""
    scores = model(pixels)
    return scores[7] - logsumexp(scores[:7] + scores[8:])


evidence = compile(seven_against_all)
is_seven = unseen_y == 7
surest = numpy.flatnonzero(is_seven)[shares[is_seven, 7].argmax()]
doubted = numpy.flatnonzero(is_seven)[shares[is_seven, 7].argmin()]
asked = numpy.array([unseen[surest], unseen[doubted], cats[0]])
slopes = evidence.jacobian(asked)[:, 0]

pixels = [Value(ink) for ink in asked[0]]
seven_against_all(pixels).backward()
difference = numpy.abs(slopes[0] - [pixel.grad for pixel in pixels]).max()
demo.say(
    f"The slopes at 64 pixels, compiled and by `backward()`: they differ by {difference:.0e} at "
    "most, which is rounding."
)

# %% [markdown]
# To see that the slopes mean it: change every pixel by at most 15% of full ink, all of them as
# their slopes point, or all against their slopes. To us it is the same picture, a little dirty.

# %%
STEP = 0.15
# No pixel has less ink than paper has, or more than full ink.
raised = numpy.clip(asked + STEP * numpy.sign(slopes), 0, 1)
lowered = numpy.clip(asked - STEP * numpy.sign(slopes), 0, 1)
confidence_in_seven = [confidences(these)[:, 7] for these in (asked, raised, lowered)]
NAMES = ("the seven it is surest of", "the seven it doubts most", "the head of the cat")
print(f"{'confidence in 7':26}{'as it is':>9}{'raised':>9}{'lowered':>9}")
for name, *in_seven in zip(NAMES, *confidence_in_seven, strict=True):
    print(f"{name:26}" + "".join(f"{percent(share):>9}" for share in in_seven))

swayed = unseen[is_seven & right]
swayed = numpy.clip(swayed - STEP * numpy.sign(evidence.jacobian(swayed)[:, 0]), 0, 1)
left = (confidences(swayed).argmax(axis=1) == 7).sum()
demo.say(
    f"Lowered like this, {left / len(swayed):.0%} of the sevens that it had named rightly ({left} "
    f"of {len(swayed)}) are still called a seven."
)

# %%
colours = ListedColormap(list(style.STEPS))
scale = Normalize(-4.5, 4.5)
figure = Figure(figsize=(10.5, 7.4), layout="constrained")
grid = figure.subplots(3, 5)
for row in range(3):
    slope = slopes[row].reshape(8, 8) / numpy.abs(slopes[row]).max()
    steps = numpy.rint(4 * slope)  # nine steps, as there are nine colours
    before, heat, overlay, more, less = grid[row]
    picture_of(before, asked[row].reshape(8, 8))
    picture_of(overlay, asked[row].reshape(8, 8))
    picture_of(more, raised[row].reshape(8, 8))
    picture_of(less, lowered[row].reshape(8, 8))
    heat.imshow(steps, cmap=colours, norm=scale)
    overlay.imshow(steps, cmap=colours, norm=scale, alpha=numpy.abs(steps) / 5)
    heat.set(xticks=[], yticks=[])
    for (down, across), step in numpy.ndenumerate(steps):
        if step:  # the sign is written too: no one has to tell the colours apart
            sign, ink = "+" if step > 0 else "−", style.on_step(int(step) + 4)
            heat.text(across, down, sign, color=ink, ha="center", va="center_baseline", fontsize=11)
    for axes, numbers in zip((before, more, less), confidence_in_seven, strict=True):
        axes.set_xlabel(f"seven: {percent(numbers[row])}", fontsize=10)
    heading(before, "\n".join(textwrap.wrap(NAMES[row], 13)))
for axes, text in zip(
    grid[0],
    (
        *("the picture", "slope of seven\nat each pixel", "both, laid\nover each other"),
        *(f"{STEP:.0%} of ink\nalong the slopes", f"{STEP:.0%} of ink\nagainst them"),
    ),
    strict=True,
):
    axes.set_title(text, fontsize=11)
bar = figure.colorbar(
    ScalarMappable(scale, colours), ax=grid, location="bottom", shrink=0.6, aspect=40
)
bar.set_ticks(
    [-4, 0, 4], labels=["− ink here lowers seven", "no difference", "+ ink here raises seven"]
)
figure.suptitle("Which pixels say seven", fontsize=13)
demo.show(
    figure,
    "cat_saliency.png",
    "Which pixels raise the word seven (+) and which lower it (−), and what the network says when "
    "all pixels are changed a little in that direction.",
)

# %% [markdown]
# ## What this shows

# %%
accuracy, if_right, if_wrong = mean(right), mean(sure[right]), mean(sure[~right])
demo.say(
    f"Trained first and only used since, the network names {accuracy} of new digits rightly. Its "
    f"confidence is worth something: it is {if_right} on average where the network is right, and "
    f"{if_wrong} where it is wrong. What this does not show is that a sure answer is true. The "
    f"network is more than 90% sure of {(~right & (sure > 0.9)).sum()} mistakes and of "
    f"{(cat_sure > 0.9).sum()} pieces of a cat, and a little ink in the right places changes its "
    "answer."
)
