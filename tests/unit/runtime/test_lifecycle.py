"""Start and stop: the contract, the order, and every way a process may be told to end."""

from __future__ import annotations

import asyncio
import signal

import pytest
from structlog.testing import capture_logs

from libs.runtime.lifecycle import Loop, StartStop, Supervisor
from tests.fakes.startstop import stress
from tests.fakes.until import until


class Recorder(StartStop):
    """Notes what happens to it."""

    def __init__(self, name: str = "r", notes: list[str] | None = None) -> None:
        super().__init__()
        self.name = name
        self.notes = notes if notes is not None else []
        self.fails_at_start = False
        self.fails_at_stop = False
        self.release = asyncio.Event()
        self.holds_at_start = False
        self.holds_at_stop = False
        self.failure = asyncio.Event()

    async def on_start(self) -> None:
        self.notes.append(f"+{self.name}")
        self.spawn(self.work(), name="work")
        if self.holds_at_start:
            await self.release.wait()
        if self.fails_at_start:
            raise OSError("port taken")

    async def on_stop(self) -> None:
        self.notes.append(f"-{self.name}")
        if self.holds_at_stop:
            await self.release.wait()
        if self.fails_at_stop:
            raise RuntimeError("stuck")

    async def work(self) -> None:
        await self.failure.wait()
        raise ValueError("broken")


def running() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_stress() -> None:
    """Many tasks starting and stopping at once leave a service at rest, each start paired with a stop."""
    service = Recorder()
    await stress(service)
    assert service.notes.count("+r") == service.notes.count("-r") > 0
    assert running() == set()


async def test_stop_without_start_and_twice_is_fine() -> None:
    """Neither does anything; a stopped service can be started again."""
    service = Recorder()
    await service.stop()
    await service.start()
    await service.start()
    await service.stop()
    await service.stop()
    assert service.notes == ["+r", "-r"]
    await service.start()
    assert service.is_started
    await service.stop()


async def test_a_failed_start_leaves_nothing_running() -> None:
    """The error passes, the loops that were spawned are ended, and a later stop does nothing."""
    service = Recorder()
    service.fails_at_start = True
    with pytest.raises(OSError, match="port taken"):
        await service.start()
    await service.stop()
    assert service.notes == ["+r"]
    assert running() == set()


async def test_a_failed_stop_leaves_nothing_running() -> None:
    """The error passes, and the loops are ended all the same."""
    service = Recorder()
    service.fails_at_stop = True
    await service.start()
    with pytest.raises(RuntimeError, match="stuck"):
        await service.stop()
    assert running() == set()


def supervised(notes: list[str], *names: str, **options: float) -> tuple[Supervisor, list[Recorder]]:
    supervisor = Supervisor(**options)
    services = [Recorder(name, notes) for name in names]
    for service in services:
        supervisor.add(service.name, service)
    return supervisor, services


async def noted(notes: list[str], count: int) -> None:
    """Let the others run until so many things were noted."""
    await until(lambda: len(notes) >= count, every_s=0, saying=lambda: notes)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_everything_in_reverse_order(signum: signal.Signals) -> None:
    """First started, last stopped; the status is 0."""
    notes: list[str] = []
    supervisor, _ = supervised(notes, "a", "b", "c")
    run = asyncio.create_task(supervisor.run())
    await noted(notes, 3)
    signal.raise_signal(signum)
    assert await run == 0
    assert notes == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert running() == set()


async def test_what_is_late_starts_last_and_stops_in_its_place() -> None:
    """It is made when all others are at work; the order of the end is that in which all were added."""
    notes: list[str] = []
    late = Recorder("late", notes)

    async def make() -> Recorder:
        notes.append("made")
        return late

    supervisor = Supervisor()
    supervisor.add("a", Recorder("a", notes))
    supervisor.add_late("late", make)
    supervisor.add("b", Recorder("b", notes))
    run = asyncio.create_task(supervisor.run(on_started=lambda: notes.append("started")))
    await noted(notes, 5)
    supervisor.request_stop()
    assert await run == 0
    assert notes == ["+a", "+b", "made", "+late", "started", "-b", "-late", "-a"]
    assert running() == set()


