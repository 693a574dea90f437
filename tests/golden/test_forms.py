"""Forms: ids and accounts that no table can hold are found when a record is read, wherever they stand in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, get_args

import msgspec
import orjson
import pytest

from libs.events import Event, JobScheduled, Unreadable, decode, encode
from libs.events.codec import KINDS, kind_of
from libs.events.fields import TEXT_MAX, Form, JobId, forms_of
from tests.golden.examples import CLAIM, EXAMPLES
from tests.golden.test_events import GOLDEN

STRANGE: Final = ("", "nonsense of thirty letters here", "job_0" + "u" * 24 + "!", "a\0b", "\ud7ff", "x" * 1_000)


def of_forms(event: Event) -> Iterator[str]:
    return (field for field, _ in forms_of(type(event)) if getattr(event, field) is not None)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_strange_id_makes_a_record_unreadable(name: str) -> None:
    """Each field that has a form is looked at, and the reason names it."""
    event = EXAMPLES[name]
    for field in of_forms(event):
        for text in STRANGE:
            strange = msgspec.structs.replace(event, **{field: text})
            item = decode(encode(strange, CLAIM if kind_of(event).role == "decision" else None))

            assert isinstance(item, Unreadable)
            assert item.reason.endswith(f"`$.{field}`"), item.reason


def test_every_kind_of_an_event_names_what_it_is_about() -> None:
    """The key of a record is a field with a form, so what is folded under it is an id."""
    for kind in KINDS:
        assert not kind.key or kind.key in dict(forms_of(kind.event))


def parts_of(hint: Any) -> Iterator[Any]:
    """Yield *hint* and all that stands within it."""
    yield hint
    for each in get_args(hint):
        yield from parts_of(each)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        for field in msgspec.structs.fields(hint):
            yield from parts_of(field.type)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_forms_stand_nowhere_else(kind: Any) -> None:
    """The codec looks at an event's own fields: a form within a part of one would never be looked at."""

    def found(hint: Any) -> list[Form]:
        return [form for part in parts_of(hint) for form in getattr(part, "__metadata__", ()) if isinstance(form, Form)]

    for field in msgspec.structs.fields(kind.event):
        assert found(field.type) == [form for name, form in forms_of(kind.event) if name == field.name]


def test_what_is_refused_is_not_remembered() -> None:
    """Only texts that fit stay in memory: those that do not may be as long as a record."""
    form = next(each for each in JobId.__metadata__ if isinstance(each, Form))
    before = form.check.cache_info().currsize

    with pytest.raises(ValueError, match=re.escape(repr(form.pattern))):
        form.check("x" * 100_000)

    assert form.check.cache_info().currsize == before


@pytest.mark.parametrize("key", ["dk_\0", "k" * (TEXT_MAX + 1)])
def test_a_key_that_no_table_can_hold_makes_a_record_unreadable(key: str) -> None:
    """The tables are asked for the key by its name."""
    golden = next(each for name, each in GOLDEN.items() if b'"sealed":{' in each.value and each.type == "job.scheduled")
    value = orjson.loads(golden.value)
    assert isinstance(decode(golden), JobScheduled)
    value["spec"]["sealed"]["key"] = key

    assert isinstance(decode(golden._replace(value=orjson.dumps(value))), Unreadable)
