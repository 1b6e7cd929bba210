"""Why something that was asked for is not done: one number, one name, one text for each reason.

The numbers are published and journalled, so they never change their meaning. Other parts add theirs with `refusal`
when they are imported; each part keeps to its own hundred (0: PackML and who commands; 100: orders; 200: requests).
"""

ACCEPTED = 0

# number -> (name, text); looked up, never iterated
REFUSALS: "dict[int, tuple[str, str]]" = {ACCEPTED: ("accepted", "accepted")}


def refusal(code: int, name: str, text: str) -> int:
    """Adds a reason to REFUSALS and returns its number. Raises ValueError where the number means something else."""
    known = REFUSALS.get(code)
    if known is not None and known != (name, text):
        raise ValueError(
            "refusal code %d is '%s' already; give '%s' a number of its own" % (code, known[0], name)
        )
    REFUSALS[code] = (name, text)
    return code


def refusal_name(code: int) -> str:
    """The name that programs compare, `unknown` for a number without a meaning."""
    return REFUSALS.get(code, ("unknown", ""))[0]


def refusal_text(code: int) -> str:
    """The text for people, in the words of the standard."""
    return REFUSALS.get(code, ("", "refused for a reason without text, code %d" % code))[1]


NOT_ALLOWED_IN_STATE = refusal(1, "not_allowed_in_state", "the state does not allow this command")
NOT_KNOWN_IN_MODE = refusal(2, "not_known_in_mode", "the mode does not have the states this command leads to")
UNKNOWN_COMMAND = refusal(3, "unknown_command", "there is no command of this name or number")
MODE_UNKNOWN = refusal(4, "mode_unknown", "the mode is not one of 1..31")
MODE_NOT_ENABLED = refusal(5, "mode_not_enabled", "the cell file does not declare this mode")
MODE_LEAVING_NOT_ALLOWED = refusal(6, "mode_leaving_not_allowed", "the mode may not be left in this state")
MODE_ENTERING_NOT_ALLOWED = refusal(
    7, "mode_entering_not_allowed", "the mode may not be entered in this state"
)
STATE_NOT_IN_MODE = refusal(8, "state_not_in_mode", "the mode does not have the present state")
NOT_IN_CONTROL = refusal(9, "not_in_control", "another station is in control; take control first")
CAUSE_STANDS = refusal(10, "cause_stands", "what stopped the cell is still there")
NOT_ACKNOWLEDGED = refusal(11, "not_acknowledged", "a trip waits for a person to acknowledge it")
QUESTION_OPEN = refusal(12, "question_open", "an interrupted item waits for its answer")
EXPIRED = refusal(13, "expired", "the command came after its expiry")
NO_EXPIRY = refusal(14, "no_expiry", "a command needs an expiry, at most 60 s ahead")
DUPLICATE = refusal(15, "duplicate", "a command with this id was answered before")
RETAINED = refusal(16, "retained", "a retained message is no command; publish it without the retain flag")
QUEUED_WHILE_AWAY = refusal(
    17, "queued_while_away", "the command waited in the broker while the cell was away"
)
SUPERSEDED = refusal(18, "superseded", "a command of higher priority came in the same scan")
JOURNAL_UNWRITABLE = refusal(
    19, "journal_unwritable", "the journal cannot be written; free space on its disk"
)