async def test_a_crash_of_what_is_late_is_a_crash() -> None:
    """It is watched like every other service, and named as it was added."""
    late = Recorder()

    async def make() -> Recorder:
        return late

    supervisor = Supervisor()
    supervisor.add_late("late", make)
    with capture_logs() as lines:
        run = asyncio.create_task(supervisor.run(on_started=late.failure.set))
        assert await run == 1
    crashes = [line for line in lines if line["log_level"] == "critical"]
    assert [(line["service"], line["error"]) for line in crashes] == [("late: work", "ValueError: broken")]


@pytest.mark.parametrize("is_made", [False, True])
async def test_what_is_late_and_does_not_start_ends_the_process(is_made: bool) -> None:
    """Whether it cannot be made or cannot be started: the others are stopped, and one line says why."""
    notes: list[str] = []
    late = Recorder("late", notes)
    late.fails_at_start = True

    async def make() -> Recorder:
        if not is_made:
            raise OSError("port taken")
        return late

    supervisor, _ = supervised(notes, "a")
    supervisor.add_late("late", make)
    with capture_logs() as lines:
        assert await supervisor.run() == 1
    assert notes == (["+a", "+late", "-a"] if is_made else ["+a", "-a"])
    assert [line["error"] for line in lines if line["log_level"] == "critical"] == ["port taken"]
    assert supervisor.failure == "port taken"


async def test_what_is_late_is_stopped_after_a_start_that_was_cut_short() -> None:
    """As every other service: its start may have left something, as a socket that is listened on."""
    notes: list[str] = []

    class Listens:
        async def start(self) -> None:
            notes.append("listening")
            await asyncio.Event().wait()

        async def stop(self) -> None:
            notes.append("closed")

    async def make() -> Listens:
        return Listens()

    supervisor = Supervisor()
    supervisor.add_late("late", make)
    run = asyncio.create_task(supervisor.run())
    await noted(notes, 1)
    signal.raise_signal(signal.SIGTERM)
    assert await run == 0
    assert notes == ["listening", "closed"]


async def test_a_signal_while_what_is_late_is_made_cuts_it_short() -> None:
    """The others are stopped, and it never starts."""
    notes: list[str] = []

    async def make() -> Recorder:
        notes.append("making")
        await asyncio.Event().wait()
        raise AssertionError

    supervisor, _ = supervised(notes, "a")
    supervisor.add_late("late", make)
    run = asyncio.create_task(supervisor.run())
    await noted(notes, 2)
    signal.raise_signal(signal.SIGTERM)
    assert await run == 0
    assert notes == ["+a", "making", "-a"]
    assert running() == set()


async def test_a_second_signal_ends_the_drain_where_it_is() -> None:
    """What hangs is left, what has not been stopped is not waited for, and the status tells the signal."""
    notes: list[str] = []
    supervisor, services = supervised(notes, "a", "b")
    services[1].holds_at_stop = True
    run = asyncio.create_task(supervisor.run())
    await noted(notes, 2)
    signal.raise_signal(signal.SIGTERM)
    await noted(notes, 3)
    signal.raise_signal(signal.SIGINT)
    assert await run == 128 + signal.SIGINT
    assert notes == ["+a", "+b", "-b"]
    await services[0].stop()


async def test_a_crash_drains_and_ends_with_status_1() -> None:
    """A loop that ends with an error takes the process down in order, with one line that names service and error."""
    notes: list[str] = []
    supervisor, services = supervised(notes, "a", "b")
    with capture_logs() as lines:
        run = asyncio.create_task(supervisor.run())
        await noted(notes, 2)
        services[0].failure.set()
        assert await run == 1
    assert notes == ["+a", "+b", "-b", "-a"]
    crashes = [line for line in lines if line["log_level"] == "critical"]
    assert [(line["service"], line["error"]) for line in crashes] == [("a: work", "ValueError: broken")]


