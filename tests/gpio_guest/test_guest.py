"""The machine itself: what it says when it cannot be, what becomes of its programs, and that nothing of it stays."""

import shutil
import signal
from pathlib import Path

import pytest

from hil.gpio_guest.errors import GuestError
from hil.gpio_guest.guest import APT_LINE, Guest, why_not
from hil.gpio_guest.image import Image
from hil.gpio_guest.machines import VIRT

pytestmark = pytest.mark.gpio_guest


def test_without_qemu_the_line_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert why_not().endswith(APT_LINE)


def test_a_kernel_that_dies_is_told_with_its_last_words(image: Image) -> None:
    with pytest.raises(GuestError, match="Kernel panic"), Guest(VIRT, image, "rdinit=/nowhere"):
        pytest.fail("it came up without its first process")


def test_a_machine_is_gone_with_its_with(image: Image) -> None:
    guest = Guest(VIRT, image)
    with guest:
        process = Path(f"/proc/{guest.process_id}")
        assert process.exists()
        program = guest.start_python("input()")
    assert not process.exists()
    with pytest.raises(GuestError, match="gone"):
        program.wait()


def test_a_script_prints_fails_and_ends_as_anywhere(virt: Guest) -> None:
    told = virt.python("import sys; print('out', *sys.argv[1:]); sys.exit('why')", "a", "b")
    assert (told.exit, told.out, told.err) == (1, "out a b\n", "why\n")
    assert "ZeroDivisionError" in virt.python("1 / 0").err
    with pytest.raises(GuestError, match="ZeroDivisionError"):
        virt.python("1 / 0").checked()


def test_a_program_is_told_and_tells_line_by_line_and_dies_by_a_signal(virt: Guest) -> None:
    program = virt.start_program("busybox", "cat")
    for word in ("one\n", "ä" * 5000 + "\n"):
        program.tell(word)
        assert program.line() == word.strip()
    program.signal(signal.SIGTERM)
    assert program.wait().exit == -signal.SIGTERM


def test_one_that_does_not_end_in_time_is_killed(virt: Guest) -> None:
    program = virt.start_python("print('waits'); input()")
    with pytest.raises(GuestError, match="did not end in time; it said:\nwaits"):
        program.wait(0.3)
    assert program.wait().exit == -signal.SIGKILL


def test_the_project_is_there_as_it_is_here(virt: Guest) -> None:
    here = Path("hil/gpio_guest/agent.py")
    assert virt.run("busybox", "cat", str(here)).out == (Path.cwd() / here).read_text()
