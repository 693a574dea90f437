"""
The Python client of Fliq.

`Fliq` blocks, `AsyncFliq` is for asyncio and trio; both have the same methods. `verify` is for those whom Fliq calls.
"""

from __future__ import annotations

from fliq_client.answers import Page, Timeline, TimelineEvent, webhook_payload
from fliq_client.client import AsyncFliq, Fliq
from fliq_client.contract import error_codes, models, request_fields
from fliq_client.contract.error_codes import *  # noqa: F403 - one class for each code
from fliq_client.contract.models import *  # noqa: F403 - one class for each object of the API
from fliq_client.contract.request_fields import *  # noqa: F403 - the fields of each request
from fliq_client.errors import (
    ApiError,
    BadRequest,
    Conflict,
    FliqError,
    NotAnswered,
    NotVerified,
    UnexpectedAnswer,
)
from fliq_client.exchange import Retries
from fliq_client.groups.feed import StreamEvent
from fliq_client.job_request import job_request
from fliq_client.signatures import Verified, verify
from fliq_client.version import __version__

__all__ = [
    "ApiError",
    "AsyncFliq",
    "BadRequest",
    "Conflict",
    "Fliq",
    "FliqError",
    "NotAnswered",
    "NotVerified",
    "Page",
    "Retries",
    "StreamEvent",
    "Timeline",
    "TimelineEvent",
    "UnexpectedAnswer",
    "Verified",
    "__version__",
    "job_request",
    "verify",
    "webhook_payload",
]
__all__ += error_codes.__all__
__all__ += models.__all__
__all__ += request_fields.__all__
