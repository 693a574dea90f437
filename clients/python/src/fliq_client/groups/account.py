"""Account: the methods about the account itself, its tokens and its signing secret (api.py has jobs and schedules)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Unpack

from fliq_client import answers
from fliq_client.call import Call, Request, document, path
from fliq_client.contract import models
from fliq_client.contract.request_fields import TokenFields
from fliq_client.surface import E, Group, call

_ACCOUNT: Final = answers.one(models.Account)
_ACTIVITY: Final = answers.one(models.Activity)
_SYSTEM: Final = answers.one(models.System)
_FINDINGS: Final = answers.items(models.Findings, lambda found: found.findings)
_NEW_TOKEN: Final = answers.one(models.NewToken)
_TOKENS: Final = answers.items(models.TokenList, lambda found: found.tokens)
_SECRET: Final = answers.one(models.SigningSecret)


class Account(Group[E]):
    """The account that the token belongs to."""

    @call
    def get(self) -> Call[models.Account]:
        """Get what the account may use, None for what is not limited, and what it uses."""
        return Call(request=Request(method="GET", path=path("account")), read=_ACCOUNT)

    @call
    def activity(self) -> Call[models.Activity]:
        """Get how the account's jobs ended in each of the last 24 hours, which are overdue, and how late calls left."""
        return Call(request=Request(method="GET", path=path("account", "activity")), read=_ACTIVITY)


class System(Group[E]):
    """The whole installation, for tokens with the scope `operator`."""

    @call
    def get(self) -> Call[models.System]:
        """Get the partitions, who serves them, how far the tables are behind the log, and the processes."""
        return Call(request=Request(method="GET", path=path("system")), read=_SYSTEM)

    @call
    def findings(self) -> Call[Sequence[models.Finding]]:
        """Get what is wrong with the installation, and what to do; what is well is among it. It may take some seconds."""
        return Call(request=Request(method="GET", path=path("system", "findings")), read=_FINDINGS)


class Tokens(Group[E]):
    """API tokens of the account."""

    @call
    def create(self, **fields: Unpack[TokenFields]) -> Call[models.NewToken]:
        """
        Create a token, whose secret is shown only here.

        It has no key, so it is not sent again if its answer is lost: NotAnswered says that it `may_have_happened`.
        """
        request = Request(method="POST", path=path("tokens"), content=document(fields))
        return Call(request=request, read=_NEW_TOKEN, is_repeatable=False)

    @call
    def list(self) -> Call[Sequence[models.Token]]:
        """Get all tokens, without their secrets."""
        return Call(request=Request(method="GET", path=path("tokens")), read=_TOKENS)

    @call
    def revoke(self, token_id: str) -> Call[None]:
        """Revoke a token: within 5 s no replica takes it any more."""
        request = Request(method="DELETE", path=path("tokens", token_id))
        return Call(request=request, read=answers.nothing, gone_is_done=True)


class SigningSecrets(Group[E]):
    """The secret that Fliq signs the account's calls with."""

    @call
    def get(self) -> Call[models.SigningSecret]:
        """Get the secret, and those before it that still sign."""
        return Call(request=Request(method="GET", path=path("signing-secret")), read=_SECRET)

    @call
    def rotate(self) -> Call[models.SigningSecret]:
        """Replace the secret; the old one signs as well for 24 h. It is not sent again if its answer is lost."""
        request = Request(method="POST", path=path("signing-secret", "rotate"))
        return Call(request=request, read=_SECRET, is_repeatable=False)
