"""Wiring of the API, put together from the resources of the process; in a module of its own, since it is imported late (run.py)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from libs.following.fair_pool import FairPool
from libs.runtime.roles import ROLES
from libs.runtime.zone_data import VERSION as VERSION_OF_ZONES
from libs.runtime.zone_data import zone_names
from libs.store.control.accounts import Accounts
from libs.store.control.endpoints import Endpoints
from libs.store.control.idempotency import IdempotencyKeys
from libs.store.control.recoveries import Recoveries
from libs.store.control.reserved_names import Names
from libs.store.errors import StoreUnavailable
from libs.store.examination.examination import Examination
from libs.store.health.database_report import DatabaseReport
from libs.store.leases.lease_report import LeaseReport
from libs.store.reads.account_queries import AccountQueries
from libs.store.reads.activity import ActivityReader
from libs.store.reads.delivery_queries import DeliveryQueries
from libs.store.reads.responses import Responses
from libs.store.reads.search import Search
from libs.store.reads.stream_tables import StreamTables
from services import VERSION
from services.api.contract.schedules.requests import Zones
from services.api.http.app import Mount
from services.api.metrics import ApiMetrics
from services.api.service import ApiService, Ports
from services.process.console import mounted_console
from services.process.keys.bootstrap_tokens import installation_key
from services.process.open_log import LOG_CONNECTIONS
from services.process.pools import SIZES, connections_max
from services.process.resources import Resources
from services.process.zones import zone
from services.start_error import StartError


def _checks(resources: Resources, pool: FairPool) -> Examination:
    return Examination(
        DatabaseReport(pool),
        LeaseReport(pool),
        now=resources.clock.now,
        daily_limit=resources.settings.daily_execution_limit,
        connections_max=connections_max(ROLES) + LOG_CONNECTIONS,
    )


async def api(
    resources: Resources, stack: AsyncExitStack, *, with_console: bool = False, mounts: Sequence[Mount] = ()
) -> ApiService:
    """
    Return the API; *stack* closes the console beside it.

    Args:
        mounts: what else answers beside `/v1`.

    Raises:
        StartError: the database does not answer.
    """
    callers = FairPool(resources.pools.callers, SIZES["callers"][0])
    # Not in turns: hundreds of requests of one account may each hold a large job, sealed, and wait for the key that opens it.
    settings, keyring = resources.settings, resources.keyring(resources.pools.callers)
    accounts = Accounts(callers, keyring)
    try:
        secret = await installation_key(settings.secret_key, accounts)
    except StoreUnavailable as error:
        raise StartError(str(error)) from error
    queries = AccountQueries(callers, keyring)
    if with_console:
        console = mounted_console(settings, secret, resources.clock, resources.entropy)
        stack.push_async_callback(console.close)
        mounts = (*mounts, console.mount, console.docs_mount)
    return ApiService(
        Ports(
            log=resources.log,
            queries=queries,
            search=Search(callers, queries),
            keys=IdempotencyKeys(callers),
            names=Names(callers),
            accounts=accounts,
            endpoints=Endpoints(callers, keyring),
            responses=Responses(callers, keyring),
            deliveries=DeliveryQueries(callers, keyring),
            keyring=keyring,
            recoveries=Recoveries(callers),
            activity=ActivityReader(callers),
            leases=LeaseReport(callers),
            checks=_checks(resources, callers),
            stream=StreamTables(callers),
            count_unreadable=resources.metrics.poison_records.inc,
            progress=resources.watch,
            clock=resources.clock,
            entropy=resources.entropy,
            check_url=resources.policy.check_url,
            zones=Zones(zone_names(), zone, VERSION_OF_ZONES, settings.min_interval_s),
            pepper=secret,
            cursor_key=secret,
            is_disk_full=resources.disk.is_full,
        ),
        host=settings.host,
        port=settings.port,
        limits_of=resources.limits.of,
        received_max=settings.api_requests_mib << 20,
        unread_max=settings.api_answers_mib << 20,
        observe=ApiMetrics(resources.metrics),
        version=VERSION,
        tracing=resources.tracing,
        mounts=mounts,
    )
