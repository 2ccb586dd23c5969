"""Exercises as data and as files of other programs: JSON, Moodle XML, notebooks."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree

from microgradlike.exercises import making
from microgradlike.exercises.exercise import Exercise, written
from microgradlike.exercises.paper import paper
from microgradlike.files import ending_in, write
from microgradlike.inputs import describe

#: What JSON is made of.
Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | int | bool | None"

#: The formats, and how the names of their files end.
FORMATS = {
    "paper": ".html",
    "moodle": ".xml",
    "notebook": ".ipynb",
    "otter": ".ipynb",
    "nbgrader": ".ipynb",
    "json": ".json",
}

#: How many versions a sheet may have, one for each letter.
LETTERS = "ABCDEF"


def save(
    path: str | os.PathLike[str],
    level: int = 3,
    count: int = 10,
    seed: int = 0,
    *,
    kind: str | None = None,
    of: Callable[..., object] | str | None = None,
    format: str | None = None,
    versions: int = 3,
) -> Path:
    """Write exercises to a file: sheets to print, a quiz, a notebook.

    Args:
        path: where to; without a format its end decides: .html for sheets on paper, .xml for
            Moodle, .ipynb for a notebook, .json for a page.
        level, count, seed, kind, of: as for ``generate``. For a notebook ``of`` is a text.
        format: "paper", "moodle", "notebook", "otter", "nbgrader" or "json".
        versions: how many versions a sheet on paper has, from 1 to 6.

    Returns:
        The path.

    Raises:
        TypeError, ValueError: as for ``generate``, or there is no such format.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/quiz.xml", level=2, count=3, seed=7).name
    'quiz.xml'
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"there is no format {format!r}; choose one of {', '.join(FORMATS)}")
    suffixes = [FORMATS[format]] if format else list(dict.fromkeys(FORMATS.values()))
    named = ending_in(path, "a file of exercises", *suffixes)
    chosen = format or next(name for name, end in FORMATS.items() if end == named.suffix.lower())
    if isinstance(versions, bool) or not isinstance(versions, int):
        raise TypeError(f"versions is a whole number, but got {describe(versions)}")
    if not 1 <= versions <= len(LETTERS):
        raise ValueError(f"versions is a number from 1 to {len(LETTERS)}, but got {versions}")
    letters = LETTERS[: versions if chosen == "paper" else 1]
    sheets = making.versions(letters, level, count, seed, kind=kind, of=of)
    made = sheets["A"]
    if chosen == "paper":
        content = paper(sheets)
    elif chosen == "moodle":
        content = moodle(made)
    elif chosen == "json":
        content = json.dumps(as_json(made), ensure_ascii=False, indent=1)
    else:
        if callable(of):
            raise ValueError(
                "a notebook makes its exercises anew, so it needs the function as a text, such as "
                "'(a + b) * (b + 1)'"
            )
        recipe = f"level={level}, count={count}, seed={seed}, kind={kind!r}, of={of!r}"
        content = json.dumps(notebook(made, recipe, chosen), ensure_ascii=False, indent=1)
    return write(named, content.encode())


# ---- Data ---------------------------------------------------------------------------------------


def as_json(made: Sequence[Exercise]) -> list[dict[str, Json]]:
    """Exercises as a page needs them for a quiz: plain lists, texts and numbers.

    Args:
        made: the exercises.

    Returns:
        A dict for each: ``question`` (lines), ``asked``, ``form`` ("number", "numbers", "choice" or
        "formula"), ``answer``, ``tolerance`` and ``shown``, the ``wrong`` answers, each with its
        ``sentence``, the ``choices``, three ``hints`` and the ``key``.

    >>> from microgradlike import exercises
    >>> [one] = as_json(exercises.generate(kind="update", level=2, count=1, seed=7))
    >>> one["form"], len(one["hints"]), sorted(one["wrong"][0])
    ('number', 3, ['answer', 'sentence', 'shown', 'tolerance'])
    """
    return [
        {
            "kind": one.kind,
            "level": one.level,
            "seed": one.seed,
            "question": list(one.question.split("\n")),
            "asked": one.asked,
            "given": [[name, number] for name, number in one.given],
            "form": one.form,
            "names": list(one.names),
            "answer": _plain(one.answer),
            "tolerance": one.tolerance,
            "shown": written(one.answer),
            "key": one.key,
            "wrong": [
                {
                    "answer": _plain(wrong.answer),
                    "tolerance": one.tolerance_of(wrong.answer),
                    "shown": written(wrong.answer),
                    "sentence": wrong.sentence,
                }
                for wrong in one.distractors
            ],
            "choices": list(one.choices),
            "hints": list(one.hints),
        }
        for one in made
    ]


