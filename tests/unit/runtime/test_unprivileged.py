"""The access-control entry for the server's user: it may pass, and nobody else gains or loses anything."""

from __future__ import annotations

from libs.runtime.embedded_postgres.unprivileged import with_search

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NO_ID = 0xFFFFFFFF


def effective(entries: list[tuple[int, int, int]]) -> dict[tuple[int, int], int]:
    mask = next((perm for tag, perm, _ in entries if tag == MASK), 7)
    capped = (USER, GROUP_OBJ, GROUP)
    return {(tag, who): perm & mask if tag in capped else perm for tag, perm, who in entries if tag != MASK}


def test_a_closed_directory_lets_one_user_search() -> None:
    """From mode 0700 the user gets x; the group and the others still have nothing."""
    entries = with_search([(USER_OBJ, 7, NO_ID), (GROUP_OBJ, 0, NO_ID), (OTHER, 0, NO_ID)], 65534)
    assert entries == [
        (USER_OBJ, 7, NO_ID),
        (USER, 1, 65534),
        (GROUP_OBJ, 0, NO_ID),
        (MASK, 1, NO_ID),
        (OTHER, 0, NO_ID),
    ]


def test_nobody_else_changes() -> None:
    """What an old mask held back from others stays held back when the mask has to grow."""
    before = [
        (USER_OBJ, 7, NO_ID),
        (USER, 7, 1000),
        (USER, 4, 65534),
        (GROUP_OBJ, 5, NO_ID),
        (GROUP, 7, 50),
        (MASK, 4, NO_ID),
        (OTHER, 0, NO_ID),
    ]
    after = with_search(before, 65534)
    assert effective(after) == {**effective(before), (USER, 65534): 5}
    assert after == sorted(after)
    assert with_search(after, 65534) == after
