"""The stand-in board wired to the plant of the example cell: what pins do reaches the machine, and the other way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from board.remote import Observer
from cell_controller.errors import FaultNameError
from hil.standin import StandIn
from tests.hil.repl import Repl

CELL = Path(__file__).resolve().parents[2] / "examples" / "paint_cell"
# from wiring/pico_w.toml: GP2 clamp_closed, GP3 clamp_open, GP7 clamp, GP8 unclamp, GP9 booth_fan, GP10 valve_burgundy,
# GP16 heartbeat, GP18 cure_lamp, GP22 energy, GP26 airflow, UART 0 carrier, expander 0x20: A2 light_green, B0 roller
BEAT = (
    "import machine,time\nfrom machine import Pin\nbeat=Pin(16,Pin.OUT)\n"
    "def run(ms,until=lambda: False):\n"
    " end=time.ticks_add(time.ticks_ms(),ms)\n"
    " while time.ticks_diff(end,time.ticks_ms())>0 and not until(): beat.toggle();time.sleep_ms(10)\n"
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A board in the example's cabinet, ten times as fast as a real one."""
    with StandIn(tmp_path_factory.mktemp("cell") / "flash", cell=CELL, speed=10) as board:
        yield board


@pytest.fixture
def machine(board: StandIn) -> Iterator[Observer]:
    """What an observer sees, after a power cut."""
    board.power_cut()
    observer = Observer(board.observer)
    yield observer
    observer.close()


@pytest.fixture
def repl(board: StandIn, machine: Observer) -> Iterator[Repl]:
    """Its raw REPL with a heartbeat to call."""
    with Repl(board.port) as repl:
        repl.raw().run(BEAT)
        yield repl


def driven(machine: Observer, name: str) -> list[int]:
    """The values that an output took, first first: what it has now may be the relay's doing."""
    return [int(change["value"]) for change in machine.timeline() if change["name"] == name]


def test_an_output_pin_moves_the_machine_and_its_sensors_move_pins(machine: Observer, repl: Repl) -> None:
    shut = repl.run(
        "p=Pin(7,Pin.OUT,value=1);closed=Pin(2,Pin.IN);opened=Pin(3,Pin.IN)\nprint(closed.value(),opened.value())\n"
        "run(5000,closed.value)\nprint(closed.value(),opened.value())"
    )
    assert shut == "0 1\n1 0"
    assert 1 in driven(machine, "clamp")


def test_outputs_behind_the_relay_fall_when_the_heartbeat_stops(machine: Observer, repl: Repl) -> None:
    repl.run("Pin(10,Pin.OUT,value=1);run(200)")
    machine.wait_for(lambda seen: seen["relay"] == "dropped", "the relay drops")
    assert driven(machine, "valve_burgundy")[-1] == 0
    assert 1 in driven(machine, "valve_burgundy")


def test_a_reset_releases_the_pins_but_not_those_of_an_expander(
    board: StandIn, machine: Observer, repl: Repl
) -> None:
    repl.run(
        "i=machine.I2C(0,scl=Pin(21),sda=Pin(20))\ni.writeto(0x20,b'\\x00\\x00\\xff');i.writeto(0x20,b'\\x14\\x04\\x00')\n"
        "Pin(8,Pin.OUT,value=1);run(100)"
    )
    machine.wait_for(lambda seen: bool(seen["outputs"]["light_green"]), "the light is on")
    board.reset()
    seen = machine.wait_for(lambda seen: not seen["outputs"]["unclamp"], "the pin is released")
    assert seen["outputs"]["light_green"] == 1
    board.power_cut()
    machine.wait_for(lambda seen: not seen["outputs"]["light_green"], "without power it is dark")


def test_converter_pwm_and_expander_inputs_follow_the_plant(machine: Observer, repl: Repl) -> None:
    repl.run(
        "a=machine.ADC(26);lamp=machine.PWM(Pin(18),freq=1000,duty_u16=32768);Pin(9,Pin.OUT,value=1)\n"
        "run(300);run(6000,lambda: a.read_u16()>22000)"
    )
    assert {49, 50} & set(driven(machine, "cure_lamp"))
    assert int(repl.run("print(a.read_u16())")) > 20_000
    assert machine.observe()["inputs"]["airflow"] > 300
    home = repl.run(
        "i=machine.I2C(0)\nb=bytearray(1)\ni.writeto(0x20,b'\\x13',False);i.readfrom_into(0x20,b);print(b[0]&1)"
    )
    assert int(home) == 1 - machine.observe()["inputs"]["roller_home"]


def test_a_chip_that_is_off_the_bus_does_not_answer(board: StandIn, repl: Repl) -> None:
    assert repl.run("print(machine.I2C(0).scan())") == "[32]"
    board.i2c(0x20, False)
    assert repl.error("machine.I2C(0).writeto(0x20,b'\\x00')") == "OSError: [Errno 5] EIO"
    board.i2c(0x20, True)


def test_the_reader_sends_the_carrier_and_the_meter_its_pulses(machine: Observer, repl: Repl) -> None:
    carrier = machine.observe()["inputs"]["carrier"]
    line = repl.run("u=machine.UART(0,9600)\nrun(4000,lambda: u.any()>5)\nprint(u.readline())")
    assert line == repr(b"%d\r\n" % carrier)
    before = machine.observe()["inputs"]["energy"]
    counted = repl.run(
        "n=0\ndef edge(p):\n global n\n n+=1\nPin(22,Pin.IN).irq(edge,Pin.IRQ_FALLING)\n"
        "lamp=machine.PWM(Pin(18),freq=1000,duty_u16=65535)\nrun(3000)\nlamp.deinit()\nrun(200)\nprint(n)"
    )
    gone = machine.observe()["inputs"]["energy"] - before
    assert int(counted) > 0
    assert abs(int(counted) - gone) <= 2


def test_a_fault_of_the_plant_is_set_from_outside(machine: Observer, repl: Repl) -> None:
    repl.run("u=Pin(8,Pin.OUT,value=1);run(5000,Pin(3).value);u.value(0)")  # open, whatever was before
    machine.fault("clamp.jam")
    assert repl.run("p=Pin(7,Pin.OUT,value=1)\nrun(4000,Pin(2).value)\nprint(Pin(2).value())") == "0"
    machine.fault("clamp.jam", False)


def test_a_fault_that_no_pin_can_show_is_refused_and_one_that_it_can_reaches_the_pin(
    machine: Observer, repl: Repl
) -> None:
    for name in ("door_closed.stale", "panel_temp.stale", "airflow.out_of_range"):
        with pytest.raises(FaultNameError, match="no level of its pin shows it"):
            machine.fault(name)
    machine.fault("carrier.stale")
    repl.run(
        "u=machine.UART(0,9600)\nrun(4000,lambda: u.any()>2)\nu.read(u.any());run(4000,lambda: u.any()>2)"
    )
    assert repl.run("print(u.readline())") == repr(b"?\r\n")
    machine.fault("carrier.stale", False)
    machine.fault("panel_temp.out_of_range")
    repl.run("a=machine.ADC(28);run(6000,lambda: a.read_u16()<100)")
    assert int(repl.run("print(a.read_u16())")) == 0, "a broken current loop"
    machine.fault("panel_temp.out_of_range", False)
