"""Limits of single accounts in the tables, and how processes hear of a change."""

from __future__ import annotations

import pytest

from libs.domain.heartbeat import ACCOUNT as HEARTBEAT_ACCOUNT
from libs.runtime.clock import SystemClock
from libs.store.control.account_limits import AccountLimits, LimitsTable
from libs.store.control.accounts import Accounts
from libs.store.control.limits import NO_LIMITS, Limits
from tests.conformance.store.conftest import Harness

OF_ALL = Limits(requests_per_second=10, executions_per_day=100)


async def test_an_account_has_its_own_limits_or_those_of_all(harness: Harness) -> None:
    """A change is found by the next look; what is not set is as for all; 0 takes a limit away; the heartbeat has none."""
    await Accounts(harness.pool).ensure_account("acme", "whsec_")
    table = LimitsTable(harness.pool)
    limits = AccountLimits(OF_ALL, LimitsTable(harness.pool), SystemClock())
    await limits.look()
    assert limits.of("acme") == OF_ALL

    await table.put("acme", {"requests_per_second": 0, "waiting_jobs": 5})
    await limits.look()
    assert limits.of("acme") == OF_ALL._replace(requests_per_second=0, waiting_jobs=5)
    assert limits.of("other") == OF_ALL
    assert limits.of(HEARTBEAT_ACCOUNT) == NO_LIMITS
    assert limits.of("whe_01m8mfsb6j000hnbjj6f4rh1ft") == NO_LIMITS
    assert (await table.of("acme"))["waiting_jobs"] == 5
    assert (await table.of("acme"))["executions_per_day"] is None

    await table.put("acme", {})
    await limits.look()
    assert limits.of("acme") == OF_ALL


async def test_a_process_that_starts_reads_all(harness: Harness) -> None:
    """Also what changed long ago."""
    await Accounts(harness.pool).ensure_account("acme", "whsec_")
    await LimitsTable(harness.pool).put("acme", {"connections": 3})
    await harness.pool.execute("UPDATE account_limits SET changed_at = now() - interval '1 year'")
    limits = AccountLimits(OF_ALL, LimitsTable(harness.pool), SystemClock())
    await limits.look()

    assert limits.of("acme").connections == 3


async def test_limits_belong_to_an_account_that_exists(harness: Harness) -> None:
    """A misspelt name is no account."""
    with pytest.raises(Exception, match="foreign key"):
        await LimitsTable(harness.pool).put("nobody", {})
