"""Prints one sha256 over what the PackML parts answer: steps, masks, refusals, mode changes, lights, handshakes."""

import binascii
import hashlib

from cell_controller.core import handshake, packml, refusals, stack_light


def steps(digest: "hashlib._Hash") -> None:
    """Every state with every set of waiting commands."""
    for profile in packml.PROFILES:
        table = packml.compile_table(profile)
        row = bytearray(2 * (1 << packml.COLUMNS))
        for state in range(1, len(packml.STATES)):
            machine = packml.StateMachine(table, state)
            for pending in range(1 << packml.COLUMNS):
                machine.state = state
                machine.abort = pending >> packml.CMD_ABORT & 1
                machine.stop = pending >> packml.CMD_STOP & 1
                machine.pending = pending & ~0x108
                row[2 * pending] = machine.step()
                row[2 * pending + 1] = machine.state
            digest.update(row)


def answers(digest: "hashlib._Hash") -> None:
    """Masks, requested states and refusals of every state, for the sets of disabled states that modes use."""
    for profile in packml.PROFILES:
        for disabled in (0, 0x06020, 0x37C20, 0x3FDAA):
            table = packml.compile_table(profile, disabled)
            for state in range(len(packml.STATES)):
                line = [packml.allowed_mask(table, state), packml.state_requested(table, state)]
                for command in range(14):
                    line.append(packml.command_refusal(table, state, command, profile))
                digest.update(repr(line).encode())


def modes(digest: "hashlib._Hash") -> None:
    """Mode changes over state x target x enabled x where a mode may be entered and left."""
    for state in range(len(packml.STATES)):
        for target in range(-1, 6):
            for enabled in (0, 0xE, 0x1E):
                for leave in (0x00214, 0x3FFFE):
                    for enter in (0x00214, 0x00004):
                        code = packml.mode_change_refusal(
                            1,
                            target,
                            state,
                            enabled,
                            {3: 0x37C20, 4: 0x00020},
                            {1: leave, 2: enter, 4: 0x3FFFE},
                        )
                        digest.update(bytes((code,)))


def lights(digest: "hashlib._Hash") -> None:
    """The stack light in every state with every condition."""
    for state in range(len(packml.STATES)):
        for bits in range(16):
            shown = stack_light.stack_light(state, bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 3 & 1)
            digest.update(" ".join(stack_light.light_names(shown)).encode())


def handshakes(digest: "hashlib._Hash") -> None:
    """Every short history of command value and request bit."""
    for history in range(1 << 12):
        command, mode = handshake.CommandHandshake(), handshake.ModeHandshake()
        for scan in range(4):
            value, request = history >> 3 * scan & 3, history >> 3 * scan + 2 & 1
            digest.update(bytes((command.scan(value, request), mode.scan(value, request))))


def main() -> None:
    digest = hashlib.sha256()
    steps(digest)
    answers(digest)
    modes(digest)
    lights(digest)
    handshakes(digest)
    for code in range(20):
        digest.update((refusals.refusal_name(code) + refusals.refusal_text(code)).encode())
    print(binascii.hexlify(digest.digest()).decode())


main()
