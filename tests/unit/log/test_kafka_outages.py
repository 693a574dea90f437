"""Reachability: an outage of the cluster is two lines, however many connections notice it, however often."""

import logging

import pytest
import structlog

from libs.log.kafka.connection import Causes, Reachability


def test_an_outage_is_said_once() -> None:
    """Once when the first connection gets no answer, once when the last of those that waited has one again."""
    reachability = Reachability()
    with structlog.testing.capture_logs() as logs:
        reachability.answered("broker 1")
        for _ in range(3):
            reachability.failed("broker 1", OSError("refused"))
            reachability.failed("facts", OSError("refused"))
            reachability.answered("broker 2")
        reachability.answered("facts")
        assert [entry["event"] for entry in logs] == ["log_away"]
        reachability.answered("broker 1")
        reachability.answered("broker 1")
        reachability.failed("facts", OSError("refused"))
    assert [entry["event"] for entry in logs] == ["log_away", "log_back", "log_away"]
    assert logs[0]["error"] == "refused"


def test_the_driver_is_heard_for_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    """What the driver only logs (a password, a certificate, a refused connection) is said in the one line, and nowhere else."""
    causes, log = Causes(), logging.getLogger("aiokafka")
    with causes.heard():
        for _ in range(2):
            log.error('Unable connect to "%s:%s": %s', "b1", 9092, OSError("certificate verify failed"))
        log.warning('Unable to request metadata from "%s:%s": %s', "b2", 9092, TimeoutError())
        log.error("something else")
    assert caplog.messages == ["something else"]
    assert causes.text(OSError("x")) == "b1:9092: certificate verify failed; b2:9092: TimeoutError"
    assert Causes().text(OSError("nobody")) == "nobody"
    log.error('Unable connect to "%s:%s": %s', "b1", 9092, "x")
    assert len(caplog.messages) == 2


def test_the_driver_is_heard_where_nothing_is_written(caplog: pytest.LogCaptureFixture) -> None:
    """A command that writes no log lines hears the cause all the same; several may listen; the level is as before in the end."""
    log = logging.getLogger("aiokafka")
    caplog.set_level(logging.CRITICAL)
    first, second = Causes(), Causes()
    with first.heard():
        log.error('Unable connect to "%s:%s": %s', "b1", 9092, "refused")
        with second.heard():
            log.error('Unable connect to "%s:%s": %s', "b2", 9092, "refused")
        log.error("something else")
    assert caplog.messages == []
    assert log.level == logging.NOTSET
    assert first.text(OSError()) == "b1:9092: refused; b2:9092: refused"
    assert second.text(OSError()) == "b2:9092: refused"
