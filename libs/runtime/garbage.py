"""
Garbage: Python's cyclic garbage collector, set for a process that lives long and must not be late.

A collection stops everything else. With Python's own settings, a full one walks all modules and every state in memory: 40 to 80 ms,
by which calls that are due meanwhile are late. Objects that exist when the process is put together live as long as the process, so
they are excluded. Objects that live long afterwards (states, records) hardly ever form cycles, so the old generation is collected
thirty times less often. Young objects are collected in steps of about a millisecond: most of them are gone by then, and what a
step costs is what is still there.

What Python frees after a burst, the C library keeps: it gives back only the end of its memory. `give_back` gives back the rest.
"""

import gc
from contextlib import suppress
from typing import Final

YOUNG: Final = (
    10_000  # new containers between two collections of the youngest; Python's 700 is more often than is useful
)
MIDDLE: Final = 10
OLD: Final = 20  # Python's is 10, with a young generation that is collected fifteen times as often


def hold_off() -> None:
    """Collect nothing before `settle`: what is imported stays, and looking through it takes a tenth of the time of the imports."""
    gc.disable()


def settle() -> None:
    """Exclude what exists, and collect the old generation less often. Call once, when everything is put together and runs."""
    gc.freeze()  # not collected first: that takes 40 ms, and calls are due by now
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    gc.enable()


def give_back() -> None:
    """Give memory that is free back to the system, where the C library can (glibc). It takes about 20 ms for 100 MB."""
    import ctypes  # a start does not wait for it

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
