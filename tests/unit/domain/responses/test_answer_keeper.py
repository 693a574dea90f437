"""What is gathered of an answer while it is read."""

from hashlib import sha256

from libs.domain.responses.answer_keeper import HEADERS_MAX, VALUE_MAX, AnswerKeeper
from libs.domain.responses.terms import NEVER, CaptureTerms


def keeper(bytes_max: int = 16, *, terms: CaptureTerms = CaptureTerms(), status_from: int = 400) -> AnswerKeeper:  # noqa: B008
    return AnswerKeeper(
        bytes_max=bytes_max, keeps_header=terms.keeps_header, wants_status=lambda status: status >= status_from
    )


def test_a_short_body_is_kept_whole() -> None:
    """Head and tail together are the body, in whatever pieces it came."""
    it = keeper()
    assert it.wants(500)
    for piece in (b"abc", b"defgh", b"ijk"):
        it.body(piece)
    it.end(is_whole=True)

    assert it.answer is not None
    assert it.answer.head + it.answer.tail == b"abcdefghijk"
    assert (it.answer.length, it.answer.is_cut, it.answer.is_whole) == (11, False, True)
    assert it.answer.sha256 == sha256(b"abcdefghijk").hexdigest()


def test_of_a_long_body_the_beginning_and_the_end_are_kept() -> None:
    """Of 1,000 bytes with a bound of 16, the first 8 and the last 8; length and hash are those of all of it."""
    body = bytes(index % 251 for index in range(1_000))
    for size in (1, 7, 8, 9, 16, 17, 999, 1_000):
        it = keeper()
        it.wants(500)
        for start in range(0, len(body), size):
            it.body(body[start : start + size])
        it.end(is_whole=True)

        assert it.answer is not None
        assert (it.answer.head, it.answer.tail) == (body[:8], body[-8:])
        assert (it.answer.length, it.answer.is_cut) == (1_000, True)
        assert it.answer.sha256 == sha256(body).hexdigest()


def test_an_answer_that_is_not_wanted_leaves_nothing() -> None:
    """The status decides: of a success nothing is held, not even its headers."""
    it = keeper()
    it.header(b"Server", b"nginx")
    assert not it.wants(200)
    it.end(is_whole=True)

    assert it.answer is None


def test_headers_are_kept_by_the_list() -> None:
    """Names in any letter case; what proves who somebody is never is kept, whatever the operator lists."""
    it = keeper(terms=CaptureTerms(header_names=frozenset({"x-shard", *NEVER})))
    sent = [(b"Content-Type", b"text/plain"), (b"X-SHARD", b"7"), (b"RateLimit-Remaining", b"3"), (b"X-Other", b"no")]
    for name, value in [*sent, *((name.encode(), b"secret") for name in NEVER)]:
        it.header(name, value)
    it.wants(500)
    it.end(is_whole=True)

    assert it.answer is not None
    assert it.answer.headers == (("content-type", "text/plain"), ("x-shard", "7"), ("ratelimit-remaining", "3"))


def test_headers_are_bounded() -> None:
    """A thousand long headers take no more than HEADERS_MAX bytes, one value no more than VALUE_MAX."""
    it = keeper()
    for _ in range(1_000):
        it.header(b"via", b"v" * 10_000)
    it.wants(500)
    it.end(is_whole=True)

    assert it.answer is not None
    assert sum(len(name) + len(value) for name, value in it.answer.headers) <= HEADERS_MAX
    assert max(len(value) for _, value in it.answer.headers) == VALUE_MAX


def test_an_informational_answer_is_forgotten() -> None:
    """Headers of a 103 are not those of the answer that follows."""
    it = keeper()
    it.header(b"via", b"hint")
    it.forget_head()
    it.header(b"via", b"answer")
    it.wants(500)
    it.end(is_whole=False)
    it.end(is_whole=True)

    assert it.answer is not None
    assert (it.answer.headers, it.answer.is_whole) == ((("via", "answer"),), False)
