"""
Full tables: a Fliq whose tables hold many jobs, as if it had run for a long time.

One job of each end is made through the API, and one delivery of each end to a webhook endpoint; then their rows are copied. The
copies are not in the log, so such a Fliq is good for nothing but looking at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import asyncpg

from libs.events.ids import job_of_delivery
from libs.store.projection.rows import uuid_of
from tests.fakes.running.client import Client
from tests.fakes.running.sink import Sink
from tests.fakes.until import until

ENDS: Final = ("success", "failed", "scheduled", "delivered", "exhausted")
LABEL: Final = "kind:any"  # of every job
# Copies stand in FROM: `(function(...)).*` would make each copy once a column.
# What a delivery sends is its own: lists of deliveries show no shared spec.
_COPY_SPECS: Final = """
INSERT INTO fliq.specs SELECT copy.*
FROM fliq.specs s, fliq.jobs j, jsonb_populate_record(s, jsonb_build_object('spec_id', j.job_id)) copy
WHERE s.spec_id = $1::uuid AND j.shared_spec_id = $1::uuid
ON CONFLICT DO NOTHING
"""
# A copy has an id of its own, one a millisecond, in the partition of its original, and shares the original's spec.
_COPY: Final = """
INSERT INTO fliq.jobs SELECT copy.*
FROM fliq.jobs j, generate_series($2::int, $3::int) n, jsonb_populate_record(j, jsonb_build_object(
  'job_id', lpad(to_hex(j.created_at - n), 12, '0') || lpad(to_hex(j.part), 4, '0') || substr(md5(n::text || j.status), 1, 16),
  'shared_spec_id', j.job_id, 'idempotency_key', null)) copy
WHERE j.job_id = $1::uuid
"""
_COPY_LABELS: Final = """
INSERT INTO fliq.labels SELECT copy.*
FROM fliq.labels l, fliq.jobs j, jsonb_populate_record(l, jsonb_build_object('job_id', j.job_id)) copy
WHERE l.job_id = $1::uuid AND j.shared_spec_id = $1::uuid
ON CONFLICT DO NOTHING
"""


async def originals(client: Client, sink: Sink) -> dict[str, str]:
    """Make one of each of `ENDS`; return their ids, and that of the `endpoint` that was told."""
    fields = {"url": f"{sink.url}/ok", "events": ["job.completed"]}
    listens = (await client.call("POST", "/v1/webhooks/endpoints", fields))[1]["id"]
    fields = {"url": f"{sink.url}/status/500", "events": ["job.failed"], "retry": {"max_retries": 0}}
    await client.call("POST", "/v1/webhooks/endpoints", fields)
    name, value = LABEL.split(":")
    asked = (("/ok", 0.2), ("/status/503", 0.2), ("/ok", 86_400))
    good, bad, waiting = [await client.create(sink.url + to, delay_s, labels={name: value}) for to, delay_s in asked]
    for job in (good, bad):
        await client.wait_status(job["id"], timeout_s=60)
    ids = {"success": good["id"], "failed": bad["id"], "scheduled": waiting["id"], "endpoint": listens}
    for status in ("delivered", "exhausted"):
        ids[status] = await until(lambda: _delivery(client, status))  # noqa: B023 - awaited at once
    return ids


async def copy(dsn: str, ids: Mapping[str, str], counts: Mapping[str, int], *, made: int = 0) -> int:
    """
    Copy the rows of *ids* until there are `counts` of each end; return how many jobs the table holds.

    Args:
        made: how many copies of each there are.
    """
    connection = await asyncpg.connect(dsn)
    try:
        for end, wanted in counts.items():
            item = ids[end] if ids[end].startswith("job_") else job_of_delivery(ids[end])
            await connection.execute(_COPY, uuid_of(item), made + 1, wanted, timeout=1800)
            further = _COPY_SPECS if end in ("delivered", "exhausted") else _COPY_LABELS
            await connection.execute(further, uuid_of(item), timeout=1800)
        for table in ("jobs", "specs", "labels"):
            await connection.execute(f"ANALYZE fliq.{table}", timeout=600)
        count: int = await connection.fetchval("SELECT count(*) FROM fliq.jobs", timeout=600)
        return count
    finally:
        await connection.close()


async def _delivery(client: Client, status: str) -> str:
    _, found, _ = await client.call("GET", f"/v1/webhooks/deliveries?status={status}")
    return str(found["deliveries"][0]["id"]) if found["deliveries"] else ""
