"""Run as root: becomes an ordinary user, then starts and stops an embedded PostgreSQL in that user's closed home."""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path

from libs.runtime.embedded_postgres.binaries import PostgresBinaries
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.embedded_postgres.unprivileged import let_through, server_user

if __name__ == "__main__":
    home = Path(sys.argv[1])
    user = server_user(home)
    # What an ordinary user has by itself: programs that it can reach and a home that it owns.
    PostgresBinaries.find(user, say=lambda _: None)
    home.mkdir(mode=0o700)
    let_through(home.parent, user, say=lambda _: None)
    os.chown(home, user.uid, user.gid)
    codecs.lookup("ascii")  # loaded now: the interpreter itself may lie where that user cannot read
    os.setgroups([])
    os.setgid(user.gid)
    os.setuid(user.uid)
    server = EmbeddedPostgres(home / "f", settings={"fsync": "off"}, say=lambda _: None)
    server.start()
    try:
        print("same user" if Path(f"/proc/{server.pid}").stat().st_uid == user.uid else "another user")
    finally:
        server.stop()
