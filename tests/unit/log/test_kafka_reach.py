"""Reach: an outage of the cluster is two lines, however many connections notice it, however often."""

import structlog

from libs.log.kafka.connection import Reach


def test_an_outage_is_said_once() -> None:
    """Once when the first connection gets no answer, once when the last of those that waited has one again."""
    reach = Reach()
    with structlog.testing.capture_logs() as logs:
        reach.answered("broker 1")
        for _ in range(3):
            reach.failed("broker 1", OSError("refused"))
            reach.failed("facts", OSError("refused"))
            reach.answered("broker 2")
        reach.answered("facts")
        assert [entry["event"] for entry in logs] == ["log.away"]
        reach.answered("broker 1")
        reach.answered("broker 1")
        reach.failed("facts", OSError("refused"))
    assert [entry["event"] for entry in logs] == ["log.away", "log.back", "log.away"]
    assert logs[0]["error"] == "refused"
