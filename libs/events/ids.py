"""
Ids: 128-bit ULIDs that carry their partition.

    bits   127..80          79..64       63..0
           milliseconds     partition    random, or a hash

Written in lower-case Crockford base 32 (26 characters) behind a prefix that names the kind: `job_`, `sched_`, `exec_`, `whd_`,
`whe_`. The partition is part of the id, so an id keeps its partition when partitions are added. Ids that follow from the log (a
tick's job, an execution) are hashes: if a decision is made twice, both times it has the same id.

Source: ARCHITECTURE.md, "The log"; the ULID specification for the alphabet and the ordering.
"""

import re
from functools import lru_cache
from hashlib import blake2b

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
# Of bytes: a text is translated letter by letter, which takes twice as long.
_TO_BASE32HEX = bytes.maketrans(_ALPHABET.encode(), b"0123456789abcdefghijklmnopqrstuv")
_VALUE_OF = {letter: index for index, letter in enumerate(_ALPHABET)}
_VALUE_OF_PAIR = {pair: index for index, pair in enumerate(_PAIRS)}
_ID = re.compile(r"(?:job|sched|exec|whe|whd)_[0-7][0-9a-hjkmnp-tv-z]{25}", re.ASCII)

MAX_PARTITIONS = 1 << 16
HIGHEST_JOB_ID = "job_7" + "z" * 25
STATE_IDS = ("job", "sched", "whd")  # the kinds of ids under whose key a record may stand: what has a state of its own
_MAX_MS = (1 << 48) - 1
_AGAIN = ".again"


def ulid(ms: int, partition: int, tail: int) -> str:
    """
    Return the 26 characters for *ms* (since 1970), *partition* and a 64-bit *tail*.

    Raises:
        ValueError: one of them is negative, or too large for its bits.
    """
    if not (0 <= ms <= _MAX_MS and 0 <= partition < MAX_PARTITIONS and 0 <= tail < 1 << 64):
        raise ValueError("an id holds 48 bits of milliseconds, 16 of partition and 64 of tail")
    return _beginning(ms << 20 | partition << 4 | tail >> 60) + _low_letters(tail)


def new_job_id(now: int, partition: int, entropy: bytes) -> str:
    """Return a fresh job id; *entropy* is 8 random bytes drawn by the caller."""
    return "job_" + ulid(now, partition, int.from_bytes(entropy, "big"))


def new_schedule_id(now: int, partition: int, entropy: bytes) -> str:
    """Return a fresh schedule id; *entropy* is 8 random bytes drawn by the caller."""
    return "sched_" + ulid(now, partition, int.from_bytes(entropy, "big"))


def new_endpoint_id(now: int, partition: int, account: str, entropy: bytes) -> str:
    """
    Return a fresh id of a webhook endpoint of *account*; *entropy* is 4 random bytes drawn by the caller.

    Half of the tail is a hash of the account, so that `share_of` finds what belongs together.
    """
    return "whe_" + ulid(now, partition, (_hash(account) >> 32) << 32 | int.from_bytes(entropy, "big"))


def share_of(account: str) -> str:
    """
    Return the name under which *account* shares with others what all share.

    The jobs that tell a webhook endpoint have the endpoint as their account; the endpoints of an account share as one.
    """
    endpoint_id = told_endpoint(account)
    if endpoint_id is None:
        return account
    return f"whe_{to_int(endpoint_id) >> 32 & 0xFFFFFFFF:08x}"


def told_endpoint(account: str) -> str | None:
    """Return the webhook endpoint that the jobs of *account* tell of events; None if they call something else."""
    if not account.startswith("whe_"):
        return None
    endpoint_id = account.removesuffix(_AGAIN)
    return endpoint_id if is_id(endpoint_id, "whe") else None


def redelivery_account(endpoint_id: str) -> str:
    """Return the account of the jobs that tell an endpoint once more, because somebody asked for it."""
    return endpoint_id + _AGAIN


def is_redelivery(account: str) -> bool:
    """Whether the jobs of *account* tell an endpoint once more."""
    return account.endswith(_AGAIN) and told_endpoint(account) is not None


def delivery_job_id(at: int, partition: int, about: str) -> str:
    """Return the one id that the job can have which tells an endpoint of an event at *at*; *about* says of what, and whom."""
    return "job_" + ulid(at, partition, _hash(about))


