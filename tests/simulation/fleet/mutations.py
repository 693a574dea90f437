"""
Mutations: the product with one of its rules taken out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

nothing = contextlib.nullcontext
MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {}
