"""
Advisories: compares the locks with the advisories of scripts/advisories.toml: `python -m scripts.advisories`, or `make advisories`.

It needs no network, so it knows only what the list knows, and says of which day that is. If the list cannot be read, it says that
nothing was checked.

exit codes: 0 no package of a lock is affected, 1 one is, 3 not run
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from scripts.locks import CHECKOUT, ROOT, RUNTIME, packages

LIST: Final = ROOT / "scripts" / "advisories.toml"
FOUND: Final = 1
NOT_RUN: Final = 3


def affected(lock: Path, advisories: list[dict[str, Any]]) -> list[str]:
    """Return a line for each package of *lock* that one of *advisories* is about; raises as `locks.packages`."""
    lines = []
    for package in packages(lock):
        for each in advisories:
            versions = SpecifierSet(each["affected"], prereleases=True)
            if each["package"] == package.name and package.version in versions:
                lines.append(
                    f"{lock.name}: {package.name} {package.version}: {each['id']} ({versions}): {each['says']}"
                )
    return lines


def main(file: Path = LIST, locks: tuple[Path, ...] = (RUNTIME, CHECKOUT)) -> int:
    """Check, and say what was found; returns the exit code."""
    try:
        listed = tomllib.loads(file.read_text(encoding="utf-8"))
        known, as_of = listed["advisory"], listed["as_of"]
        lines = [line for lock in locks for line in affected(lock, known)]
    except (OSError, ValueError, KeyError, InvalidSpecifier) as error:
        sys.stderr.write(f"fliq: advisories: NOT RUN, nothing was checked: {type(error).__name__}: {error}\n")
        return NOT_RUN
    for line in lines:
        sys.stdout.write(f"{line}\n")
    what = f"{' and '.join(lock.name for lock in locks)} against the {len(known)} advisories known on {as_of}"
    sys.stdout.write(f"fliq: checked {what}: {len(lines)} affected; later advisories are not in the list\n")
    return FOUND if lines else 0


if __name__ == "__main__":
    sys.exit(main())
