"""Master keys: the text of their file, what they wrap, and the file itself."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path

import pytest

from libs.sealing.data_key import Broken
from libs.sealing.master_key_file import UnusableKeyFile, read_master_keys, write_master_keys
from libs.sealing.master_keys import MasterKeys, UnknownMasterKey, WrongMasterKeys

OLD, NEW = b"o" * 32, b"n" * 32
NONCE = bytes(12)


def test_a_data_key_comes_back() -> None:
    """Under the key that wrapped it, first in the file or not."""
    old = MasterKeys((OLD,))
    wrapped = old.wrap("dk_1", "acme", b"s" * 32, NONCE)

    assert old.unwrap(wrapped) == old.after(NEW).unwrap(wrapped) == b"s" * 32
    assert b"s" * 32 not in (wrapped.wrapped or b"")


def test_the_first_key_wraps() -> None:
    """A new first line wraps what is new, and alone it does not open what the old one wrapped."""
    both = MasterKeys((OLD,)).after(NEW)

    assert both.wrap("dk_1", "acme", b"s" * 32, NONCE).master_id == MasterKeys((NEW,)).master_id
    with pytest.raises(UnknownMasterKey):
        both.first_alone().unwrap(MasterKeys((OLD,)).wrap("dk_1", "acme", b"s" * 32, NONCE))


def test_a_wrapped_key_is_no_other_accounts() -> None:
    """Rows cannot be moved between accounts or keys."""
    keys = MasterKeys((OLD,))
    wrapped = keys.wrap("dk_1", "acme", b"s" * 32, NONCE)

    for moved in (wrapped._replace(account="other"), wrapped._replace(key_id="dk_2")):
        with pytest.raises(Broken):
            keys.unwrap(moved)


def test_the_text_of_a_file() -> None:
    """One key a line; comments and empty lines say nothing; it reads what it writes."""
    keys = MasterKeys.parse(
        f"# made by openssl rand -base64 32\n\n{b64encode(NEW).decode()}\n{b64encode(OLD).decode()}\n"
    )

    assert keys.ids == MasterKeys.parse(keys.text()).ids == MasterKeys((NEW, OLD)).ids


@pytest.mark.parametrize("text", ["", "# nothing\n", "no base64!", b64encode(b"short").decode()])
def test_other_text_is_no_file(text: str) -> None:
    """And what is wrong with it is said without showing it."""
    with pytest.raises(WrongMasterKeys) as error:
        MasterKeys.parse(text)
    assert text.strip() not in str(error.value) or not text.strip()


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It is made with mode 0600, replaced in one step, and refused if everybody may read it."""
    path = tmp_path / "master.key"
    write_master_keys(path, MasterKeys((OLD,)))
    write_master_keys(path, MasterKeys((OLD,)).after(NEW))

    assert path.stat().st_mode & 0o777 == 0o600
    assert read_master_keys(path).ids == MasterKeys((NEW, OLD)).ids
    assert os.listdir(tmp_path) == ["master.key"]
    path.chmod(0o604)
    with pytest.raises(UnusableKeyFile, match="chmod 600"):
        read_master_keys(path)


def test_a_missing_or_wrong_file_says_which(tmp_path: Path) -> None:
    """One line names the file."""
    (tmp_path / "wrong").write_text("not a key", encoding="ascii")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("missing", "wrong", "binary"):
        path = tmp_path / name
        if path.exists():
            path.chmod(0o600)
        with pytest.raises(UnusableKeyFile, match=name):
            read_master_keys(path)
