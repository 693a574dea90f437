"""
Health check: asks the Fliq of this container for `/healthz`, for engines that run a command where others have HTTP probes.

    python -m libs.runtime.healthcheck      exit code 0 when it answers 200, else 1 and a line that says why not

It reads the same variables as the process it asks. Imports little, since it runs every few seconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Final

from libs.runtime.settings.settings import Settings, SettingsError

TIMEOUT_S: Final = 3.0
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on


def reason(environ: Mapping[str, str]) -> str | None:
    """Return None when the process that *environ* describes answers that it is well, else why not; waits 3 s at most."""
    try:
        settings = Settings.from_env(environ)
    except SettingsError as error:
        return str(error)
    host = _ANY.get(settings.admin_host, settings.admin_host)
    connection = HTTPConnection(host, settings.admin_port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{host}:{settings.admin_port} does not answer: {error or type(error).__name__}"
    finally:
        connection.close()
    return None if status == 200 else f"{host}:{settings.admin_port} answered {status}"


def main() -> int:
    """Ask; returns the exit code."""
    why = reason(os.environ)
    if why is not None:
        sys.stderr.write(f"fliq: {why}\n")
    return 0 if why is None else 1


if __name__ == "__main__":
    sys.exit(main())
