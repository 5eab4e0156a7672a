"""What can be read but not used, and why."""

from __future__ import annotations

from stackfluence.vocabulary import QuarantineReason


class Unusable(Exception):
    """The event can be read but not used; `reason` says why, `detail` which field."""

    def __init__(self, reason: QuarantineReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail[:300]
