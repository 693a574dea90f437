"""Every kind of state has all its parts from its first day; CONTRIBUTING.md, "A kind of state", is their list."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.domain.state_kind import StateKind
from libs.domain.state_registry import FOLDED_BY, STATE_KINDS
from libs.events.codec import KINDS
from libs.events.ids import STATE_IDS
from libs.store.projection.table_registry import STATE_TABLES, TABLE_OF_STATE

ROOT = Path(__file__).parents[2]
EVENTS = {kind.event: kind for kind in KINDS}
of_each_kind = pytest.mark.parametrize("kind", STATE_KINDS, ids=lambda kind: kind.name)


def text(*paths: str) -> str:
    """Return the text of some files of the repository."""
    return "\n".join(path.read_text(encoding="utf-8") for each in paths for path in sorted(ROOT.glob(each)))


def test_ids_name_the_kinds_of_state() -> None:
    """A record stands under the id of a state: the codec and the registry agree on which ids those are."""
    assert tuple(kind.id_kind for kind in STATE_KINDS) == STATE_IDS


def test_every_kind_has_a_table() -> None:
    """What is folded is saved, loaded, verified and made again."""
    assert [table.kind for table in STATE_TABLES] == list(STATE_KINDS)


@of_each_kind
def test_the_transitions_are_those_of_its_statuses_and_events(kind: StateKind) -> None:
    """Every status has a meaning; every event stands in the transitions table or creates a state."""
    statuses = set(type(next(iter(kind.statuses))))
    names = {EVENTS[event].name for event in kind.events}
    in_table = {event for _, event in kind.transitions}

    assert set(kind.statuses) == statuses
    assert {status for status, _ in kind.transitions} | {
        each for to in kind.transitions.values() for each in to
    } == statuses
    assert in_table <= names
    assert {each.name for each in KINDS if kind in FOLDED_BY[each.event]} == names


@of_each_kind
def test_a_state_can_be_held_and_is_found_by_its_id(kind: StateKind) -> None:
    """A record that cannot be read stops the state that it stands under, and nothing else."""
    assert {"held", "status", kind.key, kind.timer} <= set(kind.state.__struct_fields__)


@of_each_kind
def test_the_row_holds_the_whole_state(kind: StateKind) -> None:
    """One column for each field, in the order of the fields."""
    table = TABLE_OF_STATE[kind.state]

    assert table.columns == kind.state.__struct_fields__
    assert set(table.newborn) <= set(table.changing) <= set(table.columns) - {table.key}


@of_each_kind
def test_its_timer_has_an_index(kind: StateKind) -> None:
    """What waits for the timer is found by exactly this condition; with any other the whole table would be read."""
    table = TABLE_OF_STATE[kind.state]

    assert f"ON {table.name} (part, {kind.timer}) WHERE {table.waits};" in text("libs/store/schema/migrations/*.sql")


@of_each_kind
def test_its_events_are_documented_and_their_bytes_kept(kind: StateKind) -> None:
    """A line in docs/events.md and golden bytes for each event, a section in docs/job-lifecycle.md."""
    pages, golden = text("docs/events.md"), text("tests/golden/events_v*.jsonl")
    names = [EVENTS[event].name for event in kind.events]

    assert [name for name in names if f"## `{name}`" not in pages or f'"{name}"' not in golden] == []
    assert f"## {kind.name.title()}\n" in text("docs/job-lifecycle.md")


@of_each_kind
def test_verify_is_seen_to_find_a_wrong_row(kind: StateKind) -> None:
    """A difference is planted in its table."""
    assert f"UPDATE {TABLE_OF_STATE[kind.state].name} SET" in text("tests/conformance/store/test_verify.py")


@of_each_kind
def test_a_broken_fold_is_caught_by_the_model(kind: StateKind) -> None:
    """At least one mutation of the protocol model is about one of its events or its states."""
    mutations = text("tests/simulation/model/*mutations.py")

    assert any(each.__name__ in mutations for each in (kind.state, *kind.events))
