"""The health check of the image asks the process beside it."""

from __future__ import annotations

import asyncio

import pytest

from libs.runtime.admin_port.checks import Checks
from libs.runtime.admin_port.probes import Probes
from libs.runtime.healthcheck import reason
from libs.runtime.telemetry.metrics import Metrics
from tests.fakes.running.processes import free_port


async def test_a_process_that_answers_is_well() -> None:
    """It asks the admin port of the settings, on loopback where the process listens everywhere."""
    port = free_port()
    probes = Probes(host="127.0.0.1", port=port, metrics=Metrics(version="0"), checks=Checks())
    await probes.start()
    try:
        for host in ("127.0.0.1", "0.0.0.0"):
            assert await asyncio.to_thread(reason, {"FLIQ_ADMIN_HOST": host, "FLIQ_ADMIN_PORT": str(port)}) is None
    finally:
        await probes.stop()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "does not answer"),
        ({"FLIQ_ADMIN_PORT": "none"}, "FLIQ_ADMIN_PORT: 'none' is not a port"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(environ: dict[str, str], said: str) -> None:
    """Nobody listens, or the settings cannot be read."""
    why = reason({"FLIQ_ADMIN_PORT": str(free_port())} | environ)

    assert why is not None
    assert said in why
    assert "\n" not in why
