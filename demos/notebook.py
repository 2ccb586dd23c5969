"""A demo as a notebook of Jupyter: the cells of its script, and what it shows when they are run.

``python -m demos.notebook all --out notebooks`` writes those of the tour, not yet run.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from demos import out_folder
from demos.cells import HERE, cells, docstring, source
from demos.page import STOPS, about, title
from microgradlike.files import make_folder, write

NEEDS = 'It needs a clone of microgradlike, installed by `pip install -e ".[demos,notebook]"`.'

#: The demos are in the clone, beside the package, wherever the notebook is.
START = """\
import sys
from pathlib import Path

import microgradlike

sys.path.insert(0, str(Path(microgradlike.__file__).parents[1]))"""

#: What Jupyter must know to start a kernel.
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

#: Whose files decide what a notebook shows.
PACKAGES = ("demos", "microgradlike", "viz")

#: Kernels that run at the same time: some cells measure how long something takes.
AT_A_TIME = 2

#: What an output has that is a widget.
WIDGET = "application/vnd.jupyter.widget-view+json"

#: A cell that takes longer than so many seconds hangs.
LONGEST = 300


def notebook(name: str) -> Any:
    """The notebook of a demo, not yet run.

    >>> [cell.cell_type for cell in notebook("moons").cells][:5]
    ['markdown', 'code', 'code', 'markdown', 'code']
    """
    told = docstring(name)
    folded = {"tags": ["hide-input"]}
    parts = [
        new_markdown_cell(f"# {title(told)}\n\n{about(told)}\n\n{NEEDS}"),
        new_code_cell(START, metadata=folded),
    ]
    for cell in cells(source(name)):
        new = new_markdown_cell if cell.is_markdown else new_code_cell
        parts.append(new(cell.text))
    for place, part in enumerate(parts):
        part.id = f"{name.replace('_', '-')}-{place}"  # the same each time it is made
    return new_notebook(cells=parts, metadata={"kernelspec": KERNEL})


def executed(name: str, folder: Path) -> Any:
    """The notebook of a demo, run by a kernel of its own.

    Args:
        name: of the demo.
        folder: where the kernel starts; the files that the demo writes are in ``out`` there.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.
    """
    made = notebook(name)
    client = NotebookClient(
        made,
        timeout=LONGEST,
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=os.environ | {"TQDM_DISABLE": "1"})
    for cell in made.cells:
        if cell.cell_type == "code":
            # A bar is for who waits, and a widget without its kernel is dead; so is it for who
            # waits that machine code is compiled, once on this machine.
            cell.outputs = [
                one for one in cell.outputs
                if WIDGET not in one.get("data", {})
                and not (one.get("name") == "stderr" and one["text"].startswith("compil"))
            ]  # fmt: skip
    return made


def run_all(folder: Path) -> None:
    """Write the notebooks of the tour with all that they show, if anything changed since then.

    Args:
        folder: for the notebooks; it is made.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.
    """
    make_folder(folder)
    scripts = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((HERE.parent / package).rglob("*.*")):
            if path.suffix in (".py", ".js", ".css", ".html"):
                scripts.update(path.read_bytes())
    mark, now = folder / ".made_of", scripts.hexdigest()
    there = [mark, *(folder / f"{name}.ipynb" for name in STOPS)]
    if all(path.exists() for path in there) and mark.read_text(encoding="ascii") == now:
        return
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for name, made in zip(STOPS, pool.map(_executed_alone, STOPS), strict=True):
            save(made, folder / f"{name}.ipynb")
    write(mark, now.encode())


def _executed_alone(name: str) -> Any:
    """The notebook of a demo, run in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return executed(name, Path(folder))


def save(made: Any, path: Path) -> Path:
    """Write a notebook to a file, whole or not at all."""
    return write(path, nbformat.writes(made).encode())


def main() -> None:
    """Write the notebooks of some demos, or of all."""
    parser = argparse.ArgumentParser(prog="python -m demos.notebook", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="name", choices=[*STOPS, "all"])
    parser.add_argument("--out", type=Path, default=Path("notebooks"), help="folder for them")
    chosen = parser.parse_args()
    out_folder(parser, chosen.out)
    for name in STOPS if "all" in chosen.names else dict.fromkeys(chosen.names):
        print("wrote", save(notebook(name), chosen.out / f"{name}.ipynb"))


if __name__ == "__main__":
    main()
