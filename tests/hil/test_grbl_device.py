"""The simulated router does what GRBL 1.1 does where a host can see it."""

import pytest

from hil.grbl_device import RX_BYTES, GrblDevice


class Bench:
    """A router in virtual time; `say` sends, and gives what it says meanwhile."""

    def __init__(self, speed: float = 100.0) -> None:
        self.device = GrblDevice("tcp", speed=speed)
        self.device.unplug()
        self.now = 0
        self.banner = self.device.power_on().decode().split()

    def wait(self, ms: int) -> list[str]:
        """So much time passes."""
        said = b""
        for _ in range(ms):
            self.now += 1
            said += self.device.tick(self.now)
        return said.decode().split("\r\n")[:-1]

    def say(self, data: bytes, ms: int = 5) -> list[str]:
        """Send bytes as they are."""
        return self.device.handle(data).decode().split("\r\n")[:-1] + self.wait(ms)

    def unlocked(self) -> "Bench":
        """After $X."""
        self.say(b"$X\n")
        return self


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_is_locked_until_it_is_homed_or_unlocked(bench: Bench) -> None:
    assert "Grbl" in bench.banner
    assert bench.say(b"G0X1\n") == ["error:9"]
    assert bench.say(b"?")[0].startswith("<Alarm|MPos:0.000,0.000,0.000|Bf:15,128")
    assert bench.say(b"$H\n", ms=100) == ["ok"]
    assert bench.say(b"?")[0].startswith("<Idle|MPos:-1.000,-1.000,-1.000")


def test_errors_have_their_numbers(bench: Bench) -> None:
    bench.unlocked()
    lines = (b"X\n", b"G99\n", b"G1X1\n", b"$nonsense\n", b"G1X1F1" + b"0" * 90 + b"\n", b"G1X1X2F1\n")
    assert [bench.say(line) for line in lines] == [[f"error:{n}"] for n in (1, 20, 22, 3, 11, 25)]


def test_a_line_that_is_refused_changes_nothing(bench: Bench) -> None:
    bench.unlocked()
    bench.say(b"G1X1F100T7$\n")
    assert (bench.device.tool, bench.device.planner.planned["X"]) == (0, 0)


def test_real_time_bytes_act_in_the_middle_of_a_line_and_take_no_room() -> None:
    bench = Bench(speed=1.0).unlocked()
    bench.say(b"G1X100F600\n")
    assert bench.say(b"G1X?50")[0].startswith("<Run|")
    assert len(bench.device._rx) == 0
    bench.say(b"!")
    assert bench.say(b"?")[0].startswith("<Hold:0|")
    x = bench.device.planner.spent
    bench.wait(500)
    assert bench.device.planner.spent == x
    bench.say(b"~")
    bench.wait(500)
    assert bench.device.planner.spent > x


def test_a_reset_forgets_modes_and_says_the_banner(bench: Bench) -> None:
    bench.unlocked()
    bench.say(b"T42\n")
    assert "T42" in bench.say(b"$G\n")[0]
    assert "Grbl 1.1h ['$' for help]" in bench.say(b"\x18")
    assert bench.device.state == "Idle"
    assert "T0 " in bench.say(b"$G\n")[0]


def test_a_reset_while_it_moves_is_an_alarm() -> None:
    bench = Bench(speed=1.0).unlocked()
    bench.say(b"G1X100F60\n")
    assert "ALARM:3" in bench.say(b"\x18")
    assert bench.device.state == "Alarm"


def test_the_receive_buffer_has_its_size() -> None:
    bench = Bench(speed=1.0).unlocked()
    for k in range(40):
        bench.say(b"G1X%dF6\n" % (k + 1), ms=0)
    assert len(bench.device._rx) == RX_BYTES
    assert bench.device.dropped > 0


def test_a_limit_switch_wants_a_reset_first(bench: Bench) -> None:
    bench.unlocked()
    bench.device.limit()
    assert bench.wait(5) == ["ALARM:1", "[MSG:Reset to continue]"]
    assert bench.say(b"$X\n") == []
    bench.say(b"\x18")
    assert bench.say(b"$X\n")[0] == "[MSG:Caution: Unlocked]"


def test_a_dwell_ends_after_the_moves_before_it() -> None:
    bench = Bench(speed=1.0).unlocked()
    assert bench.say(b"G1X1F600\n") == ["ok"]
    assert bench.say(b"G4P0.01\n", ms=50) == []
    assert bench.wait(80) == ["ok"]
