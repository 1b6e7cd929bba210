"""Who a Linux machine is, from files that its firmware and Debian made."""

from pathlib import Path

from board.machine_identity import MACHINE_ID, MODEL, MOST, SERIAL, identity


def write(root: Path, path: str, content: bytes) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def test_a_pi_says_its_model_and_serial_number(tmp_path: Path) -> None:
    write(tmp_path, MODEL, b"Raspberry Pi 5 Model B Rev 1.0\0")
    write(tmp_path, SERIAL, b"10000000abcdef01\0")
    write(tmp_path, MACHINE_ID, b"0123456789abcdef0123456789abcdef\n")
    found = identity(tmp_path)
    assert (found["model"], found["serial"]) == ("Raspberry Pi 5 Model B Rev 1.0", "10000000abcdef01")
    assert found["machine_id"] == "0123456789abcdef0123456789abcdef"


def test_another_machine_says_its_processor_and_nothing_that_it_does_not_know(tmp_path: Path) -> None:
    found = identity(tmp_path)
    assert found["model"]
    assert (found["serial"], found["machine_id"]) == ("", "")


def test_what_a_firmware_says_is_bounded_and_text(tmp_path: Path) -> None:
    write(tmp_path, MODEL, b"\xff" * 1000)
    model = identity(tmp_path)["model"]
    assert len(model) == MOST
    assert model.isprintable()


def test_this_machine_is_somebody() -> None:
    assert identity()["model"]
