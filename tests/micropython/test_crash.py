"""Crashes in a row: counted over restarts, told once each, ended by a calm run."""

from pathlib import Path

import pytest

from cell_controller.micropython.crash import LIMIT, Crashes


def _restart(root: Path, by_watchdog: bool) -> Crashes:
    crashes = Crashes(str(root))
    crashes.at_start(by_watchdog, 2000)
    return crashes


def _crash(crashes: Crashes, text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError as error:
        crashes.crashed(error)


def test_a_board_that_never_crashed_starts(tmp_path: Path) -> None:
    crashes = _restart(tmp_path, by_watchdog=False)
    assert (crashes.count, crashes.safe_mode, crashes.text) == (0, False, "")


def test_a_crash_and_the_reset_by_the_watchdog_that_follows_are_one(tmp_path: Path) -> None:
    _crash(_restart(tmp_path, by_watchdog=False), "first")
    crashes = _restart(tmp_path, by_watchdog=True)
    assert (crashes.count, "ValueError: first" in crashes.text) == (1, True)


def test_a_scan_that_never_ended_is_a_crash_with_that_reason(tmp_path: Path) -> None:
    _restart(tmp_path, by_watchdog=False)
    crashes = _restart(tmp_path, by_watchdog=True)
    assert crashes.count == 1
    assert crashes.text == "no scan was completed within 2000 ms: the watchdog reset the board"
    assert _restart(tmp_path, by_watchdog=True).count == 2


def test_a_reset_on_purpose_is_no_crash_though_a_board_resets_itself_by_its_watchdog(tmp_path: Path) -> None:
    _restart(tmp_path, by_watchdog=False).left()
    assert _restart(tmp_path, by_watchdog=True).count == 0


def test_a_power_cut_is_no_crash(tmp_path: Path) -> None:
    _restart(tmp_path, by_watchdog=False)
    assert _restart(tmp_path, by_watchdog=False).count == 0


def test_the_third_crash_in_a_row_keeps_the_controller_from_being_started(tmp_path: Path) -> None:
    for number in range(LIMIT):
        crashes = _restart(tmp_path, by_watchdog=number > 0)
        assert not crashes.safe_mode
        _crash(crashes, f"crash {number}")
    crashes = _restart(tmp_path, by_watchdog=True)
    assert crashes.safe_mode
    assert crashes.reason() == "safe mode: 3 crashes in a row; the last: ValueError: crash 2"


def test_a_power_cut_does_not_end_safe_mode_and_is_no_crash(tmp_path: Path) -> None:
    for number in range(LIMIT):
        _crash(_restart(tmp_path, by_watchdog=number > 0), "again")
    assert _restart(tmp_path, by_watchdog=False).safe_mode
    assert _restart(tmp_path, by_watchdog=False).count == LIMIT


def test_a_calm_run_ends_the_row_and_keeps_the_last_traceback(tmp_path: Path) -> None:
    _crash(_restart(tmp_path, by_watchdog=False), "old")
    crashes = _restart(tmp_path, by_watchdog=True)
    crashes.calm()
    crashes = _restart(tmp_path, by_watchdog=False)
    assert crashes.count == 0
    assert "old" in crashes.text


@pytest.mark.parametrize("torn", ["", "x", "-1", "2 tol", "\x00\xff", "3 running running"])
def test_a_torn_file_is_no_reason_not_to_start(tmp_path: Path, torn: str) -> None:
    (tmp_path / "crashes").write_text(torn, encoding="latin-1")
    assert not _restart(tmp_path, by_watchdog=False).safe_mode
