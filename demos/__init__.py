"""Scripts that a newcomer runs; each says what it wrote."""

from __future__ import annotations

import argparse
from pathlib import Path


def options(description: str) -> argparse.Namespace:
    """The options that every demo takes: ``out``, a folder that exists, and ``seed``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random")
    chosen = parser.parse_args()
    try:
        chosen.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot make the folder {str(chosen.out)!r} ({error.strerror})")
    return chosen
