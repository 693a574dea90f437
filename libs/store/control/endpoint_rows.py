"""
Endpoint rows: an endpoint as its table keeps it, and back.

An endpoint is sealed like a spec: the query of its URL and the values of its headers, bound to its account, its id, and what stands
in clear. A config that has neither is stored as it is. A sealed one lacks `url`, which older builds require, so none of these sends
anything to half an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.events import Sealed, Spec
from libs.sealing.keyring import Keyring, Stored

_BATCH: Final = 1_000  # endpoints whose keys are at hand at once: far fewer than the keyring keeps


class StoredConfig(EndpointConfig, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A config as it is stored: with `url`, or with what is sealed."""

    url: str = ""
    sealed: Sealed | None = None


_decode: Final = msgspec.json.Decoder(StoredConfig).decode


async def stored_config(endpoint: Endpoint, keyring: Keyring) -> str:
    """
    Return the JSON that the table keeps of the config of *endpoint*.

    Raises:
        AccountErased, KeysUnavailable: as `Keyring.ready`.
    """
    await keyring.ready(endpoint.account)
    config = endpoint.config
    spec = keyring.sealed_spec(
        _spec(config), account=endpoint.account, spec_id=endpoint.endpoint_id, sealer=endpoint.account
    )
    if spec.sealed is None:
        return msgspec.json.encode(config).decode()
    rest = msgspec.structs.asdict(config) | {"url": "", "headers": spec.headers}
    return msgspec.json.encode(StoredConfig(**rest, sealed=spec.sealed)).decode()


async def opened_endpoints(rows: Sequence[Any], keyring: Keyring) -> list[Endpoint]:
    """
    Return the endpoints of *rows*; one that can never be opened again is `is_shredded`.

    Raises:
        KeysUnavailable: one is sealed, and the master key cannot be had at the moment.
    """
    found: list[Endpoint] = []
    for begin in range(0, len(rows), _BATCH):
        some = rows[begin : begin + _BATCH]
        configs = [_decode(row["config"]) for row in some]
        stored = [
            Stored(_spec(config), row["account"], row["endpoint_id"]) for row, config in zip(some, configs, strict=True)
        ]
        specs = await keyring.shown(stored)
        found += [_endpoint(row, config, spec) for row, config, spec in zip(some, configs, specs, strict=True)]
    return found


def _spec(config: EndpointConfig) -> Spec:
    """Return *config* as what may be sealed."""
    headers = None if config.headers is None else dict(config.headers)
    sealed = config.sealed if isinstance(config, StoredConfig) else None
    return Spec(url=config.url, method="POST", headers=headers, sealed=sealed)


def _endpoint(row: Any, config: StoredConfig, spec: Spec) -> Endpoint:
    fields = msgspec.structs.asdict(config) | {"url": spec.url, "headers": spec.headers}
    del fields["sealed"]
    return Endpoint(
        endpoint_id=row["endpoint_id"],
        account=row["account"],
        config=EndpointConfig(**fields),
        version=row["version"],
        disabled_reason=row["disabled_reason"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        is_shredded=spec.sealed is not None,
    )
