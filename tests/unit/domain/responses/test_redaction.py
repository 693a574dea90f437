"""What is taken out of an answer before it is kept."""

import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest

from libs.domain.responses.redaction import MARK, Redactor, named_values, parts_of, query_values

SECRET = "p@ss/\"w<ö>rd' & 7"


@pytest.mark.parametrize(
    "spell",
    [
        str,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps({"echo": json.dumps({"inner": text})}),
        lambda text: json.dumps(text).replace("/", "\\/"),
        quote,
        lambda text: quote(text, safe=""),
        quote_plus,
        html.escape,
        lambda text: html.escape(text, quote=False),
    ],
)
def test_a_secret_is_found_however_it_is_spelled(spell) -> None:  # type: ignore[no-untyped-def]
    """As it is, in JSON, in JSON within JSON, in a URL, in HTML."""
    text = f"before {spell(SECRET)} after"
    redactor = Redactor([SECRET])

    found = redactor.redacted(text)

    assert "w<" not in found
    assert "rd" not in found.replace("before", "")
    assert MARK in found
    assert redactor.count == 1


def test_short_texts_are_left_alone() -> None:
    """A value of three characters stands in every answer by chance."""
    assert Redactor(["1", "abc", ""]).redacted("1 abc") == "1 abc"


def test_parts_of_a_header_are_secrets_too() -> None:
    """A target may show a cookie by itself, or a token without its scheme."""
    secrets = parts_of("sid=0123456789abcdef; theme=dark") | parts_of("Bearer abcdefgh12345")
    assert (
        Redactor(secrets).redacted('{"sid": "0123456789abcdef", "t": "abcdefgh12345"}')
        == f'{{"sid": "{MARK}", "t": "{MARK}"}}'
    )


def test_values_of_a_query_are_secrets() -> None:
    """As they are written and decoded."""
    secrets = query_values("https://h.example/p?key=s%2Fcret%20one&flag&empty=")
    assert {"s%2Fcret%20one", "s/cret one", "flag"} <= secrets
    assert Redactor(secrets).redacted("got s/cret one and s%2Fcret%20one") == f"got {MARK} and {MARK}"


@pytest.mark.parametrize("cut", range(4, 30))
def test_a_beginning_of_a_secret_at_the_cut_is_taken_out(cut: int) -> None:
    """Wherever the head ends within a secret, no four characters of it stay."""
    secret = "0123456789abcdefghijklmnopqrst"
    found = Redactor([secret]).redacted(f"x {secret[:cut]}", is_end_cut=True)
    assert found == f"x {MARK}"


@pytest.mark.parametrize("cut", range(4, 30))
def test_an_end_of_a_secret_at_the_cut_is_taken_out(cut: int) -> None:
    """The same where the tail begins."""
    secret = "0123456789abcdefghijklmnopqrst"
    found = Redactor([secret]).redacted(f"{secret[-cut:]} x", is_start_cut=True)
    assert found == f"{MARK} x"


