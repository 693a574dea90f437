"""Webhook endpoints: what is stored of them, their versions, their secrets and their health."""

import asyncio

import msgspec
import pytest

from libs.domain.endpoints.endpoint import ENDPOINTS_MAX, Endpoint, EndpointConfig, Filter
from libs.domain.endpoints.health import DISABLED_AFTER_MS
from libs.store.control.accounts import Accounts
from libs.store.control.endpoints import Endpoints
from tests.conformance.store.conftest import Harness

NOW = 1_790_000_000_123
HOUR = 3_600_000
CONFIG = EndpointConfig(
    url="https://example.com/hook",
    events=("job.failed", "*"),
    filter=Filter(hosts=("a.example",), status_codes=(503,)),
    format="cloudevents",
    headers={"X-Zed": "1", "A": "2"},
    description="Ünï 'quoted'",
)
ENDPOINT = Endpoint(
    endpoint_id="whe_1", account="acme", config=CONFIG, version=1, created_at=NOW, changed_at=NOW, disabled_reason=None
)


@pytest.fixture
async def endpoints(harness: Harness) -> Endpoints:
    """The endpoints of account `acme`, which has one, and of account `other`, which has none."""
    accounts = Accounts(harness.pool)
    await accounts.ensure_account("acme", "one")
    await accounts.ensure_account("other", "two")
    made = Endpoints(harness.pool)
    assert await made.add(ENDPOINT, "first")
    return made


def changed(endpoint: Endpoint, **fields: object) -> Endpoint:
    """Return the next version of *endpoint*."""
    return msgspec.structs.replace(endpoint, version=endpoint.version + 1, **fields)


async def test_an_endpoint_is_read_as_it_was_stored(endpoints: Endpoints) -> None:
    """Every field comes back, to its own account alone."""
    assert await endpoints.get("acme", "whe_1") == ENDPOINT
    assert await endpoints.of_account("acme") == [ENDPOINT]
    assert await endpoints.get("other", "whe_1") is None
    assert await endpoints.of_account("other") == []


async def test_of_two_changes_of_one_version_one_counts(endpoints: Endpoints) -> None:
    """The other one changes nothing; nor does a change of an older version, or of another account's endpoint."""
    seconds = [changed(ENDPOINT, changed_at=NOW + number) for number in range(5)]

    done = await asyncio.gather(*(endpoints.change(each) for each in seconds))

    assert sorted(done) == [False] * 4 + [True]
    assert await endpoints.get("acme", "whe_1") == seconds[done.index(True)]
    assert not await endpoints.change(changed(ENDPOINT))
    assert not await endpoints.change(msgspec.structs.replace(ENDPOINT, account="other", version=3))


async def test_a_deleted_endpoint_leaves_nothing(endpoints: Endpoints, harness: Harness) -> None:
    """Its secrets and its health go with it; only its own account deletes it, once."""
    await endpoints.failed("whe_1", 500, NOW)
    assert not await endpoints.delete("other", "whe_1")
    assert await endpoints.delete("acme", "whe_1")
    assert not await endpoints.delete("acme", "whe_1")
    assert await endpoints.of_account("acme") == []
    assert await endpoints.secrets(["whe_1"]) == {}
    assert await harness.pool.fetchval("SELECT count(*) FROM endpoint_health") == 0
    assert await endpoints.failed("whe_1", 500, NOW) is None


async def test_an_account_has_a_hundred_endpoints_at_most(endpoints: Endpoints) -> None:
    """However many are made at once; another account has room for its own."""
    more = [msgspec.structs.replace(ENDPOINT, endpoint_id=f"whe_x{number}") for number in range(ENDPOINTS_MAX + 5)]

    done = await asyncio.gather(*(endpoints.add(each, "s") for each in more))

    assert sum(done) == ENDPOINTS_MAX - 1
    assert len(await endpoints.of_account("acme")) == ENDPOINTS_MAX
    assert await endpoints.add(msgspec.structs.replace(ENDPOINT, endpoint_id="whe_y", account="other"), "s")


