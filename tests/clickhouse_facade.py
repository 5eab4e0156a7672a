"""A ClickHouse server's HTTP interface in front of an embedded engine, for tests of the client's other half.

It is chDB behind a socket: it shows that statements, parameters, settings, sessions and errors survive HTTP. It proves
nothing about a server's own storage, replication or access control.

    python -m tests.clickhouse_facade DIRECTORY [PORT]   serves on a loopback port, printed on the first line
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import tempfile
import threading
import zlib
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

# what a server takes from the URL for itself; all else are settings
TRANSPORT = {
    "query", "database", "user", "password", "session_id", "session_timeout", "session_check", "query_id", "quota_key",
    "compress", "decompress", "wait_end_of_query", "client_protocol_version", "role", "buffer_size",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms", "enable_http_compression", "default_format",
}  # fmt: skip
TRAILING_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
INSERT_IN_BODY = re.compile(rb"(\s*INSERT\s[^\n]*?\bFORMAT\s+\w+)[ ]*\n", re.IGNORECASE | re.DOTALL)


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form by name."""
    form = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    return {
        str(part.get_param("name", header="content-disposition")): bytes(part.get_payload(decode=True)).decode()
        for part in form.walk()
        if not part.is_multipart()
    }


class Handle:
    """One connection to the engine: a session's, with its temporary tables, or a thread's."""

    def __init__(self, path: str) -> None:
        self.connection = chdb.connect(path)
        self.lock = threading.Lock()

    def execute(self, sql: bytes, content: bytes, arguments: dict[str, str]) -> tuple[bytes, str]:
        """Run a statement as the URL asks for it; returns the answer and its format."""
        parameters = {name[6:]: value for name, value in arguments.items() if name.startswith("param_")}
        settings = {
            name: value for name, value in arguments.items() if name not in TRANSPORT and not name.startswith("param_")
        }
        with self.lock:
            self.connection.query(f"use `{arguments.get('database') or 'default'}`")
            for name, value in settings.items():
                self.connection.query(f"set {name} = {quoted(value)}")
            try:
                if content and re.match(rb"\s*INSERT\b", sql, re.IGNORECASE):
                    self._insert(sql, content)
                    return b"", ""
                asked = TRAILING_FORMAT.search(sql)
                written = asked[1].decode() if asked else arguments.get("default_format", "TabSeparated")
                result = self.connection.query((sql + b"\n" + content).decode(), written, params=parameters)
                return result.bytes() or b"", written
            finally:
                for name in settings:
                    self.connection.query(f"set {name} = default")

    def _insert(self, sql: bytes, content: bytes) -> None:
        found = TRAILING_FORMAT.search(sql)
        written = found[1].decode() if found else "Values"
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(content)
        try:
            target = TRAILING_FORMAT.sub(b"", sql).decode()
            self.connection.query(f"{target} from infile {quoted(file.name)} format {written}", "TabSeparated")
        finally:
            os.unlink(file.name)


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def decoded(body: bytes, encoding: str | None) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    if encoding == "lz4":
        import lz4.frame  # type: ignore[import-untyped]

        return bytes(lz4.frame.decompress(body))
    if encoding is not None:
        raise ValueError(f"Code: 1001. Content-Encoding {encoding} is not served.")
    return body


class Request(BaseHTTPRequestHandler):
    """One statement."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # with it every answer takes 40 ms
    wbufsize = -1
    server: Facade

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        body = decoded(self.read_body(), self.headers.get("Content-Encoding"))
        if parts.path == "/ping":
            self.answer(200, b"Ok.\n")
            return
        arguments = dict(parse_qsl(parts.query, keep_blank_values=True))
        if self.headers.get_content_type() == "multipart/form-data":  # many parameters, too long for an address
            arguments |= form_fields(self.headers["Content-Type"], body)
            body = b""
        sql, content = (arguments["query"].encode(), body) if "query" in arguments else (body, b"")
        ridden = INSERT_IN_BODY.match(sql)
        if ridden:  # the statement stands in the body, before the rows
            sql, content = ridden[1], sql[ridden.end() :] + content
        try:
            answer, written = self.server.handle(arguments.get("session_id")).execute(sql, content, arguments)
        except Exception as error:  # whatever the engine raises becomes the server's answer
            message = str(error)
            message = message[max(0, message.find("Code: ")) :]
            code = re.search(r"Code: (\d+)", message)
            self.answer(500, message.encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "1002"})
            return
        headers = {"X-ClickHouse-Summary": json.dumps({}), "X-ClickHouse-Timezone": "UTC"}
        if written:
            headers["X-ClickHouse-Format"] = written
        self.answer(200, answer, headers)

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Facade(ThreadingHTTPServer):
    """The server; keeps the engine alive and each session's connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), Request)
        self.path = path
        self.root = chdb.connect(path)
        self.sessions: dict[str, Handle] = {}
        self.local = threading.local()
        self.lock = threading.Lock()

    def handle(self, session_id: str | None) -> Handle:
        if session_id:
            with self.lock:
                if session_id not in self.sessions:
                    self.sessions[session_id] = Handle(self.path)
                return self.sessions[session_id]
        if not hasattr(self.local, "handle"):
            self.local.handle = Handle(self.path)
        own: Handle = self.local.handle
        return own


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    facade = Facade(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    sys.stdout.write(f"{facade.server_port}\n")
    sys.stdout.flush()
    facade.serve_forever()
