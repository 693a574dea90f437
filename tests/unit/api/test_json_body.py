"""Strict JSON: what is refused, and that duplicates are always found."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.contract.api_error import ApiError
from services.api.contract.json_body import VALUES_MAX, Duplicated, parse, parsing


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"{} x", b"\xef\xbb\xbf{}", b"[" * 2000 + b"]" * 2000, b'{"a":NaN}', b'{"a":Infinity}'),
        *(b'{"a":1e400}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b'{"a":"\x01"}', b"{'a':1}", b'{"a":1,}', b"\x00"),
    ],
)
def test_refused(raw: bytes) -> None:
    """What is not strict JSON is 400 invalid_json (table B, rows 2 to 7)."""
    with pytest.raises(ApiError) as refused:
        parse(raw)

    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


def test_large_integers_are_no_integers() -> None:
    """An integer of 40 digits comes back as something that no integer field takes."""
    assert isinstance(parse(b'{"a":' + b"1" * 40 + b"}")["a"], float)


@pytest.mark.parametrize(
    "raw",
    [
        *(b'{"a":1,"a":2}', b'{"a":1,"a" :2}', b'{"a":1,"a"\n:2}', b'{"a":1,"\\u0061":2}', b'{"":1,"":2}'),
        *(b'{"a\\\\":1,"a\\\\":2}', b'{"a":"x\\":","a":2}', b'{"a":":","a":2}', b'{"a\\"":1,"a\\"":2}'),
    ],
)
def test_duplicates(raw: bytes) -> None:
    """A repeated name is found however it is spelled."""
    assert isinstance(parse(raw), Duplicated)


@pytest.mark.parametrize("raw", [b'{"o":{"a":1,"a":2},"b":1}', b'{"o" : {"a":1,"a":2},"b":":"}'])
def test_nested_duplicates(raw: bytes) -> None:
    """Only the object that holds the repetition is replaced."""
    value = parse(raw)

    assert isinstance(value["o"], Duplicated)
    assert value["o"].name == "a"
    assert "b" in value


_texts = st.text(alphabet='a":\\ {}', max_size=4)
_values = st.recursive(
    st.none() | st.integers(-9, 9) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)


@given(_values, st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :"), (",\n", "\t:\r")]))
def test_without_duplicates_nothing_changes(value: Any, separators: tuple[str, str]) -> None:
    """A document without repetitions comes back as it is, whatever its strings and white space."""
    assert parse(json.dumps(value, separators=separators).encode()) == value


@st.composite
def _documents(draw: st.DrawFn) -> tuple[bytes, bool]:
    """JSON text written pair by pair, and whether some object repeats a name."""
    colon = draw(st.sampled_from([":", " :", ": ", "\n:"]))
    repeated = False

    def write(depth: int) -> str:
        nonlocal repeated
        if depth == 0 or draw(st.booleans()):
            return json.dumps(draw(_texts | st.integers(0, 9)))
        names = draw(st.lists(_texts, max_size=4))
        repeated |= len(set(names)) < len(names)
        return "{" + ",".join(json.dumps(name) + colon + write(depth - 1) for name in names) + "}"

    text = "{" + json.dumps("top") + colon + write(3) + "}"
    return text.encode(), repeated


@given(_documents())
def test_duplicates_are_found_exactly(document: tuple[bytes, bool]) -> None:
    """Of documents with adversarial names and spacing, exactly those with a repetition are changed."""
    raw, repeated = document

    assert (parse(raw) != orjson.loads(raw)) == repeated


FULL = VALUES_MAX - 2  # values beside the object itself and its member


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":[' + b",".join([b"1"] * FULL) + b"]}",
        b'{"a":[' + b",".join([b'"x,[{"'] * FULL) + b"]}",
        orjson.dumps({"a": orjson.dumps([{"b": "\\"}] * 20_000).decode()}),
    ],
)
def test_as_many_values_as_are_taken(raw: bytes) -> None:
    """What stands inside of strings does not count, however much there is."""
    assert parse(raw) == orjson.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":[' + b",".join([b"1"] * (FULL + 2)) + b"]}",
        b'{"a":[' + b",".join([b'"\\\\"'] * (FULL + 2)) + b"]}",
        b'{"a":[' + b",".join([b'"\\""'] * (FULL + 2)) + b"]}",
        b"{" + b",".join([b'"a":"b"'] * (VALUES_MAX + 1)) + b"}",
        b'{"a":[' + b",".join([b"[]"] * 100_000) + b"]}",
        b'{"a":[' + b",".join([b'""'] * 340_000) + b"]}",
    ],
)
def test_too_many_values(raw: bytes) -> None:
    """A body of more values is refused before anything is made of it; the refusal names the limit."""
    with pytest.raises(ApiError, match="more than 25,000 values") as refused:
        parse(raw)

    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    "raw",
    [
        orjson.dumps({"jobs": [{"url": "x" * 900, "n": n} for n in range(1_000)]}),
        b"{" + b",".join(b'"a%d":"b"' % n for n in range(VALUES_MAX - 1)) + b"}",
        b'{"a":0,"a":[' + b",".join([b'{"a":1}'] * (VALUES_MAX // 2 - 2)) + b"]}",
        b'{"a":"' + b"\\u003a" * 170_000 + b'"}',
        b'{"a":"' + b"\\\\" * 500_000 + b'"}',
        b'{"a":[' + b",".join([b'""'] * 340_000) + b"]}",
    ],
)
def test_no_step_of_parsing_is_long(raw: bytes) -> None:
    """The longest of the steps, between which others run, takes a few milliseconds of the processor, whatever the body holds."""
    shortest_s = 1.0  # of some tries: a collection of garbage may fall into one
    for _ in range(5):
        longest_s, steps = 0.0, parsing(raw)
        began_s = time.process_time()
        try:
            while True:
                next(steps)
                longest_s = max(longest_s, time.process_time() - began_s)
                began_s = time.process_time()
        except (StopIteration, ApiError):
            longest_s = max(longest_s, time.process_time() - began_s)
        shortest_s = min(shortest_s, longest_s)

    print(f"{len(raw):,} bytes: the longest step took {shortest_s * 1000:.1f} ms")
    assert shortest_s < 0.02
