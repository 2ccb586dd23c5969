"""Whether wheel and sdist have every file: python packaged.py FOLDER, with what was built.

The sdist must have built the same wheel (in ``dist``) as the tree alone (in ``direct``).
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

from microgradlike import __version__

NAME = f"microgradlike-{__version__}"
BESIDE = {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "README.md"}


def of_wheel(folder: Path) -> dict[str, int]:
    """The files in the wheel that is there, with a checksum of each."""
    with zipfile.ZipFile(folder / f"{NAME}-py3-none-any.whl") as wheel:
        return {entry.filename: entry.CRC for entry in wheel.infolist()}


def of_sdist(folder: Path) -> set[str]:
    """The files in the sdist that is there."""
    with tarfile.open(folder / f"{NAME}.tar.gz") as sdist:
        return {entry.name.removeprefix(f"{NAME}/") for entry in sdist if entry.isfile()}


def of_tree(*folders: str) -> set[str]:
    """All files below them but what Python, or the site with its notebooks, has made."""
    every = (path for folder in folders for path in Path(folder).rglob("*") if path.is_file())
    return {
        path.as_posix()
        for path in every
        if "__pycache__" not in path.parts and path.parts[:2] != ("docs", "tour")
    }


def main() -> None:
    room = Path(sys.argv[1])
    wheel, direct, sdist = (
        of_wheel(room / "dist"),
        of_wheel(room / "direct"),
        of_sdist(room / "dist"),
    )
    packaged = {path for path in wheel if ".dist-info/" not in path}
    wanted = of_tree("microgradlike", "viz")
    said = {
        "the sdist builds another wheel than the tree": wheel.items() ^ direct.items(),
        "the wheel and the tree differ": packaged ^ wanted,
        "the sdist lacks": (wanted | of_tree("demos", "docs", "tests") | BESIDE) - sdist,
    }
    if wrong := [f"{what}: {sorted(files)}" for what, files in said.items() if files]:
        sys.exit("\n".join(wrong))
    print(f"{NAME}: a wheel of {len(packaged)} files, an sdist of {len(sdist)}")


if __name__ == "__main__":
    main()
