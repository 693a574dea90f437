"""A collector that is away is said now and then, not several times a second."""

from __future__ import annotations

import logging

import pytest

from libs.runtime.telemetry.open_telemetry import Seldom


def test_one_line_is_written_and_those_right_after_it_are_not(caplog: pytest.LogCaptureFixture) -> None:
    """The first complaint is written."""
    log = logging.getLogger("test of seldom")
    seldom = Seldom()
    log.addFilter(seldom)
    for number in range(5):
        log.warning("away %s", number)
    log.removeFilter(seldom)
    assert caplog.messages == ["away 0"]
