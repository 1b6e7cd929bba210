"""The answer to a request, kept back until what it says is durable."""

from .refusals import ACCEPTED, refusal_name, refusal_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Reply:
    """`code` 0 is accepted. `after`: the sequence number that must be durable before the reply leaves.

    `firm`: it waits for that even while the journal cannot be written; others (a Stop was accepted) leave then.
    """

    def __init__(
        self,
        token: object,
        request_id: str,
        code: int,
        text: str = "",
        data: "dict[str, Any] | None" = None,
        after: int = 0,
        name: str = "",
        firm: bool = False,
    ) -> None:
        self.token = token
        self.id = request_id
        self.code = code
        self.name = name or refusal_name(code)
        self.text = text or refusal_text(code)
        self.data: "dict[str, Any]" = data or {}
        self.after = after
        self.firm = firm

    def refuse(self, code: int, after: int) -> None:
        """Turn an answer that has not left yet into a refusal."""
        self.code = code
        self.name = refusal_name(code)
        self.text = refusal_text(code)
        self.after = after

    def as_dict(self) -> "dict[str, Any]":
        """The reply as it is written to JSON."""
        return {
            "id": self.id,
            "ok": self.code == ACCEPTED,
            "code": self.code,
            "name": self.name,
            "text": self.text,
            "data": self.data,
        }
