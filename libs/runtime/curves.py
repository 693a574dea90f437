"""
Curves: TLS of this process agrees on keys by elliptic curves only, which take a millisecond.

OpenSSL also offers groups of large primes (FFDHE). A target that insists on the largest makes each handshake take 150 ms of this
process, in which it does nothing else. Servers that know no curve have not been seen for years. Python 3.11 has no call that
chooses groups, but OpenSSL reads them from a file, which the environment names. What TLS 1.2 offers is chosen in
libs/egress/tls.py.
"""

from __future__ import annotations

import os
from pathlib import Path

_FILE = Path(__file__).with_suffix(".cnf")


def offer_curves_only() -> None:
    """Have OpenSSL read our file; call before anything imports `ssl`. An operator's own file stays."""
    os.environ.setdefault("OPENSSL_CONF", str(_FILE))