def _plain(answer: float | tuple[float, ...] | str) -> Json:
    return list(answer) if isinstance(answer, tuple) else answer


# ---- Moodle -------------------------------------------------------------------------------------


def moodle(made: Sequence[Exercise]) -> str:
    """A quiz as Moodle XML: what is said of each wrong answer is its feedback.

    Questions with one number become numerical, all others multiple choice.

    Args:
        made: the exercises.

    Returns:
        The text of the file, for Moodle's import of questions.

    >>> from microgradlike import exercises
    >>> quiz = ElementTree.fromstring(moodle(exercises.generate(level=2, count=4, seed=7)))
    >>> [question.get("type") for question in quiz]
    ['category', 'numerical', 'multichoice', 'numerical', 'numerical']
    """
    quiz = ElementTree.Element("quiz")
    category = ElementTree.SubElement(quiz, "question", type="category")
    _text(category, "category", f"$course$/Backpropagation, seed {made[0].seed}", "")
    for place, one in enumerate(made, 1):
        numerical = one.form == "number"
        kind = "numerical" if numerical else "multichoice"
        question = ElementTree.SubElement(quiz, "question", type=kind)
        name = f"{place:02} {one.kind} (level {one.level}, seed {one.seed})"
        _text(question, "name", name, "")
        _text(question, "questiontext", _paragraphs(one.question))
        _text(question, "generalfeedback", _paragraphs(one.key))
        for tag, value in (("defaultgrade", "1"), ("penalty", "0.3333333"), ("hidden", "0")):
            ElementTree.SubElement(question, tag).text = value
        if not numerical:
            for tag, value in (("single", "true"), ("shuffleanswers", "true")):
                ElementTree.SubElement(question, tag).text = value
            ElementTree.SubElement(question, "answernumbering").text = "abc"
        _answer(question, one, one.answer, 100, f"Right: {one.key}.")
        for wrong in one.distractors:
            _answer(question, one, wrong.answer, 0, wrong.sentence)
        if numerical:
            other = ElementTree.SubElement(question, "answer", fraction="0", format=_AUTO)
            ElementTree.SubElement(other, "text").text = "*"
            _text(other, "feedback", _paragraphs(f"That is wrong. {one.hints[0]}"))
            ElementTree.SubElement(other, "tolerance").text = "0"
        for hint in one.hints:
            _text(question, "hint", _paragraphs(hint))
    ElementTree.indent(quiz)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(quiz, "unicode") + "\n"


_AUTO = "moodle_auto_format"


def _answer(
    question: ElementTree.Element,
    one: Exercise,
    answer: float | tuple[float, ...] | str,
    fraction: int,
    feedback: str,
) -> None:
    numerical = isinstance(answer, float)
    kind = _AUTO if numerical else "html"
    element = ElementTree.SubElement(question, "answer", fraction=str(fraction), format=kind)
    text = repr(answer) if numerical else html.escape(written(answer), quote=False)
    ElementTree.SubElement(element, "text").text = text
    _text(element, "feedback", _paragraphs(feedback))
    if isinstance(answer, float):
        most = one.tolerance if fraction else one.tolerance_of(answer)
        ElementTree.SubElement(element, "tolerance").text = f"{most:.10f}"


def _text(parent: ElementTree.Element, tag: str, text: str, format: str = "html") -> None:
    attributes = {"format": format} if format else {}
    element = ElementTree.SubElement(parent, tag, attributes)
    ElementTree.SubElement(element, "text").text = text


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{html.escape(line, quote=False)}</p>" for line in text.split("\n"))


