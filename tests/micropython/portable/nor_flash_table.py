"""What the simulated flash has in it after every kind of cut; prints checksums."""

import binascii

from hil.nor_flash import HOW, SECTOR, NorError, NorFlash, PowerCut

chip = NorFlash(2, seed=3)
for how in HOW:
    for erase in (False, True):
        chip.ioctl(6, 0)
        chip.writeblocks(0, bytes(range(256)) * 8, SECTOR // 2)
        chip.cut_at(1, how)
        try:
            if erase:
                chip.ioctl(6, 0)
            else:
                chip.writeblocks(0, bytes(256), 0)
        except PowerCut as cut:
            print(cut)
        chip.power_up()
        print(how, erase, binascii.crc32(chip.data), chip.programs, chip.erases)
for size, off in ((256, 0), (255, 0), (256, 1)):
    try:
        chip.writeblocks(0, b"\xff" * size, off)
        print("taken")
    except NorError as error:
        print(error)
