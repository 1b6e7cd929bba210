"""One scan of the reference cell by the controller, against the same cell written by hand, with equal outputs."""

import os
import time
from collections.abc import Callable
from statistics import median

from benchmarks.hand_loop import hand_loop
from benchmarks.reference_cell import PERIOD_MS, images, running, spec
from benchmarks.timing import half_quartiles, row
from cell_controller.core.signals import InputImage, OutputImage
from cell_controller.core.trace import Recorder

ROUNDS = 151  # of one pass through the images each, so short that a slow moment of the machine hits few
Image = tuple[list[int], list[int]]
Pass = Callable[[list[Image]], float]


class Hand:
    """The hand-written cell with its phases begun at tick `now` on the image `first`."""

    def __init__(self, first: Image, now: int) -> None:
        self.inputs = InputImage(spec())
        self.outputs = OutputImage(spec())
        self.now = now
        self.inputs.words, self.inputs.analog = first
        loop = hand_loop(self.inputs, self.outputs)
        next(loop)
        self.scan = loop.send
        self.scan(now)

    def measure(self, run: list[Image]) -> float:
        """Seconds of one scan, over one pass through the images."""
        inputs, scan, now = self.inputs, self.scan, self.now
        start = time.perf_counter()
        for words, analog in run:
            now += PERIOD_MS
            inputs.words = words
            inputs.analog = analog
            scan(now)
        taken = time.perf_counter() - start
        self.now = now
        return taken / len(run)


class Controlled:
    """The controller with the phases alive, recorded or not."""

    def __init__(self, first: Image, write: Callable[[bytes], object] | None = None) -> None:
        self.controller, self.now = running([first])
        self.recorder = Recorder(self.controller, write, [], "") if write is not None else None

    def measure(self, run: list[Image]) -> float:
        """Seconds of one scan, over one pass through the images."""
        scan, inputs, now = self.controller.scan, self.controller.input_image, self.now
        durable, records = self.controller.context.last_seq, self.controller.context.records
        scanned = self.recorder.scanned if self.recorder is not None else None
        start = time.perf_counter()
        if scanned is None:
            for words, analog in run:
                now += PERIOD_MS
                inputs.words = words
                inputs.analog = analog
                scan(now, durable)
        else:
            for words, analog in run:
                now += PERIOD_MS
                inputs.words = words
                inputs.analog = analog
                scan(now, durable)
                scanned(records)
        taken = time.perf_counter() - start
        self.now = now
        return taken / len(run)


def outputs_agree(run: list[Image], passes: int = 3) -> int:
    """How many scans gave the same outputs. Raises RuntimeError at the first that did not."""
    controlled = Controlled(run[0])
    controller = controlled.controller
    hand = Hand(run[0], controlled.now)
    for number in range(passes * len(run)):
        image = run[number % len(run)]
        now = controlled.now + (number + 1) * PERIOD_MS
        controller.input_image.words, controller.input_image.analog = image
        hand.inputs.words, hand.inputs.analog = image
        controller.scan(now, controller.context.last_seq)
        tripped = hand.scan(now)
        if tripped or controller.output_image.words != hand.outputs.words:
            raise RuntimeError(
                f"scan {number}: the controller drives {controller.output_image.words}, the hand-written loop"
                f" {hand.outputs.words} (tripped: {tripped}); reference_cell.py and hand_loop.py describe one cell"
            )
    return passes * len(run)


def compared(run: list[Image], first: Image) -> tuple[list[float], list[float], list[float]]:
    """Seconds of a scan in every round: by hand, by the controller, by the controller with its recorder."""
    with open(os.devnull, "wb", buffering=1 << 16) as file:
        passes: list[Pass] = [
            Hand(first, 0).measure,
            Controlled(first).measure,
            Controlled(first, file.write).measure,
        ]
        times: tuple[list[float], list[float], list[float]] = ([], [], [])
        for number in range(ROUNDS + 5):
            for place in [(number + k) % 3 for k in range(3)]:
                taken = passes[place](run)
                if number >= 5:
                    times[place].append(taken)
    return times


def rows(what: str, run: list[Image], first: Image) -> list[dict[str, object]]:
    """The ratios of one kind of run, then its absolute figures."""
    hand, controlled, recorded = compared(run, first)
    ratios = [ours / theirs for ours, theirs in zip(controlled, hand, strict=True)]
    added = [(more - ours) / theirs for more, ours, theirs in zip(recorded, controlled, hand, strict=True)]
    peer = f"straight-line loop, {median(hand) * 1e6:.2f} us"
    return [
        row(
            f"scan, reference cell, {what}",
            median(ratios),
            "x by hand",
            "<= 2.5",
            peer,
            half_quartiles(ratios),
        ),
        row(f"recorder adds, {what}", median(added), "x by hand", "<= 0.6", peer, half_quartiles(added)),
        row(f"scan, reference cell, {what}, absolute", median(controlled) * 1e6, "us"),
    ]


def run() -> list[dict[str, object]]:
    """Inputs changing in every scan, then constant ones. Raises RuntimeError if the outputs differ anywhere."""
    changing = images()
    constant = [changing[0]] * len(changing)
    outputs_agree(changing)
    outputs_agree(constant, 1)
    return rows("inputs changing", changing, changing[0]) + rows("constant inputs", constant, changing[0])


if __name__ == "__main__":
    for line in run():
        print(line)
