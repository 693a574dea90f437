"""What is stored of an answer."""

from libs.domain.responses.answer_keeper import AnswerKeeper, RawAnswer
from libs.domain.responses.captured import SHORT, Captured, captured, decode, encode, secret_headers
from libs.domain.responses.daily_budget import ACCOUNTS_MAX, DailyBudget
from libs.domain.responses.redaction import MARK, Redactor
from libs.domain.responses.terms import CaptureTerms

DAY_MS = 86_400_000


def raw(body: bytes, *headers: tuple[str, str], bytes_max: int = 64, is_whole: bool = True) -> RawAnswer:
    keeper = AnswerKeeper(bytes_max=bytes_max, keeps_header=CaptureTerms().keeps_header, wants_status=lambda _: True)
    for name, value in headers or (("content-type", "text/plain"),):
        keeper.header(name.encode(), value.encode("latin-1"))
    keeper.wants(500)
    keeper.body(body)
    keeper.end(is_whole=is_whole)
    assert keeper.answer is not None
    return keeper.answer


def kept(answer: RawAnswer, *secrets: str, has_names: bool = False, is_short: bool = False) -> Captured:
    found = captured(answer, Redactor(secrets), has_names=has_names, is_short=is_short)
    assert decode(encode(found)) == found
    return found


def test_a_short_answer_is_kept_whole() -> None:
    """Its head is all of it; nothing is truncated."""
    found = kept(raw(b"out of stock"))
    assert (found.head, found.tail, found.truncated, found.length, found.redacted) == (
        "out of stock",
        None,
        False,
        12,
        0,
    )


def test_a_long_answer_has_head_and_tail() -> None:
    """What stands between them is not kept."""
    found = kept(raw(b"head " * 20 + b" tail" * 20))
    assert found.head is not None
    assert found.tail is not None
    assert (found.head[:5], found.tail[-5:], found.truncated, found.length) == ("head ", " tail", True, 200)


def test_of_what_is_no_text_length_and_hash_are_kept() -> None:
    """An image has neither head nor tail."""
    found = kept(raw(b"\x89PNG", ("content-type", "image/png")))
    assert (found.head, found.tail, found.truncated, found.length) == (None, None, True, 4)
    assert found.headers == {"content-type": "image/png"}
    assert len(found.sha256) == 64


def test_headers_are_redacted_too() -> None:
    """A secret of the request in a `Location`; headers of one name are joined."""
    found = kept(raw(b"", ("location", "/x?k=s3cret-value"), ("via", "a"), ("via", "b")), "s3cret-value")
    assert found.headers == {"location": f"/x?k={MARK}", "via": "a, b"}
    assert found.redacted == 1


def test_a_secret_across_the_cut_leaves_nothing() -> None:
    """Neither its beginning in the head nor its end in the tail."""
    secret = "SECRET0123456789SECRET"
    body = b"a " * 16
    found = kept(raw(body[:22] + secret.encode() + b" " * 40 + secret.encode() + b" " * 20), secret)
    assert "SECR" not in (found.head or "") + (found.tail or "")
    assert "CRET" not in (found.head or "") + (found.tail or "")


def test_with_names_there_is_no_tail_behind_a_gap() -> None:
    """What stands there may be the value of a name in the gap."""
    assert kept(raw(b"x " * 100), has_names=True).tail is None


def test_beyond_the_budget_only_the_beginning_is_kept() -> None:
    """512 characters, marked as truncated."""
    found = kept(raw(b"y" * 5_000, bytes_max=8_192), is_short=True)
    assert (found.head, found.tail, found.truncated) == ("y" * SHORT, None, True)


def test_secret_headers_are_those_of_the_caller_and_signatures() -> None:
    """Ids and timestamps of Fliq's may be echoed: they help to find the call."""
    sent = [
        ("Authorization", "Bearer t"),
        ("X-Api-Key", "k"),
        ("Content-Type", "application/json"),
        ("X-Fliq-Job-Id", "job_1"),
        ("X-Fliq-Signature", "v1=abc"),
        ("webhook-signature", "v1,abc"),
        ("webhook-id", "exec_1"),
    ]
    assert secret_headers(sent) == ["Bearer t", "k", "v1=abc", "v1,abc"]


def test_the_budget_is_for_each_account_and_day() -> None:
    """Spent by one, it is there for another, and for the same on the next day; the number of accounts is bounded."""
    budget = DailyBudget(100)
    assert budget.has_room("a", DAY_MS)
    budget.spend("a", 100)
    assert not budget.has_room("a", DAY_MS + 1)
    assert budget.has_room("b", DAY_MS + 1)
    assert budget.has_room("a", 2 * DAY_MS)
    for number in range(ACCOUNTS_MAX):
        budget.spend(f"n{number}", 1)
    budget.spend("another", 1)
    assert not budget.has_room("another", 2 * DAY_MS)