def test_the_rest_of_a_word_at_the_beginning_of_a_tail_is_left_out() -> None:
    """It may be the end of a token whose beginning is gone."""
    assert Redactor([]).redacted("XyZ0123.abc rest", is_start_cut=True) == " rest"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Authorization: Bearer abc.def-ghi", f"Authorization: {MARK}"),
        ("basic dXNlcjpwYXNz==", MARK),
        ("the bearer of news", "the bearer of news"),
        ("whsec_AAAA+/= and fliq_sk_123abc", f"{MARK} and {MARK}"),
        ("sk_live_123", MARK),
    ],
)
def test_tokens_are_told_by_how_they_begin(text: str, found: str) -> None:
    """Those of Fliq, credentials of a scheme, and what the operator names."""
    assert Redactor([], token_beginnings=["sk_live_"]).redacted(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"password": "x", "a": 1}', f'{{"password": {MARK}, "a": 1}}'),
        ('{"a":{"PassWord":"x\\"y"},"b":2}', f'{{"a":{{"PassWord":{MARK}}},"b":2}}'),
        ('{"password": 1234, "b": 2}', f'{{"password": {MARK}, "b": 2}}'),
        ('{"password": {"old": "a}", "new": ["b"]}, "b": 2}', f'{{"password": {MARK}, "b": 2}}'),
        ('{"password": [1, 2, [3]], "b": 2}', f'{{"password": {MARK}, "b": 2}}'),
        ('{"password": "cut of', f'{{"password": {MARK}'),
        ('{"password": {"cut": "of', f'{{"password": {MARK}'),
        ("user=a&password=x%20y&b=2", f"user=a&password={MARK}&b=2"),
        ("{'password': 'x', 'b': 2}", f"{{'password': {MARK}, 'b': 2}}"),
        ('{"passwords": "x"}', '{"passwords": "x"}'),
        ('{"data": "{\\"password\\": \\"cut", "z": 1}', f'{{"data": "{{\\"password\\": {MARK}, "z": 1}}'),
        ('{"password": ""}', f'{{"password": {MARK}}}'),
    ],
)
def test_values_are_told_by_their_names(text: str, found: str) -> None:
    """Of JSON at any depth, of forms, of what a program prints; whole or cut off."""
    assert Redactor([], names=["password"]).redacted(text) == found


def test_a_value_that_is_a_secret_of_the_request_is_counted_once() -> None:
    """It is known by itself and by its name."""
    redactor = Redactor(["hunter22"], names=["password"])
    assert redactor.redacted('{"password": "hunter22"}') == f'{{"password": "{MARK}"}}'
    assert redactor.count == 1


def test_what_only_looks_like_a_part_of_a_secret_at_the_cut_stays() -> None:
    """Four characters of it, and then something else."""
    redactor = Redactor(["abcdefgh"])
    assert redactor.redacted("x abcdxx", is_end_cut=True) == "x abcdxx"
    assert redactor.redacted("x efgh y", is_start_cut=True) == " efgh y"
    assert redactor.redacted("--efgh y", is_start_cut=True) == " y"


def test_names_are_found_in_json_within_json() -> None:
    """A target that echoes the body as a text: the quotes are escaped, once or twice."""
    inner = json.dumps({"password": 'q"b\\', "n": 1})
    once = json.dumps({"data": inner, "z": 1})
    twice = json.dumps({"data": once})
    for text in (once, twice):
        found = Redactor([], names=["password"]).redacted(text)
        assert "q" not in found
        assert MARK in found
        assert found.count("n") == text.count("n")  # what stands behind it is still there


def test_values_behind_names_in_the_request_are_secrets() -> None:
    """They are then found without their name, too."""
    body = json.dumps(
        {"a": 1, "b": ["c"], "user": {"password": "hunter22", "pins": [123456]}, "x": {"pins": [{"a": "deepest1"}]}}
    )
    assert named_values(body, ["Password", "pins"]) == {"hunter22", "123456", "deepest1"}
    assert named_values(b"no json", ["a"]) == set()
    assert named_values("[" * 100_000, ["a"]) == set()


@pytest.mark.parametrize(
    "piece",
    [
        "\\",
        '"',
        '\\"',
        "password",
        '"password":',
        '"password":"',
        '"password":{',
        "{[",
        "bearer ",
        "whsec_",
        "%",
        "aaaa",
        "'",
    ],
)
def test_hostile_text_takes_little_time(piece: str) -> None:
    """8 KiB of anything take a fraction of a second: nothing is searched in time that grows with the square."""
    text = (piece * 8_192)[:8_192]
    redactor = Redactor(["a" * 4_000, "\\" * 500], names=["password"] * 20, token_beginnings=["aaa"])
    began_at = time.process_time()
    redactor.redacted(text, is_end_cut=True, is_start_cut=True)
    assert time.process_time() - began_at < 0.25
