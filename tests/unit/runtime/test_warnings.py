"""What a start says of variables that do nothing."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from libs.runtime.settings.settings import idle_names
from services.process.run import warn_of


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (
            {"FLIQ_KAFKA_TLS": "on", "FLIQ_KAFKA_PASSWORD": "canary"},
            [("settings", "FLIQ_KAFKA_TLS, FLIQ_KAFKA_PASSWORD")],
        ),
        ({"FLIQ_KAFKA_TLS": "on", "FLIQ_KAFKA_BOOTSTRAP": "a:9092"}, []),
        ({"FLIQ_TOKEN": "canary"}, [("name", "FLIQ_TOKEN")]),
        ({"FLIQ_PORT": "1"}, []),
        ({"FLIQ_SECRET_KEY": "canary", "FLIQ_BOOTSTRAP_TOKENS": " "}, [("name", "FLIQ_SECRET_KEY")]),
    ],
)
def test_variables_that_do_nothing_are_named(environ: dict[str, str], told: list[tuple[str, str]]) -> None:
    """One line for Kafka's settings without its brokers, one for each name that is no setting or not this role's; never a value."""
    with capture_logs() as lines:
        warn_of(environ, ["dispatcher"])

    assert [(key, line[key]) for line in lines for key in ("name", "settings") if key in line] == told
    assert "canary" not in str(lines)


def test_settings_of_kafka_count_with_its_brokers_only() -> None:
    """Without them the log is in PostgreSQL, and those that are set are told."""
    environ = {"FLIQ_KAFKA_TOPIC": "x", "FLIQ_KAFKA_TLS": "on", "FLIQ_KAFKA_USERNAME": " "}
    assert idle_names(environ) == ["FLIQ_KAFKA_TOPIC", "FLIQ_KAFKA_TLS"]
    assert idle_names({**environ, "FLIQ_KAFKA_BOOTSTRAP": ""}) == ["FLIQ_KAFKA_TOPIC", "FLIQ_KAFKA_TLS"]
    assert idle_names({**environ, "FLIQ_KAFKA_BOOTSTRAP": "a:9092"}) == []
    assert idle_names({"FLIQ_PORT": "1"}) == []
