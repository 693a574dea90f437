"""Schedules as code: what a file says, what differs, and what is written back."""

from __future__ import annotations

from typing import Any

import pytest

from fliq_client.cli.exits import UsageError
from fliq_client.cli.manifest import OWNER_LABEL, differences, exported, loaded, read

YAML = b"""
fliq: 1
owner: billing
variables: [APP_URL, KEY]
defaults: {timezone: Europe/Berlin, max_retries: 5}
schedules:
  digest:
    cron: "0 8 * * 1-5"
    url: "${APP_URL}/digest"
    headers: {X-Key: "${KEY}", X-Shell: "${HOME}"}
  nightly:
    every: {seconds: 3600}
    url: https://app.example.com/nightly
    timezone: null
    starts_at: 2027-01-31T09:00:00Z
    exclude: [2027-12-24]
"""
ENVIRON = {"APP_URL": "https://app.example.com", "KEY": "secret", "HOME": "/nowhere"}


def document(**changes: Any) -> dict[str, Any]:
    whole = {"fliq": 1, "owner": "billing", "schedules": {"a": {"url": "https://a.example/", "cron": "@daily"}}}
    return {name: value for name, value in (whole | changes).items() if value is not None}


def test_a_file_says_what_each_schedule_is() -> None:
    """Defaults below its own fields, the owner as a label, dates as texts, and only variables that were named."""
    manifest = read([("a.yaml", loaded(YAML, "a.yaml"))], ENVIRON)
    digest, nightly = manifest.schedules

    assert (manifest.owner, digest.key, nightly.key) == ("billing", "digest", "nightly")
    assert digest.fields == {
        "timezone": "Europe/Berlin",
        "max_retries": 5,
        "cron": "0 8 * * 1-5",
        "url": "https://app.example.com/digest",
        "headers": {"X-Key": "secret", "X-Shell": "${HOME}"},
        "labels": {OWNER_LABEL: "billing"},
    }
    assert digest.hidden == {"url", "headers"}
    assert (nightly.fields["timezone"], nightly.fields["starts_at"]) == (None, "2027-01-31T09:00:00Z")
    assert nightly.fields["exclude"] == ["2027-12-24"]


def test_json_is_as_good_as_yaml() -> None:
    """Without the package for YAML."""
    found = loaded(b'{"fliq": 1, "owner": "a", "schedules": {}}', "-")
    assert read([("-", found)], {}).owner == "a"


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([], "-f FILE"),
        ([[]], "begins with fliq: 1"),
        ([document(fliq=2)], "begins with fliq: 1"),
        ([document(owner=None)], "owner is missing"),
        ([document(flows={})], "unknown part 'flows'"),
        ([document(variables=["GONE"])], "GONE is not set"),
        ([document(variables="GONE")], "list of names"),
        ([document(schedules=[])], "object of names"),
        ([document(schedules={"a": {"cron": "@daily"}})], "a: url is missing"),
        ([document(schedules={"a": {"url": "x", "cronn": "@daily"}})], "unknown field 'cronn'"),
        ([document(schedules={"a": {"url": "x", "labels": {OWNER_LABEL: "b"}}})], "leave it out"),
        ([document(), document()], "'a' is in file 0, too"),
        ([document(), document(owner="other")], "apply them apart"),
    ],
)
def test_what_a_file_says_wrong_is_named(documents: list[Any], said: str) -> None:
    """With the file and the remedy; nothing is sent."""
    with pytest.raises(UsageError, match=said):
        read([(f"file {n}", each) for n, each in enumerate(documents)], {})


@pytest.mark.parametrize(("text", "name"), [(b"{", "a.json"), (b"a: [", "a.yaml"), (b"\xff", "a.yaml")])
def test_a_file_that_cannot_be_read_is_named(text: bytes, name: str) -> None:
    """One line."""
    with pytest.raises(UsageError, match=name):
        loaded(text, name)


def test_differences_are_those_that_somebody_made() -> None:
    """A default that was left out is none, nor is what the API adds to a policy."""
    (wanted,) = read([("a", document(defaults={"retry": {"max_retries": 5}}))], {}).schedules
    current = {"url": "https://a.example/", "cron": "@daily", "retry": {"max_retries": 5, "backoff": "exponential"}}
    current |= {"labels": {OWNER_LABEL: "billing"}, "http_method": "POST", "misfire": "fire_once", "exclude": []}

    assert differences(wanted, current) == {}
    assert differences(wanted, current | {"cron": "@hourly", "misfire": "skip"}) == {
        "cron": ("@hourly", "@daily"),
        "misfire": ("skip", "fire_once"),
    }


def test_what_is_written_makes_the_same_again() -> None:
    """All fields that are no defaults; what looks like a secret is a variable, and the owner is no label."""
    shown = {
        "id": "sched_1",
        "key": "digest",
        "url": "https://a.example/",
        "cron": "@daily",
        "timezone": "Europe/Berlin",
        "http_method": "POST",
        "next_run_at": "2027-01-01T00:00:00Z",
        "headers": {"Authorization": "Bearer secret", "X-A": "b"},
        "labels": {OWNER_LABEL: "before", "tenant": "acme"},
    }
    written = exported("billing", [shown])

    assert "secret" not in str(written)
    assert written == {
        "fliq": 1,
        "owner": "billing",
        "variables": ["DIGEST_AUTHORIZATION"],
        "schedules": {
            "digest": {
                "url": "https://a.example/",
                "cron": "@daily",
                "headers": {"Authorization": "${DIGEST_AUTHORIZATION}", "X-A": "b"},
                "timezone": "Europe/Berlin",
                "labels": {"tenant": "acme"},
            }
        },
    }
    (again,) = read([("a", written)], {"DIGEST_AUTHORIZATION": "Bearer secret"}).schedules
    assert differences(again, shown | {"labels": {OWNER_LABEL: "billing", "tenant": "acme"}}) == {}
