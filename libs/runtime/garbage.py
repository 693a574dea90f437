"""
Garbage: Python's cyclic collector, told what kind of process this is.

The collector stops everything while it walks. Left alone, a full collection walks all modules and every state in memory: 40 to
80 ms, which is lateness for whatever is due meanwhile. What exists once the process is put together lives as long as it does, so
it is taken out of the collector's sight; and what lives long afterwards (states, records) is mostly free of cycles, so the old
generation is looked at a tenth as often. Young objects are still looked at in small steps.
"""

import gc
from typing import Final

YOUNG: Final = 2_000  # new containers between two looks at the youngest; Python's 700 looks thrice as often for nothing
MIDDLE: Final = 10
OLD: Final = 100  # Python's is 10


def settle() -> None:
    """Take what exists for permanent, and look at the old generation less often. Call once, when everything is put together."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
