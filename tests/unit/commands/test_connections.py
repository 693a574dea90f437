"""How many connections the page for operators says that each service opens."""

from pathlib import Path

from libs.runtime.roles import ROLES
from services.process.open_log import LOG_CONNECTIONS
from services.process.pools import connections_max

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def test_the_page_says_what_each_service_opens() -> None:
    """The sizes of the pools stand on the page, by service and for all of them in one process."""
    text = " ".join(PAGE.read_text().split())
    sizes = {role: connections_max([role]) for role in ROLES}
    said = (
        f"An `api` opens up to {sizes['api']} connections, a `scheduler` {sizes['scheduler']}, a `dispatcher`"
        f" {sizes['dispatcher']}, a `webhooks` {sizes['webhooks']}, and `fliq all` {connections_max(ROLES)};"
        f" each opens {LOG_CONNECTIONS} more if the log is in PostgreSQL."
    )
    assert said in text
    two_of_each = 2 * sum(sizes.values())
    assert f"two of each: {two_of_each}, or {two_of_each + 2 * len(ROLES) * LOG_CONNECTIONS}" in text
