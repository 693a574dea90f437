"""The events behind the golden bytes of what is carried over (examples.py): one of each table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from libs.events import Event, LogCarried, RowsCarried

AT: Final = 1_800_000_000_123
_ROWS: Final = {
    "jobs": b'{"job_id":"job_01mcc5rm3v001h4d2pf28aqkff","account":"acme","attempt":1,"scheduled_at":1800000000000,'
    b'"fire_at":1800000060000,"created_at":1799999999000,"status":3,"offsets":[4,9,11]}',
    "schedules": b'{"schedule_id":"sched_01mcc5rm3v001zzzzzzzzzzzzz","account":"acme","cron":"* * * * *",'
    b'"created_at":1799999999000,"next_run_at":1800000060000,"changed_at":5}',
    "deliveries": b'{"delivery_id":"whd_01mcc5rm3v001h4d2pf28aqkff","account":"acme","job_id":"job_01mcc5rm3v001h4d2pf28aqkff",'
    b'"event":"job.failed","attempt":1,"charged":1,"created_at":1800000000000,"next_at":1800000005000,'
    b'"last_at":1800000000000,"policy":{},"offsets":[12]}',
    "specs": b'["job_01mcc5rm3v001h4d2pf28aqkff",{"url":"https://example.com/","body":"caf\xc3\xa9"}]',
    "executions": b'["job_01mcc5rm3v001h4d2pf28aqkff",1,1800000000000,false,503,"503 Service Unavailable",41,null,null]',
    "usage_daily": b'["acme",20833,17]',
    "over": b'"job_01mcc5rm3v001g000000000000"',
    "seals": b'["success",1799996400000,17,4611686018427387905]',
}

CARRIED_EXAMPLES: Final[Mapping[str, Event]] = {
    **{
        f"rows.carried of {table}": RowsCarried(begin=13, table=table, rows=(msgspec.Raw(row),), at=AT)
        for table, row in _ROWS.items()
    },
    "log.carried full": LogCarried(
        begin=13,
        rows=7,
        claim="42.0123456789abcdef",
        floors={"through": 7, "closed_before": AT - 86_400_000},
        prior_to=9,
        prior_at=AT - 99,
        trim_to=5,
        at=AT,
    ),
    "log.carried sealed": LogCarried(begin=13, rows=1, sealed_before=1_800_000_000_000, at=AT),
    "log.carried plain": LogCarried(begin=0, rows=0, at=AT),
}
