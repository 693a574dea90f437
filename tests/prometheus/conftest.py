"""One Prometheus for all tests of this folder."""

import pytest

from tests.prometheus.source import Binaries, Unavailable, find


@pytest.fixture(scope="session")
def promtool() -> Binaries:
    """The programs of Prometheus; where there are none, the test is skipped with one line."""
    try:
        return find()
    except Unavailable as error:
        pytest.skip(str(error))
