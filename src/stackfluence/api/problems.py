"""Every failure as problem+json (RFC 9457), and what the OpenAPI document says of them. docs/http.md explains each."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from stackfluence.errors import (
    Invalid,
    MalformedJson,
    NotFound,
    Problem,
    StackfluenceError,
    StoreError,
    Unavailable,
    Undecryptable,
    Unexpected,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
# classes of SQLSTATE that pass by themselves: connection, rollback, resources, lock timeout, operator, system
_PASSING = ("08", "40", "53", "55", "57", "58")

SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong, RFC 9457. `type` never changes its meaning; docs/http.md lists all.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": ["/problems/invalid"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "The fields that are wrong, when fields are.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def all_problems(kind: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Yield every class of the tree, the root first."""
    yield kind
    for child in kind.__subclasses__():
        yield from all_problems(child)


def documented(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return these problems as OpenAPI's responses of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {kind.status: {"description": kind.title, "content": content} for kind in kinds}


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as its response."""
    body = problem.body()
    if "field" in body:
        field = str(body.pop("field"))
        body["errors"] = [{"field": field, "message": problem.detail.removeprefix(f"{field}: ")}]
    headers = dict(headers or {})
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="stackfluence"'
    if problem.status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    # ASCII: a lone surrogate in a field's name must not become an error of its own
    return Response(json.dumps(body).encode(), problem.status, headers, MEDIA_TYPE)


def translate(error: Exception) -> Problem:
    """Return the problem that an exception is to a client; one nobody thought of is logged and tells nothing."""
    if isinstance(error, Problem):
        return error
    if is_passing(error):
        log.warning("dependency_away", extra={"error": repr(error)})
        return Unavailable("A database can't be reached right now.")
    if isinstance(error, Undecryptable):  # hooks come again: the operator may put the right key back
        log.error("secret_lost", extra={"error": str(error)})
        return Unavailable("A stored secret can't be decrypted; see `stackfluence doctor`.")
    log.exception("unexpected_error", exc_info=error)
    return Unexpected()


def is_passing(error: Exception) -> bool:
    """Whether the same request may well succeed in a moment: a database is away, locked or restarting."""
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError | InterfaceError):
        state = str(getattr(error.orig, "sqlstate", None) or "")
        return error.connection_invalidated or state.startswith(_PASSING)
    return isinstance(error, OperationalError | InterfaceError | PoolTimeout | OSError | TimeoutError | StoreError)


def install(api: FastAPI) -> None:
    """Answer all of the application's exceptions with problems, and serve what their types mean."""
    api.add_exception_handler(StackfluenceError, _on_error)
    api.add_exception_handler(DBAPIError, _on_error)
    api.add_exception_handler(OSError, _on_error)
    api.add_exception_handler(RequestValidationError, _on_invalid)
    api.add_exception_handler(HTTPException, _on_refusal)
    api.add_api_route("/problems/{kind}", explain, include_in_schema=False)


async def explain(kind: str) -> Response:
    """Say what a problem type means."""
    for problem in all_problems():
        if problem.type == kind:
            return PlainTextResponse(f"{problem.status} {problem.title}\n\n{problem.__doc__}\n")
    raise NotFound(f"There is no problem type {kind!r}.")


async def _on_error(_request: Request, error: Exception) -> Response:
    return answer(translate(error))


async def _on_refusal(_request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: unknown routes and methods, bodies it can't parse or that are too long."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # the framework's only one
        return answer(MalformedJson())
    kind = next((kind for kind in all_problems() if kind.status == error.status_code), Problem)
    is_said = error.detail.lower() != HTTPStatus(error.status_code).phrase.lower()
    return answer(kind(error.detail if is_said else ""), error.headers)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return answer(MalformedJson())
    return answer(Invalid(f"{len(found)} field(s) are not as they must be.", errors=plain(found)))


def plain(found: Any) -> list[dict[str, str]]:
    """Return pydantic's errors as field and message; what was sent is not repeated, it may be a secret."""
    return [
        {
            "field": ".".join(str(part) for part in each["loc"] if part not in ("body", "query", "path", "header"))
            or "body",
            "message": str(each["msg"]).removeprefix("Value error, "),
        }
        for each in found
    ]
