"""The memory that deploy/ gives to a role is more than the sum of everything that may be held there, each at its own limit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from libs.domain.responses.terms import BODY_BYTES
from libs.egress.http1.exchange import HEAD_LIMIT
from libs.following.calls import CallLimits
from libs.following.held_calls import PLACE_BYTES
from libs.following.loader import SPECS_KEPT_BYTES_MAX
from libs.log.kafka import adapter as kafka
from libs.log.kafka import fetching
from libs.log.postgres import adapter as postgres
from libs.log.server_log import RECENT_BYTES_MAX
from libs.runtime.settings.settings import Settings
from services.api.http.request_turns import CHANGES_AT_ONCE
from services.dispatcher import service as dispatcher
from services.dispatcher.attempt_calls import SLOT_BYTES
from services.scheduler.new_jobs import NOTED_MAX
from services.scheduler.partition_owner import UNSAVED_BYTES_MAX
from services.webhooks import service as webhooks
from tests.e2e.neighbours.neighbour import limit_mib

PROCESS: Final = 60_000_000  # Python, the modules and what they make at the start (docs/benchmarks.md)
PLACE_REST: Final = 2_048  # of a held call, besides its spec
ID: Final = 80
CHANGE_BYTES: Final = 1_310_720  # a job of 320 KiB: as it was, as it is to be, as it is sent, as it is shown
PARTITIONS: Final = {"all": 16, "scheduler": 64}


def calls(limits: CallLimits, kept: int) -> int:
    """Return the bytes of all calls held, and of all under way with their bodies and answers."""
    return limits.places * (PLACE_BYTES + PLACE_REST) + limits.slots * (SLOT_BYTES + HEAD_LIMIT + kept)


def sum_of(role: str) -> int:
    """Return the bytes that a process of *role* takes while each of its limits is reached at once."""
    settings = Settings.from_env({})
    queue, read = (
        (postgres.QUEUE_BYTES_MAX, postgres.READ_BYTES_MAX)
        if role == "all"
        else (kafka.QUEUE_BYTES_MAX, fetching.READ_BYTES_MAX)
    )
    partitions = PARTITIONS.get(role, 0)
    own = {
        "api": 2
        * (settings.api_requests_mib + settings.api_answers_mib << 20)  # as they came, and as they are understood
        + CHANGES_AT_ONCE * CHANGE_BYTES,
        "scheduler": SPECS_KEPT_BYTES_MAX + partitions * (UNSAVED_BYTES_MAX + NOTED_MAX * ID),
        "dispatcher": calls(dispatcher.LIMITS, BODY_BYTES),
        "webhooks": calls(webhooks.LIMITS, 0),
    }
    return PROCESS + RECENT_BYTES_MAX + queue + read + (sum(own.values()) if role == "all" else own[role])


@pytest.mark.parametrize("role", ["all", "api", "scheduler", "dispatcher", "webhooks"])
def test_a_role_gets_what_its_limits_add_up_to(role: str) -> None:
    """The sum is below the limit of deploy/k8s, and docs/operations.md says it."""
    mib = sum_of(role) / 2**20
    print(f"{role}: {mib:.0f} MiB of {limit_mib(role):.0f}")
    page = Path("docs/operations.md").read_text(encoding="utf-8")
    said = re.search(rf"\| `fliq {role}` \| .* \| (\d+) MiB \| (\d+) MiB \|", page)

    assert mib <= limit_mib(role)
    assert said is not None
    assert said.groups() == (f"{mib:.0f}", f"{limit_mib(role):.0f}")
