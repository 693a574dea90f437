"""Embedded database: the PostgreSQL that comes along, started while the rest of Fliq is still imported."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from libs.runtime.embedded_postgres.address import ignore_pg_variables
from libs.runtime.embedded_postgres.binaries import EmbeddedPostgresError
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.settings.settings import Settings


def begin_database(settings: Settings) -> EmbeddedPostgres | None:
    """
    Return the embedded PostgreSQL if *settings* name no other; one that has data is being started in a thread.

    The first start of all is left to the caller's `start()`: it shows its progress, and makes nothing before all settings were
    checked. So is an error: `start()` fails in the same way.
    """
    if settings.database_url is not None:
        return None
    ignore_pg_variables()
    embedded = EmbeddedPostgres(settings.data_dir)
    if embedded.pgdata.exists():
        begin(embedded)
    return embedded


def begin(embedded: EmbeddedPostgres) -> None:
    """
    Start *embedded* in a thread; the caller stops it.

    Until a loop handles SIGTERM, it ends the process as Ctrl-C does, because the server has to be stopped.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_start, args=[embedded], name="embedded postgresql").start()


def _start(embedded: EmbeddedPostgres) -> None:
    try:
        embedded.start()
    except EmbeddedPostgresError:
        return  # the caller's start() says it


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
