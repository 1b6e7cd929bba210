"""What `cellctl backup`, `restore`, `swap` send behind the slot writer: reading a board, holding its application."""

import binascii
import os

from host_tools.device.slot_writer import SECTOR, Writer


class Keeper(Writer):
    """The requests of the slot writer and those about a board's history."""

    def sector(self, name: str, number: int) -> str:
        """What is in a sector of an area, in base 64."""
        plain = bytearray(SECTOR)
        self.part(name).readblocks(number, plain, 0)
        return binascii.b2a_base64(plain).decode().strip()

    def names(self) -> "dict[str, int]":
        """The files in the board's root folder, and how many bytes they have."""
        found = {}
        for entry in os.ilistdir("/"):  # type: ignore[attr-defined]
            if entry[1] == 0x8000:
                found[entry[0]] = os.stat("/" + entry[0])[6]
        return found

    def piece(self, path: str, start: int) -> str:
        """At most a sector of a file, in base 64."""
        with open(path, "rb") as file:
            file.seek(start)
            return binascii.b2a_base64(file.read(SECTOR)).decode().strip()

    def manifest(self, slot: str, length: int) -> str:
        """What an image says of itself, in base 64."""
        import vfs

        rom = vfs.VfsRom(__import__("loader").mapped(self.part(slot), length))
        with rom.open("/manifest.bin", "rb") as file:
            return binascii.b2a_base64(file.read()).decode().strip()

    def hold(self) -> None:
        """From here on no application starts, whatever is cut, until `release`: the history is not a whole one."""
        try:
            os.rename("/slot", "/slot.restoring")
        except OSError:
            if not self.text("/slot.restoring"):
                with open("/slot.restoring", "w") as file:
                    file.write("none")
        self.remove("/restored")

    def release(self, back: int) -> None:
        """The history is whole. back: what ran before the hold may start on it."""
        if back and self.text("/slot.restoring") != "none":
            os.rename("/slot.restoring", "/slot")
        self.remove("/slot.restoring")

    def retire(self) -> None:
        """The application does not start any more: its history is to go on elsewhere."""
        os.rename("/slot", "/slot.retired")
