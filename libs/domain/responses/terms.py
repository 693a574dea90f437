"""Terms: what the operator allows to be kept of answers."""

from typing import Final

import msgspec

from libs.events.job import CaptureWhen

BODY_BYTES: Final = 8_192
ALLOWED: Final = frozenset(
    {
        *("content-type", "content-length", "content-encoding", "date", "server", "retry-after", "location"),
        *("x-request-id", "request-id", "traceparent", "cf-ray", "via"),
    }
)
ALLOWED_BEGINNINGS: Final = ("ratelimit", "x-ratelimit")
# Never kept, also if the operator names them: they hold what proves who somebody is.
NEVER: Final = frozenset(
    {
        *("set-cookie", "set-cookie2", "cookie", "authorization", "www-authenticate", "x-api-key", "x-auth-token"),
        *("proxy-authenticate", "proxy-authorization", "proxy-authentication-info", "authentication-info"),
    }
)


class CaptureTerms(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the operator allows.

    Args:
        when: of which attempts an answer is kept, if the job does not say it.
        bytes_max: of one body, the first half from its beginning and the second from its end; 0 keeps nothing of any answer.
        header_names: kept besides `ALLOWED`, in lower case.
        with_private: also of targets that can be called only because the operator allows them.
        token_beginnings: texts with which secrets begin, besides those that Fliq knows.
        daily_bytes_max: of one account a day, in one process; beyond it only the beginnings of bodies are kept.
    """

    when: CaptureWhen = "on_failure"
    bytes_max: int = BODY_BYTES
    header_names: frozenset[str] = frozenset()
    with_private: bool = False
    token_beginnings: tuple[str, ...] = ()
    daily_bytes_max: int = 100_000_000

    def keeps_header(self, name: str) -> bool:
        """Say whether the header *name*, in lower case, is kept."""
        is_allowed = name in ALLOWED or name in self.header_names or name.startswith(ALLOWED_BEGINNINGS)
        return is_allowed and name not in NEVER