async def test_old_and_new_secret_sign_for_the_overlap(endpoints: Endpoints) -> None:
    """The new one comes first; without an overlap the old one signs no more."""
    assert await endpoints.secrets(["whe_1", "whe_2"]) == {"whe_1": ("first",)}
    assert await endpoints.rotate_secret(ENDPOINT, "second", overlap_s=3600)
    assert await endpoints.secrets(["whe_1"]) == {"whe_1": ("second", "first")}
    assert await endpoints.rotate_secret(ENDPOINT, "third", overlap_s=0)
    assert await endpoints.secrets(["whe_1"]) == {"whe_1": ("third", "first")}


async def test_a_change_is_counted_when_it_can_be_seen(endpoints: Endpoints) -> None:
    """If the number of changes is the same, all endpoints are; what changes nothing counts nothing."""
    steps = [
        lambda: endpoints.change(changed(ENDPOINT)),
        lambda: endpoints.add(msgspec.structs.replace(ENDPOINT, endpoint_id="whe_2"), "s"),
        lambda: endpoints.failed("whe_2", 410, NOW),
        lambda: endpoints.delete("acme", "whe_2"),
    ]
    for step in steps:
        before = await endpoints.changes()
        assert await step()
        assert await endpoints.changes() == before + 1

    before = await endpoints.changes()
    assert not await endpoints.change(changed(ENDPOINT))
    assert not await endpoints.delete("acme", "whe_2")
    await endpoints.failed("whe_1", 500, NOW)
    assert await endpoints.changes() == before


async def test_who_makes_deliveries_sees_all_endpoints(endpoints: Endpoints) -> None:
    """Those of all accounts, also those that are disabled: what they are not sent is kept for them."""
    other = msgspec.structs.replace(ENDPOINT, endpoint_id="whe_2", account="other")
    await endpoints.add(other, "s")
    disabled = changed(ENDPOINT, disabled_reason="requested")
    await endpoints.change(disabled)
    assert await endpoints.everybody() == [disabled, other]


async def test_five_days_of_failures_disable(endpoints: Endpoints) -> None:
    """The failure that completes them says so, once; until then nothing is disabled. Others are to be told, until they were."""
    for at in range(0, DISABLED_AFTER_MS, 10 * HOUR):
        assert await endpoints.failed("whe_1", None, NOW + at) is None
    end = NOW + DISABLED_AFTER_MS

    assert await endpoints.failed("whe_1", 500, end) == "failing"

    disabled = changed(ENDPOINT, disabled_reason="failing", changed_at=end)
    assert await endpoints.get("acme", "whe_1") == disabled
    assert await endpoints.failed("whe_1", 500, end + 1) is None
    assert await endpoints.to_announce() == [disabled]
    await endpoints.announced(ENDPOINT)
    assert await endpoints.to_announce() == [disabled]
    await endpoints.announced(disabled)
    assert await endpoints.to_announce() == []


async def test_what_is_delivered_begins_anew(endpoints: Endpoints, harness: Harness) -> None:
    """A delivery ends the run of failures; enabling an endpoint does, too, and then nobody is told that it was disabled."""
    count = "SELECT count(*) FROM endpoint_health"
    await endpoints.failed("whe_1", 500, NOW)
    assert await harness.pool.fetchval(count) == 1
    await endpoints.delivered(["whe_1"])
    assert await harness.pool.fetchval(count) == 0

    assert await endpoints.failed("whe_1", 410, NOW) == "gone"

    gone = await endpoints.get("acme", "whe_1")
    assert gone is not None
    assert await endpoints.change(changed(gone, disabled_reason=None))
    assert await harness.pool.fetchval(count) == 0
    assert await endpoints.to_announce() == []


async def test_a_disabled_endpoint_signs_nothing(endpoints: Endpoints) -> None:
    """What sends gets the secrets of enabled endpoints only; its account still sees them."""
    assert await endpoints.sending_secrets(["whe_1", "whe_2"]) == {"whe_1": ("first",)}
    await endpoints.change(changed(ENDPOINT, disabled_reason="requested"))
    assert await endpoints.sending_secrets(["whe_1"]) == {}
    assert await endpoints.secrets(["whe_1"]) == {"whe_1": ("first",)}
