"""The last recovery of each webhook endpoint."""

import msgspec

from libs.domain.endpoints.recovery import begun
from libs.store.control.endpoints import Endpoints
from libs.store.control.recoveries import Recoveries
from tests.conformance.store.conftest import NOW, Harness
from tests.conformance.store.webhooks.test_delivery_queries import add, endpoint


async def test_a_recovery_goes_on_to_its_end(harness: Harness) -> None:
    """One at a time; who noted last how far it is counts once; an ended one makes room, and goes with its endpoint."""
    one = endpoint(1)
    await add(harness, one)
    table = Recoveries(harness.pool)
    first = begun(one.endpoint_id, "r1", since=NOW - 9, until=NOW, now=NOW)
    assert await table.of_endpoint("acme", one.endpoint_id) is None
    assert await table.begin(first)
    assert not await table.begin(begun(one.endpoint_id, "r2", since=0, until=NOW, now=NOW))
    assert await table.of_endpoint("acme", one.endpoint_id) == first
    assert await table.of_endpoint("other", one.endpoint_id) is None

    assert await table.running(9) == [first]
    await table.advance(first, reached="whd_x", count=3)
    await table.advance(first, reached="whd_x", count=3)
    second = msgspec.structs.replace(first, reached="whd_x", recovered_count=3)
    assert await table.running(9) == [second]
    await table.end(second, "completed", NOW + 5)
    await table.end(second, "stopped", NOW + 6)
    assert await table.running(9) == []
    ended = msgspec.structs.replace(second, status="completed", ended_at=NOW + 5)
    assert await table.of_endpoint("acme", one.endpoint_id) == ended
    assert await table.begin(msgspec.structs.replace(first, request_id="r2"))
    await table.advance(first, reached="whd_y", count=1)
    assert [each.recovered_count for each in await table.running(9)] == [0]
    assert await Endpoints(harness.pool).delete("acme", one.endpoint_id)
    assert await table.running(9) == []
