"""The options of pictures: their names, types, defaults and checks. The one place for all of them.

A public function takes them as keywords, ``**options``, makes one ``View`` of them, and hands that
on. A new option is a key of ``Options``, a field of ``View``, a line in the docstring of ``draw``,
and the code that does what it says.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields, replace
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar, get_args

from microgradlike.engine import Value
from microgradlike.inputs import describe
from viz import style
from viz.render import Engine
from viz.style import Theme

Rankdir = Literal["LR", "RL", "TB", "BT"]

#: What a picture of a graph is drawn of: a result, such as a loss, or several.
Roots: TypeAlias = Value | Sequence[Value]

Asked = TypeVar("Asked", bound=Callable[..., Any])
Kind = TypeVar("Kind", bound="Rendering")


# ---- The keywords, as editors and type checkers see them ---------------------------------------


class RenderingOptions(TypedDict, total=False):
    """How any picture is made, whatever it shows."""

    engine: Engine | None
    theme: Theme
    colours: Mapping[str, str] | None


class OptionsBesideRankdir(RenderingOptions, total=False):
    """All but the direction, which ``draw_dot`` takes by its place, as micrograd's does."""

    fold: bool | None
    names: Mapping[str, Any] | None
    constants: bool
    gradients: bool
    highlight: Value | None


class Options(OptionsBesideRankdir, total=False):
    """How a graph is shown."""

    rankdir: Rankdir


# ---- The same with their defaults, and checked -------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendering:
    """How any picture is made, whatever it shows; ``draw`` says what each option means."""

    engine: Engine | None = None
    theme: Theme = "auto"
    colours: Mapping[str, str] | None = None

    @classmethod
    def of(cls: type[Kind], asked: Callable[..., Any], options: Mapping[str, Any]) -> Kind:
        """What the caller of a public function wants.

        Raises:
            TypeError: the function has no such option, or an option is of another type.
            ValueError: an option has no such value.

        >>> from viz import draw
        >>> draw(Value(1.0), rankdr="TB")
        Traceback (most recent call last):
            ...
        TypeError: draw has no option 'rankdr'; did you mean 'rankdir'?
        """
        for unknown in options.keys() - {field.name for field in fields(cls)}:
            names = [
                name
                for name, parameter in inspect.signature(asked).parameters.items()
                if parameter.default is not parameter.empty
            ]
            close = difflib.get_close_matches(unknown, names, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names)}"
            raise TypeError(f"{asked.__name__} has no option {unknown!r}; {hint}")
        return cls(**options)

    def __post_init__(self) -> None:
        if self.engine not in (None, *get_args(Engine)):
            raise ValueError(f"no engine {self.engine!r}; choose 'graphviz-pure' or 'dot'")
        if self.theme not in get_args(Theme):
            raise ValueError(
                f"theme is 'auto' (the reader's), 'light' or 'dark', not {self.theme!r}"
            )
        for role, colour in (self.colours or {}).items():
            known = role in style.CHOOSABLE
            named = str(colour) in style.NAMED
            if not known or not (named or re.fullmatch("#[0-9a-fA-F]{6}", str(colour))):
                close = difflib.get_close_matches(str(colour), style.NAMED, 1) if known else ()
                raise ValueError(
                    f"colours gives {', '.join(style.CHOOSABLE)} a colour such as '#1b9e77' or "
                    f"'green', but got {role!r}: {colour!r}"
                    + "".join(f"; did you mean {name!r}?" for name in close if not named)
                )

    def within_page(self: Kind) -> Kind:
        """The same for a picture on a page, whose sheet has the colours."""
        return replace(self, theme="auto", colours=None)

    @property
    def chosen(self) -> dict[str, str]:
        """The colours that the caller chose, each in the place of a light one."""
        return {
            light: colour
            for role, colour in (self.colours or {}).items()
            for light in style.CHOOSABLE[role]
        }

    @property
    def shades(self) -> dict[str, str]:
        """What some of the light colours become in the attributes of a picture."""
        return (style.DARK if self.theme == "dark" else {}) | self.chosen

    @property
    def ground(self) -> str:
        """The colour behind the picture."""
        return self.shades.get(style.PAGE, style.PAGE)


@dataclass(frozen=True, kw_only=True, eq=False)
class View(Rendering):
    """How a graph is shown; ``draw`` says what each option means."""

    fold: bool | None = None
    names: Mapping[str, Any] | None = None
    rankdir: Rankdir = "LR"
    constants: bool = True
    gradients: bool = True
    highlight: Value | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rankdir not in get_args(Rankdir):
            raise ValueError(
                "rankdir is 'LR' (left to right), 'RL', 'TB' (top down) or 'BT' (bottom up), not "
                f"{self.rankdir!r}"
            )
        if self.fold is not None and not isinstance(self.fold, bool):
            raise TypeError(
                "fold is True, False, or None to fold big graphs only, but got "
                f"{describe(self.fold)}"
            )
        for name in ("constants", "gradients"):
            shown = getattr(self, name)
            if not isinstance(shown, bool):
                raise TypeError(f"{name} is True or False, but got {describe(shown)}")
        if self.highlight is not None and not isinstance(self.highlight, Value):
            raise TypeError(
                f"highlight is a Value of the graph, or None, but got {describe(self.highlight)}"
            )

    def folds(self, nodes: int, most: int) -> bool:
        """Whether a graph of this many nodes is folded, where by default more than ``most`` are."""
        return nodes > most if self.fold is None else self.fold

    def must_show_gradients(self, what: str) -> None:
        """Refuse a forward pass alone, for what plays the backward pass."""
        if not self.gradients:
            raise ValueError(
                f"{what} plays the error on its way back, which gradients=False leaves out; "
                "draw(root, gradients=False) shows the forward pass alone"
            )


def takes(kind: type[Rendering]) -> Callable[[Asked], Asked]:
    """Let the signature of a function that has ``**options`` name each of them, with its default.

    >>> from viz import draw_dot
    >>> list(inspect.signature(draw_dot).parameters)[:4]
    ['root', 'format', 'rankdir', 'fold']
    """

    def name_them(function: Asked) -> Asked:
        signature = inspect.signature(function)
        own = signature.parameters
        kept = [p for p in own.values() if p.kind is not p.VAR_KEYWORD]
        kept += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            for field in sorted(fields(kind), key=_is_of_any_picture)
            if field.name not in own
        ]
        # Not wrapped: a warning and a traceback name the caller's line.
        setattr(function, "__signature__", signature.replace(parameters=kept))  # noqa: B010
        return function

    return name_them


def _is_of_any_picture(option: Field[Any]) -> bool:
    """Whether an option comes last: what is special comes first."""
    return option.name in RenderingOptions.__annotations__
