"""/sys/class/pwm as a folder, for tests: a chip's channels appear when they are exported, and bad values are refused.

Writes go through the one function of `board.gpio_pwm` that writes; everything else is plain files.
"""

import errno
import os
from pathlib import Path

import pytest

from board import gpio_pwm


class FakePwm:
    """Chips below `root`. `log`: what was written, as ("pwm0/duty_cycle", 500)."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.log: list[tuple[str, int]] = []
        self.gone = False
        monkeypatch.setattr(gpio_pwm, "SYSFS", root)
        monkeypatch.setattr(gpio_pwm.Channel, "_write", lambda _, path, value: self._write(path, value))

    def chip(self, name: str, device: str, channels: int) -> Path:
        """A chip of `device`, as "fe20c000.pwm"."""
        folder = self.root / name
        folder.mkdir()
        (self.root / device).mkdir()
        (folder / "device").symlink_to(self.root / device)
        (folder / "npwm").write_text(f"{channels}\n")
        (folder / "export").write_text("")
        return folder

    def _write(self, path: Path, value: int) -> None:
        """What the kernel makes of a write."""
        if self.gone:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), str(path))
        if path.name == "export":
            self._export(path.parent, value)
            return
        period = gpio_pwm._number(path.parent / "period")
        duty = gpio_pwm._number(path.parent / "duty_cycle")
        refused = {
            "duty_cycle": value > period,
            "period": value < duty or value == 0,
            "enable": bool(value) and period == 0,
        }
        if refused[path.name]:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
        path.write_text(f"{value}\n")
        self.log.append((f"{path.parent.name}/{path.name}", value))

    def _export(self, chip: Path, number: int) -> None:
        folder = chip / f"pwm{number}"
        if folder.exists():
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(chip / "export"))
        folder.mkdir()
        for name in ("period", "duty_cycle", "enable"):
            (folder / name).write_text("0\n")
