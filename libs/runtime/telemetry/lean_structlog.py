"""Lean structlog: imports structlog without rich, which it uses, where installed, for tracebacks that Fliq never prints."""

from __future__ import annotations

import sys


def import_structlog() -> None:
    """Import structlog; call first of all. With rich it takes 60 ms more, a tenth of a start (development installs have rich)."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it fails as if it were not installed
    try:
        import structlog  # noqa: F401 - imported for all who import it later
    finally:
        del sys.modules["rich"]
