"""The layout program, the formats, and files that are written whole or not at all."""

from __future__ import annotations

import importlib.metadata
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value
from viz import Picture, RenderError, draw, render

has_dot = pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")


@pytest.fixture
def picture() -> Picture:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    c = a * b
    c.backward()
    return draw(c)


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.mark.parametrize(
    ("suffix", "start"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("dot", b"digraph")]
)
def test_save_by_suffix(picture: Picture, tmp_path: Path, suffix: str, start: bytes) -> None:
    for name in (f"a.{suffix}", f"b.{suffix.upper()}"):
        picture.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    assert len(list(tmp_path.iterdir())) == 2
    assert picture.pipe(suffix) == (tmp_path / f"a.{suffix}").read_bytes()


@has_dot
def test_pdf_by_the_installed_graphviz(picture: Picture, tmp_path: Path) -> None:
    picture.save(tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


@has_dot
def test_both_engines_show_the_same_words(picture: Picture) -> None:
    root = Value(2.0, label="a") * Value(3.0, label="b")
    root.backward()
    one, other = (draw(root, engine=engine) for engine in ("graphviz-pure", "dot"))
    assert one.source == other.source
    assert one.svg().count("<title>") == other.svg().count("<title>")


def test_png_is_sharp(picture: Picture) -> None:
    svg = picture.svg()
    natural = int(svg.split('width="', 1)[1].split('"', 1)[0])
    width = struct.unpack(">I", picture.pipe("png")[16:20])[0]
    assert width == pytest.approx(2 * natural, rel=0.02)


def test_json_has_the_layout(picture: Picture) -> None:
    assert b'"objects"' in picture.pipe("json")


def test_notebooks_get_svg_and_text(picture: Picture) -> None:
    bundle = picture._repr_mimebundle_()
    assert bundle["image/svg+xml"] == picture.svg()
    assert bundle["text/plain"] == repr(picture)


def test_an_unknown_suffix_is_one_sentence(picture: Picture, tmp_path: Path) -> None:
    for name in ("a.gif", "a", "svg"):
        with pytest.raises(ValueError, match=r"\.svg, \.png, \.jpg, \.pdf, \.json or \.dot"):
            picture.save(tmp_path / name)
    with pytest.raises(ValueError, match="no picture format 'gif'"):
        picture.pipe("gif")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_path_leaves_nothing(picture: Picture, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot write"):
        picture.save(tmp_path / "missing" / "a.svg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(OSError, match="cannot write"):
        picture.save(tmp_path / "folder.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.svg"]


def test_names_that_no_file_can_have_are_one_sentence(picture: Picture, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a path, whose name has no null character, but got"):
        picture.save(tmp_path / "a\0.svg")
    with pytest.raises(OSError, match=r"cannot write .*nnn\.svg' \(.*\); choose a shorter name"):
        picture.save(tmp_path / f"{'n' * 300}.svg")
    longest = picture.save(tmp_path / f"{'n' * 251}.svg")
    assert list(tmp_path.iterdir()) == [longest]


def test_a_failed_save_keeps_the_old_file(
    picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.svg"
    target.write_text("old")

    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(PermissionError, match="cannot write"):
        picture.save(target)
    assert target.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("no_program")
def test_without_a_program_the_error_names_the_ways_out(
    picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RenderError, match=r"pip install graphviz-pure.*Graphviz.*\.dot"):
        picture.save(tmp_path / "a.svg")
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    with pytest.raises(RenderError, match=r"install Graphviz.*or CairoSVG"):
        picture.save(tmp_path / "a.pdf")
    picture.save(tmp_path / "a.dot")
    assert [path.name for path in tmp_path.iterdir()] == ["a.dot"]


def test_without_the_package_the_system_program_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: {"dot": "/opt/dot"}.get(name))
    assert render._program("svg", None) == "/opt/dot"
    with pytest.raises(RenderError, match="graphviz-pure"):
        render._program("svg", "graphviz-pure")


def test_an_unknown_engine_is_refused(picture: Picture) -> None:
    with pytest.raises(ValueError, match="choose 'graphviz-pure' or 'dot'"):
        draw(Value(1.0), engine="neato").svg()


def test_a_program_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RenderError, match=r"could not draw this graph: .*syntax error"):
        render.layout("digraph {")
    monkeypatch.setattr(render, "_bundled", lambda: "/no/such/program")
    with pytest.raises(RenderError, match="could not be started: No such file"):
        render.layout("digraph {}")


def test_the_layout_program_hears_nothing_but_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    run = subprocess.run

    def spy(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", spy)
    draw(Value(1.0, label="$(touch x) `id`; -o/etc/passwd")).svg()
    assert [command[1:] for command in commands] == [["-Tsvg"]]
