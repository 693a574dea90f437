"""
Pages: what documentation says, as data: fenced blocks, links, tables, commands.

A `sh` block of docs/api.md is run, and the block behind it is the answer; everything that differs from run to run
(ids, instants, secrets, durations, positions) is compared by kind only.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECRETS = (
    (re.compile(r"fliq_sk_[0-9A-Za-z]{36}"), "fliq_sk_..."),
    (re.compile(r"whsec_[0-9A-Za-z+/=]{40,}"), "whsec_..."),
)
_VARYING = (
    (re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"), "HTTP-DATE"),
    (re.compile(r"\b(job|sched|exec|tok|whe)_[0-9a-z]{20,26}"), r"\1_..."),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z"), "<instant>"),
    *SECRETS,
    (re.compile(r'("(?:duration_ms|executions_today|position|partition)": ?)\d+'), r"\g<1>0"),
    (re.compile(r'("last_four": ?)"\w{4}"'), r'\1"...."'),
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, and where the text stands in the page."""

    language: str
    text: str
    start: int
    end: int


def read(name: str) -> str:
    """Return a page of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of *page* in order."""
    return [
        Block(language=found[1], text=found[2], start=found.start(2), end=found.end(2))
        for found in _FENCE.finditer(page)
    ]


def examples(page: str) -> list[tuple[Block, Block | None]]:
    """Return every `sh` block with the answer that stands directly behind it, if one does."""
    found = blocks(page)
    pairs: list[tuple[Block, Block | None]] = []
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.language == "sh":
            is_answer = following is not None and page[block.end : following.start].count("\n") == 2
            pairs.append((block, following if is_answer else None))
    return pairs


def without_commands(page: str) -> str:
    """Return *page* without its fenced blocks: what is prose."""
    return _FENCE.sub("", page)


def settled(text: str) -> str:
    """Return *text* with everything that differs from run to run named by its kind."""
    for pattern, kind in _VARYING:
        text = pattern.sub(kind, text)
    return text


def pretty(value: Any, indent: int = 0, width: int = 120) -> str:
    """Return JSON with everything on one line that fits there."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= width or not isinstance(value, dict | list) or not value:
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {pretty(item, indent + 2, width - len(key) - 4)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner + item for item in items) + "\n" + " " * indent + "}"
    items = [pretty(item, indent + 2, width) for item in value]
    return "[\n" + ",\n".join(inner + item for item in items) + "\n" + " " * indent + "]"


def links(page: str) -> list[str]:
    """Return the targets of the links in the prose of *page*."""
    return re.findall(r"\]\(([^)\s]+)\)", without_commands(page))


def anchors(page: str) -> set[str]:
    """Return the anchors that the headings of *page* get on a code host."""
    titles = re.findall(r"^#+ (.*)$", without_commands(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(page: str, program: str) -> set[str]:
    """Return the words that stand behind *program* in code, inline or in a block: `make x`, `fliq x`."""
    code = [found[2] for found in _FENCE.finditer(page)]
    code += re.findall(r"`([^`\n]+)`", without_commands(page))
    pattern = rf"(?:^|[;&|(]) *(?:[A-Z_0-9]+=\S+ +)*(?:\S*/)?{program} +(?:[A-Z_0-9]+=\S+ +)*([a-z][a-z-]*)"
    return {word for text in code for line in text.splitlines() for word in re.findall(pattern, line)}
