"""A process that holds an embedded PostgreSQL, as Fliq does: prints one line when it serves, then waits to be ended."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from libs.runtime.embedded_postgres.server import EmbeddedPostgres, EmbeddedPostgresError

if __name__ == "__main__":
    server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"}, say=lambda _: None)
    try:
        server.start()
    except EmbeddedPostgresError as error:
        sys.exit(f"fliq: {error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        print(server.pid, server.was_adopted, flush=True)
        signal.pause()
    finally:
        server.stop()
