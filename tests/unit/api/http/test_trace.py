"""Which trace a request belongs to."""

from __future__ import annotations

from typing import Any

from multidict import CIMultiDict

from services.api.http.trace import traceparent_of

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Request(dict[str, Any]):
    """What `traceparent_of` reads of a request."""

    def __init__(self, *traceparents: str) -> None:
        super().__init__()
        self.headers = CIMultiDict([("traceparent", each) for each in traceparents])


def kept(*traceparents: str) -> str | None:
    request: Any = Request(*traceparents)
    return traceparent_of(request)


def test_traceparent() -> None:
    """A well-formed traceparent is kept, anything else is dropped, never refused."""
    assert kept(GOOD) == GOOD
    for bad in ("x", GOOD.upper(), "00-" + "0" * 32 + GOOD[35:], GOOD + "-x", "ff" + GOOD[2:]):
        assert kept(bad) is None
    assert kept() is None
    assert kept(GOOD, GOOD) is None
