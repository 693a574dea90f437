"""The guard: a broker of the tests does not outlive the process that started it."""

import subprocess
import sys

from tests.kafka.broker import GUARD

CHILD = "import sys, time; print('here', flush=True); time.sleep(600)"
PARENT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, {str(GUARD)!r}, sys.executable, "-c", {CHILD!r}], stdin=subprocess.PIPE)
time.sleep(600)
"""


def test_nothing_outlives_a_killed_parent() -> None:
    """When the parent is killed, and so has no chance to tidy up, the guarded command ends at once."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"here\n"
    parent.kill()
    parent.wait()
    # The child holds the other end of this pipe: it ends when the child does.
    assert parent.stdout.read() == b""
    parent.stdout.close()
