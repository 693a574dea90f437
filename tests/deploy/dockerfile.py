"""
Dockerfile: deploy/Dockerfile taken apart, so that the tests run what it says and not a copy of it.

Knows what our file uses: stages, line continuation, comments, exec form (JSON) and `COPY --from`.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy" / "Dockerfile"


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction: its word in capitals, and the rest of its lines joined."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The arguments: of the exec form its items, else the words as a shell splits them."""
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)

    @property
    def flags(self) -> list[str]:
        """The `--name=value` arguments before the others."""
        return [word for word in self.rest.split() if word.startswith("--")] if self.word == "COPY" else []

    @property
    def pairs(self) -> dict[str, str]:
        """The `name=value` of an ENV, LABEL or ARG."""
        return dict(word.split("=", 1) for word in self.words if "=" in word)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What stands between one FROM and the next."""

    name: str
    source: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[Instruction]:
        """Return its instructions of that word."""
        return [each for each in self.instructions if each.word == word]

    def last(self, word: str) -> Instruction:
        """Return the one that counts of those that may be given once."""
        return self.all(word)[-1]


def instructions(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile in order."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        Instruction(word=word.upper(), rest=rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines())
    ]


def stages(text: str | None = None) -> dict[str, Stage]:
    """Return the stages of a Dockerfile, by default ours, by name and in order."""
    found: dict[str, Stage] = {}
    for each in instructions(FILE.read_text("utf-8") if text is None else text):
        if each.word == "FROM":
            source, _, name = each.words
            found[name] = Stage(name=name, source=source, instructions=())
        else:
            name, stage = list(found.items())[-1]
            found[name] = Stage(name=name, source=stage.source, instructions=(*stage.instructions, each))
    return found
