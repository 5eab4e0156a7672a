"""sf.js for the pages of advertisers: `/sf.v1.js` never changes once it is released, `/sf.js` is the newest version.

The files are built from `snippet/` and kept with their bytes, so that serving them needs neither Node nor a build.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stackfluence.click.edge import Edge
    from stackfluence.click.request import Request

PLACE = Path(__file__).parent
MAX_GZIP_BYTES = 2_560
NEWEST_SECONDS = 3_600  # how long a page may run the version before a new one
VERSION_SECONDS = 31_536_000  # a year, the longest that caches are told (RFC 2616, section 14.21)
_NAME = re.compile(r"sf\.v(\d+)\.js")
_READING = frozenset((b"GET", b"HEAD"))


@dataclass(frozen=True, slots=True)
class Script:
    """One version's bytes, as they are and after gzip, and their names in caches."""

    version: int
    plain: bytes
    packed: bytes
    digest: str

    @property
    def integrity(self) -> str:
        """The value of the tag's `integrity` (Subresource Integrity, section 3.1)."""
        return "sha384-" + b64encode(hashlib.sha384(self.plain).digest()).decode()


def read_scripts() -> dict[int, Script]:
    """Return every version that there is, by its number."""
    found = {}
    for path in PLACE.glob("sf.v*.js"):
        if named := _NAME.fullmatch(path.name):
            plain = path.read_bytes()
            packed = gzip.compress(plain, 9, mtime=0)
            version = int(named[1])
            found[version] = Script(version, plain, packed, hashlib.sha256(plain).hexdigest()[:32])
    return found


def serve_snippet(edge: Edge) -> None:
    """Let an edge answer `/sf.js` and `/sf.v<number>.js`; raises ValueError where there is no version at all."""
    scripts = read_scripts()
    newest = scripts[max(scripts)]
    edge.routes.append((_READING, b"/sf.js", partial(_answer, edge, b"/sf.js", newest, NEWEST_SECONDS, b"")))
    for version, script in scripts.items():
        path = b"/sf.v%d.js" % version
        edge.routes.append((_READING, path, partial(_answer, edge, path, script, VERSION_SECONDS, b", immutable")))


def _answer(edge: Edge, path: bytes, script: Script, seconds: int, lasting: bytes, request: Request) -> None:
    if request.target.partition(b"?")[0] != path:
        request.refuse(404, "not-found", "The snippet is /sf.js, a version of it /sf.v1.js.")
        return
    is_packed = _takes_gzip(request.fields.get(b"accept-encoding", b""))
    tag = f'"{script.digest}{"-gzip" if is_packed else ""}"'.encode()  # each encoding is a representation of its own
    headers = (
        b"date: %b\r\netag: %b\r\ncache-control: public, max-age=%d%b\r\nvary: accept-encoding\r\n"
        # any page may load it, with `crossorigin` and `integrity` too
        b"access-control-allow-origin: *\r\ncross-origin-resource-policy: cross-origin\r\n"
        b"x-content-type-options: nosniff\r\n"
    ) % (edge.date, tag, seconds, lasting)
    if _is_known(request.fields.get(b"if-none-match", b""), script.digest.encode()):
        request.answer(b"HTTP/1.1 304 Not Modified\r\n%b\r\n" % headers)
        return
    body = script.packed if is_packed else script.plain
    request.answer(
        b"HTTP/1.1 200 OK\r\n%bcontent-type: text/javascript; charset=utf-8\r\n%bcontent-length: %d\r\n\r\n%b"
        % (
            headers,
            b"content-encoding: gzip\r\n" if is_packed else b"",
            len(body),
            b"" if request.method == b"HEAD" else body,
        )
    )


def _takes_gzip(accepted: bytes) -> bool:
    """Whether an Accept-Encoding (RFC 9110, section 12.5.3) names gzip, and not to refuse it."""
    for each in accepted.lower().split(b","):
        name, _, weight = each.partition(b";")
        if name.strip() in (b"gzip", b"x-gzip"):
            return re.fullmatch(rb"\s*q=0(\.0*)?\s*", weight) is None
    return False


def _is_known(named: bytes, digest: bytes) -> bool:
    """Whether an If-None-Match (RFC 9110, section 13.1.2) names this version, in either encoding."""
    return named.strip() == b"*" or digest in re.findall(rb'"([^"-]*)', named)
