"""`python -m tests.browser`: install the Chromium that the tests need if that is possible, and say in one line what they run on."""

import sys

from tests.browser.chromium import Unavailable, install

if __name__ == "__main__":
    try:
        said = f"the one at {install()}"
    except Unavailable as error:
        said = f"skipped: {error}"
    print(f"fliq: browser tests: {said}")
    sys.exit(0)
