"""The sweep as moments of one scene: after each move, what has been crossed and what has arrived.

Nothing moves between two moments: every cell has room for all the numbers it will ever show, and
the scales of widths and colours are those of the whole sweep.
"""

from __future__ import annotations

from dataclasses import replace

from viz.scene import Scene


def moments(scene: Scene) -> dict[str, list[tuple[int, float]]]:
    """For each box, the steps at which its gradient changes, and to what.

    A result has its own 1 from the beginning, even where it is also a part of another result.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for k, move in enumerate(scene.moves, start=1):
        for box, grad in move.grads.items():
            found.setdefault(box, [(0, 1.0)] if box in scene.results else []).append((k, grad))
    return found


def known(scene: Scene) -> dict[str, list[int]]:
    """For each box, the steps after which its remarks can be made."""
    last: dict[str, dict[str, int]] = {
        "value": {},
        "gradient": {name: when[-1][0] for name, when in moments(scene).items()},
        "sent": {move.sender: k for k, move in enumerate(scene.moves, start=1)},
    }
    return {
        box.name: [last[remark.since].get(box.name, 0) for remark in box.remarks]
        for box in scene.boxes
    }


def spread(count: int, most: int) -> list[int]:
    """The places of so many pictures, or of ``most`` of them, evenly spread from first to last.

    >>> spread(3, 5), spread(9, 3)
    ([0, 1, 2], [0, 4, 8])
    """
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def at(scene: Scene, step: int) -> Scene:
    """The scene after so many moves; the last moment shows what the scene itself shows.

    Raises:
        ValueError: there are not so many moves.
    """
    last = len(scene.moves)
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= last:
        raise ValueError(f"step is an integer from 0 to {last}, the whole sweep, but got {step!r}")
    changes = moments(scene)
    runs = {name: tuple(grad for _, grad in when) for name, when in changes.items()}
    reached = {name: grad for name, when in changes.items() for k, grad in when if k <= step}
    sayable = known(scene)
    crossed = {place for move in scene.moves[:step] for place in move.arrows}
    return replace(
        scene,
        title=f"Step {step} of {last}. {scene.title}",
        boxes=[
            replace(
                box,
                grad=reached.get(box.name) if box.name in runs else box.grad,
                run=runs.get(box.name, ()),
                remarks=tuple(
                    remark._replace(known=step >= when)
                    for remark, when in zip(box.remarks, sayable[box.name], strict=True)
                ),
            )
            for box in scene.boxes
        ],
        arrows=[
            arrow if arrow.contribution is None else replace(arrow, crossed=place in crossed)
            for place, arrow in enumerate(scene.arrows)
        ],
    )
