"""Endpoint requests: parsed JSON to endpoints, changes of endpoints, and endpoints to JSON. Pure."""

from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.endpoints.delivery import RETRY
from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.domain.instants import rfc3339
from services.api.contract.api_error import refuse
from services.api.contract.endpoints.fields import ENDPOINT, ROTATION
from services.api.contract.field import CheckUrl, Rules
from services.api.contract.fields.retry_fields import shown_policy
from services.api.contract.json_body import Duplicated

REQUESTED: Final = "requested"  # why an endpoint is disabled that its account has disabled


class EndpointRequest(NamedTuple):
    """An endpoint as asked for, normalised."""

    config: EndpointConfig
    is_disabled: bool


def endpoint_request(data: Any, check_url: CheckUrl) -> EndpointRequest:
    """
    Return the endpoint that *data*, a parsed JSON document, asks for.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    found = ENDPOINT.read(data, Rules(check_url))
    is_disabled = found.pop("disabled")
    return EndpointRequest(EndpointConfig(**found | {"events": tuple(found["events"])}), is_disabled)


def changed_request(endpoint: Endpoint, patch: Any, check_url: CheckUrl) -> EndpointRequest:
    """
    Return what *endpoint* is after *patch*, a JSON Merge Patch (RFC 7396): a field that it leaves out stays, null sets the default.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    if type(patch) is Duplicated:
        refuse("duplicate_field", f"the field {patch.name[:40]!r} stands twice in one object")
    if type(patch) is not dict:
        refuse("invalid_json", "a JSON object is expected here")
    wanted = endpoint_request(merged(_as_asked_for(endpoint), patch), check_url)
    included = endpoint.config.may_send_responses and not wanted.config.include_response
    return wanted._replace(config=msgspec.structs.replace(wanted.config, included_response=included))


def merged(target: Any, patch: Any) -> Any:
    """Return *target* after the JSON Merge Patch *patch*; neither is changed. Bodies are not nested deeply (json_body.py)."""
    if type(patch) is not dict:
        return patch
    result = dict(target) if type(target) is dict else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def rotation_request(data: Any) -> int:
    """
    Return for how many seconds the secret before signs as well.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    seconds: int = ROTATION.read(data, Rules(str))["overlap_seconds"]
    return seconds


def disabled_reason(before: str | None, *, is_disabled: bool) -> str | None:
    """Return why an endpoint is disabled after a request; *before* is why it was."""
    return (before or REQUESTED) if is_disabled else None


def shown(endpoint: Endpoint, *, with_payload: bool) -> dict[str, Any]:
    """Return the endpoint object of the API; without the payload it lacks `headers`, which may hold secrets."""
    asked = _as_asked_for(endpoint)
    headers = {"headers": asked.pop("headers", None)} if with_payload else {}
    return {
        "id": endpoint.endpoint_id,
        **{name: asked.get(name) for name in _SHOWN},
        "retry": shown_policy(endpoint.config.retry or RETRY),
        "disabled_reason": endpoint.disabled_reason,
        "created_at": rfc3339(endpoint.created_at),
        "changed_at": rfc3339(endpoint.changed_at),
        "version": endpoint.version,
        **headers,
    }


_SHOWN: Final = tuple(row.name for row in ENDPOINT.rows if row.name not in ("headers", "retry"))


def _as_asked_for(endpoint: Endpoint) -> dict[str, Any]:
    """Return the request that asks for *endpoint* as it is, without what is null there."""
    fields = msgspec.structs.asdict(endpoint.config)
    del fields["included_response"]
    as_json = msgspec.json.encode({name: value for name, value in fields.items() if value is not None})
    document: dict[str, Any] = msgspec.json.decode(as_json)
    if endpoint.config.retry is not None:
        document["retry"] = merged({}, shown_policy(endpoint.config.retry))
    return document | {"disabled": endpoint.disabled_reason is not None}
