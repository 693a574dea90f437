"""What the dispatcher keeps of answers."""

from __future__ import annotations

from libs.domain.responses.captured import SHORT, decode
from libs.domain.responses.terms import CaptureTerms
from libs.egress.outcome import Outcome, error_of_status
from libs.egress.request import OutgoingRequest
from libs.events import Capture
from tests.simulation.dispatcher.harness import Harness, harness


def answering(here: Harness, status: int, body: bytes = b"no") -> None:
    """Have the target answer so."""

    async def call(request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        keeper = request.keeper
        if keeper is not None and keeper.wants(status):
            keeper.header(b"Content-Type", b"text/plain")
            keeper.body(body)
            keeper.end(is_whole=True)
        error = error_of_status(status)
        now = here.clock.now()
        return Outcome(
            ok=error is None, status_code=status, error=error, duration_ms=1, retry_after_ms=None, sent_at=now
        )

    here.egress.call = call  # type: ignore[method-assign]


async def kept(here: Harness, **spec: object) -> str | None:
    """Return the head of what is kept of the answer to a new job."""
    count = len(await here.finished())
    await here.due(**spec)
    await here.settle()
    found = await here.finished()
    assert len(found) == count + 1
    response = found[-1].response
    return None if response is None else decode(response.data).head


async def test_what_a_job_wants_is_kept() -> None:
    """By default of failures; `none` and `always` are kept to, and what counts as success is the job's own."""
    async with harness() as here:
        await here.begin()
        answering(here, 500)
        assert await kept(here) == "no"
        assert await kept(here, capture=Capture(when="none")) is None
        answering(here, 200)
        assert await kept(here) is None
        assert await kept(here, capture=Capture(when="always")) == "no"
        assert await kept(here, capture=Capture(redact=("a",))) is None


async def test_what_the_request_carried_is_not_kept() -> None:
    """Its headers, its query, and values behind the names that the job gives."""
    async with harness() as here:
        await here.begin()
        answering(here, 500, b'X-Key s3cret-h q=s3cret-q {"pin": "s3cret-b"} again s3cret-b')
        spec = {
            "url": "http://target.example/?q=s3cret-q",
            "headers": {"X-Key": "s3cret-h"},
            "body": '{"pin": "s3cret-b"}',
            "capture": Capture(redact=("PIN",)),
        }
        head = await kept(here, **spec)

        assert head is not None
        assert "s3cret" not in head
        assert head.count("[redacted]") == 4


async def test_beyond_the_budget_of_a_day_little_is_kept() -> None:
    """The first answer uses it up."""
    async with harness(capture=CaptureTerms(daily_bytes_max=600)) as here:
        await here.begin()
        answering(here, 500, b"y" * 2_000)
        lengths = [len(await kept(here) or "") for _ in range(2)]
        assert lengths == [2_000, SHORT]


async def test_an_answer_that_cannot_be_kept_changes_no_outcome() -> None:
    """The attempt is recorded as it ended."""
    async with harness() as here:
        await here.begin()
        answering(here, 500)

        async def no_key(account: str) -> None:
            raise TimeoutError

        here.service._answers._keyring = type("Keys", (), {"ready": staticmethod(no_key)})()  # type: ignore[attr-defined]
        assert await kept(here) is None
        assert (await here.finished())[-1].status_code == 500
        here.service._answers._keyring = None  # type: ignore[assignment]  # a defect
        assert await kept(here) is None
