"""A GPT: 4,192 numbers learn how the names of towns sound, and make up towns of their own.

After this you know that a language model is nothing new. It is a network as those before, whose
examples are letters, and whose answer is a chance for each letter that may come next. Every number
in it is a scalar, every step of it is plain Python: ``demos/transformer.py`` has all of it.

Run it with ``python -m demos.gpt``.
"""

# %%
from __future__ import annotations

import functools
import itertools
import math
import random
import time
from collections import defaultdict

import numpy

import viz
from demos import options, transformer
from microgradlike import History, compile, no_grad, optim

demo = options(__doc__)

# %% [markdown]
# The names are put together at random, from syllables that sound like towns. Of all that could be
# put together in this way the network sees a few hundred.

# %%
FIRST = "al bar bel bran cor dal dun el fen gar hal kel lan mar mor nor pel ros sten tor ul win"
MIDDLE = "a e i o u en er in or"
LAST = "bury by dale don field ford ham ley mere ston thorpe ton vale wick worth"
every = ["".join(parts) for parts in itertools.product(*(p.split() for p in (FIRST, MIDDLE, LAST)))]
draw = random.Random(demo.seed)
names = draw.sample(every, 400)
demo.say(f"{len(names)} names of {len(every):,}, such as {', '.join(names[:6])}.")

# %% [markdown]
# A name is an example. The network reads it letter by letter, and at each letter says how likely
# each of the 26 letters is to come next, or the end. The *loss* is how surprised it is by what does
# come. Names differ in length, and a compiled function is of one length: so there is one for each
# length, and all of them have the same parameters.

# %%
model = transformer.model(demo.seed)
parameters = transformer.parameters(model)
by_length = defaultdict(list)
for name in names:
    by_length[len(name)].append(transformer.ids(name))
losses = {length: compile(functools.partial(transformer.loss, model)) for length in by_length}

# %%
steps, batch = 400, 64
optimizer = optim.Adam(parameters, lr=optim.cosine(0.02, steps), betas=(0.85, 0.99))
lengths = list(by_length)
shares = [len(by_length[length]) for length in lengths]
history = History()
start = time.perf_counter()
for _ in range(steps):
    length = draw.choices(lengths, shares)[0]
    words = draw.sample(by_length[length], min(batch, len(by_length[length])))
    optimizer.zero_grad()
    loss = losses[length].mean(numpy.array(words))
    loss.backward()
    optimizer.step()
    history.loss.append(loss.item())
took = time.perf_counter() - start
first, last = history.loss[0], sum(history.loss[-50:]) / 50
demo.say(
    f"Trained in {took:.1f} seconds, {steps} steps of up to {batch} names. The loss fell from "
    f"{first:.2f} to {last:.2f}: at first each letter was one of {math.exp(first):.0f} that seemed "
    f"as likely as it, and now one of {math.exp(last):.1f}."
)
figure = viz.plot_loss(history)
figure.axes[0].set_xlabel("step")
demo.show(figure, "gpt_loss.svg", "The loss of each step, of names that are drawn anew each time.")

# %% [markdown]
# Now the network speaks: it draws a letter by the chances that it gives, reads it, and goes on.

# %%
with no_grad():
    invented = [transformer.invent(model, draw, temperature=0.7) for _ in range(20)]
new = [name for name in dict.fromkeys(invented) if name not in names]
demo.say(f"New names, of {len(invented)} that it made up: {', '.join(new)}.")
possible = sum(name in every for name in new)
demo.say(f"{possible} of them could have been put together from the syllables, which it never saw.")
