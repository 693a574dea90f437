"""What every test stands on: a clean environment, and the fixtures of tests/fakes."""

from __future__ import annotations

import os
import sys

# Most tests start Python, and whoever starts it without a cache compiles for a second what it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

for _name in [name for name in os.environ if name.startswith(("FLIQ_", "PG")) and not name.startswith("FLIQ_TEST_")]:
    # A developer's own settings must not decide what a test sees.
    del os.environ[_name]

pytest_plugins = [
    "tests.fakes.examples",
    "tests.fakes.running.kafka",
    "tests.fakes.lanes",
    "tests.fakes.running.postgres",
    "tests.fakes.running.topologies",
]
