"""
A Fliq with less than usual: `python -m tests.e2e.neighbours.constrained all` starts it.

    NEIGHBOURS_FILES     how many files it may open
    NEIGHBOURS_NAMES     the address of the only name server that it knows; takes root
    NEIGHBOURS_MEMORY    the most memory that a process of each role may take, in bytes, as JSON
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading

CLONE_NEWNS = 0x00020000
STACK_BYTES = (
    512 * 1024
)  # of a thread: what it does not touch counts in the limit below, as it does not in a container's


def constrain() -> None:
    """Take from this process what the environment says."""
    if limits := os.environ.get("NEIGHBOURS_MEMORY"):
        threading.stack_size(STACK_BYTES)
        limit = json.loads(limits)[sys.argv[1]]
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # not RLIMIT_AS, in which libraries count as well
    if files := os.environ.get("NEIGHBOURS_FILES"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
    if server := os.environ.get("NEIGHBOURS_NAMES"):
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write(f"nameserver {server}\noptions timeout:5 attempts:2\n")
            conf.flush()
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            subprocess.run(["mount", "--bind", conf.name, "/etc/resolv.conf"], check=True)


if __name__ == "__main__":
    constrain()
    from services.__main__ import main

    sys.exit(main())
