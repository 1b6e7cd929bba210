"""The reference cell written by hand in one straight line, without a framework: the controller is measured against it.

State lives in local variables, images are words, every limit and mask is a literal. It does for this one cell what a
controller does in a scan: scale, range check, emergency stop, interlocks with hysteresis and their trips, four phases,
blocks, heartbeat, outputs. It has no commands, orders, events, alarms or modes. It runs on both runtimes.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from cell_controller.core.signals import InputImage, OutputImage


class Io:
    """What the phases read and write: input words, four values, wanted output words."""

    def __init__(self) -> None:
        self.w1 = self.w2 = 0
        self.a0 = self.a1 = self.a2 = 0
        self.q0 = self.q1 = self.q2 = 0


def feed(io: Io) -> "Iterator[None]":
    scans = 0
    while True:
        scans += 1
        if io.w1 & 0x020000:
            io.q0 |= 0x1
        else:
            io.q0 &= ~0x1
        if scans & 4:
            io.q0 |= 0x2
        else:
            io.q0 &= ~0x2
        yield


def press(io: Io) -> "Iterator[None]":
    while True:
        if io.a0 > 505:
            io.q1 &= ~0x40
        elif io.a0 < 495:
            io.q1 |= 0x40
        if io.w1 & 0x200000:
            io.q1 |= 0x80
        else:
            io.q1 &= ~0x80
        yield


def cool(io: Io) -> "Iterator[None]":
    while True:
        if io.w2 & 0x4 or io.a1 > 510:
            io.q2 |= 0x10
        else:
            io.q2 &= ~0x10
        if io.w2 & 0x18 == 0x18:
            io.q1 |= 0x200
        else:
            io.q1 &= ~0x200
        yield


def stir(io: Io) -> "Iterator[None]":
    scans = 0
    while True:
        scans += 2 if io.a2 > 500 else 1
        if scans & 32:
            io.q2 |= 0x40
            io.q1 &= ~0x800
        else:
            io.q2 &= ~0x40
            io.q1 |= 0x800
        yield


def hand_loop(inputs: "InputImage", outputs: "OutputImage") -> "Generator[int, int, None]":
    """One scan for each tick that is sent; it answers 0, or what tripped: an interlock (1..40), or the rest (-1)."""
    io = Io()
    step_feed, step_press = feed(io).__next__, press(io).__next__
    step_cool, step_stir = cool(io).__next__, stir(io).__next__
    good = bytes(len(inputs.quality))
    y0 = y1 = y2 = 0
    trip = 0
    x0 = x1 = x2 = x3 = x4 = x5 = x6 = x7 = x8 = x9 = False
    x10 = x11 = x12 = x13 = x14 = x15 = x16 = x17 = x18 = x19 = False
    x20 = x21 = x22 = x23 = x24 = x25 = x26 = x27 = x28 = x29 = False
    x30 = x31 = x32 = x33 = x34 = x35 = x36 = x37 = x38 = x39 = False
    while True:
        now = yield trip
        trip = 0
        w0, w1, w2 = inputs.words
        a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15 = inputs.analog
        a0 = (a0 - 5530) * 1000 // 22118
        a1 = (a1 - 5530) * 1000 // 22118
        a2 = (a2 - 5530) * 1000 // 22118
        a3 = (a3 - 5530) * 1000 // 22118
        a4 = (a4 - 5530) * 1000 // 22118
        a5 = (a5 - 5530) * 1000 // 22118
        a6 = (a6 - 5530) * 1000 // 22118
        a7 = (a7 - 5530) * 1000 // 22118
        a8 = (a8 - 5530) * 1000 // 22118
        a9 = (a9 - 5530) * 1000 // 22118
        a10 = (a10 - 5530) * 1000 // 22118
        a11 = (a11 - 5530) * 1000 // 22118
        a12 = (a12 - 5530) * 1000 // 22118
        a13 = (a13 - 5530) * 1000 // 22118
        a14 = (a14 - 5530) * 1000 // 22118
        a15 = (a15 - 5530) * 1000 // 22118
        # a sensor at the end of its range jitters across it; further out by 2 % it is broken
        bad = 0
        if not -20 <= a0 <= 1020:
            bad |= 0x0001
        if not -20 <= a1 <= 1020:
            bad |= 0x0002
        if not -20 <= a2 <= 1020:
            bad |= 0x0004
        if not -20 <= a3 <= 1020:
            bad |= 0x0008
        if not -20 <= a4 <= 1020:
            bad |= 0x0010
        if not -20 <= a5 <= 1020:
            bad |= 0x0020
        if not -20 <= a6 <= 1020:
            bad |= 0x0040
        if not -20 <= a7 <= 1020:
            bad |= 0x0080
        if not -20 <= a8 <= 1020:
            bad |= 0x0100
        if not -20 <= a9 <= 1020:
            bad |= 0x0200
        if not -20 <= a10 <= 1020:
            bad |= 0x0400
        if not -20 <= a11 <= 1020:
            bad |= 0x0800
        if not -20 <= a12 <= 1020:
            bad |= 0x1000
        if not -20 <= a13 <= 1020:
            bad |= 0x2000
        if not -20 <= a14 <= 1020:
            bad |= 0x4000
        if not -20 <= a15 <= 1020:
            bad |= 0x8000
        if inputs.quality != good:
            for k in range(64, 80):
                if inputs.quality[k]:
                    bad |= 1 << k - 64
            if inputs.quality[0]:
                trip = -1
        if bad or not w0 & 1:
            trip = -1
        open0 = open1 = open2 = 0xFFFFFF
        x0 = a0 < (305 if x0 else 300)
        if x0 or not w0 & 0x000002 or bad & 0x0001:
            open0 &= 0xEFFFFE
            if (io.q0 | y0) & 0x100001:
                trip = 1
        x1 = a1 > (695 if x1 else 700)
        if x1 or not w0 & 0x000004 or bad & 0x0002:
            open0 &= 0xDFFFFD
            if (io.q0 | y0) & 0x200002:
                trip = 2
        x2 = a2 < (305 if x2 else 300)
        if x2 or not w0 & 0x000008 or bad & 0x0004:
            open0 &= 0xBFFFFB
            if (io.q0 | y0) & 0x400004:
                trip = 3
        x3 = a3 > (695 if x3 else 700)
        if x3 or not w0 & 0x000010 or bad & 0x0008:
            open0 &= 0x7FFFF7
            if (io.q0 | y0) & 0x800008:
                trip = 4
        x4 = a4 < (305 if x4 else 300)
        if x4 or not w0 & 0x000020 or bad & 0x0010:
            open0 &= 0xFFFFEF
            open1 &= 0xFFFFFE
            if (io.q0 | y0) & 0x000010 or (io.q1 | y1) & 0x000001:
                trip = 5
        x5 = a5 > (695 if x5 else 700)
        if x5 or not w0 & 0x000040 or bad & 0x0020:
            open0 &= 0xFFFFDF
            open1 &= 0xFFFFFD
            if (io.q0 | y0) & 0x000020 or (io.q1 | y1) & 0x000002:
                trip = 6
        x6 = a6 < (305 if x6 else 300)
        if x6 or not w0 & 0x000080 or bad & 0x0040:
            open0 &= 0xFFFFBF
            open1 &= 0xFFFFFB
            if (io.q0 | y0) & 0x000040 or (io.q1 | y1) & 0x000004:
                trip = 7
        x7 = a7 > (695 if x7 else 700)
        if x7 or not w0 & 0x000100 or bad & 0x0080:
            open0 &= 0xFFFF7F
            open1 &= 0xFFFFF7
            if (io.q0 | y0) & 0x000080 or (io.q1 | y1) & 0x000008:
                trip = 8
        x8 = a8 < (305 if x8 else 300)
        if x8 or not w0 & 0x000200 or bad & 0x0100:
            open0 &= 0xFFFEFF
            open1 &= 0xFFFFEF
            if (io.q0 | y0) & 0x000100 or (io.q1 | y1) & 0x000010:
                trip = 9
        x9 = a9 > (695 if x9 else 700)
        if x9 or not w0 & 0x000400 or bad & 0x0200:
            open0 &= 0xFFFDFF
            open1 &= 0xFFFFDF
            if (io.q0 | y0) & 0x000200 or (io.q1 | y1) & 0x000020:
                trip = 10
        x10 = a10 < (305 if x10 else 300)
        if x10 or not w0 & 0x000800 or bad & 0x0400:
            open0 &= 0xFFFBFF
            open1 &= 0xFFFFBF
            if (io.q0 | y0) & 0x000400 or (io.q1 | y1) & 0x000040:
                trip = 11
        x11 = a11 > (695 if x11 else 700)
        if x11 or not w0 & 0x001000 or bad & 0x0800:
            open0 &= 0xFFF7FF
            open1 &= 0xFFFF7F
            if (io.q0 | y0) & 0x000800 or (io.q1 | y1) & 0x000080:
                trip = 12
        x12 = a12 < (305 if x12 else 300)
        if x12 or not w0 & 0x002000 or bad & 0x1000:
            open0 &= 0xFFEFFF
            open1 &= 0xFFFEFF
            if (io.q0 | y0) & 0x001000 or (io.q1 | y1) & 0x000100:
                trip = 13
        x13 = a13 > (695 if x13 else 700)
        if x13 or not w0 & 0x004000 or bad & 0x2000:
            open0 &= 0xFFDFFF
            open1 &= 0xFFFDFF
            if (io.q0 | y0) & 0x002000 or (io.q1 | y1) & 0x000200:
                trip = 14
        x14 = a14 < (305 if x14 else 300)
        if x14 or not w0 & 0x008000 or bad & 0x4000:
            open0 &= 0xFFBFFF
            open1 &= 0xFFFBFF
            if (io.q0 | y0) & 0x004000 or (io.q1 | y1) & 0x000400:
                trip = 15
        x15 = a15 > (695 if x15 else 700)
        if x15 or not w0 & 0x010000 or bad & 0x8000:
            open0 &= 0xFF7FFF
            open1 &= 0xFFF7FF
            if (io.q0 | y0) & 0x008000 or (io.q1 | y1) & 0x000800:
                trip = 16
        x16 = a0 < (305 if x16 else 300)
        if x16 or not w0 & 0x020000 or bad & 0x0001:
            open0 &= 0xFEFFFF
            open1 &= 0xFFEFFF
            if (io.q0 | y0) & 0x010000 or (io.q1 | y1) & 0x001000:
                trip = 17
        x17 = a1 > (695 if x17 else 700)
        if x17 or not w0 & 0x040000 or bad & 0x0002:
            open0 &= 0xFDFFFF
            open1 &= 0xFFDFFF
            if (io.q0 | y0) & 0x020000 or (io.q1 | y1) & 0x002000:
                trip = 18
        x18 = a2 < (305 if x18 else 300)
        if x18 or not w0 & 0x080000 or bad & 0x0004:
            open0 &= 0xFBFFFF
            open1 &= 0xFFBFFF
            if (io.q0 | y0) & 0x040000 or (io.q1 | y1) & 0x004000:
                trip = 19
        x19 = a3 > (695 if x19 else 700)
        if x19 or not w0 & 0x100000 or bad & 0x0008:
            open0 &= 0xF7FFFF
            open1 &= 0xFF7FFF
            if (io.q0 | y0) & 0x080000 or (io.q1 | y1) & 0x008000:
                trip = 20
        x20 = a4 < (305 if x20 else 300)
        if x20 or not w0 & 0x200000 or bad & 0x0010:
            open0 &= 0xEFFFFF
            open1 &= 0xFEFFFF
            if (io.q0 | y0) & 0x100000 or (io.q1 | y1) & 0x010000:
                trip = 21
        x21 = a5 > (695 if x21 else 700)
        if x21 or not w0 & 0x400000 or bad & 0x0020:
            open0 &= 0xDFFFFF
            open1 &= 0xFDFFFF
            if (io.q0 | y0) & 0x200000 or (io.q1 | y1) & 0x020000:
                trip = 22
        x22 = a6 < (305 if x22 else 300)
        if x22 or not w0 & 0x800000 or bad & 0x0040:
            open0 &= 0xBFFFFF
            open1 &= 0xFBFFFF
            if (io.q0 | y0) & 0x400000 or (io.q1 | y1) & 0x040000:
                trip = 23
        x23 = a7 > (695 if x23 else 700)
        if x23 or not w1 & 0x000001 or bad & 0x0080:
            open0 &= 0x7FFFFF
            open1 &= 0xF7FFFF
            if (io.q0 | y0) & 0x800000 or (io.q1 | y1) & 0x080000:
                trip = 24
        x24 = a8 < (305 if x24 else 300)
        if x24 or not w1 & 0x000002 or bad & 0x0100:
            open1 &= 0xEFFFFE
            if (io.q1 | y1) & 0x100001:
                trip = 25
        x25 = a9 > (695 if x25 else 700)
        if x25 or not w1 & 0x000004 or bad & 0x0200:
            open1 &= 0xDFFFFD
            if (io.q1 | y1) & 0x200002:
                trip = 26
        x26 = a10 < (305 if x26 else 300)
        if x26 or not w1 & 0x000008 or bad & 0x0400:
            open1 &= 0xBFFFFB
            if (io.q1 | y1) & 0x400004:
                trip = 27
        x27 = a11 > (695 if x27 else 700)
        if x27 or not w1 & 0x000010 or bad & 0x0800:
            open1 &= 0x7FFFF7
            if (io.q1 | y1) & 0x800008:
                trip = 28
        x28 = a12 < (305 if x28 else 300)
        if x28 or not w1 & 0x000020 or bad & 0x1000:
            open1 &= 0xFFFFEF
            open2 &= 0xFFFFFE
            if (io.q1 | y1) & 0x000010 or (io.q2 | y2) & 0x000001:
                trip = 29
        x29 = a13 > (695 if x29 else 700)
        if x29 or not w1 & 0x000040 or bad & 0x2000:
            open1 &= 0xFFFFDF
            open2 &= 0xFFFFFD
            if (io.q1 | y1) & 0x000020 or (io.q2 | y2) & 0x000002:
                trip = 30
        x30 = a0 < (505 if x30 else 500)
        if x30 or not w1 & 0x000080 or bad & 0x0001:
            open1 &= 0xFFFFBF
            open2 &= 0xFFFFFB
        x31 = a1 > (495 if x31 else 500)
        if x31 or not w1 & 0x000100 or bad & 0x0002:
            open1 &= 0xFFFF7F
            open2 &= 0xFFFFF7
        x32 = a2 < (505 if x32 else 500)
        if x32 or not w1 & 0x000200 or bad & 0x0004:
            open1 &= 0xFFFEFF
            open2 &= 0xFFFFEF
        x33 = a3 > (495 if x33 else 500)
        if x33 or not w1 & 0x000400 or bad & 0x0008:
            open1 &= 0xFFFDFF
            open2 &= 0xFFFFDF
        x34 = a4 < (505 if x34 else 500)
        if x34 or not w1 & 0x000800 or bad & 0x0010:
            open1 &= 0xFFFBFF
            open2 &= 0xFFFFBF
        x35 = a5 > (495 if x35 else 500)
        if x35 or not w1 & 0x001000 or bad & 0x0020:
            open1 &= 0xFFF7FF
            open2 &= 0xFFFF7F
        x36 = a6 < (505 if x36 else 500)
        if x36 or not w1 & 0x002000 or bad & 0x0040:
            open1 &= 0xFFEFFF
            open2 &= 0xFFFEFF
        x37 = a7 > (495 if x37 else 500)
        if x37 or not w1 & 0x004000 or bad & 0x0080:
            open1 &= 0xFFDFFF
            open2 &= 0xFFFDFF
        x38 = a8 < (505 if x38 else 500)
        if x38 or not w1 & 0x008000 or bad & 0x0100:
            open1 &= 0xFFBFFF
            open2 &= 0xFFFBFF
        x39 = a9 > (495 if x39 else 500)
        if x39 or not w1 & 0x010000 or bad & 0x0200:
            open1 &= 0xFF7FFF
            open2 &= 0xFFF7FF
        if trip:
            continue  # the outputs stay as they are: who reads the answer stops the cell
        io.w1 = w1
        io.w2 = w2
        io.a0 = a0
        io.a1 = a1
        io.a2 = a2
        step_feed()
        step_press()
        step_cool()
        step_stir()
        y0 = io.q0 & open0
        y1 = io.q1 & open1
        y2 = io.q2 & open2
        if now & 0x80:
            y2 |= 0x8000
        words = outputs.words
        words[0] = y0
        words[1] = y1
        words[2] = y2
