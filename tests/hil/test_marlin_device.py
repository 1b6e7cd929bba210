"""The simulated printer does what Marlin does where a host can see it, and what its faults claim."""

import pytest

from board.marlin_lines import numbered
from hil.marlin_device import RX_BYTES, MarlinDevice


class Bench:
    """A printer in virtual time; `say` sends, and gives what it says meanwhile."""

    def __init__(self, **more: object) -> None:
        self.device = MarlinDevice("tcp", **{"speed": 100.0, "boot_ms": 5} | more)  # type: ignore[arg-type]
        self.device.unplug()
        self.now = 0
        self.device.power_on()
        self.banner = self.wait(10)

    def wait(self, ms: int) -> list[str]:
        """So much time passes."""
        said = b""
        for _ in range(ms):
            self.now += 1
            said += self.device.tick(self.now)
        return said.decode().splitlines()

    def say(self, *lines: bytes, ms: int = 20) -> list[str]:
        """Send lines, each with its end."""
        said = self.device.handle(b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines))
        return said.decode().splitlines() + self.wait(ms)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_says_start_after_a_reset_and_only_then(bench: Bench) -> None:
    assert bench.banner[0] == "start"
    assert bench.say(b"M105")[0].startswith("ok T:22.00 /0.00 B:22.00")


def test_numbers_and_checksums_are_checked(bench: Bench) -> None:
    assert bench.say(numbered(1, b"G90")) == ["ok"]
    assert bench.say(numbered(3, b"G90")) == [
        "Error:Line Number is not Last Line Number+1, Last Line: 1",
        "Resend: 2",
    ]
    assert bench.say(b"N2 G90*1")[0] == "Error:checksum mismatch, Last Line: 1"
    assert bench.say(b"N2 G90")[0] == "Error:No Checksum with line number, Last Line: 1"
    assert bench.say(numbered(2, b"G90")) == ["ok"]
    assert bench.say(numbered(700, b"M110 N700")) == ["ok"]
    assert bench.say(numbered(701, b"G90")) == ["ok"]


def test_a_refused_line_throws_away_what_came_behind_it(bench: Bench) -> None:
    said = bench.say(numbered(9, b"G90") + numbered(1, b"M117 lost"))
    assert bench.device.messages == []
    assert said.count("Resend: 1") == 1


def test_an_older_printer_says_ok_after_resend() -> None:
    assert Bench(ok_after_resend=True).say(numbered(9, b"G90"))[-2:] == ["Resend: 1", "ok"]


def test_advanced_ok_names_its_line() -> None:
    assert Bench(advanced_ok=True).say(numbered(1, b"G1 X1 F6000")) == ["ok N1 P14 B4"]


def test_moves_take_their_time_and_fifteen_fit_into_the_planner() -> None:
    bench = Bench(speed=1.0)
    said = [line for k in range(20) for line in bench.say(b"G1 X%d F600" % (k + 1), ms=0)]
    assert said.count("ok") == 15
    assert bench.device.carried_out == []
    bench.wait(101)
    assert bench.device.carried_out == ["G1 X1 F600"]


def test_the_receive_buffer_overflows_when_nobody_waits_for_ok() -> None:
    bench = Bench(speed=1.0)
    for k in range(40):
        bench.device.handle(b"G1 X%d F6\n" % (k + 1))
    assert bench.device.dropped > 0
    assert len(bench.device._rx) == RX_BYTES


def test_busy_is_said_while_it_waits() -> None:
    bench = Bench(speed=1.0)
    said = bench.say(b"M113 S1", b"M109 S200", ms=2500)
    assert said.count("echo:busy: processing") == 2
    assert "ok" not in said[1:]


def test_heating_ends_at_the_target_and_m108_breaks_it_off() -> None:
    bench = Bench(speed=1.0)
    assert bench.say(b"M109 S30", ms=2500)[-1] == "ok"
    assert bench.say(b"M109 S300", ms=100) == []
    assert "ok" in bench.say(b"M108")


def test_reports_come_by_themselves(bench: Bench) -> None:
    bench.say(b"M155 S1")
    assert sum(line.startswith(" T:") for line in bench.wait(2100)) == 2


def test_m112_acts_behind_a_full_queue_and_only_a_reset_helps() -> None:
    bench = Bench(speed=1.0)
    for k in range(22):
        bench.say(b"G1 X%d F6" % (k + 1), ms=0)
    assert bench.say(b"M112") == ["Error:Printer halted. kill() called!"]
    assert bench.say(b"M105", b"M999") == []
    bench.device.power_on()
    assert "start" in bench.wait(10)


def test_a_cold_nozzle_does_not_extrude(bench: Bench) -> None:
    assert bench.say(b"G1 X1 E1 F600") == ["echo:Cold extrusion prevented", "ok"]
    assert bench.device.planner.planned["E"] == 0


def test_faults_do_what_they_claim(bench: Bench) -> None:
    bench.device.jam()
    assert bench.say(b"G1 X1 F600", ms=100)[0].startswith("Error:Printer stopped")
    assert bench.device.carried_out == []
    bench.say(b"M999")
    bench.say(b"G1 X2 F6000", ms=100)
    assert bench.device.carried_out == ["G1 X2 F6000"]
    bench.device.runaway()
    assert bench.wait(5)[0].startswith("Error:Thermal Runaway")
    assert bench.device.killed
