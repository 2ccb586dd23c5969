"""The demos, run as a newcomer runs them: what they print, and what they write."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(demo: str, *options: str) -> str:
    command = [sys.executable, "-m", f"demos.{demo}", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_hand_derivation_agrees_three_ways(tmp_path: Path) -> None:
    printed = run("hand_derivation", "--out", str(tmp_path), "--seed", "3")
    rows = re.findall(r"dy/d([abcd])\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+) \+-", printed)
    assert [name for name, *_ in rows] == list("abcd")
    for _, _, by_hand, engine, numeric in rows:
        assert float(engine) == pytest.approx(float(by_hand), rel=1e-14)
        assert float(numeric) == pytest.approx(float(by_hand), rel=1e-9)
    picture = (tmp_path / "hand_derivation.svg").read_text()
    assert picture.startswith("<svg")
    assert "error from y back to" in picture


def test_the_gallery_is_what_the_demo_writes(tmp_path: Path) -> None:
    run("hand_derivation", "--out", str(tmp_path))
    for name in ("hand_derivation_flow.svg", "hand_derivation.html"):
        shown = (ROOT / "demos" / "gallery" / name).read_text(encoding="utf-8")
        assert _words(shown) == _words((tmp_path / name).read_text(encoding="utf-8"))
    story = re.compile(r'class="story">.*?</script>|<script>.*?</script>|<style>.*?</style>', re.S)
    assert story.findall(shown) == story.findall((tmp_path / name).read_text(encoding="utf-8"))


def _words(svg: str) -> list[str]:
    """What a picture says; where it says it may depend on the version of the layout program."""
    return sorted(re.findall(r">([^<>\n]+)</t(?:ext|itle)>", svg))


@pytest.mark.parametrize("seed", ["0", "7"])
def test_moons_trains_to_all_points_and_writes_its_pictures(tmp_path: Path, seed: str) -> None:
    printed = run("moons", "--out", str(tmp_path / "new"), "--seed", seed)
    assert "training accuracy 100%" in printed
    assert re.search(r"hinge loss \d\.\d{4} \(\d\.\d{4} with the penalty\)", printed)
    assert re.search(r"the score of \(0, 1\) is -\d.*, label -1\n", printed)
    written = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert written == [
        "moons_boundary.png",
        "moons_graph.svg",
        "moons_loss.svg",
        "moons_model.npz",
    ]
    graph = (tmp_path / "new" / "moons_graph.svg").read_text()
    assert "neuron 15" in graph
    assert "backward() has not been run" not in graph


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "demos.moons", "--out", str(tmp_path / "file" / "out")]
    failed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert failed.returncode == 2
    assert "cannot make the folder" in failed.stderr
    assert "Traceback" not in failed.stderr