# ---- Notebooks ----------------------------------------------------------------------------------


def notebook(made: Sequence[Exercise], recipe: str, format: str = "notebook") -> dict[str, Json]:
    """A notebook with a cell for each answer, and one that checks it.

    Args:
        made: the exercises.
        recipe: the arguments of ``generate`` that made them: the notebook makes them anew, so
            that no answer stands in it.
        format: "notebook"; or "otter" and "nbgrader" for the source of an assignment, with the
            answers as solutions, which these programs take out.

    Returns:
        The notebook, to be written as JSON.

    >>> from microgradlike import exercises
    >>> made = exercises.generate(level=2, count=3, seed=7)
    >>> [cell["cell_type"] for cell in notebook(made, "level=2, count=3, seed=7")["cells"]][:4]
    ['markdown', 'code', 'markdown', 'code']
    """
    title = '# Exercises on backpropagation\n\nWrite each answer as a text: `"0.5"`, `"1/2"`.'
    start = f"from microgradlike import exercises\n\nquiz = exercises.generate({recipe})"
    cells: list[Json] = []
    if format == "otter":
        cells.append(_cell("raw", "config", "# ASSIGNMENT CONFIG\nexport_cell: false"))
    cells += [
        _cell("markdown", "title", title, _nbgrader(format, "title")),
        _cell("code", "start", start, _nbgrader(format, "start")),
    ]
    for place, one in enumerate(made, 1):
        cells += _question(place, one, format)
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _question(place: int, one: Exercise, format: str) -> list[Json]:
    name, right = f"answer_{place}", repr(written(one.answer))
    lines = "  \n".join(_markdown(line) for line in one.question.split("\n"))
    if one.form == "choice":
        lines += "\n\n" + "\n".join(f"* {_markdown(choice)}" for choice in one.choices)
    asks = _cell(
        "markdown", f"question-{place}", f"**{place}.** {lines}", _nbgrader(format, f"q{place}")
    )
    check = f"mark = quiz[{place - 1}].check({name})"
    asserted = f"{check}\nassert mark, mark.sentence"
    if format == "notebook":
        return [
            asks,
            _cell("code", f"answer-{place}", f'{name} = ""'),
            _cell("code", f"check-{place}", f"print(quiz[{place - 1}].check({name}).sentence)"),
        ]
    if format == "nbgrader":
        solution = f"### BEGIN SOLUTION\n{name} = {right}\n### END SOLUTION"
        return [
            asks,
            _cell("code", f"answer-{place}", solution, _nbgrader(format, name, solution=True)),
            _cell(
                "code", f"check-{place}", asserted, _nbgrader(format, f"check_{place}", points=1)
            ),
        ]
    return [
        _cell("raw", f"begin-{place}", f"# BEGIN QUESTION\nname: q{place}\npoints: 1"),
        asks,
        _cell("raw", f"solution-{place}", "# BEGIN SOLUTION"),
        _cell("code", f"answer-{place}", f"{name} = {right} # SOLUTION"),
        _cell("raw", f"solved-{place}", "# END SOLUTION"),
        _cell("raw", f"tests-{place}", "# BEGIN TESTS"),
        _cell("code", f"check-{place}", asserted),
        _cell("raw", f"tested-{place}", "# END TESTS"),
        _cell("raw", f"end-{place}", "# END QUESTION"),
    ]


def _markdown(text: str) -> str:
    """The text with the characters that Markdown reads spelt out."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#" else c for c in text)


def _nbgrader(
    format: str, grade_id: str, *, solution: bool = False, points: int = 0
) -> dict[str, Json]:
    """What nbgrader must know of a cell: whether it is read-only, an answer, or a test."""
    if format != "nbgrader":
        return {}
    metadata: dict[str, Json] = {
        "grade": bool(points),
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if points:
        metadata["points"] = points
    return {"nbgrader": metadata}


def _cell(kind: str, id: str, source: str, metadata: dict[str, Json] | None = None) -> Json:
    cell: dict[str, Json] = {
        "cell_type": kind,
        "id": id,
        "metadata": metadata or {},
        "source": list(source.splitlines(keepends=True)),
    }
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell
