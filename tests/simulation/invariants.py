"""
The invariants of the protocol, and what shows that a breach of each is noticed.

    model   a mutation of tests/simulation/model/mutations.py, caught by the invariant of this number
    fleet   a mutation of tests/simulation/fleet/mutations.py, and the name of the violation that the judge finds
    test    the test that breaks the invariant itself

Each is checked where it is: a mutation that is not caught, or caught by something else, fails its own test.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


class Invariant(NamedTuple):
    """What must hold, and who notices if it does not."""

    says: str
    by: Literal["model", "fleet", "test"]
    name: str
    violation: str = ""


INVARIANTS: Final = {
    "I1": Invariant("an attempt is due at most once; attempts are 1..n without gaps", "model", "no overlay"),
    "I2": Invariant(
        "204 means that it never fires, 409 that it did", "fleet", "cancel_acked_early", "fired_after_cancel"
    ),
    "I3": Invariant("every accepted job reaches an end", "model", "forgets memory at the horizon"),
    "I4": Invariant("the tables at a position are the fold up to there", "model", "no store fence"),
    "I5": Invariant("every admitted due is called; once, if no dispatcher died", "model", "dispatcher does not wait"),
    "I6": Invariant("no call without an admitted due, none early", "model", "no admission in the dispatcher"),
    "I7": Invariant("admitted decisions are legal", "model", "overtaken tick is a breach"),
    "I8": Invariant("one job per tick; of missed ticks the latest alone", "model", "ticks every missed tick"),
    "I9": Invariant("usage is the count of dues", "model", "tables saved without position"),
    "I10": Invariant("a GET after 201 shows the job", "fleet", "reads_do_not_wait", "unread_write"),
    "I11": Invariant(
        "positions are contiguous", "test", "tests/unit/domain/test_ledger.py::test_positions_are_contiguous"
    ),
    "I12": Invariant("one key, one job", "fleet", "reservation_forgotten", "key_split"),
    "I13": Invariant("no accepted fact is dropped", "model", "no admission"),
    "I14": Invariant("memory holds what is near, and nothing else", "model", "evicts nothing"),
    "I15": Invariant("a pause before a tick may be decided stops its call", "model", "ticks far ahead"),
    "I16": Invariant("a job is called, judged and ended as its policy says", "model", "policy ignored"),
    "I17": Invariant("a change of a schedule that was answered counted", "model", "change lost"),
    "I18": Invariant("the job of a tick calls what its schedule said then", "model", "changed spec forgotten"),
    "I19": Invariant(
        "no account has more attempts due on a day than its limit", "fleet", "due_without_permit", "over_the_day"
    ),
    "I20": Invariant("a stop that stands in the log ends its job", "model", "stop forgotten"),
    "I21": Invariant("a job is called as its last change says", "model", "job's change forgotten"),
    "I22": Invariant(
        "a webhook is sent and tried again until it ends, no try early", "model", "delivery lost at hand-over"
    ),
    "I23": Invariant("what is forgotten never comes back", "model", "a forgotten id comes back"),
    "I24": Invariant("what waits is not forgotten, and what is needed is kept", "model", "forgets what waits"),
    "I25": Invariant("of the jobs with one key at most one has it", "model", "key held by two"),
    "I26": Invariant("what was answered about the job of a key is so", "model", "merge lost"),
    "I27": Invariant("runs of a schedule meet only if it allows that", "model", "runs under way ignored"),
    "I28": Invariant("a schedule pauses itself after the failures that it names", "model", "failures pause nothing"),
    "I29": Invariant(
        "builds serve only what they understand", "fleet", "policy_ignored_by_an_older_build", "too_many_attempts"
    ),
    "I30": Invariant("a fold of a trimmed log ends as that of the whole log", "model", "trimmed before it is carried"),
    "I31": Invariant("nobody reads what was trimmed", "model", "trimmed under a replica"),
    "I32": Invariant(
        "rows without records are what they were when they were summed up",
        "fleet",
        "hours_sealed_before_their_end",
        "seals:",
    ),
}
