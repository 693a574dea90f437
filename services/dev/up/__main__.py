"""The command behind `make up`."""

from __future__ import annotations

import sys

try:
    import argparse
    import asyncio
    import inspect
    import os
    from collections.abc import Sequence

    import services.dev.up
    from libs.runtime.settings.settings import Settings, SettingsError
    from services.api.contract.token_text import is_well_formed
    from services.dev.up.run import Up
    from services.start_error import StartError
except KeyboardInterrupt:  # the imports take a third of a second, within which people press Ctrl-C
    sys.exit(130)

OPTIONS = {"apis": "api", "schedulers": "scheduler", "dispatchers": "dispatcher", "webhooks": "webhooks"}  # their roles


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m services.dev.up",
        description=inspect.cleandoc(services.dev.up.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for option, role in OPTIONS.items():
        parser.add_argument(f"--{option}", type=_count, default=1, metavar="N", help=f"processes of {role} [1]")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    try:
        args = build_parser().parse_args(arguments)
        settings = Settings.from_env(os.environ, is_token=is_well_formed)
        counts = {role: getattr(args, option) for option, role in OPTIONS.items()}
        return asyncio.run(Up(settings, counts, os.environ).run())
    except SettingsError as error:
        sys.stderr.write(f"fliq: {error}\n")
        return 2
    except StartError as error:
        sys.stderr.write(f"fliq: {error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    sys.exit(main())
