"""Numbers that make no sense are wrong usage."""

from __future__ import annotations

import pytest

from services.__main__ import build_parser


@pytest.mark.parametrize(
    "words",
    [
        "drain --timeout nan",
        "drain --timeout inf",
        "drain --timeout -1",
        "log dump --partition -1",
        "log dump --limit=-1",
        "log dump --from-position=-4",
        "log tail -n -5",
        "log tail -n ²",
        "verify --partition=-1",
        "partitions grow x",
    ],
)
def test_senseless_amounts_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, before anything is opened."""
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(words.split())
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err
