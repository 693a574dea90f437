"""Keyring: which keys it reads and when, what it seals, and what it says if it cannot open."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from libs.events import JobScheduled, Spec
from libs.sealing import keyring
from libs.sealing.data_key import Broken
from libs.sealing.keyring import FRESH_MS, NO_SEALING, AccountErased, Keyring, KeysUnavailable, Shredded, Stored
from libs.sealing.master_keys import MasterKeys
from tests.fakes.control.account_keys import MASTER, MemoryKeys

JOB = "job_01mcc5rm3v001h4d2pf28aqkff"
SPEC = Spec(url="https://example.com/?q=1", body="secret")


class Bench:
    """A table, and rings on it with one clock."""

    def __init__(self) -> None:
        self.table = MemoryKeys()
        self.master = MASTER
        self.now = 0.0
        self._bytes = itertools.count()

    def ring(self) -> Keyring:
        return Keyring(
            lambda: self.master, self.table, entropy=self._entropy, steady=lambda: self.now, away=ConnectionError
        )

    def _entropy(self, size: int) -> bytes:
        return next(self._bytes).to_bytes(size, "big")


async def sealed(ring: Keyring, account: str = "acme") -> Spec:
    await ring.ready(account)
    event = ring.seal(JobScheduled(job_id=JOB, account=account, at=1, spec=SPEC, fire_at=1), account)
    assert isinstance(event, JobScheduled)
    assert event.spec.sealed is not None
    return event.spec


async def test_what_one_process_seals_another_opens() -> None:
    """The key is in the table, wrapped."""
    bench = Bench()
    spec, other = await sealed(bench.ring()), bench.ring()

    await other.load([spec])

    assert other.opened(spec, "acme", JOB) == SPEC


async def test_keys_are_asked_for_once_in_a_while() -> None:
    """Not for each spec; but after the time for which a key is kept, it is asked for again."""
    bench = Bench()
    ring = bench.ring()
    for _ in range(3):
        spec = await sealed(ring)
        await ring.load([spec])
    asked = bench.table.asked

    bench.now += FRESH_MS + 1
    await ring.load([spec])

    assert asked == 3  # no key there, one made, one opened
    assert bench.table.asked == asked + 1


async def test_a_deleted_key_is_gone_everywhere_after_a_while() -> None:
    """A process that knew it opens with it until then, and never after."""
    bench = Bench()
    ring = bench.ring()
    spec = await sealed(ring)
    await ring.load([spec])
    bench.table.shred("acme")

    bench.now += FRESH_MS + 1
    await ring.load([spec])

    with pytest.raises(Shredded):
        ring.opened(spec, "acme", JOB)
    with pytest.raises(AccountErased):
        await ring.ready("acme")


async def test_a_key_whose_row_was_taken_away_opens_nothing() -> None:
    """As after a restore of an older backup of the keys."""
    bench = Bench()
    spec = await sealed(bench.ring())
    bench.table.rows.clear()
    ring = bench.ring()

    await ring.load([spec])

    with pytest.raises(Shredded):
        ring.opened(spec, "acme", JOB)


async def test_the_file_is_read_again_when_the_master_key_was_replaced() -> None:
    """A running process follows a rotation by itself, sealing and opening."""
    bench = Bench()
    ring = bench.ring()
    old = await sealed(ring)
    bench.master = bench.master.after(b"n" * 32)
    bench.table.master_id = bench.master.master_id

    new = await sealed(ring, "other")
    await ring.load([old, new])

    assert bench.table.rows[new.sealed.key].master_id == bench.master.master_id  # type: ignore[union-attr]
    assert ring.opened(old, "acme", JOB) == ring.opened(new, "other", JOB) == SPEC


async def test_an_unknown_master_key_is_no_lost_secret() -> None:
    """The file is wrong, which can be mended: what is sealed waits."""
    bench = Bench()
    spec = await sealed(bench.ring())
    bench.master = MasterKeys((b"x" * 32,))

    with pytest.raises(KeysUnavailable, match="FLIQ_MASTER_KEY_FILE"):
        await bench.ring().load([spec])


async def test_a_key_that_is_known_seals_while_the_tables_are_away() -> None:
    """Creates go on as long as the log takes them."""
    bench = Bench()
    ring = bench.ring()
    await sealed(ring)
    bench.table.is_away = True
    bench.now += FRESH_MS + 1

    assert (await sealed(ring)).sealed
    with pytest.raises(ConnectionError):
        await ring.ready("other")


async def test_a_defect_of_the_table_is_not_taken_for_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is passed on, also where an older key would do."""
    bench = Bench()
    ring = bench.ring()
    await sealed(ring)
    bench.now += FRESH_MS + 1

    async def broken(account: str) -> None:
        raise LookupError(account)

    monkeypatch.setattr(bench.table, "newest", broken)
    with pytest.raises(LookupError):
        await ring.ready("acme")


