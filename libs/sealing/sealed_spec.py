"""
Sealed spec: what of a spec is sealed, and how it is opened again. Pure.

    in clear   scheme, host, port and path of both URLs, method, names of headers, timeout, trace context, retries of the webhook
    sealed     the queries of both URLs and the values of all headers (`fields`), the body (`body`)

Each of the two is bound to its place: the account, the id under which the spec is kept, the name of the part, the key, and all of
the above that stands in clear and says where the secrets go. So what was sealed for one job opens in no other, and is not sent to
another host. A spec without anything to seal stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from libs.events import Sealed, Spec
from libs.sealing.data_key import NONCE_BYTES, Broken, DataKey


class _Fields(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """What is sealed besides the body: queries without the question mark, and values in the order of the names."""

    query: str | None = None
    values: tuple[str, ...] = ()
    webhook_query: str | None = None
    webhook_values: tuple[str, ...] = ()


class _SealedUrl(msgspec.Struct, frozen=True, gc=False):
    url: str


class _Urls(msgspec.Struct, frozen=True, gc=False):
    """What `stored_url` reads of a spec."""

    url: str = ""
    sealed: _SealedUrl | None = None


class Unopened(Exception):
    """A spec whose secrets are lost stands where a whole one is needed: nothing is ever sent with blanks."""


_NOTHING: Final = _Fields()
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Fields).decode
_decode_urls: Final = msgspec.json.Decoder(_Urls).decode


def seal_spec(spec: Spec, key: DataKey, *, account: str, spec_id: str, entropy: Callable[[int], bytes]) -> Spec:
    """
    Return *spec* sealed; raises `Unopened`.

    Args:
        account: whose job or schedule it is.
        spec_id: the id under which it will be kept.
        entropy: returns random bytes.
    """
    if spec.sealed is not None:
        raise Unopened("a spec that could not be opened cannot be sealed again")
    url, webhook_url, fields = _split(spec)
    has_fields = fields != _NOTHING
    if not has_fields and spec.body is None:
        return spec
    place = _place(spec, url, webhook_url, key.key_id, account, spec_id)
    sealed = Sealed(
        key=key.key_id,
        url=url,
        fields=key.seal(_encode(fields), place + b"fields", entropy(NONCE_BYTES)) if has_fields else None,
        body=None if spec.body is None else key.seal(spec.body.encode(), place + b"body", entropy(NONCE_BYTES)),
    )
    return _cleared(spec, "", webhook_url, sealed)


def open_spec(spec: Spec, key: DataKey, *, account: str, spec_id: str) -> Spec:
    """
    Return a sealed *spec* as it was; a body that was left out stays left out.

    Raises:
        Broken: it was sealed for another place, or somebody changed it.
    """
    sealed = spec.sealed
    assert sealed is not None  # noqa: S101 - the caller looked
    place = _place(spec, sealed.url, spec.webhook_url, sealed.key, account, spec_id)
    try:
        fields = _NOTHING if sealed.fields is None else _decode(key.open(sealed.fields, place + b"fields"))
        body = None if sealed.body is None else key.open(sealed.body, place + b"body").decode()
        return msgspec.structs.replace(
            spec,
            url=_with_query(sealed.url, fields.query),
            headers=_with_values(spec.headers, fields.values),
            body=body,
            webhook_url=None if spec.webhook_url is None else _with_query(spec.webhook_url, fields.webhook_query),
            webhook_headers=_with_values(spec.webhook_headers, fields.webhook_values),
            sealed=None,
        )
    except (msgspec.MsgspecError, ValueError) as error:
        raise Broken(str(error)) from None


def clear_part(spec: Spec) -> Spec:
    """Return what stands in clear of *spec*, sealed or not: without queries, values and body."""
    url, webhook_url, _ = _split(spec)
    return _cleared(spec, url if spec.sealed is None else spec.sealed.url, webhook_url, None)


def stored_url(stored: bytes) -> str:
    """Return the URL of a spec as it is stored, of a sealed one without its query. Reading all of it takes four times as long."""
    urls = _decode_urls(stored)
    return urls.url if urls.sealed is None else urls.sealed.url


def _split(spec: Spec) -> tuple[str, str | None, _Fields]:
    """Return both URLs without their queries, and what is sealed besides the body."""
    url, mark, query = spec.url.partition("?")
    webhook_url, webhook_mark, webhook_query = (spec.webhook_url or "").partition("?")
    fields = _Fields(
        query if mark else None,
        tuple(spec.headers.values()) if spec.headers else (),
        webhook_query if webhook_mark else None,
        tuple(spec.webhook_headers.values()) if spec.webhook_headers else (),
    )
    return url, None if spec.webhook_url is None else webhook_url, fields


def _cleared(spec: Spec, url: str, webhook_url: str | None, sealed: Sealed | None) -> Spec:
    return msgspec.structs.replace(
        spec,
        url=url,
        headers=_without_values(spec.headers),
        body=None,
        webhook_url=webhook_url,
        webhook_headers=_without_values(spec.webhook_headers),
        sealed=sealed,
    )


def _place(spec: Spec, url: str, webhook_url: str | None, key_id: str, account: str, spec_id: str) -> bytes:
    # The last 26 characters: a spec is kept by the 128 bits of an id, that of a schedule also as a job's.
    names, webhook_names = tuple(spec.headers or ()), tuple(spec.webhook_headers or ())
    return _encode((account, spec_id[-26:], key_id, spec.method, url, names, webhook_url, webhook_names))


def _with_query(url: str, query: str | None) -> str:
    return url if query is None else f"{url}?{query}"


def _with_values(headers: dict[str, str] | None, values: tuple[str, ...]) -> dict[str, str] | None:
    return None if headers is None else dict(zip(headers, values, strict=True))


def _without_values(headers: dict[str, str] | None) -> dict[str, str] | None:
    return None if headers is None else dict.fromkeys(headers, "")
