"""Delivery rows: how a webhook delivery stands in the table `deliveries`."""

from typing import Final

from libs.domain.jobs import delivery
from libs.domain.jobs.delivery import DeliveryState
from libs.store.projection.state_table import StateTable

DELIVERIES: Final[StateTable[DeliveryState]] = StateTable(
    delivery.KIND,
    "deliveries",
    {
        "delivery_id": "uuid",
        "account": "text",
        "job_id": "uuid",
        "event": "text",
        "status": "int2",
        "held": "bool",
        "attempt": "int2",
        "charged": "int2",
        "free_count": "int2",
        "snooze_count": "int2",
        "created_at": "int8",
        "next_at": "int8",
        "last_at": "int8",
        "last_status_code": "int4",
        "last_error": "text",
        "policy": "bytea",
        "spec_id": "text",
        "last_request_id": "text",
        "offsets": "bytea",
    },
    changing=(
        *("status", "held", "attempt", "charged", "free_count", "snooze_count", "next_at", "last_at"),
        *("last_status_code", "last_error", "last_request_id", "offsets"),
    ),
    waits="next_at IS NOT NULL AND NOT held",
)
