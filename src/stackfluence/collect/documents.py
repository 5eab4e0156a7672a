"""Reading a vendor's JSON: what isn't there is None, what is of another kind than documented is refused with its name.

Integers keep every digit (ids go beyond 2**53), numbers with a point are read as Decimal, never as float.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from stackfluence.collect.unusable import Unusable
from stackfluence.vocabulary import QuarantineReason

Document = dict[str, Any]
MAX_SHOWN = 500  # characters of one field that is kept of a document that can't be used
MAX_FIELDS = 200  # of the names of its fields

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def read_document(body: bytes) -> Document:
    """Return a JSON object; raises Unusable (`wrong_type`) for anything else."""
    try:
        document = _decode(body)
    except (
        msgspec.MsgspecError,
        UnicodeDecodeError,
        RecursionError,
        InvalidOperation,
    ):  # the last: 1e9999999999999999999
        raise Unusable(QuarantineReason.wrong_type, "the body is no JSON") from None
    if not isinstance(document, dict):
        raise Unusable(QuarantineReason.wrong_type, "the body is no JSON object")
    return document


def inside(document: object, *names: str) -> Any:
    """Return what is under a path of names, None where there is nothing."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def text(document: object, *names: str) -> str:
    """Return a text or number as text, empty for nothing; raises Unusable (`wrong_type`)."""
    found = inside(document, *names)
    if found is None:
        return ""
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise Unusable(QuarantineReason.wrong_type, ".".join(names))
    return str(found)


def required(document: object, *names: str) -> str:
    """Return a text or number as text; raises Unusable for another type, and `missing_field` for nothing."""
    found = text(document, *names)
    if not found:
        raise Unusable(QuarantineReason.missing_field, ".".join(names))
    return found


def objects(document: object, *names: str) -> list[Document]:
    """Return a list of objects, empty for nothing; raises Unusable (`wrong_type`)."""
    found = inside(document, *names)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unusable(QuarantineReason.wrong_type, ".".join(names))
    return found


def shown(document: object, names: Iterable[str]) -> Document:
    """Return some plain fields of a document, for whoever looks into why it can't be used: nothing of a person."""
    if not isinstance(document, dict):
        return {}
    found = {name: document.get(name) for name in names if name in document}
    plain: Document = {
        name: str(value)[:MAX_SHOWN] for name, value in found.items() if not isinstance(value, dict | list)
    }
    return plain | {"fields": sorted(document)[:MAX_FIELDS]}
