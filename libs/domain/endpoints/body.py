"""
Body: an event as it is sent, in one of three formats. The same event has the same bytes each time it is sent.

    flat         the data alone; of the end of a job it is what `webhook_url` gets
    standard     {"type", "timestamp", "data"}, as Standard Webhooks recommends
    cloudevents  a CloudEvent 1.0 in structured JSON
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.domain.endpoints.endpoint import Format
from libs.domain.instants import rfc3339

CONTENT_TYPES: Final[Mapping[Format, str]] = {
    "flat": "application/json",
    "standard": "application/json",
    "cloudevents": "application/cloudevents+json",
}


def body(
    form: Format, *, delivery_id: str, account: str, name: str, at: int, subject: str | None, data: Mapping[str, Any]
) -> bytes:
    """
    Return what is sent.

    Args:
        form: the endpoint's format.
        delivery_id: the id of the delivery, the same for each try.
        account: whose event it is.
        name: the event's name, as the endpoint asked for it.
        at: when it happened, ms since 1970.
        subject: the job or the schedule that it is about, if there is one.
        data: what is said of it.
    """
    if form == "flat":
        return msgspec.json.encode(data)
    if form == "standard":
        return msgspec.json.encode({"type": name, "timestamp": rfc3339(at), "data": data})
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": delivery_id,
            "source": f"/fliq/accounts/{account}",
            "type": name,
            **({} if subject is None else {"subject": subject}),
            "time": rfc3339(at),
            "datacontenttype": "application/json",
            "data": data,
        }
    )
