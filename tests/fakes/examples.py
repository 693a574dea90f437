"""
What Hypothesis may hold against a test: what it finds, and not how long that took on a machine that was busy with something else.

By day the examples are the same in every run: a run that was good is good again. `make nightly` draws others.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fliq", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("random", settings.get_profile("fliq"), derandomize=False)
settings.load_profile("fliq")
