"""`stackfluence geoip update`: MaxMind's GeoLite2 files, downloaded, checked and put in place by rename.

MaxMind's permanent links take the account id and licence key as Basic authentication and redirect to a signed address
elsewhere, which never sees them. HEAD requests don't count against the daily limit of downloads (30 for a free
account), so a file is fetched only when its Last-Modified is another than that of the file at hand, which carries it.
Source: MaxMind, "Updating GeoIP and GeoLite Databases", section "Directly downloading databases".
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from stackfluence import __version__
from stackfluence.click.geo import UPDATED, GeoFile, GeoFileRefused, open_file
from stackfluence.errors import OperationRefused
from stackfluence.settings import Settings

DOWNLOADS = "https://download.maxmind.com"
TIMEOUT = httpx.Timeout(30.0, read=60.0)  # seconds, of silence: GeoLite2-ASN has 10 MB
MAX_BYTES = 1 << 30  # no file of this kind comes near; what is larger is no database

_ANSWERS = {
    401: "MaxMind doesn't accept SF_MAXMIND_ACCOUNT_ID with SF_MAXMIND_LICENSE_KEY.",
    403: "MaxMind doesn't let this account download; its pages say whether a licence has to be accepted first.",
    404: "MaxMind has no such database for this account.",
    429: "MaxMind's daily limit of downloads is reached; try again tomorrow. The files in use stay.",
}

Tell = Callable[[dict[str, Any]], None]


def update(settings: Settings, tell: Tell = lambda _message: None, origin: str = "") -> dict[str, Any]:
    """Bring both files up to date and return what is there now: directory, and per file version, path and change.

    Raises OperationRefused when credentials are missing or not accepted, MaxMind can't be reached, or what came isn't
    what it should be; what was in place stays then. `origin` replaces MaxMind's address.
    """
    if not settings.maxmind_account_id or not settings.maxmind_license_key:
        raise OperationRefused("Set SF_MAXMIND_ACCOUNT_ID and SF_MAXMIND_LICENSE_KEY; a free MaxMind account has both.")
    folder = settings.data_path / "geoip"
    folder.mkdir(mode=0o700, exist_ok=True)
    configured = {"country": settings.geoip_country_db, "asn": settings.geoip_asn_db}
    databases = []
    with httpx.Client(
        base_url=origin or DOWNLOADS,
        auth=(settings.maxmind_account_id, settings.maxmind_license_key),
        headers={"User-Agent": f"stackfluence/{__version__}"},
        timeout=TIMEOUT,
        follow_redirects=True,
    ) as client:
        for number, (kind, edition) in enumerate(UPDATED.items()):
            tell({"step": edition, "done": number, "total": len(UPDATED)})
            path = folder / f"{edition}.mmdb"
            try:
                is_changed, file = _update_one(client, edition, kind, path)
            except httpx.HTTPError as error:
                raise OperationRefused(f"{edition}: MaxMind can't be reached: {type(error).__name__}.") from None
            databases.append(
                {
                    "kind": kind,
                    "version": file.version,
                    "path": str(path),
                    "is_changed": is_changed,
                    "is_used": not configured[kind] or Path(configured[kind]).absolute() == path,
                    "setting": f"SF_GEOIP_{kind.upper()}_DB",
                }
            )
    return {"directory": str(folder), "databases": databases}


def _update_one(client: httpx.Client, edition: str, kind: str, path: Path) -> tuple[bool, GeoFile]:
    """Return whether the file was replaced, and the one that is there now."""
    link = f"/geoip/databases/{edition}/download"
    current = _current(path, kind)
    head = client.head(link, params={"suffix": "tar.gz"})
    _refuse_status(edition, head.status_code)
    modified_at = _time_of(head.headers.get("last-modified", ""))
    if current is not None and modified_at and current.path.stat().st_mtime == modified_at:
        return False, current
    answer = client.get(link, params={"suffix": "tar.gz.sha256"})
    _refuse_status(edition, answer.status_code)
    wanted = re.match(r"[0-9a-f]{64}\b", answer.text.strip().lower())
    if wanted is None:
        raise OperationRefused(f"{edition}: what MaxMind sent as its SHA-256 is none.")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".update-") as folder:
        archive = Path(folder) / "archive"
        with client.stream("GET", link, params={"suffix": "tar.gz"}) as stream:
            _refuse_status(edition, stream.status_code)
            found = _save(stream, archive, edition)
            modified_at = _time_of(stream.headers.get("last-modified", "")) or modified_at
        if found != wanted[0]:
            raise OperationRefused(f"{edition}: the download has another SHA-256 than MaxMind says; try again.")
        draft = Path(folder) / path.name
        _unpack(archive, draft, edition)
        return True, _put_in_place(draft, path, kind, current, modified_at)


def _current(path: Path, kind: str) -> GeoFile | None:
    """Return the file in place; None for none and for one that can't be used, which any other replaces."""
    try:
        return open_file(path, kind)
    except GeoFileRefused:
        return None


def _refuse_status(edition: str, status: int) -> None:
    if status != 200:
        raise OperationRefused(f"{edition}: {_ANSWERS.get(status, f'MaxMind answered {status}; try again later.')}")


def _time_of(header: str) -> int:
    """Return an HTTP date as seconds since 1970, 0 for none."""
    try:
        return int(parsedate_to_datetime(header).timestamp())
    except ValueError:
        return 0


def _save(stream: httpx.Response, archive: Path, edition: str) -> str:
    """Write a download to a file and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with archive.open("wb") as file:
        for chunk in stream.iter_bytes(1 << 20):
            size += len(chunk)
            if size > MAX_BYTES:
                raise OperationRefused(f"{edition}: the download is larger than any such file.")
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _unpack(archive: Path, draft: Path, edition: str) -> None:
    """Copy the one database out of the archive; names and paths inside it are not followed."""
    try:
        with tarfile.open(archive, "r:gz") as tar, draft.open("wb") as file:
            for member in tar:
                if member.isfile() and member.name.endswith(f"{edition}.mmdb") and member.size <= MAX_BYTES:
                    source: BinaryIO | Any = tar.extractfile(member)
                    shutil.copyfileobj(source, file, 1 << 20)
                    return
    except (tarfile.TarError, EOFError, OSError) as error:
        raise OperationRefused(f"{edition}: the archive can't be read: {error}.") from None
    raise OperationRefused(f"{edition}: the archive holds no {edition}.mmdb.")


def _put_in_place(draft: Path, path: Path, kind: str, current: GeoFile | None, modified_at: int) -> GeoFile:
    """Examine the new file as an edge would, give it MaxMind's time, and publish it by rename."""
    try:
        file = open_file(draft, kind)
        if current is not None and file.built_at < current.built_at:
            raise GeoFileRefused(f"{file.version} is older than {current.version}, which is in place")
    except GeoFileRefused as refusal:
        raise OperationRefused(f"{path.stem}: what MaxMind sent can't be used: {refusal}.") from None
    if modified_at:
        os.utime(draft, (modified_at, modified_at))
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    return file