def delivery_id(job_id: str) -> str:
    """
    Return the id of the delivery that a job makes: what its receiver sees as `webhook-id`, the same for each try.

    A job that tells an endpoint makes one; a job whose own webhook is repeated makes one as well. libs/domain/history finds a job's
    delivery by it.
    """
    return "whd_" + job_id[-26:]


def job_of_delivery(any_delivery_id: str) -> str:
    """Return the id of the job that makes a delivery, if a job makes it."""
    return "job_" + any_delivery_id[-26:]


def tick_job_id(schedule_id: str, tick_at: int) -> str:
    """Return the one job id that the tick of *schedule_id* at *tick_at* can have."""
    return "job_" + ulid(tick_at, partition_of(schedule_id), _hash(f"{schedule_id}@{tick_at}"))


def repeated_tick_job_id(schedule_id: str, tick_at: int, nonce: str) -> str:
    """Return the one job id that another run for the tick of *schedule_id* at *tick_at* can have; *nonce* says which run."""
    return "job_" + ulid(tick_at, partition_of(schedule_id), _hash(f"{schedule_id}@{tick_at}~{nonce}"))


def changed_spec_id(schedule_id: str, version: int) -> str:
    """Return the id under which the spec is kept that a change of *schedule_id* to *version* brought."""
    return "job_" + ulid(instant_of(schedule_id), partition_of(schedule_id), _hash(f"{schedule_id}~{version}"))


def heartbeat_job_id(slot_at: int, partition: int) -> str:
    """Return the one job id that the heartbeat of *partition* at *slot_at* can have (libs/domain/heartbeat.py)."""
    return "job_" + ulid(slot_at, partition, _hash(f"heartbeat@{slot_at}"))


def execution_id(job_id: str, attempt: int) -> str:
    """Return the one execution id of the *attempt*-th try of *job_id*: a repeated call carries the same."""
    # Instant and partition are those of the job: 13 letters, and the highest bit of the 14th. The rest is the hash.
    tail = (_VALUE_OF[job_id[-13]] & 16) << 60 | _hash(f"{job_id}#{attempt}")
    return f"exec_{job_id[-26:-13]}{_ALPHABET[tail >> 60]}{_low_letters(tail)}"


def is_id(text: str, kind: str) -> bool:
    """Say whether *text* is a well-formed id of *kind* (`job`, `sched`, `exec`, `whd` or `whe`)."""
    return text.startswith(kind + "_") and _ID.fullmatch(text) is not None


def partition_of(any_id: str) -> int:
    """Return the partition that a well-formed id lives in."""
    return (_VALUE_OF_PAIR[any_id[-16:-14]] << 10 | _VALUE_OF_PAIR[any_id[-14:-12]]) >> 4


def instant_of(any_id: str) -> int:
    """Return the milliseconds inside a well-formed id."""
    return to_int(any_id) >> 80


def to_int(any_id: str) -> int:
    """Return the 128-bit number behind a well-formed id."""
    return int(any_id[-26:].encode().translate(_TO_BASE32HEX), 32)


def from_int(kind: str, value: int) -> str:
    """Return the id of *kind* for a 128-bit number; the inverse of `to_int`."""
    return f"{kind}_{_letters(value)}"


def _letters(value: int) -> str:
    """Return the 26 letters of 128 bits: 13 pairs, the highest first, written out since a loop would take twice as long."""
    return _high_letters(value >> 60) + _low_letters(value)


def _high_letters(value: int) -> str:
    """Return the 14 letters of 68 bits."""
    p = _PAIRS
    return (
        f"{p[value >> 60]}{p[value >> 50 & 1023]}{p[value >> 40 & 1023]}{p[value >> 30 & 1023]}"
        f"{p[value >> 20 & 1023]}{p[value >> 10 & 1023]}{p[value & 1023]}"
    )


# What begins a new id: the ids that are made in one millisecond share it.
_beginning = lru_cache(64)(_high_letters)


def _low_letters(value: int) -> str:
    """Return the letters of the lowest 60 bits."""
    p = _PAIRS
    return (
        f"{p[value >> 50 & 1023]}{p[value >> 40 & 1023]}{p[value >> 30 & 1023]}"
        f"{p[value >> 20 & 1023]}{p[value >> 10 & 1023]}{p[value & 1023]}"
    )


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
