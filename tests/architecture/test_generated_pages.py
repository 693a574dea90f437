"""The generated pages of docs/ say what the code says."""

from __future__ import annotations

import pytest

from scripts.docs import PAGES, ROOT


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_generated_page_is_fresh(name: str) -> None:
    """The file is what its generator writes now; `make docs` writes it again."""
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name](), f"{name} is stale: run make docs"
