"""Log place: where the log of `make up` and of the commands is, and which database of the embedded PostgreSQL goes with it."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import urlsplit, urlunsplit

import msgspec


class LogPlace(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where the log is.

    Args:
        bootstrap: Kafka's brokers; None is the log in PostgreSQL.
        topic: Kafka's topic.
        is_ours: whether `make kafka-up` started the brokers.
    """

    bootstrap: str | None
    topic: str
    is_ours: bool = False

    @property
    def database(self) -> str:
        """The database of the embedded PostgreSQL that holds the tables of this log, and of no other."""
        if self.bootstrap is None:
            return "fliq"
        brokers = ",".join(sorted(self.bootstrap.replace(" ", "").split(",")))
        return f"fliq_kafka_{sha256(f'{brokers} {self.topic}'.encode()).hexdigest()[:8]}"

    def said(self) -> str:
        """Say it for a person."""
        if self.bootstrap is None:
            return "the log is in PostgreSQL"
        whose = " (started by make kafka-up)" if self.is_ours else ""
        return f"the log is in Kafka at {self.bootstrap}{whose}, topic {self.topic}"


def in_database(dsn: str, name: str) -> str:
    """Return the address of another database on the server of *dsn*."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
