"""What an instruction looks like: rectangles of rows and columns, and words."""

from __future__ import annotations

from collections.abc import Iterator

from microgradlike.compiler.instructions import Instruction, Layer, Products
from microgradlike.words import counted
from viz import style
from viz.compiled.paths import Path
from viz.compiled.sheet import Line, Sheet

# In points. A rectangle of up to 16 rows and columns shows every entry.
ENTRY, LONGEST, THINNEST, MOST_ENTRIES = 8.0, 64.0, 4.0, 16
PILE, MOST_PILED = 3.0, 3
#: Between two rectangles.
BETWEEN = 10.0


def rectangles(instruction: Instruction) -> list[tuple[int, int]]:
    """Rows and columns of what an instruction works on."""
    if isinstance(instruction, Layer):
        return [instruction.weights.shape]
    if isinstance(instruction, Products) and (found := instruction.grid()):
        return [found[0].shape, found[1].T.shape]
    operand, *_ = instruction.reads()
    return [operand.slots.shape if operand.slots.ndim == 2 else (instruction.count, 1)]


def words_of(path: Path, place: int) -> list[Line]:
    """What stands in a box: its name, its weights, what it reads, and whether it is a result."""
    box = path.boxes[place]
    rows = [Line(f"{place + 1}  {box.name}", style.INK, bold=True)]
    if isinstance(box.main, Layer):
        outs, ins = box.main.weights.shape
        weights = [f"{outs}x{ins} matrix: {counted(outs * ins, 'weight')}"]
        if box.main.bias is not None:
            weights.append("+ bias")
        rows.append(Line(" ".join(weights)))
    rows.append(Line(f"reads {', '.join(box.reads)}"))
    if box.results:
        results = "the result" if path.program.graph.tape.single else counted(box.results, "result")
        rows.append(Line(f"gives {results}"))
    return rows


# ---- Rectangles --------------------------------------------------------------------------------


def measure(instruction: Instruction) -> tuple[float, float]:
    """Width and height of its rectangles side by side."""
    sizes = [_size(*shape) for shape in rectangles(instruction)]
    width = sum(width for width, _ in sizes) + BETWEEN * (len(sizes) - 1)
    return width + 2 * PILE, max(height for _, height in sizes) + 2 * PILE


def kinds(instruction: Instruction) -> set[str]:
    """What its rectangles look like: "grey" of weights or "white"; a "pile" at several places."""
    weights = getattr(instruction, "weights", None) is not None
    return {"grey" if weights else "white"} | ({"pile"} if _places(instruction) > 1 else set())


def draw(sheet: Sheet, instruction: Instruction, left: float, y: float, title: str) -> None:
    """Rectangles whose sides tell how many rows and columns there are."""
    weights = "grey" in kinds(instruction)
    x = left + PILE
    for rows, columns in rectangles(instruction):
        size = width, _ = _size(rows, columns)
        look = {"fillcolor": style.LEAF if weights else style.SURFACE}
        look["class"] = "matrix" if weights else "numbers"
        for behind in reversed(range(min(_places(instruction), MOST_PILED))):
            shift = PILE * behind
            sheet.put(x + width / 2 + shift, y + shift, size, title, **look)
        if max(rows, columns) <= MOST_ENTRIES:
            for grid in _grid(rows, columns):
                look = {"shape": "plain", "fillcolor": "none", "class": "entries"}
                sheet.put(x + width / 2, y, size, title, label=grid, **look)
        x += width + BETWEEN


def _places(instruction: Instruction) -> int:
    return len(instruction.values) if isinstance(instruction, Layer) else 1


def _size(rows: int, columns: int) -> tuple[float, float]:
    """Width and height of a rectangle of so many rows and columns."""
    scale = min(ENTRY, LONGEST / max(rows, columns))
    if max(rows, columns) <= MOST_ENTRIES:
        scale = int(scale)  # cells of a table are whole points wide
    return max(columns * scale, THINNEST), max(rows * scale, THINNEST)


def _grid(rows: int, columns: int) -> Iterator[str]:
    """The lines between rows, and those between columns."""
    width, height = _size(rows, columns)
    for side, across, down in (("ROWS", 1, rows), ("COLUMNS", columns, 1)):
        if across * down > 1:
            cell = f'FIXEDSIZE="TRUE" WIDTH="{width / across:g}" HEIGHT="{height / down:g}"'
            cells = "".join(f"<TR>{f'<TD {cell}></TD>' * across}</TR>" for _ in range(down))
            frame = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"'
            yield f'<<TABLE {frame} {side}="*" COLOR="{style.BORDER}">{cells}</TABLE>>'
