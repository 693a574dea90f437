"""
Heartbeat: the end of the job that Fliq gives itself. It is answered here, and no byte leaves the process for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from libs.domain.heartbeat import ACCOUNT, URL
from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from libs.following.ports import Egress, SigningSecrets
from libs.runtime.clock import Clock

# Every call is signed, and this account has no secret of its own. What is signed with this one leaves the process never.
_SECRETS: Final = ("whsec_" + "AAAA" * 8,)


class HeartbeatTarget:
    """Answers heartbeats and passes all other calls on: meets `Egress` of libs/following/ports.py."""

    def __init__(self, egress: Egress, clock: Clock, on_beat: Callable[[float], object]) -> None:
        """Call through *egress*; tell *on_beat* the instant of every heartbeat, in seconds since 1970."""
        self._egress = egress
        self._clock = clock
        self._on_beat = on_beat
        on_beat(clock.now_s())

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        """Answer a heartbeat at once; make any other call."""
        if request.url != URL:
            return await self._egress.call(request, timeout_s=timeout_s)
        self._on_beat(self._clock.now_s())
        return Outcome(
            ok=True, status_code=204, error=None, duration_ms=0, retry_after_ms=None, sent_at=self._clock.now()
        )


class HeartbeatSecrets:
    """The secrets of all accounts, and one for heartbeats: meets `SigningSecrets` of libs/following/ports.py."""

    def __init__(self, secrets: SigningSecrets) -> None:
        """Ask *secrets* for those of all other accounts."""
        self._secrets = secrets

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return, for those of *accounts* that have any, the valid secrets, newest first."""
        others = [account for account in accounts if account != ACCOUNT]
        found = await self._secrets.signing_secrets(others) if others else {}
        return found if len(others) == len(accounts) else {**found, ACCOUNT: _SECRETS}
