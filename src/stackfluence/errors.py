"""What can go wrong, as one tree.

    StackfluenceError
    ├── SettingsError          a setting is missing, weak or contradicts another
    ├── JournalError           the journal can't be opened or written
    │   ├── JournalLocked      another process owns the directory
    │   └── JournalDiverged    two different contents claim the same range of sequence numbers
    ├── StoreError             the event store refused or can't be reached
    │   └── ChecksFailed       facts about to be published contradict each other
    ├── SchemaTooNew           a segment was written by a newer version
    ├── OperationRefused       a command can't be carried out as things are
    │   └── WrongUsage         nor can it ever be, as it was given: exit code 2
    ├── Undecryptable          a stored secret doesn't open with the keys that are set
    ├── ListsUnusable          the lists that set-up installs are missing or damaged
    └── Problem                an answer to an HTTP client, RFC 9457

Each class's docstring is its message to a person; `Problem` carries the HTTP status.
"""

from __future__ import annotations

from typing import Any, ClassVar


class StackfluenceError(Exception):
    """Something went wrong."""

    def __str__(self) -> str:
        detail = super().__str__()
        summary = (type(self).__doc__ or "").strip().splitlines()[0]
        return f"{summary} {detail}" if detail else summary


class SettingsError(StackfluenceError):
    """A setting can't be used."""


class JournalError(StackfluenceError):
    """The journal can't be used."""


class JournalLocked(JournalError):
    """The journal directory is in use by another process."""


class JournalDiverged(JournalError):
    """Two different contents claim the same sequence numbers; was a data directory copied while in use?"""


class StoreError(StackfluenceError):
    """The event store refused the request."""


class ChecksFailed(StoreError):
    """The facts of a run contradict each other, so readers keep what they had."""


class SchemaTooNew(StackfluenceError):
    """The segment was written by a newer version; upgrade this one, nothing is lost meanwhile."""


class OperationRefused(StackfluenceError):
    """The command can't be carried out."""


class WrongUsage(OperationRefused):
    """The command was given what can't be meant."""


class Undecryptable(StackfluenceError):
    """A stored secret can't be decrypted; is SF_CLICK_ID_SECRET or SF_MASTER_KEY another than it was?"""


class ListsUnusable(StackfluenceError):
    """The lists that set-up installs are missing or damaged; run `make setup`, which builds them."""


class Problem(StackfluenceError):
    """The request can't be answered."""

    status: ClassVar[int] = 400
    type: ClassVar[str] = "bad-request"
    title: ClassVar[str] = "The request can't be answered"

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """Return the RFC 9457 members, `type` being stable and relative to the documentation."""
        return {
            "type": f"/problems/{self.type}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }


class MalformedJson(Problem):
    """The body is no JSON."""

    status = 400
    type = "malformed-json"
    title = "The body is no JSON"


class Unauthorized(Problem):
    """No valid key."""

    status = 401
    type = "unauthorized"
    title = "A valid key is needed"


class Forbidden(Problem):
    """The key may not do this."""

    status = 403
    type = "forbidden"
    title = "This key may not do that"


class NotFound(Problem):
    """There is no such thing here."""

    status = 404
    type = "not-found"
    title = "Not found"


class MethodNotAllowed(Problem):
    """This can't be done with it."""

    status = 405
    type = "method-not-allowed"
    title = "Method not allowed"


class Conflict(Problem):
    """It exists already or changed meanwhile."""

    status = 409
    type = "conflict"
    title = "Conflict"


class TooLarge(Problem):
    """The request is too large."""

    status = 413
    type = "too-large"
    title = "The request is too large"


class UnsupportedMediaType(Problem):
    """The request's Content-Type is none that can be read here."""

    status = 415
    type = "unsupported-media-type"
    title = "Unsupported media type"


class Invalid(Problem):
    """A field is wrong."""

    status = 422
    type = "invalid"
    title = "A field is not as it must be"


class TooManyRequests(Problem):
    """The key has made more requests than it may; `Retry-After` says when the next is answered."""

    status = 429
    type = "too-many-requests"
    title = "Too many requests"


class Unexpected(Problem):
    """Something went wrong on this side; the log says what."""

    status = 500
    type = "unexpected"
    title = "Something went wrong here"


class VendorFailed(Problem):
    """Somebody we had to ask refused or can't be reached; `detail` says who, why and what to do."""

    status = 502
    type = "vendor-failed"
    title = "A vendor could not do its part"


class Unavailable(Problem):
    """It can't be done right now."""

    status = 503
    type = "unavailable"
    title = "Try again shortly"
