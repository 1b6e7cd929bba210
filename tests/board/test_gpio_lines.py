"""GPIO lines through the Python part of gpiod, over a kernel that is not real; a real one is in tests/gpio_guest."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpiod
import pytest
from gpiod import _ext
from gpiod.line import Bias, Drive

from board.contract import RELEASE, DevicePlan, Point
from board.device_link import FAULTED, RUNNING
from board.gpio_chips import find_line
from board.gpio_lines import AGAIN_MS, GpioLines
from cell_controller.errors import BoardError
from tests.board import fake_gpiod
from tests.board.fake_gpiod import FakeKernel, milliseconds


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    return FakeKernel(tmp_path, monkeypatch)


def wired_input(at: str, **settings: Any) -> Point:
    return Point(at, 0, 0, "digital", False, at, settings=settings)


def wired_output(at: str, safe: int = 0, abort: int = 0, **settings: Any) -> Point:
    return Point(at, 0, 0, "digital", True, at, safe=safe, abort=abort, settings=settings)


class Pins:
    """A device over `points`, opened, with a clock that the test moves."""

    def __init__(self, *points: Point) -> None:
        self.device = GpioLines(DevicePlan("gpio", "gpio", {"consumer": "cell paint-1"}, points))
        self.now = 5_000
        self.device.link.clock = lambda: self.now

    def open(self) -> "Pins":
        self.device.open()
        return self

    def scan(self, *levels: int, ms: int = 10) -> list[int]:
        """A scan `ms` later that drives `levels`; what the inputs read."""
        self.now += ms
        self.device.refresh()
        self.device.link.begin_scan()
        if self.device.outputs:
            self.device.drive(list(levels))
        return [count for count, _ in self.device.latest]

    def state(self) -> str:
        return self.device.link.status().state


# --- which line ---


@pytest.mark.parametrize("label", ["pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"])
def test_a_pin_of_a_pi_is_its_offset_on_the_chip_behind_the_pins(kernel: FakeKernel, label: str) -> None:
    kernel.chip("gpiochip0", "raspberrypi-exp-gpio", ["BT_ON", "GPIO17"])
    kernel.chip("gpiochip4", label, ["ID_SDA", *[f"PIN{n}" for n in range(53)]])
    line = find_line("GPIO17")
    assert (Path(line.chip).name, line.offset) == ("gpiochip4", 17)


def test_elsewhere_a_pin_is_found_by_its_name(kernel: FakeKernel) -> None:
    kernel.chip("gpiochip0", "9030000.pl061", ["a", "b"])
    kernel.chip("gpiochip1", "other", ["c", "GPIO17"])
    line = find_line("GPIO17")
    assert (Path(line.chip).name, line.offset) == ("gpiochip1", 1)


def test_a_line_by_name_and_by_chip_and_offset(kernel: FakeKernel) -> None:
    kernel.chip("gpiochip0", "a", ["", "x"])
    kernel.chip("gpiochip1", "b", ["valve 3"])
    assert Path(find_line("line:valve 3").chip).name == "gpiochip1"
    assert find_line("gpiochip0:1").offset == 1


def test_a_link_to_a_chip_is_not_a_second_chip(kernel: FakeKernel, tmp_path: Path) -> None:
    kernel.chip("gpiochip0", "a", ["valve"])
    (tmp_path / "gpiochip4").symlink_to("gpiochip0")
    assert find_line("line:valve").offset == 0


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("line:pump", "no GPIO chip of this machine has a line of that name"),
        ("line:1", "no GPIO chip of this machine has a line of that name"),
        ("line:twice", "write one of gpiochip0:1, gpiochip1:0"),
        ("gpiochip0:2", "has the lines 0..1"),
        ("gpiochip7:0", "`gpiodetect` lists the chips there are"),
    ],
)
def test_a_line_that_is_not_there_is_refused_with_the_remedy(kernel: FakeKernel, at: str, said: str) -> None:
    kernel.chip("gpiochip0", "a", ["valve", "twice"])
    kernel.chip("gpiochip1", "b", ["twice"])
    with pytest.raises(BoardError, match=said):
        Pins(wired_input(at)).open()


def test_a_machine_without_chips_says_so(kernel: FakeKernel) -> None:
    with pytest.raises(BoardError, match="has no GPIO chip"):
        find_line("GPIO17")


def test_a_line_that_somebody_has_is_refused_with_his_name_and_nothing_is_kept(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    pi["GPIO17"].consumer = "spi0 CS0"
    with pytest.raises(BoardError, match=r"GPIO17 \('spi0 CS0'\) is in use"):
        Pins(wired_input("GPIO4"), wired_output("GPIO17"), wired_output("GPIO27")).open()
    assert pi["GPIO4"].consumer == ""
    assert pi["GPIO27"].history == []


def test_without_permission_the_group_is_named(kernel: FakeKernel) -> None:
    kernel.forbidden.add(str(kernel.pi().path))
    with pytest.raises(BoardError, match="usermod -aG gpio"):
        Pins(wired_input("GPIO4")).open()


def test_too_many_different_debounce_times_are_refused_with_the_limit(kernel: FakeKernel) -> None:
    kernel.pi()
    with pytest.raises(BoardError, match="at most eight different debounce_ms"):
        Pins(*[wired_input(f"GPIO{n}", debounce_ms=n) for n in range(2, 14)]).open()


# --- how lines are set up ---


def test_all_inputs_are_one_request_and_all_outputs_another(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    Pins(*[wired_input(f"GPIO{n}") for n in (4, 5)], *[wired_output(f"GPIO{n}") for n in (17, 27)]).open()
    assert [request.offsets for request in pi.requests] == [[4, 5], [17, 27]]
    assert pi["GPIO17"].consumer == "cell paint-1"


def test_a_request_has_at_most_64_lines(kernel: FakeKernel) -> None:
    big = kernel.chip("gpiochip0", "big", [f"x{n}" for n in range(100)])
    pins = Pins(*[wired_input(f"line:x{n}") for n in range(100)]).open()
    assert [request.num_lines for request in big.requests] == [64, 36]
    big["x99"].level = 1
    assert pins.scan()[99] == 1


def test_an_output_has_its_safe_level_from_the_moment_it_is_one(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    Pins(wired_output("GPIO17", safe=1), wired_output("GPIO27", safe=0)).open()
    assert pi["GPIO17"].history == [1]
    assert pi["GPIO27"].history == [0]


def test_pull_debounce_and_drive_reach_the_kernel(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    Pins(
        wired_input("GPIO4", pull="up", debounce_ms=5),
        wired_input("GPIO5", pull="down"),
        wired_input("GPIO6"),
        wired_output("GPIO17", drive="open_drain"),
        wired_output("GPIO22", drive="open_source"),
        wired_output("GPIO27"),
    ).open()
    bias = [Bias(pi[f"GPIO{n}"].settings.bias) for n in (4, 5, 6)]  # type: ignore[union-attr]
    assert bias == [Bias.PULL_UP, Bias.PULL_DOWN, Bias.DISABLED]
    assert [milliseconds(pi[f"GPIO{n}"].settings) for n in (4, 5)] == [5, 0]
    drive = [Drive(pi[f"GPIO{n}"].settings.drive) for n in (17, 22, 27)]  # type: ignore[union-attr]
    assert drive == [Drive.OPEN_DRAIN, Drive.OPEN_SOURCE, Drive.PUSH_PULL]


# --- the scan ---


def test_inputs_of_several_chips_are_read_with_one_call_a_chip(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    usb = kernel.chip("gpiochip1", "ftdi-cbus", ["start", "stop"])
    pins = Pins(wired_input("GPIO4"), wired_input("line:stop"), wired_input("GPIO5")).open()
    pi["GPIO5"].level = usb["stop"].level = 1
    calls = pi.calls, usb.calls
    assert pins.scan() == [0, 1, 1]
    assert (pi.calls - calls[0], usb.calls - calls[1]) == (1, 1)


def test_outputs_are_written_when_they_change_and_once_a_second(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    pins = Pins(wired_output("GPIO17"), wired_input("GPIO4")).open()
    pins.scan(0)
    pins.device.link.rearm()
    history = pi["GPIO17"].history
    history.clear()
    pins.scan(1)
    pins.scan(1)
    assert history == [1]
    pins.scan(1, ms=AGAIN_MS)
    assert history == [1, 1]
    pins.scan(0)
    assert history == [1, 1, 0]


def test_until_the_cell_was_reset_outputs_have_their_abort_levels(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    pins = Pins(wired_output("GPIO17", safe=0, abort=1)).open()
    pins.scan(0)
    assert pi["GPIO17"].level == 1
    pins.device.link.rearm()
    pins.scan(0)
    assert pi["GPIO17"].level == 0


def test_make_safe_writes_at_once(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    pins = Pins(wired_output("GPIO17")).open()
    pins.scan(0)
    pins.device.link.rearm()
    pins.scan(1)
    pins.device.make_safe([0])
    assert pi["GPIO17"].level == 0


def test_the_point_link_is_on_while_the_chip_answers(kernel: FakeKernel) -> None:
    usb = kernel.chip("gpiochip1", "ftdi-cbus", ["valve"])
    pins = Pins(wired_input("link"), wired_output("line:valve")).open()
    assert pins.scan(0) == [1]
    usb.unplug()
    measured = pins.now
    pins.scan(0)
    assert pins.device.latest == [(1, measured)], "it is no newer than the last answer"


def test_close_gives_the_lines_back(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    pins = Pins(wired_output("GPIO17"), wired_input("GPIO4")).open()
    pins.device.close()
    pins.device.close()
    assert [pi[name].consumer for name in ("GPIO17", "GPIO4")] == ["", ""]


# --- a chip that is unplugged ---


@pytest.mark.parametrize("kind", ["inputs and outputs", "inputs only", "outputs only"])
def test_an_unplugged_chip_is_lost_and_found_again(kernel: FakeKernel, kind: str) -> None:
    usb = kernel.chip("gpiochip1", "ftdi-cbus", ["start", "valve"])
    points = {
        "inputs and outputs": (wired_input("line:start"), wired_output("line:valve")),
        "inputs only": (wired_input("line:start"),),
        "outputs only": (wired_output("line:valve"),),
    }[kind]
    pins = Pins(*points).open()
    pins.scan(0)
    assert pins.state() == RUNNING
    usb.unplug()
    pins.scan(0)
    assert pins.state() == FAULTED
    assert "No such device" in pins.device.link.status().fault
    usb.plug()
    pins.scan(0)
    assert pins.state() == FAULTED, "it is tried once a second"
    pins.scan(0, ms=AGAIN_MS)
    pins.scan(0)
    assert pins.state() == RUNNING
    assert pins.device.link.status().losses == 1


def test_an_output_that_came_back_waits_for_a_reset_at_its_abort_level(kernel: FakeKernel) -> None:
    usb = kernel.chip("gpiochip1", "ftdi-cbus", ["valve"])
    pins = Pins(wired_output("line:valve", safe=1, abort=0)).open()
    pins.scan(1)
    pins.device.link.rearm()
    pins.scan(1)
    assert usb["valve"].level == 1
    usb.unplug()
    pins.scan(1)
    usb.plug()
    usb["valve"].history.clear()
    pins.scan(1, ms=AGAIN_MS)
    pins.scan(1, ms=AGAIN_MS)
    assert set(usb["valve"].history) == {0}
    pins.device.link.rearm()
    pins.scan(1)
    assert usb["valve"].level == 1


def test_a_chip_that_stays_away_is_tried_once_a_second_only(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    usb = kernel.chip("gpiochip1", "ftdi-cbus", ["start"])
    kernel.pi()
    pins = Pins(wired_input("line:start")).open()
    usb.unplug()
    tries = []
    opened = kernel._opened

    def counted(path: str) -> Any:
        tries.append(path)
        return opened(path)

    monkeypatch.setattr(_ext, "Chip", counted)
    for _ in range(300):
        pins.scan()
    assert 2 <= len(tries) <= 4


# --- the fake itself ---


def _stub_signatures(name: str) -> dict[str, list[str]]:
    """Methods of a class of the installed _ext.pyi, with the names of their parameters."""
    stub = Path(str(gpiod.__file__)).with_name("_ext.pyi")
    tree = ast.parse(stub.read_text())
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return {
        node.name: [argument.arg for argument in node.args.args]
        for node in found.body
        if isinstance(node, ast.FunctionDef) and node.name != "__init__"
    }


@pytest.mark.parametrize(
    ("name", "fake"),
    [
        ("Chip", fake_gpiod.FakeOpenChip),
        ("Request", fake_gpiod.FakeRequest),
        ("LineConfig", fake_gpiod.FakeLineConfig),
    ],
)
def test_the_fake_has_the_members_of_the_installed_library(name: str, fake: type) -> None:
    real = {member for member in dir(getattr(_ext, name)) if not member.startswith("_")}
    attributes = {"path", "fd"} if name in ("Chip", "Request") else set()
    assert real <= set(dir(fake)) | attributes
    for method, parameters in _stub_signatures(name).items():
        mine: Callable[..., Any] | None = getattr(fake, method, None)
        if mine is None or isinstance(inspect.getattr_static(fake, method), property):
            continue
        assert list(inspect.signature(mine).parameters) == parameters, method


def test_the_fakes_line_settings_take_what_the_library_gives(kernel: FakeKernel) -> None:
    stub = Path(str(gpiod.__file__)).with_name("_ext.pyi")
    tree = ast.parse(stub.read_text())
    real = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "LineSettings")
    init = next(node for node in real.body if isinstance(node, ast.FunctionDef))
    names = [argument.arg for argument in init.args.args][1:]
    assert list(inspect.signature(fake_gpiod.FakeLineSettings).parameters) == names


@pytest.mark.parametrize(("says", "refused"), [("Y", True), ("N", False), (None, False)])
def test_pins_that_shall_be_released_need_a_kernel_that_does_it(
    kernel: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str | None, refused: bool
) -> None:
    kernel.chip("gpiochip0", "pinctrl-bcm2711", [f"PIN{n}" for n in range(54)])
    parameter = tmp_path / "persist_gpio_outputs"
    if says is not None:
        parameter.write_text(f"{says}\n")
    monkeypatch.setattr("board.gpio_chips.PERSISTS", parameter)
    plan = DevicePlan("gpio", "gpio", {}, (wired_output("GPIO17"),), RELEASE)
    device = GpioLines(plan)
    if refused:
        with pytest.raises(BoardError, match=r"persist_gpio_outputs = Y\); write on_death"):
            device.open()
    else:
        device.open()
    device.close()
