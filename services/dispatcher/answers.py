"""
Answers: what the dispatcher keeps of the answers of targets: how much the job and the operator want, without secrets, and sealed.

Keeping is a service to people who look for a failure. It never changes how an attempt ends: if something goes wrong here, the
outcome is recorded without the answer.
"""

import asyncio
from typing import Final

import structlog

from libs.domain.responses.answer_keeper import AnswerKeeper, RawAnswer
from libs.domain.responses.captured import captured, encode, secret_headers
from libs.domain.responses.daily_budget import DailyBudget
from libs.domain.responses.redaction import Redactor, named_values, parts_of, query_values
from libs.domain.responses.terms import CaptureTerms
from libs.domain.retry_policy import is_success
from libs.egress.request import OutgoingRequest
from libs.events import AttemptDue, Capture, Response
from libs.runtime.clock import Clock
from libs.sealing.keyring import AccountErased, Keyring, KeysUnavailable
from libs.store.errors import StoreUnavailable

KEY_S: Final = 2.0  # to get the account's key; it is read once in five minutes

_log = structlog.get_logger("dispatcher")


class Answers:
    """Makes keepers, and what is stored of what they gathered."""

    def __init__(self, terms: CaptureTerms, keyring: Keyring, clock: Clock) -> None:
        """Keep what *terms* allow, sealed by *keyring*."""
        self._terms = terms
        self._keyring = keyring
        self._clock = clock
        self._budget = DailyBudget(terms.daily_bytes_max)
        self._trouble: str | None = None

    def keeper(self, due: AttemptDue, capture: Capture | None) -> AnswerKeeper | None:
        """Return what gathers the answer to an attempt; None if nothing of it is to be kept, whatever it is."""
        terms = self._terms
        when = (capture.when if capture is not None else None) or terms.when
        if when == "none" or not terms.bytes_max:
            return None
        return AnswerKeeper(
            bytes_max=terms.bytes_max,
            keeps_header=terms.keeps_header,
            wants_status=_every if when == "always" else lambda status: not is_success(due.success_on, status),
            with_private=terms.with_private,
        )

    async def response(
        self, due: AttemptDue, capture: Capture | None, request: OutgoingRequest, answer: RawAnswer
    ) -> Response | None:
        """Return what is stored of *answer* to *request*; None if that is impossible at the moment."""
        account = due.account
        try:
            is_short = not self._budget.has_room(account, self._clock.now())
            data = self._stored(capture, request, answer, is_short=is_short)
            async with asyncio.timeout(KEY_S):
                await self._keyring.ready(account)
            response = self._keyring.sealed_response(data, account=account, job_id=due.job_id, attempt=due.attempt)
        except (AccountErased, KeysUnavailable, StoreUnavailable, TimeoutError) as error:
            self._note_trouble(f"{type(error).__name__}: {error}")
            return None
        except Exception:  # noqa: BLE001 - the outcome of the attempt must not depend on this
            _log.error("answer_not_kept", job_id=due.job_id, exc_info=True)
            return None
        self._budget.spend(account, len(data))
        self._note_trouble(None)
        return response

    def _stored(self, capture: Capture | None, request: OutgoingRequest, answer: RawAnswer, *, is_short: bool) -> bytes:
        names = () if capture is None else capture.redact
        secrets = {part for value in secret_headers(request.headers) for part in parts_of(value)}
        secrets |= query_values(request.url)
        if names and request.body:
            secrets |= named_values(request.body, names)
        redactor = Redactor(secrets, names=names, token_beginnings=self._terms.token_beginnings)
        return encode(captured(answer, redactor, has_names=bool(names), is_short=is_short))

    def _note_trouble(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self._trouble:
            _log.warning("answers_not_kept", reason=trouble)
        self._trouble = trouble


def _every(_status: int) -> bool:
    return True
