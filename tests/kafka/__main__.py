"""
Kafka for trying and for tests.

    python -m tests.kafka up [--brokers 3]     start brokers that stay, with their data in FLIQ_DATA_DIR (.fliq)/kafka
    python -m tests.kafka down                 end them; the data stays
    python -m tests.kafka prepare              fetch what the tests need, and say in one line what they will run on
"""

import argparse
import os
import sys
from pathlib import Path

from tests.kafka.artifacts import Unavailable
from tests.kafka.broker import Brokers, runs, stop_detached
from tests.kafka.source import find

FIRST_PORT = 19092  # above the admin ports, which begin at 9090 and are counted up
ADDRESS = "address"  # where `make up` finds what runs (services/dev/up/run.py)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.kafka", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("up", "down", "prepare"))
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    wanted = parser.parse_args()
    directory = (Path(os.environ.get("FLIQ_DATA_DIR") or ".fliq") / "kafka").resolve()
    match wanted.command:
        case "up":
            return up(directory, wanted.brokers)
        case "down":
            pids = stop_detached(directory)
            (directory / ADDRESS).unlink(missing_ok=True)
            print(
                f"fliq: {len(pids)} broker(s) ended, the data stays in {directory}" if pids else "fliq: no broker runs"
            )
            return 0
        case _:
            print(f"fliq: Kafka tests: {find(show=True).said}")
            return 0


def up(directory: Path, count: int) -> int:
    """Start brokers that outlive this process; those that run already are left alone."""
    place = directory / str(count)  # the number of brokers is part of what is in their data
    for pid_file in directory.glob("*/broker-*/pid"):
        if runs(int(pid_file.read_text()), pid_file.parent):
            print(f"fliq: brokers run already on {pid_file.parent.parent}; make kafka-down ends them", file=sys.stderr)
            return 1
    brokers = Brokers(
        place, count=count, main_ports=[FIRST_PORT + index for index in range(count)], detached=True, show=True
    )
    print(f"fliq: starting {count} Kafka broker(s) on {brokers.bootstrap}", flush=True)
    try:
        brokers.start()
    except Unavailable as error:
        print(f"fliq: {error}", file=sys.stderr)
        return 1
    (directory / ADDRESS).write_text(f"{brokers.bootstrap}\n", encoding="ascii")
    print(f"fliq: Kafka is up, its data in {place}. make up takes it for the log, and so does all of Fliq with")
    print(f"fliq: FLIQ_KAFKA_BOOTSTRAP={brokers.bootstrap}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
