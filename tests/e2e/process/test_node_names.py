"""Node names on real files: the first free one, kept over a kill -9, never held twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from libs.runtime.node import Node, NodeError
from tests.simulation.manual_clock import SeededEntropy

ROOT = Path(__file__).parents[3]
HOLD = (
    "import sys, signal; from pathlib import Path\n"
    "from libs.runtime.clock import SystemEntropy; from libs.runtime.node import Node\n"
    "node = Node.claim(Path(sys.argv[1]), override=None, entropy=SystemEntropy())\n"
    "print(node.name, flush=True); signal.pause()\n"
)


def claim(data_dir: Path, override: str | None = None) -> Node:
    return Node.claim(data_dir, override=override, entropy=SeededEntropy(1))


def test_the_first_free_name_is_taken_and_comes_back(tmp_path: Path) -> None:
    """Two processes get -0 and -1; a name that was let go is the next one's."""
    first, second = claim(tmp_path / "d"), claim(tmp_path / "d")
    assert (first.name[:-1], first.name[-2:], second.name[-2:]) == (second.name[:-1], "-0", "-1")
    first.release()
    first.release()
    again = claim(tmp_path / "d")
    assert again.name == first.name
    again.release()
    second.release()


def test_a_name_survives_a_kill_9(tmp_path: Path) -> None:
    """The successor of a killed process has its name at once."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        other = claim(tmp_path)
        assert (name[-2:], other.name[-2:]) == ("-0", "-1")
        other.release()
        process.kill()
    successor = claim(tmp_path)
    assert successor.name == name
    successor.release()


def test_two_directories_have_different_names(tmp_path: Path) -> None:
    """Names are unique in a cluster because each directory has an id of its own."""
    one = Node.claim(tmp_path / "a", override=None, entropy=SeededEntropy(1))
    other = Node.claim(tmp_path / "b", override=None, entropy=SeededEntropy(2))
    assert one.name != other.name
    one.release()
    other.release()


def test_a_given_name_is_used_and_not_held_twice(tmp_path: Path) -> None:
    """FLIQ_NODE is taken as it is; a second process of that name on the same directory is refused in one line."""
    node = claim(tmp_path, "blue")
    assert node.name == "blue"
    with pytest.raises(NodeError, match="FLIQ_NODE: blue is the name of another running process"):
        claim(tmp_path, "blue")
    node.release()


def test_a_directory_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    """A file in the way, or an id file that holds something else, is told."""
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeError, match="cannot use"):
        claim(tmp_path / "file")
    (tmp_path / "node.id").write_text("../../etc")
    with pytest.raises(NodeError, match="does not hold a node id"):
        claim(tmp_path)
