"""
Keyring: the data keys that this process knows, and what it seals and opens with them.

A key is read from the tables once and kept for `FRESH_MS`, so a key that was deleted is gone everywhere after that time, and a new
one is used by then. `ready` and `load` may ask the tables; `seal` and `opened` never do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from libs.events import Event, Response, Spec
from libs.sealing.data_key import KEY_BYTES, NONCE_BYTES, Broken, DataKey
from libs.sealing.master_keys import MasterKeys, UnknownMasterKey, WrappedKey
from libs.sealing.sealed_event import sealed_event
from libs.sealing.sealed_response import open_response, seal_response
from libs.sealing.sealed_secret import key_of, open_secret, seal_secret
from libs.sealing.sealed_spec import open_spec, seal_spec

FRESH_MS: Final = 300_000
KEPT_MAX: Final = 10_000  # accounts, and keys; about 1 kB each
KEY_ID_BYTES: Final = 8
# Whose keys are not any account's: they make hashes of requests. No account has a name with a star.
OF_INSTALLATION: Final = "*hashes"
ID_OF_INSTALLATION: Final = "dk_hashes"
_PLAIN_HASH_BYTES: Final = 16  # of a request, as it is kept without keys
T = TypeVar("T")
_KEYED: Final = b"k"  # begins a hash under a key; its length tells it from one without


class Shredded(Exception):
    """The key that sealed this was deleted: nobody can ever open it again."""


class KeysUnavailable(Exception):
    """The key cannot be had at the moment; the message says why."""


class AccountErased(Exception):
    """The account was erased: nothing is sealed for it any more."""


class KeyTable(Protocol):
    """Where the wrapped keys are kept (libs/store/control/account_keys.py)."""

    async def newest(self, account: str) -> WrappedKey | None:
        """Return the key that seals what is new of *account*."""

    async def add(self, key: WrappedKey) -> bool:
        """Keep *key*; return False, and keep nothing, if another master key wraps by now, or the account was erased."""

    async def find(self, key_ids: Collection[str]) -> list[WrappedKey]:
        """Return those of *key_ids* that there are or were."""


class Stored(NamedTuple):
    """A spec as it is stored, and its place."""

    spec: Spec
    account: str
    spec_id: str


class Keyring:
    """Seals for accounts and opens what was sealed; without master keys it seals nothing and can open nothing."""

    def __init__(
        self,
        read_master_keys: Callable[[], MasterKeys] | None,
        table: KeyTable,
        *,
        entropy: Callable[[int], bytes],
        steady: Callable[[], float],
        away: type[Exception],
    ) -> None:
        """
        Know no key yet.

        Args:
            read_master_keys: reads the file; called again when a key is met that the file did not have. None: there is no file.
            table: the wrapped keys.
            entropy: returns random bytes.
            steady: the steady clock, in ms.
            away: what *table* raises while it does not answer; any other error is a defect, and is passed on.
        """
        self._read_master_keys = read_master_keys
        self._master = None if read_master_keys is None else read_master_keys()
        self._table = table
        self._entropy = entropy
        self._steady = steady
        self._away = away
        self._newest: dict[str, tuple[float, DataKey]] = {}
        self._by_id: dict[str, tuple[float, DataKey | None]] = {}

    @property
    def is_on(self) -> bool:
        """Whether new specs are sealed."""
        return self._master is not None

    # --- sealing --------------------------------------------------------------------------------------------------------

    async def ready(self, account: str) -> None:
        """
        Have a key at hand for what `seal` will seal for *account*; make one if it has none.

        Raises:
            AccountErased: it must not get one.
            KeysUnavailable: the master key is not the one of the tables.
        """
        if self._master is None:
            return
        kept = self._newest.get(account)
        if kept is not None and self._steady() - kept[0] <= FRESH_MS:
            return
        try:
            found = await self._table.newest(account)
        except self._away:
            if kept is not None:  # the key that was the newest seals as well
                return
            raise
        key = await self._make(account) if found is None else self._unwrapped(found)
        if key is None:
            raise AccountErased(account)
        _keep(self._newest, account, (self._steady(), key))

    def seal(self, event: Event, account: str) -> Event:
        """
        Return *event* with its spec sealed under the key of *account*, for which this process is `ready`.

        A delivery to a webhook endpoint, whose own account is the endpoint, is sealed under the key of the endpoint's account.

        Raises:
            Unopened: the spec is one that `shown` could not open.
        """
        if self._master is None:
            return event
        own = getattr(event, "account", account)
        return sealed_event(
            event, lambda spec, spec_id: self.sealed_spec(spec, account=own, spec_id=spec_id, sealer=account)
        )

    def sealed_spec(self, spec: Spec, *, account: str, spec_id: str, sealer: str) -> Spec:
        """
        Return *spec*, of *account*, sealed under the key of the account *sealer*, for which this process is `ready`.

        Raises:
            Unopened: as `seal`.
        """
        if self._master is None:
            return spec
        return seal_spec(spec, self._newest[sealer][1], account=account, spec_id=spec_id, entropy=self._entropy)

    async def sealed_secret(self, secret: str, *, account: str, owner: str) -> str:
        """
        Return the text that a table keeps of a signing secret of *owner*, which is *account* or a webhook endpoint of it.

        Raises:
            AccountErased, KeysUnavailable: as `ready`.
        """
        await self.ready(account)
        if self._master is None:
            return secret
        return seal_secret(secret, self._newest[account][1], owner=owner, entropy=self._entropy)

    def sealed_response(self, data: bytes, *, account: str, job_id: str, attempt: int) -> Response:
        """Return what was kept of an answer, sealed under the key of *account*, for which this process is `ready`."""
        if self._master is None:
            return Response(data=data)
        key = self._newest[account][1]
        return seal_response(data, key, account=account, job_id=job_id, attempt=attempt, entropy=self._entropy)

    async def request_hash(self, account: str, plain: bytes) -> bytes:
        """Return the hash of a request of *account* as it is kept: equal for equal ones, and of no use without the key."""
        if self._master is None:
            return plain
        await self.ready(OF_INSTALLATION)
        return _KEYED + self._newest[OF_INSTALLATION][1].digest(account.encode() + b" " + plain)[:_PLAIN_HASH_BYTES]

    @staticmethod
    def is_same_request(kept: bytes, plain: bytes, keyed: bytes) -> bool:
        """Whether *kept* is the hash of this request, kept with a key or, before there was one, without."""
        return kept == (plain if len(kept) == _PLAIN_HASH_BYTES else keyed)

    # --- opening --------------------------------------------------------------------------------------------------------

    async def load(self, specs: Iterable[Spec]) -> None:
        """
        Have the keys at hand that open *specs*.

        Raises:
            KeysUnavailable: one of them is wrapped by a master key that this process does not have.
        """
        await self._load_keys({spec.sealed.key for spec in specs if spec.sealed is not None})

    async def _load_keys(self, key_ids: Iterable[str]) -> None:
        now = self._steady()
        wanted = {each for each in key_ids if (kept := self._by_id.get(each)) is None or now - kept[0] > FRESH_MS}
        if not wanted:
            return
        if self._master is None:
            raise KeysUnavailable("FLIQ_MASTER_KEY_FILE is not set in this process, and what is to be sent is sealed")
        for key in await self._table.find(wanted):
            wanted.discard(key.key_id)
            _keep(self._by_id, key.key_id, (now, self._unwrapped(key)))
        for missing in wanted:  # a key that never was, or whose row was taken away
            _keep(self._by_id, missing, (now, None))

    def opened(self, spec: Spec, account: str, spec_id: str) -> Spec:
        """
        Return *spec* as its caller gave it, if it is sealed with a key that is loaded; one that is not sealed as it is.

        Args:
            account: of the job or schedule.
            spec_id: the id under which the spec is kept.

        Raises:
            Shredded: the key was deleted.
            Broken: it was sealed for another place, or somebody changed it.
        """
        if spec.sealed is None:
            return spec
        key = self._by_id[spec.sealed.key][1]
        if key is None:
            raise Shredded(spec.sealed.key)
        return open_spec(spec, key, account=account, spec_id=spec_id)

    def is_shredded(self, spec: Spec) -> bool:
        """Whether the key that sealed *spec*, which is loaded, was deleted."""
        return spec.sealed is not None and self._by_id[spec.sealed.key][1] is None

    async def opened_response(self, response: Response, *, account: str, job_id: str, attempt: int) -> bytes:
        """
        Return what was kept of an answer.

        Raises:
            Shredded, Broken: as `opened`.
            KeysUnavailable: as `load`.
        """
        if response.key is None:
            return response.data
        await self._load_keys([response.key])
        key = self._by_id[response.key][1]
        if key is None:
            raise Shredded(response.key)
        return open_response(response.data, key, account=account, job_id=job_id, attempt=attempt)

    async def opened_secrets(self, kept: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        """
        Return signing secrets by owner, in the order in which they are *kept*; those that can never be opened are left out.

        Raises:
            KeysUnavailable: as `load`.
        """
        await self._load_keys({key_id for texts in kept.values() for text in texts if (key_id := key_of(text))})
        opened = {owner: tuple(self._opened_secrets(owner, texts)) for owner, texts in kept.items()}
        return {owner: secrets for owner, secrets in opened.items() if secrets}

    def _opened_secrets(self, owner: str, texts: Sequence[str]) -> Iterator[str]:
        for text in texts:
            key_id = key_of(text)
            if key_id is None:
                yield text
            elif (key := self._by_id[key_id][1]) is not None:
                with suppress(Broken):
                    yield open_secret(text, key, owner=owner)

    async def shown(self, stored: Sequence[Stored]) -> list[Spec]:
        """
        Return specs for a caller, in their order; of one that cannot be opened any more what stands in clear.

        Raises:
            KeysUnavailable: as `load`.
        """
        await self.load(each.spec for each in stored)
        return [self._shown(each) for each in stored]

    def _shown(self, stored: Stored) -> Spec:
        try:
            return self.opened(*stored)
        except (Shredded, Broken):
            sealed = stored.spec.sealed
            assert sealed is not None  # noqa: S101 - else it was not opened
            return msgspec.structs.replace(
                stored.spec, url=sealed.url
            )  # still sealed: it cannot be used for anything new

    # --- keys -----------------------------------------------------------------------------------------------------------

    async def _make(self, account: str) -> DataKey | None:
        assert self._master is not None  # noqa: S101 - the caller looked
        for _ in range(2):
            # Of the installation's there is one: all processes must make the same hashes.
            key_id = ID_OF_INSTALLATION if account == OF_INSTALLATION else "dk_" + self._entropy(KEY_ID_BYTES).hex()
            secret = self._entropy(KEY_BYTES)
            if await self._table.add(self._master.wrap(key_id, account, secret, self._entropy(NONCE_BYTES))):
                return DataKey(key_id, secret)
            # Another process made one, the master key was replaced, or the account was erased.
            self._reread()
            found = await self._table.newest(account)
            if found is not None:
                return self._unwrapped(found)
        return None

    def _unwrapped(self, key: WrappedKey) -> DataKey | None:
        if key.wrapped is None:
            return None
        assert self._master is not None  # noqa: S101 - the caller looked
        if key.master_id not in self._master.ids:
            self._reread()
        try:
            return DataKey(key.key_id, self._master.unwrap(key))
        except UnknownMasterKey as error:
            raise KeysUnavailable(f"the master key {error} is not in the file of FLIQ_MASTER_KEY_FILE") from None
        except Broken:
            raise KeysUnavailable(f"the row of the data key {key.key_id} was changed") from None

    def _reread(self) -> None:
        if self._read_master_keys is not None:
            try:
                self._master = self._read_master_keys()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the file, it may be mended meanwhile
                raise KeysUnavailable(f"the master key file cannot be read: {error}") from None


def _keep(kept: dict[str, T], name: str, value: T) -> None:
    kept.pop(name, None)
    if len(kept) >= KEPT_MAX:  # the one that was read the longest ago goes: somebody may be about to use the others
        del kept[next(iter(kept))]
    kept[name] = value


class _NoKeys:
    async def newest(self, account: str) -> WrappedKey | None:
        return None

    async def add(self, key: WrappedKey) -> bool:
        return False

    async def find(self, key_ids: Collection[str]) -> list[WrappedKey]:
        return []


# Seals nothing; what is sealed it cannot open.
NO_SEALING: Final = Keyring(None, _NoKeys(), entropy=bytes, steady=float, away=ConnectionError)