async def test_a_loop_that_ends_by_itself_is_a_crash() -> None:
    """Nobody may leave silently."""

    async def leaves() -> None:
        return

    supervisor = Supervisor()
    supervisor.add("loop", Loop("leaver", leaves))
    with capture_logs() as lines:
        assert await supervisor.run() == 1
    assert any("leaver ended by itself" in line.get("error", "") for line in lines)


async def test_a_watched_task_that_fails_is_a_crash() -> None:
    """Tasks of services that keep their own are watched too."""

    async def fails() -> None:
        raise ValueError("broken")

    supervisor = Supervisor()
    supervisor.watch("task", asyncio.create_task(fails()))
    with capture_logs():
        assert await supervisor.run() == 1


async def test_a_service_that_does_not_start_ends_the_process() -> None:
    """What was started before it is stopped, what comes after it is not started, and one line says why."""
    notes: list[str] = []
    supervisor, services = supervised(notes, "a", "b", "c")
    services[1].fails_at_start = True
    with capture_logs() as lines:
        assert await supervisor.run() == 1
    assert notes == ["+a", "+b", "-a"]
    failures = [line for line in lines if line["log_level"] == "critical"]
    assert [(line["service"], line["error"]) for line in failures] == [("b", "port taken")]


async def test_the_same_signal_twice_within_a_second_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor signals the group and `make` forwards it: the drain goes on. Later, it cuts the drain short."""
    notes: list[str] = []
    supervisor, services = supervised(notes, "a", "b")
    services[1].holds_at_stop = True
    run = asyncio.create_task(supervisor.run())
    await noted(notes, 2)
    signal.raise_signal(signal.SIGTERM)
    await noted(notes, 3)

    signal.raise_signal(signal.SIGTERM)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not run.done()

    monkeypatch.setattr("libs.runtime.lifecycle.SAME_SIGNAL_S", 0.0)
    signal.raise_signal(signal.SIGTERM)
    assert await run == 128 + signal.SIGTERM
    await services[0].stop()


async def test_a_signal_during_the_start_cuts_it_short() -> None:
    """A service that is still starting is cancelled and those before it are stopped."""
    notes: list[str] = []
    supervisor, services = supervised(notes, "a", "b", "c")
    services[1].holds_at_start = True
    run = asyncio.create_task(supervisor.run())
    await noted(notes, 2)
    signal.raise_signal(signal.SIGTERM)
    assert await run == 0
    assert notes == ["+a", "+b", "-a"]
    assert running() == set()


async def test_a_service_that_does_not_stop_is_given_up() -> None:
    """The drain's time is bounded, the others are stopped, and the status is 1."""
    notes: list[str] = []
    supervisor, services = supervised(notes, "a", "b", drain_timeout_s=0.01)
    services[1].holds_at_stop = True
    with capture_logs() as lines:
        run = asyncio.create_task(supervisor.run())
        await noted(notes, 2)
        supervisor.request_stop()
        assert await run == 1
    assert notes == ["+a", "+b", "-b", "-a"]
    assert [line["service"] for line in lines if line["event"] == "did_not_stop_in_time"] == ["b"]


async def test_a_failing_stop_does_not_keep_others_running() -> None:
    """The error is logged, the next service is stopped, and the status is 1."""
    notes: list[str] = []
    supervisor, services = supervised(notes, "a", "b")
    services[1].fails_at_stop = True
    with capture_logs():
        run = asyncio.create_task(supervisor.run())
        await noted(notes, 2)
        supervisor.request_stop()
        assert await run == 1
    assert notes == ["+a", "+b", "-b", "-a"]