async def test_a_key_that_is_ready_stays_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was read the longest ago goes, not all: somebody is about to use the others."""
    monkeypatch.setattr(keyring, "KEPT_MAX", 3)
    bench = Bench()
    ring = bench.ring()
    for account in ("a", "b", "acme", "c"):
        await ring.ready(account)
    event = JobScheduled(job_id=JOB, account="acme", at=1, spec=SPEC, fire_at=1)

    assert ring.seal(event, "acme") != event


async def test_without_a_file_nothing_is_sealed_and_nothing_sealed_is_opened() -> None:
    """A process that was started before sealing waits with what it cannot open; it never sends it as it is."""
    event = JobScheduled(job_id=JOB, account="acme", at=1, spec=SPEC, fire_at=1)
    await NO_SEALING.ready("acme")

    assert NO_SEALING.seal(event, "acme") is event
    with pytest.raises(KeysUnavailable, match="FLIQ_MASTER_KEY_FILE"):
        await NO_SEALING.load([await sealed(Bench().ring())])


async def test_a_spec_that_cannot_be_opened_is_shown_without_its_secrets() -> None:
    """A list that has one shows the others."""
    bench = Bench()
    ring = bench.ring()
    good, shredded = await sealed(ring), await sealed(ring, "gone")
    bench.table.shred("gone")
    other = bench.ring()

    shown = await other.shown([Stored(good, "acme", JOB), Stored(shredded, "gone", JOB), Stored(SPEC, "acme", JOB)])

    assert shown[0] == shown[2] == SPEC
    assert (shown[1].url, shown[1].body) == ("https://example.com/", None)


async def test_a_spec_in_anothers_place_does_not_open() -> None:
    """The account and the id come from where it stands, not from what it says."""
    bench = Bench()
    ring = bench.ring()
    spec = await sealed(ring)
    await ring.load([spec])

    with pytest.raises(Broken):
        ring.opened(spec, "other", JOB)


async def test_hashes_of_requests_need_the_key() -> None:
    """All processes make the same hash; it differs between accounts; one that was kept before there were keys is known."""
    bench = Bench()
    plain = bytes(range(16))
    first, second = bench.ring(), bench.ring()

    hashes = [await ring.request_hash(account, plain) for ring in (first, second) for account in ("a", "b")]

    assert hashes[:2] == hashes[2:]
    assert len({*hashes}) == 2
    assert not any(plain in each for each in hashes)
    assert first.is_same_request(plain, plain, hashes[0])
    assert first.is_same_request(hashes[0], plain, hashes[0])
    assert not first.is_same_request(hashes[1], plain, hashes[0])
    assert await NO_SEALING.request_hash("a", plain) == plain


async def test_a_run_of_a_schedule_leaves_the_schedules_secrets_where_they_are() -> None:
    """A job whose spec is kept already says only what may stand in clear."""
    bench = Bench()
    ring = bench.ring()
    await ring.ready("acme")
    spec = msgspec.structs.replace(SPEC, body=None)
    event = ring.seal(JobScheduled(job_id=JOB, account="acme", at=1, spec=spec, fire_at=1, spec_id=JOB), "acme")

    assert isinstance(event, JobScheduled)
    assert event.spec == Spec(url="https://example.com/")


async def test_signing_secrets_are_opened_in_their_order() -> None:
    """Those in clear from before as they are; one that cannot be opened any more is left out, and an erased account has none."""
    bench = Bench()
    ring = bench.ring()
    first, second = [await ring.sealed_secret(each, account="acme", owner="whe_1") for each in ("whsec_1", "whsec_2")]
    gone = await ring.sealed_secret("whsec_3", account="gone", owner="gone")
    bench.table.shred("gone")
    other = bench.ring()

    opened = await other.opened_secrets({"whe_1": [second, gone, first, "whsec_0"], "gone": [gone], "whe_2": [first]})

    assert opened == {"whe_1": ("whsec_2", "whsec_1", "whsec_0")}
    with pytest.raises(AccountErased):
        await other.sealed_secret("whsec_4", account="gone", owner="gone")


async def test_without_a_file_secrets_stay_as_they_are() -> None:
    """To the byte; a sealed one waits for the file."""
    assert await NO_SEALING.sealed_secret("whsec_1", account="acme", owner="acme") == "whsec_1"
    assert await NO_SEALING.opened_secrets({"acme": ["whsec_1"]}) == {"acme": ("whsec_1",)}
    sealed = await Bench().ring().sealed_secret("whsec_1", account="acme", owner="acme")
    with pytest.raises(KeysUnavailable, match="FLIQ_MASTER_KEY_FILE"):
        await NO_SEALING.opened_secrets({"acme": [sealed]})
