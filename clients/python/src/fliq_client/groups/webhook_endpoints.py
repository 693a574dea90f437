"""Webhook endpoints: the methods of the client for URLs that are told of events of all jobs, as in `api.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Unpack

from fliq_client import answers
from fliq_client.answers import Page
from fliq_client.call import Call, Request, document, path, query
from fliq_client.contract import models
from fliq_client.contract.request_fields import EndpointChange, EndpointFields, RecoveryFields, RotationFields
from fliq_client.pages import Listing
from fliq_client.surface import E, Group, call, listing

_ENDPOINT: Final = answers.one(models.Endpoint)
_ENDPOINTS: Final = answers.items(models.EndpointList, lambda found: found.endpoints)
PAGE_SIZE: Final = 100  # the most that Fliq gives at once
_DELIVERIES: Final = answers.page(models.DeliveryList, lambda found: (found.deliveries, found.next_cursor))
_DELIVERY: Final = answers.one(models.DeliveryDetail)
_RECOVERY: Final = answers.one(models.Recovery)
_TEST: Final = answers.one(models.SentTest)
_SECRET: Final = answers.one(models.SigningSecret)


class WebhookEndpoints(Group[E]):
    """URLs that are told of events of all jobs of the account."""

    @call
    def create(self, url: str, **fields: Unpack[EndpointFields]) -> Call[models.Endpoint]:
        """
        Create an endpoint; *url* is told of failed jobs, if `events` does not say otherwise.

        It has no key, so it is not sent again if its answer is lost: NotAnswered says that it `may_have_happened`.
        """
        request = Request(method="POST", path=path("webhooks", "endpoints"), content=document({"url": url, **fields}))
        return Call(request=request, read=_ENDPOINT, is_repeatable=False)

    @call
    def list(self) -> Call[Sequence[models.EndpointItem]]:
        """Get all endpoints, newest first, without their headers."""
        return Call(request=Request(method="GET", path=path("webhooks", "endpoints")), read=_ENDPOINTS)

    @call
    def get(self, endpoint_id: str) -> Call[models.Endpoint]:
        """Get an endpoint."""
        return Call(request=Request(method="GET", path=path("webhooks", "endpoints", endpoint_id)), read=_ENDPOINT)

    @call
    def change(
        self, endpoint_id: str, *, if_match: int | None = None, **fields: Unpack[EndpointChange]
    ) -> Call[models.Endpoint]:
        """
        Change the fields that are given; None sets the default.

        Args:
            endpoint_id: which endpoint.
            if_match: the `version` that was read: raises VersionConflict if another one is there. With it the call is not sent
                again if its answer is lost.
            fields: the fields of `create`, and `url`.
        """
        headers = () if if_match is None else (("If-Match", f'"v{if_match}"'.encode()),)
        where = path("webhooks", "endpoints", endpoint_id)
        request = Request(method="PATCH", path=where, headers=headers, content=document(fields))
        return Call(request=request, read=_ENDPOINT, is_repeatable=if_match is None)

    @call
    def delete(self, endpoint_id: str) -> Call[None]:
        """Delete an endpoint with its secret: it is told of nothing that happens from about a second later on."""
        request = Request(method="DELETE", path=path("webhooks", "endpoints", endpoint_id))
        return Call(request=request, read=answers.nothing, gone_is_done=True)

    @listing
    def deliveries(self, endpoint_id: str) -> Listing[models.Delivery]:
        """Walk over what an endpoint is and was told, newest first; pages are fetched as they are needed."""
        return Listing(call_of=lambda cursor: _page_of_deliveries(endpoint_id, PAGE_SIZE, cursor))

    @call
    def deliveries_page(
        self, endpoint_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Call[Page[models.Delivery]]:
        """Get one page of these deliveries, as in `jobs.page`."""
        return _page_of_deliveries(endpoint_id, limit, cursor)

    @call
    def test(self, endpoint_id: str) -> Call[models.SentTest]:
        """Send an endpoint a test event, `endpoint.test`; a repeat sends another one. Raises EndpointDisabled."""
        where = path("webhooks", "endpoints", endpoint_id, "test")
        return Call(request=Request(method="POST", path=where), read=_TEST)

    @call
    def recover(self, endpoint_id: str, **fields: Unpack[RecoveryFields]) -> Call[models.Recovery]:
        """
        Send an endpoint again what it did not take, of events from `since` on, before `until`; raises RecoveryRunning.

        It is not sent again if its answer is lost: `recovery` shows whether it was begun.
        """
        where = path("webhooks", "endpoints", endpoint_id, "recover")
        return Call(
            request=Request(method="POST", path=where, content=document(fields)), read=_RECOVERY, is_repeatable=False
        )

    @call
    def recovery(self, endpoint_id: str) -> Call[models.Recovery]:
        """Get the last recovery of an endpoint, and how far it is."""
        where = path("webhooks", "endpoints", endpoint_id, "recover")
        return Call(request=Request(method="GET", path=where), read=_RECOVERY)

    @call
    def secret(self, endpoint_id: str) -> Call[models.SigningSecret]:
        """Get the secret of an endpoint, and those before it that still sign."""
        where = path("webhooks", "endpoints", endpoint_id, "secret")
        return Call(request=Request(method="GET", path=where), read=_SECRET)

    @call
    def rotate_secret(self, endpoint_id: str, **fields: Unpack[RotationFields]) -> Call[models.SigningSecret]:
        """Replace the secret of an endpoint; the old one signs as well for a while. It is not sent again if its answer is lost."""
        where = path("webhooks", "endpoints", endpoint_id, "secret", "rotate")
        return Call(
            request=Request(method="POST", path=where, content=document(fields)), read=_SECRET, is_repeatable=False
        )


class WebhookDeliveries(Group[E]):
    """What webhook endpoints, and webhooks that are repeated, are and were told."""

    @listing
    def list(
        self,
        *,
        endpoint: str | None = None,
        job: str | None = None,
        event: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Listing[models.Delivery]:
        """
        Walk over deliveries, newest first; pages are fetched as they are needed.

        Args:
            endpoint: only those to this webhook endpoint.
            job: only those about this job.
            event: only those of this event, such as `job.failed`.
            status: only those that are `pending`, `delivered`, `exhausted` or `dropped`.
            since, until: only those of events from the one on, and before the other.
        """
        return Listing(
            call_of=lambda cursor: _page_of_all(
                query(
                    limit=PAGE_SIZE,
                    cursor=cursor,
                    endpoint=endpoint,
                    job=job,
                    event=event,
                    status=status,
                    since=since,
                    until=until,
                )
            )
        )

    @call
    def page(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        endpoint: str | None = None,
        job: str | None = None,
        event: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Call[Page[models.Delivery]]:
        """Get one page of them, as in `jobs.page`. With `event` or `status` it may have fewer than *limit*, and more may follow."""
        asked = query(
            limit=limit,
            cursor=cursor,
            endpoint=endpoint,
            job=job,
            event=event,
            status=status,
            since=since,
            until=until,
        )
        return _page_of_all(asked)

    @call
    def get(self, delivery_id: str) -> Call[models.DeliveryDetail]:
        """Get a delivery with its attempts; `body` if the token may see it."""
        return Call(request=Request(method="GET", path=path("webhooks", "deliveries", delivery_id)), read=_DELIVERY)

    @call
    def redeliver(self, delivery_id: str) -> Call[models.SentTest]:
        """Send a webhook once more; a repeat sends it again, under the same `webhook-id`. Raises DeliveryPending."""
        where = path("webhooks", "deliveries", delivery_id, "redeliver")
        return Call(request=Request(method="POST", path=where), read=_TEST)


def _page_of_all(asked: tuple[tuple[str, str], ...]) -> Call[Page[models.Delivery]]:
    return Call(request=Request(method="GET", path=path("webhooks", "deliveries"), query=asked), read=_DELIVERIES)


def _page_of_deliveries(endpoint_id: str, limit: int | None, cursor: str | None) -> Call[Page[models.Delivery]]:
    where = path("webhooks", "endpoints", endpoint_id, "deliveries")
    return Call(request=Request(method="GET", path=where, query=query(limit=limit, cursor=cursor)), read=_DELIVERIES)
