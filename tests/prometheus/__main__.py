"""`python -m tests.prometheus`: fetch the Prometheus that the tests need, and say in one line what they will run on."""

import sys

from tests.prometheus.source import Unavailable, find

if __name__ == "__main__":
    try:
        said = f"the one at {find(show=True).prometheus}"
    except Unavailable as error:
        said = f"skipped: {error}"
    print(f"fliq: Prometheus tests: {said}")
    sys.exit(0)
