"""Webhook endpoints and signing secrets with a master key: what tables hold, who opens it, and how old ones are sealed."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest

from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig, Filter
from libs.sealing.keyring import NO_SEALING, Keyring
from libs.sealing.master_keys import MasterKeys, WrappedKey
from libs.store.control.account_keys import AccountKeys
from libs.store.control.accounts import Accounts
from libs.store.control.endpoints import Endpoints
from libs.store.control.stale_secrets import ClearCount, StaleSecrets
from tests.conformance.store.conftest import Harness

MASTER = MasterKeys((b"m" * 32,))
CANARY = "canary4711"
NOW = 1_790_000_000_123
CONFIG = EndpointConfig(
    url=f"https://example.com/hook?token={CANARY}",
    events=("job.failed",),
    filter=Filter(hosts=("a.example",)),
    headers={"X-Zed": f"{CANARY}1", "A": f"{CANARY}2"},
    description="Ours",
)
ENDPOINT = Endpoint(endpoint_id="whe_1", account="acme", config=CONFIG, version=1, created_at=NOW, changed_at=NOW)
PLAIN = msgspec.structs.replace(
    ENDPOINT, endpoint_id="whe_2", account="other", config=EndpointConfig(url="https://example.com/", events=("*",))
)
OWN_SECRETS = {"acme": (f"whsec_{CANARY}a",), "other": (f"whsec_{CANARY}b",)}
SECRETS = {"whe_1": (f"whsec_{CANARY}c",), "whe_2": (f"whsec_{CANARY}d",)}


class Bench:
    """Endpoints and accounts of processes that share the tables."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.keys = AccountKeys(pool)

    def ring(self) -> Keyring:
        """Return the keyring of a process that knows no key yet."""
        return Keyring(lambda: MASTER, self.keys, entropy=os.urandom, steady=lambda: 0.0, away=ConnectionError)

    async def make(self, ring: Keyring) -> None:
        """Make two accounts, an endpoint of each, and their secrets, as a process with *ring* does."""
        accounts, endpoints = Accounts(self.pool, ring), Endpoints(self.pool, ring)
        for name, (secret,) in OWN_SECRETS.items():
            assert await accounts.ensure_account(name, secret)
        for each in (ENDPOINT, PLAIN):
            assert await endpoints.add(each, SECRETS[each.endpoint_id][0])

    async def read(self) -> tuple[list[Endpoint], dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """Return all endpoints and secrets, as another process reads them."""
        accounts, endpoints = Accounts(self.pool, self.ring()), Endpoints(self.pool, self.ring())
        return (
            await endpoints.everybody(),
            await accounts.signing_secrets(["acme", "other"]),
            await endpoints.secrets(["whe_1", "whe_2"]),
        )

    async def text(self) -> str:
        """Return what the three tables hold."""
        rows = [
            await self.pool.fetch(f"SELECT t::text FROM {name} AS t")
            for name in ("webhook_endpoints", "endpoint_secrets", "signing_secrets")
        ]
        return "\n".join(str(row[0]) for found in rows for row in found)


WHOLE = ([ENDPOINT, PLAIN], OWN_SECRETS, SECRETS)


@pytest.fixture
async def bench(harness: Harness) -> Bench:
    """Tables in which the master key wraps."""
    made = Bench(harness.pool)
    await made.keys.begin(MASTER.master_id)
    return made


async def test_nothing_of_endpoints_and_secrets_stands_in_clear(bench: Bench) -> None:
    """Neither when they are made nor when they are changed or rotated; another process reads them as they are."""
    ring = bench.ring()
    await bench.make(ring)
    assert await bench.read() == WHOLE
    changed = msgspec.structs.replace(
        ENDPOINT, version=2, config=msgspec.structs.replace(CONFIG, headers={"X-New": f"{CANARY}3"})
    )
    assert await Endpoints(bench.pool, ring).change(changed)
    assert await Endpoints(bench.pool, ring).rotate_secret(ENDPOINT, f"whsec_{CANARY}e", overlap_s=60)
    assert await Accounts(bench.pool, ring).rotate_signing_secret("acme", f"whsec_{CANARY}f")

    kept = await bench.text()

    assert CANARY not in kept
    assert "https://example.com/hook" in kept
    assert "X-New" in kept
    found, own, secrets = await bench.read()
    assert found == [changed, PLAIN]
    assert own["acme"] == (f"whsec_{CANARY}f", f"whsec_{CANARY}a")
    assert secrets["whe_1"] == (f"whsec_{CANARY}e", f"whsec_{CANARY}c")
    assert await StaleSecrets(bench.pool).count_clear() == ClearCount(0, 0)


async def test_without_a_master_key_the_rows_are_what_they_were(bench: Bench) -> None:
    """To the byte; and a process with the key reads them, as it reads those of an older build."""
    await bench.make(NO_SEALING)

    config, secret = await bench.pool.fetchrow(
        "SELECT config::text, secret FROM webhook_endpoints JOIN endpoint_secrets USING (endpoint_id) WHERE account = 'acme'"
    )

    assert config.encode() == msgspec.json.encode(CONFIG)
    assert secret == SECRETS["whe_1"][0]
    assert await bench.read() == WHOLE
    assert await StaleSecrets(bench.pool).count_clear() == ClearCount(1, 4)


async def test_an_older_build_reads_no_half_of_an_endpoint(bench: Bench) -> None:
    """It requires `url`, so it fails as a whole and sends nothing without the headers."""
    await bench.make(bench.ring())
    config = await bench.pool.fetchval("SELECT config::text FROM webhook_endpoints WHERE account = 'acme'")

    with pytest.raises(msgspec.ValidationError, match="url"):
        msgspec.json.decode(config, type=EndpointConfig)


async def test_what_was_moved_opens_for_nobody(bench: Bench) -> None:
    """An endpoint to another host, or with the secrets of another: it is shredded, signs nothing, and others are read."""
    await bench.make(bench.ring())
    await bench.pool.execute(
        "UPDATE webhook_endpoints SET config = replace(config::text, 'example.com', 'evil.com')::json"
    )
    await bench.pool.execute(
        "UPDATE endpoint_secrets SET secret = other.secret FROM endpoint_secrets AS other"
        " WHERE endpoint_secrets.endpoint_id = 'whe_2' AND other.endpoint_id = 'whe_1'"
    )

    found, own, secrets = await bench.read()

    assert [each.is_shredded for each in found] == [True, False]
    assert found[0].config.url == "https://evil.com/hook"
    assert found[0].config.headers == {"X-Zed": "", "A": ""}
    assert own == OWN_SECRETS
    assert secrets == {"whe_1": SECRETS["whe_1"]}


async def test_old_ones_are_sealed_once_and_under_new_keys_again(bench: Bench) -> None:
    """What is in clear first, all of an account after a rotation of its data key; a second time does nothing."""
    await bench.make(NO_SEALING)
    await Accounts(bench.pool).rotate_signing_secret(
        "other", f"whsec_{CANARY}g", overlap_s=-1
    )  # the other one signs no more
    stale = StaleSecrets(bench.pool)

    assert await stale.seal(bench.ring()) == ClearCount(1, 5)
    assert await stale.count_clear() == await stale.seal(bench.ring()) == ClearCount(0, 0)
    assert CANARY not in await bench.text()

    keys = {key.account: key for account in ("acme", "other") if (key := await bench.keys.newest(account))}
    assert await bench.keys.add(MASTER.wrap("dk_zz", "acme", b"n" * 32, os.urandom(12)))
    assert await stale.seal(bench.ring()) == ClearCount(1, 2)
    assert keys["acme"].key_id not in await bench.text()
    assert keys["other"].key_id in await bench.text()
    found, own, secrets = await bench.read()
    assert (found, own["acme"], own["other"]) == ([ENDPOINT, PLAIN], OWN_SECRETS["acme"], (f"whsec_{CANARY}g",))
    assert secrets == SECRETS


async def test_what_lost_its_key_is_left_as_it_is(bench: Bench) -> None:
    """As after a restore without the keys: sealing anew ends, and touches only what opens."""
    await bench.make(bench.ring())
    await bench.pool.execute("DELETE FROM account_keys WHERE account = 'acme'")
    assert await bench.keys.add(MASTER.wrap("dk_zz", "acme", b"n" * 32, os.urandom(12)))
    before = await bench.text()

    assert await StaleSecrets(bench.pool).seal(bench.ring()) == ClearCount(0, 0)

    assert await bench.text() == before
    found, own, secrets = await bench.read()
    assert [each.is_shredded for each in found] == [True, False]
    assert (own, secrets) == ({"other": OWN_SECRETS["other"]}, {"whe_2": SECRETS["whe_2"]})


async def test_a_new_master_key_opens_what_the_old_one_wrapped(bench: Bench) -> None:
    """Endpoints and secrets are sealed under data keys, which are wrapped anew; their own rows do not change."""
    await bench.make(bench.ring())
    before, both = await bench.text(), MASTER.after(b"n" * 32)

    def rewrapped(old: WrappedKey) -> WrappedKey:
        return both.wrap(old.key_id, old.account, both.unwrap(old), os.urandom(12))

    assert await bench.keys.rewrap(rewrapped, both.master_id) == 2
    new = both.first_alone()
    ring = Keyring(lambda: new, bench.keys, entropy=os.urandom, steady=lambda: 0.0, away=ConnectionError)

    assert await Endpoints(bench.pool, ring).everybody() == [ENDPOINT, PLAIN]
    assert await Accounts(bench.pool, ring).signing_secrets(["acme", "other"]) == OWN_SECRETS
    assert await bench.text() == before


async def test_a_backup_of_an_erased_account_does_not_open(bench: Bench) -> None:
    """Its rows are gone; if yesterday's are put back, they are shredded, and those of others open."""
    await bench.make(bench.ring())
    tables = ("accounts", "webhook_endpoints", "endpoint_secrets", "signing_secrets")
    for name in tables:
        await bench.pool.execute(f"CREATE TABLE yesterday_{name} AS SELECT * FROM {name}")
    await bench.keys.shred("acme")
    assert [each.endpoint_id for each in (await bench.read())[0]] == ["whe_2"]

    for name in tables:
        await bench.pool.execute(f"INSERT INTO {name} SELECT * FROM yesterday_{name} ON CONFLICT DO NOTHING")
        await bench.pool.execute(f"DROP TABLE yesterday_{name}")

    found, own, secrets = await bench.read()
    assert [(each.endpoint_id, each.is_shredded) for each in found] == [("whe_1", True), ("whe_2", False)]
    assert (own, secrets) == ({"other": OWN_SECRETS["other"]}, {"whe_2": SECRETS["whe_2"]})
