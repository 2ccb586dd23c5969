"""Whether the installed package works where there is no checkout: python -I installed.py README."""

from __future__ import annotations

import doctest
import sys
from importlib.metadata import version
from pathlib import Path

import microgradlike
import viz


def main() -> None:
    for package in (microgradlike, viz):
        assert Path(package.__file__).is_relative_to(sys.prefix), package.__file__
    assert microgradlike.__version__ == version("microgradlike")

    # The README from its ten lines up to where it needs an extra.
    readme = Path(sys.argv[1]).read_text(encoding="utf-8")
    lines = readme[readme.index("## Ten lines") : readme.index("Train a network")]
    test = doctest.DocTestParser().get_doctest(lines, {}, "README.md", None, 0)
    ran = doctest.DocTestRunner().run(test, clear_globs=False)
    assert ran.attempted > 10 and not ran.failed, ran
    for name, kind in (("picture", "svg"), ("page", "html")):
        text = Path(test.globs[name].save(f"neuron.{kind}")).read_text(encoding="utf-8")
        assert f"<{kind}" in text, text[:200]
    c = microgradlike.compile(lambda x: microgradlike.tanh(x) ** 2)
    assert c.jacobian([0.0, 1.0]).ravel().round(4).tolist() == [0.0, 0.6397]
    print(f"installed: {ran.attempted} lines of the README, a picture and a page")


if __name__ == "__main__":
    main()
