"""Whether each public name has a type that all type checkers agree on, by pyright's report.

    pyright --verifytypes PACKAGE --ignoreexternal --outputjson | python public_types.py docs/api.md

Public is what the page of the API names, and what the package exports, with all attributes and
methods, also those that a class inherits.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path


def public(package: str, page: str) -> Iterator[str]:
    """The names that users write."""
    for name in importlib.import_module(package).__all__:
        yield f"{package}.{name}"
    directive = rf"^\.\. auto(\w+):: ({package}\b\S*)\n(?:   :members: (.+)\n)?"
    for kind, name, members in re.findall(directive, page, flags=re.MULTILINE):
        if kind != "module":
            yield name
        elif members:
            yield from (f"{name}.{member}" for member in members.split(", "))


def homes(package: str, name: str) -> Iterator[str]:
    """The names under which pyright knows it: where it is written, and what it inherits from."""
    found = pkgutil.resolve_name(name)
    if inspect.ismodule(found):
        yield name
        return
    yield f"{found.__module__}.{name.rpartition('.')[2]}"  # an alias
    for kind in inspect.getmro(found) if inspect.isclass(found) else (found,):
        if kind.__module__.partition(".")[0] == package:
            yield f"{kind.__module__}.{kind.__qualname__}"


def main() -> None:
    report = json.load(sys.stdin)["typeCompleteness"]
    package = report["packageName"]
    names = set(public(package, Path(sys.argv[1]).read_text(encoding="utf-8")))
    ours = tuple(f"{home}." for name in names for home in homes(package, name))
    seen = [symbol for symbol in report["symbols"] if f"{symbol['name']}.".startswith(ours)]
    left = [symbol for symbol in seen if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]]
    for symbol in left:
        for said in symbol["diagnostics"]:
            line = said.get("range", {}).get("start", {}).get("line", -1) + 1
            print(f"{symbol['name']}: {said['file']}:{line}: {said['message']}")
    print(f"types: {len(seen) - len(left)} of {len(seen)} public symbols of {package} are complete")
    sys.exit(bool(left) or len(seen) < len(names) / 2)  # else pyright has not found the package


if __name__ == "__main__":
    main()
