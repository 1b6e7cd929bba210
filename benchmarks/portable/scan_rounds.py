"""Prints the time, in ns a scan, of rounds by hand and by the controller, with the modules in WHERE; MicroPython only.

scan_rounds.py ROUNDS WHERE: first the outputs of the two are compared over three passes; a difference ends the script.
Each line is then one round: by hand and by the controller with inputs changing, and the same with constant inputs.
"""

import gc
import sys
import time

sys.path[:] = [sys.argv[2]]

from benchmarks.hand_loop import hand_loop  # noqa: E402
from benchmarks.reference_cell import PERIOD_MS, images, running, spec  # noqa: E402
from cell_controller.core.signals import InputImage, OutputImage  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from benchmarks.reference_cell import Image

PASSES = 3  # in which outputs are compared
SHORT = 64  # scans of a round: so short that a slow moment of the machine hits few


class Hand:
    """The hand-written cell with its phases begun at tick `now` on the image `first`."""

    def __init__(self, first: "Image", now: int) -> None:
        self.inputs = InputImage(spec())
        self.outputs = OutputImage(spec())
        self.now = now
        self.inputs.words, self.inputs.analog = first
        self.loop = hand_loop(self.inputs, self.outputs)
        next(self.loop)
        self.loop.send(now)

    def measure(self, run: "list[Image]") -> int:
        """ns of one scan, over one pass through the images."""
        inputs = self.inputs
        scan = self.loop.send
        now = self.now
        start = time.time_ns()
        for words, analog in run:
            now += PERIOD_MS
            inputs.words = words
            inputs.analog = analog
            scan(now)
        taken = time.time_ns() - start
        self.now = now
        return taken // len(run)


class Controlled:
    """The controller with the phases alive."""

    def __init__(self, first: "Image") -> None:
        self.controller, self.now = running([first])

    def measure(self, run: "list[Image]") -> int:
        """ns of one scan, over one pass through the images."""
        scan = self.controller.scan
        inputs = self.controller.input_image
        now = self.now
        durable = self.controller.context.last_seq
        start = time.time_ns()
        for words, analog in run:
            now += PERIOD_MS
            inputs.words = words
            inputs.analog = analog
            scan(now, durable)
        taken = time.time_ns() - start
        self.now = now
        return taken // len(run)


def compare(run: "list[Image]") -> None:
    """Raises RuntimeError at the first scan whose outputs differ."""
    controlled = Controlled(run[0])
    controller = controlled.controller
    hand = Hand(run[0], controlled.now)
    for number in range(PASSES * len(run)):
        now = controlled.now + (number + 1) * PERIOD_MS
        words, analog = run[number % len(run)]
        for image in (controller.input_image, hand.inputs):
            image.words = words
            image.analog = analog
        controller.scan(now, controller.context.last_seq)
        tripped: "Any" = hand.loop.send(now)
        if tripped or controller.output_image.words != hand.outputs.words:
            raise RuntimeError(
                "scan %d: the controller drives %s, the hand-written loop %s (tripped: %s)"
                % (number, controller.output_image.words, hand.outputs.words, tripped)
            )


def main(rounds: int) -> None:
    changing = images()
    constant = [changing[0]] * SHORT
    compare(changing)
    compare(constant)
    changing = changing[:SHORT]
    hand = Hand(changing[0], 0)
    controlled = Controlled(changing[0])
    hand_constant = Hand(changing[0], 0)
    controlled_constant = Controlled(changing[0])
    gc.collect()
    for _ in range(rounds):
        print(
            hand.measure(changing),
            controlled.measure(changing),
            hand_constant.measure(constant),
            controlled_constant.measure(constant),
        )


main(int(sys.argv[1]))
