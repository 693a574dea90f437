"""Requests a second and connections of one account: what is counted, and what the answers say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from libs.store.control.limits import Limits
from services.api.contract.api_error import ApiError
from services.api.http.connection_budget import ConnectionBudget
from services.api.http.request_body import LastError
from services.api.http.request_limits import RequestLimits
from tests.unit.api.http.test_connection_budget import Wire


class Clock:
    """Seconds that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def limits(clock: Clock, **of_acme: int) -> RequestLimits:
    """Limits of the account `acme` alone."""
    return RequestLimits(lambda account: Limits(**of_acme) if account == "acme" else Limits(), clock)


def connection(budget: ConnectionBudget) -> Any:
    """A connection that the budget counts."""
    made = Wire()
    made.owner = SimpleNamespace(budget=budget)  # type: ignore[attr-defined]
    assert budget.take(made, ("192.0.2.1", 1))
    return made


def budget() -> ConnectionBudget:
    """Room for many."""
    return ConnectionBudget(connections_max=100, received_max=100, unread_max=100)


def test_every_answer_says_what_is_left() -> None:
    """In the fields of the draft; the refusal says when to come again, and others are not limited."""
    clock = Clock()
    limited = limits(clock, requests_per_second=2)
    said = [dict(limited.admit("acme", None)) for _ in range(2)]

    assert said[0] == {"RateLimit-Policy": '"requests";q=2;w=1', "RateLimit": '"requests";r=1;t=1'}
    assert said[1]["RateLimit"] == '"requests";r=0;t=1'
    with pytest.raises(ApiError, match="2 requests a second") as refused:
        limited.admit("acme", None)
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    assert refused.value.headers == {
        "RateLimit-Policy": '"requests";q=2;w=1',
        "RateLimit": '"requests";r=0;t=1',
        "Retry-After": "1",
    }
    assert limited.admit("other", None) == {}
    clock.now_s += 0.5
    assert limited.admit("acme", None)["RateLimit"] == '"requests";r=0;t=1'


def test_connections_up_to_the_limit() -> None:
    """A connection counts from its first request on until it is closed, or another account uses it."""
    limited, held = limits(Clock(), connections=2), budget()
    one, two, three = (connection(held) for _ in range(3))
    for each in (one, two, one, two):
        limited.admit("acme", each)

    with pytest.raises(LastError, match="2 connections") as refused:
        limited.admit("acme", three)
    assert (refused.value.status, refused.value.code) == (429, "too_many_connections")
    limited.admit("other", three)
    held.lost(one)
    held.lost(one)
    limited.admit("acme", three)
    with pytest.raises(LastError):
        limited.admit("acme", connection(held))


def test_a_connection_changes_hands() -> None:
    """With the token of another account that has a limit it counts for that one."""
    held = budget()
    limited = RequestLimits(lambda _: Limits(connections=1), Clock())
    one = connection(held)
    limited.admit("acme", one)
    limited.admit("other", one)

    limited.admit("acme", connection(held))
    with pytest.raises(LastError):
        limited.admit("other", connection(held))


def test_a_request_on_one_connection_too_many_counts() -> None:
    """Its refusal says how many requests are left, too: who opens connections again and again is held to that limit."""
    held = budget()
    limited = limits(Clock(), connections=1, requests_per_second=2)
    limited.admit("acme", connection(held))

    with pytest.raises(LastError) as refused:
        limited.admit("acme", connection(held))
    assert refused.value.headers["RateLimit"] == '"requests";r=0;t=1'
    assert refused.value.headers["Retry-After"] == "1"
