"""A threaded gunicorn worker in which a slow peer costs a socket and never a thread.

gunicorn's own worker gives a thread to every connection while it waits for the first bytes, the
TLS handshake and the request's head; as many silent peers as there are threads would stop the
port for everybody. Here a connection waits in the poller, without blocking, until a whole
request (head and a body of moderate size) is there, or until its time is over. Parsing, keep-alive
and shutdown stay gunicorn's. nginx does the same in front of a production portal.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import ssl
import time
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn import sock as gunicorn_sock
from gunicorn.http import get_parser
from gunicorn.http.errors import LimitRequestLine
from gunicorn.util import write_nonblock
from gunicorn.workers import gthread

from portal.edge.problem import problem
from portal.edge.queueing import WAITED_SECONDS
from portal.rest.codes import CODES, ErrorCode
from portal.runtime.gunicorn_common import REQUEST_LINE_BYTES

ARRIVAL_SECONDS = 10.0
"""From the connection, or the first byte of a later request, to its whole head and small body."""
BLOCKED_SECONDS = 10.0
"""For each read and write that a thread waits for: the rest of a large body, the reply."""
LINGER_SECONDS = 2.0
"""After the last reply of a connection, for the peer to end it too."""
AWAITED_BODY_BYTES = 256 * 1024
_HEAD_LIMIT = 128 * 1024
_CHUNK = 64 * 1024

_CODE = ErrorCode.REQUEST_LINE_TOO_LONG
_BODY = json.dumps(
    problem(
        _CODE,
        CODES[_CODE].title,
        f"A path with its parameters has at most some {REQUEST_LINE_BYTES:,} bytes.",
        CODES[_CODE].status,
        request_id="-",
    )
).encode()
TOO_LONG = (
    b"HTTP/1.1 414 URI Too Long\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Cache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
"""Made once: where the line cannot be read, nothing is known of the request."""

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-f]{1,8})[ \t]*", re.IGNORECASE)
_SIZE_LINE_LIMIT = 1024
_EXPECTS_CONTINUE = re.compile(rb"\r\nexpect:", re.IGNORECASE)

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class ArrivingConnection(gthread.TConn):  # type: ignore[misc]
    """A connection that knows how much of its next request has arrived."""

    sock: Any
    parser: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.secured = not self.cfg.is_ssl
        self.ending = False
        self.arrived = bytearray()
        self.walked = 0
        self.awaits = _READ
        self.deadline = time.monotonic() + ARRIVAL_SECONDS

    def has_arrived(self) -> bool:
        """Advance without blocking; return whether a request may be handed to the parser.

        Also true at the end of the stream and for what the parser will refuse. Raises OSError
        (ssl.SSLError among them) when the connection is of no more use.
        """
        self.sock.setblocking(False)
        try:
            self._secure()
            while not self._is_whole():
                chunk = self.sock.recv(_CHUNK)
                if not chunk:
                    return True
                self.arrived += chunk
        except (BlockingIOError, ssl.SSLWantReadError):
            self.awaits = _READ
            return False
        except ssl.SSLWantWriteError:
            self.awaits = _WRITE
            return False
        return True

    def hand_over(self) -> None:
        """Give the parser what has arrived; from here on a thread waits, for a bounded time."""
        if self.parser is None:
            self.parser = get_parser(self.cfg, self.sock, self.client)
        self.initialized = True
        self.parser.unreader.unread(bytes(self.arrived))
        self.arrived.clear()
        self.walked = 0

    def expect_next(self) -> None:
        """Wait for the next request; take back what the parser has read ahead."""
        self.arrived[:] = self.parser.unreader.take_buffered()
        self.deadline = time.monotonic() + ARRIVAL_SECONDS

    def has_buffered(self) -> bool:
        """Return whether bytes are here that no longer make the socket readable."""
        return bool(self.arrived) or (
            isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
        )

    def end(self) -> None:
        """Say that no more will be sent (RFC 9112 §9.6); the peer's end is awaited in the poller.

        Closing at once could reset the connection and with it the reply's last bytes.
        """
        self.ending = True
        self.awaits = _READ
        self.deadline = time.monotonic() + LINGER_SECONDS
        self.sock.setblocking(False)
        self.sock.shutdown(socket.SHUT_WR)

    def has_ended(self) -> bool:
        """Throw away what the peer still sends; return whether it has ended too."""
        try:
            while self.sock.recv(_CHUNK):
                pass
        except BlockingIOError:
            return False
        return True

    def _secure(self) -> None:
        if self.secured:
            return
        if not isinstance(self.sock, ssl.SSLSocket):
            self.sock = gunicorn_sock.ssl_context(self.cfg).wrap_socket(
                self.sock, server_side=True, do_handshake_on_connect=False
            )
        self.sock.do_handshake()
        self.secured = True

    def _is_whole(self) -> bool:
        end = self.arrived.find(b"\r\n\r\n")
        if end < 0:
            return len(self.arrived) > _HEAD_LIMIT
        head = self.arrived[: end + 2]
        if _EXPECTS_CONTINUE.search(head):
            return True
        if _CHUNKED.search(head):
            is_long = len(self.arrived) >= end + 4 + AWAITED_BODY_BYTES
            return is_long or self._has_last_chunk(end + 4)
        length = _CONTENT_LENGTH.search(head)
        if length is None:
            return True
        return len(self.arrived) >= end + 4 + min(int(length[1]), AWAITED_BODY_BYTES)

    def _has_last_chunk(self, start: int) -> bool:
        """Walk the chunks (RFC 9112 §7.1) from where the last look ended; return whether the body
        is here, or what the parser will refuse.
        """
        at = max(start, self.walked)
        while (end := self.arrived.find(b"\r\n", at, at + _SIZE_LINE_LIMIT)) >= 0:
            size = _CHUNK_SIZE.fullmatch(self.arrived[at:end].partition(b";")[0])
            if size is None:
                return True
            length = int(size[1], 16)
            if length == 0:
                return self.arrived.find(b"\r\n\r\n", end) >= 0
            at = self.walked = end + 2 + length + 2
        return len(self.arrived) - at >= _SIZE_LINE_LIMIT


class QueueingWorker(gthread.ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker that tells a request how long it stood in line."""

    def enqueue_req(self, conn: Any) -> None:
        conn.enqueued_at = time.monotonic()
        super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        WAITED_SECONDS.set(time.monotonic() - conn.enqueued_at)
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Refuse a request line that is too long as the API does: whom it was for is not known."""
        if not isinstance(exc, LimitRequestLine):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("Invalid request from ip=%s: %s", (addr or ("",))[0], exc)
        with suppress(OSError):
            write_nonblock(client, TOO_LONG)


class PatientWorker(QueueingWorker):
    """gunicorn's threaded worker with arrivals and endings in the poller."""

    def accept(self, listener: Any) -> None:
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        self._park(ArrivingConnection(self.cfg, client, address, listener.getsockname()))

    def handle(self, conn: ArrivingConnection) -> Any:
        """Run in a thread: take the connection a step further, or serve its request."""
        try:
            if conn.ending:
                return False if conn.has_ended() else gthread._DEFER
            if not conn.has_arrived():
                return gthread._DEFER
        except OSError as error:
            # A refused handshake or a peer that went away is the peer's affair.
            self.log.debug("Connection from %s ended on arrival: %s", conn.client, error)
            return False
        conn.hand_over()
        if super().handle(conn):
            conn.expect_next()
            return True
        try:
            conn.end()
        except OSError:
            return False
        return gthread._DEFER

    def handle_request(self, req: Any, conn: ArrivingConnection) -> Any:
        conn.sock.settimeout(BLOCKED_SECONDS)
        return super().handle_request(req, conn)

    def finish_request(self, conn: ArrivingConnection, fs: Any) -> None:
        """Run in the main loop, which must never wait for a peer."""
        outcome = False if fs.cancelled() or fs.exception() is not None else fs.result()
        if outcome is gthread._DEFER:
            self._park(conn)
        elif outcome and conn.has_buffered():
            self.enqueue_req(conn)
        elif outcome:
            super().finish_request(conn, fs)
        else:
            self.nr_conns -= 1
            conn.close()

    def on_client_socket_readable(self, conn: ArrivingConnection, client: Any) -> None:
        conn.deadline = time.monotonic() + ARRIVAL_SECONDS
        super().on_client_socket_readable(conn, client)

    def murder_pending(self) -> None:
        """Close what did not arrive in time, however steadily it dribbled."""
        now = time.monotonic()
        for conn in [conn for conn in self.pending_conns if conn.deadline <= now]:
            self.pending_conns.remove(conn)
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.deadline = min(conn.deadline, deadline)

    def _park(self, conn: ArrivingConnection) -> None:
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, conn.awaits, partial(self.on_pending_socket_readable, conn))
