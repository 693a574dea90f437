"""The wrapped data keys in the tables, and what a list reads of a sealed spec."""

from __future__ import annotations

import os

import msgspec
import pytest

from libs.events import JobScheduled, Spec
from libs.sealing.keyring import Keyring
from libs.sealing.master_keys import MasterKeys, UnknownMasterKey, WrappedKey
from libs.store.control.account_keys import AccountKeys, KeyCount
from libs.store.control.accounts import Accounts
from libs.store.reads.account_queries import AccountQueries
from libs.store.reads.bodiless_spec import LARGE_SPEC
from tests.conformance.store.conftest import Harness, state

MASTER = MasterKeys((b"m" * 32,))
OTHER_MASTER = MasterKeys((b"o" * 32,))


def key(key_id: str, account: str = "acme", master: MasterKeys = MASTER) -> WrappedKey:
    return master.wrap(key_id, account, b"s" * 32, os.urandom(12))


async def test_the_newest_key_of_an_account_seals(harness: Harness) -> None:
    """Others are found by their ids, and no key is another account's."""
    keys = AccountKeys(harness.pool)
    assert await keys.begin(MASTER.master_id) == MASTER.master_id
    first, second, other = key("dk_1"), key("dk_2"), key("dk_3", "other")

    assert [await keys.add(each) for each in (first, second, other)] == [True, True, True]

    assert await keys.newest("acme") == second
    assert await keys.newest("nobody") is None
    assert await keys.find(["dk_1", "dk_3", "dk_9"]) == [first, other]
    assert await keys.count() == KeyCount(2, 3, 0)


async def test_a_key_is_made_under_the_master_key_that_counts(harness: Harness) -> None:
    """The first one counts until it is replaced; a process with another one makes none, and nobody makes one twice."""
    keys = AccountKeys(harness.pool)
    assert await keys.master_id() is None
    assert not await keys.add(key("dk_1"))
    await keys.begin(MASTER.master_id)

    assert await keys.begin(OTHER_MASTER.master_id) == await keys.master_id() == MASTER.master_id
    assert not await keys.add(key("dk_1", master=OTHER_MASTER))
    assert await keys.add(key("dk_1"))
    assert not await keys.add(key("dk_1"))


async def test_a_new_master_key_wraps_every_key_anew(harness: Harness) -> None:
    """All or nothing; from then on a process with the old one makes no key, and deleted keys stay deleted."""
    keys = AccountKeys(harness.pool)
    await Accounts(harness.pool).ensure_account("gone", "whsec_")
    await keys.begin(MASTER.master_id)
    for each in (key("dk_1"), key("dk_2", "other"), key("dk_3", "gone")):
        assert await keys.add(each)
    await keys.shred("gone")
    both = MASTER.after(b"o" * 32)

    def rewrapped(old: WrappedKey) -> WrappedKey:
        return both.wrap(old.key_id, old.account, both.unwrap(old), os.urandom(12))

    with pytest.raises(UnknownMasterKey):
        await keys.rewrap(lambda old: rewrapped(old._replace(master_id="x")), both.master_id)
    assert await keys.master_id() == MASTER.master_id
    assert await keys.rewrap(rewrapped, both.master_id) == 2
    assert await keys.rewrap(rewrapped, both.master_id) == 0

    assert await keys.master_id() == both.master_id
    assert [OTHER_MASTER.unwrap(each) for each in await keys.find(["dk_1", "dk_2"])] == [b"s" * 32] * 2
    assert not await keys.add(key("dk_4"))
    assert (await keys.find(["dk_3"]))[0].wrapped is None


async def test_an_erased_account_has_nothing_left(harness: Harness) -> None:
    """Its keys, tokens, secrets and endpoints are gone; it gets no key any more, also if it never had one; others keep theirs."""
    keys, accounts = AccountKeys(harness.pool), Accounts(harness.pool)
    for name in ("acme", "never", "kept"):
        await accounts.ensure_account(name, "whsec_")
    await keys.begin(MASTER.master_id)
    assert await keys.add(key("dk_1"))
    assert await keys.add(key("dk_2", "kept"))

    assert [await keys.shred(name) for name in ("acme", "never")] == [1, 0]

    assert [await accounts.is_erased(name) for name in ("acme", "never", "kept")] == [True, True, False]
    assert [each.name for each in await accounts.all()] == ["kept"]
    assert await accounts.signing_secrets(["acme", "kept"]) == {"kept": ("whsec_",)}
    assert not await keys.add(key("dk_3"))
    assert not await keys.add(key("dk_4", "never"))
    assert await keys.newest("acme") is None
    assert await keys.newest("kept") is not None
    assert await keys.accounts() == ["kept"]


@pytest.mark.parametrize("body", ["", "short", "long" * LARGE_SPEC], ids=["empty", "short", "long"])
@pytest.mark.parametrize("webhook_url", [None, "https://example.com/hook?w=1"], ids=["no webhook", "webhook"])
async def test_the_sealed_body_of_a_large_spec_stays_in_the_database(
    harness: Harness, body: str, webhook_url: str | None
) -> None:
    """A list opens all of it but the body; what is read alone has the body, too."""
    keys = AccountKeys(harness.pool)
    await keys.begin(MASTER.master_id)
    ring = Keyring(lambda: MASTER, keys, entropy=os.urandom, steady=lambda: 0.0, away=ConnectionError)
    await ring.ready("acme")
    job = state(1)
    spec = Spec(url='https://example.com/?q=","body":"', headers={"X-A": "b"}, body=body, webhook_url=webhook_url)
    event = ring.seal(JobScheduled(job_id=job.job_id, account="acme", at=1, spec=spec, fire_at=1), "acme")
    assert isinstance(event, JobScheduled)
    await harness.put(job, specs={job.job_id: msgspec.json.encode(event.spec)})
    queries = AccountQueries(harness.pool, ring)

    listed, alone = (await queries.list_jobs("acme", limit=1))[0], await queries.get_job("acme", job.job_id)

    assert alone is not None
    assert alone.spec == spec
    assert listed.spec == (msgspec.structs.replace(spec, body=None) if len(body) > LARGE_SPEC else spec)
