"""Bounded HTTP/1.1 client (RFC 9112) for the API of docs/api.md.

Every length is checked before it is read. A request and its answer's body share one buffer
that was there before, so that no answer, however made, takes more than a little of the heap.
"""

import asyncio
import gc

from firmware import settings
from firmware.errors import LinkError
from firmware.link.json_reader import read_json
from firmware.link.transport import open_connection

_HEAD_ROOM = 384  # bytes kept for a request's head, in front of its body
_CHUNK_LINE_MAX = 64
_CHUNKS_MAX = 256
_HEADER_MAX = 64  # characters of a name, and of a value, that are looked at
_SERVER_CODE_MAX = 32


class StatusError(LinkError):
    """The server refused: HTTP status, its own code or None, and how long it wants to be left alone, or None."""

    def __init__(self, status, server_code, retry_after_s):
        super().__init__("status")
        self.status = status
        self.server_code = server_code
        self.retry_after_s = retry_after_s


class Limits:
    """Time-outs in milliseconds: connect and handshake, first byte of an answer, the rest of it."""

    def __init__(
        self,
        connect_ms=settings.LINK_CONNECT_MS,
        first_byte_ms=settings.LINK_FIRST_BYTE_MS,
        answer_ms=settings.LINK_ANSWER_MS,
    ):
        self.connect_ms = connect_ms
        self.first_byte_ms = first_byte_ms
        self.answer_ms = answer_ms


def new_buffer():
    """What a client needs to have for a request or the body of an answer."""
    return bytearray(settings.LINK_ANSWER_MAX_BYTES)


class HttpClient:
    """One server, one connection that is kept, one request at a time.

    A kept connection may have died since. A request that fails on it before any byte of an answer came is sent again,
    once, over a new one: whatever the API has may be repeated without harm.
    After a cancellation, and any error but a refusal in good order, the connection is closed.
    """

    def __init__(self, host, port, context, buffer, limits=None, connect=open_connection):
        self._host = host
        self._port = port
        self._context = context
        self._buffer = buffer
        self._limits = limits or Limits()
        self._connect = connect
        self._connection = None

    async def call(self, path, pieces, wait_ms=0):
        """POST JSON, given as a sequence of bytes objects; returns the answer's object, a dict.

        wait_ms: how long the server was asked to think. LinkError as in docs/architecture.md, StatusError
        where the server refuses.
        """
        status, body, retry_after_s = await self.request("POST", path, pieces, wait_ms)
        # Values that stay are not to be strewn among what the connection left behind: that takes 2 KiB less heap.
        gc.collect()
        if status == 200:
            answer = read_json(body, settings.LINK_JSON_MAX_BYTES)
            if not isinstance(answer, dict):
                raise LinkError("bad_answer")
            return answer
        if status < 400:
            raise LinkError("bad_http")
        raise StatusError(status, _server_code(body), retry_after_s)

    async def request(self, method, path, pieces, wait_ms=0):
        """Returns (status, body, retry_after_s): a memoryview that holds until the next request; None or seconds."""
        view = self._compose(method, path, pieces)
        try:
            await self._start(view, self._limits.first_byte_ms + wait_ms)
            answer = Answer(self._connection, memoryview(self._buffer))
            await _within(self._limits.answer_ms, answer.read())
            waiting = self._connection.waiting()
            if waiting:
                raise LinkError("bad_http")  # more than one answer
        except BaseException:
            self.close()
            raise
        if answer.is_last or waiting is not None:
            self.close()
        return answer.status, answer.body, answer.retry_after_s

    def close(self):
        """Drop the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def end(self):
        """Close it for good. A finished task may be kept a while, and this with it: then without what is large."""
        self.close()
        self._context = self._buffer = None

    def _compose(self, method, path, pieces):
        """The whole request as one view of the buffer."""
        view = memoryview(self._buffer)
        end = _HEAD_ROOM
        for piece in pieces:
            start = end
            end += len(piece)
            if end > len(view):
                raise LinkError("too_large")
            view[start:end][:] = piece
        host = self._host if self._port == 443 else "%s:%d" % (self._host, self._port)
        head = (
            "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n"
            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        ) % (method, path, host, end - _HEAD_ROOM)
        start = _HEAD_ROOM - len(head)
        view[start:_HEAD_ROOM][:] = head.encode()
        return view[start:end]

    async def _start(self, view, first_byte_ms):
        """Send the request and wait for the first byte of its answer, which is left in the buffer's first place."""
        if self._connection is not None:
            # Nobody may have spoken since the last answer.
            if self._connection.waiting() is None:
                try:
                    return await self._exchange(view, first_byte_ms)
                except LinkError as error:
                    if error.code != "closed":
                        raise
            self.close()
        await self._exchange(view, first_byte_ms)

    async def _exchange(self, view, first_byte_ms):
        await _within(self._limits.connect_ms, self._send(view))
        await _within(first_byte_ms, self._connection.read_into(memoryview(self._buffer)[:1]))

    async def _send(self, view):
        if self._connection is None:
            self._connection = await self._connect(self._host, self._port, self._context)
        await self._connection.write(view)


class Answer:
    """An answer off a connection whose first byte is in the buffer already.

    `status`, `body` (a view of the buffer), `retry_after_s` (or None), `is_last`: the server will close.
    The lines of the head pass through the buffer too, before the body comes.
    """

    def __init__(self, connection, buffer):
        self._connection = connection
        self._buffer = buffer
        self._head_left = settings.LINK_HEAD_MAX_BYTES
        self._lines_left = settings.LINK_HEADERS_MAX
        self.status = 0
        self.body = buffer[:0]
        self.retry_after_s = None
        self.is_last = False

    async def read(self):
        """LinkError: too_large, bad_http, closed."""
        start = 1
        while self.status < 200:  # 1xx come before the answer proper
            self._read_status(await self._head_line(start))
            start = 0
            length, chunked = await self._headers()
        if self.status == 204 or self.status == 304:
            return
        if chunked:
            length = await self._chunks()
        elif length is None:
            raise LinkError("bad_http")
        else:
            self._need_room(length)
            await self._connection.read_into(self._buffer[:length])
        self.body = self._buffer[:length]

    async def _head_line(self, start=0):
        """A view of one line without its end; `start` bytes of it are in the buffer."""
        room = min(self._head_left, len(self._buffer))
        end = start + await self._connection.read_line(self._buffer[start:room])
        self._head_left -= end
        return _without_end(self._buffer[:end])

    def _read_status(self, line):
        # "HTTP/1.1 200 OK"; the reason may be missing.
        start = bytes(line[:13])
        status = start[9:12]
        if start[:7] != b"HTTP/1." or start[7:9] not in (b"1 ", b"0 ") or start[12:] not in (b"", b" "):
            raise LinkError("bad_http")
        if len(status) != 3 or not status.isdigit() or not 100 <= int(status) < 600 or status == b"101":
            raise LinkError("bad_http")
        self.is_last = start[7:8] == b"0"
        self.status = int(status)

    async def _headers(self):
        """Returns (length or None, True if chunked)."""
        length = None
        chunked = False
        while True:
            line = await self._head_line()
            if not line:
                break
            self._lines_left -= 1
            if self._lines_left < 0:
                raise LinkError("too_large")
            name, value = _header(line)
            if name == b"content-length":
                if length is not None:
                    raise LinkError("bad_http")
                length = _number(value)
            elif name == b"transfer-encoding":
                if chunked or value.lower() != b"chunked":
                    raise LinkError("bad_http")
                chunked = True
            elif name == b"content-encoding":
                raise LinkError("bad_http")
            elif name == b"connection":
                self.is_last = self.is_last or value.lower() == b"close"
            elif name == b"retry-after" and value.isdigit():
                self.retry_after_s = _number(value)
        if chunked and length is not None:
            raise LinkError("bad_http")
        return length, chunked

    async def _chunks(self):
        """The chunks of a body, one behind the other; returns their length."""
        connection = self._connection
        line = memoryview(bytearray(_CHUNK_LINE_MAX))
        done = 0
        for _ in range(_CHUNKS_MAX):
            end = await connection.read_line(line)
            size = _hexadecimal(bytes(_without_end(line[:end])).partition(b";")[0])
            self._need_room(done + size)
            if not size:
                break
            await connection.read_into(self._buffer[done : done + size])
            done += size
            await connection.read_into(line[:2])
            _without_end(line[:2])
        else:
            raise LinkError("too_large")
        # Trailers are read past.
        while _without_end(line[: await connection.read_line(line)]):
            self._lines_left -= 1
            if self._lines_left < 0:
                raise LinkError("too_large")
        return done

    def _need_room(self, length):
        if length > len(self._buffer):
            raise LinkError("too_large")


async def _within(timeout_ms, awaitable):
    try:
        return await asyncio.wait_for_ms(awaitable, timeout_ms)
    except asyncio.TimeoutError:
        raise LinkError("timeout")


def _without_end(line):
    if line[-2:] != b"\r\n":
        raise LinkError("bad_http")
    return line[:-2]


def _header(line):
    """(name in lower case, value) of a header as bytes; of long ones the beginning, since none of those matters."""
    colon = 0
    for byte in line:
        if byte == 0x3A:
            break
        # What may be in a name (RFC 9110, 5.6.2), less the rarer signs.
        if not (0x61 <= byte | 0x20 <= 0x7A or 0x30 <= byte <= 0x39 or byte == 0x2D or byte == 0x5F):
            raise LinkError("bad_http")
        colon += 1
    if not 0 < colon < len(line):
        raise LinkError("bad_http")
    return bytes(line[: min(colon, _HEADER_MAX)]).lower(), bytes(line[colon + 1 :][:_HEADER_MAX]).strip()


def _number(value):
    if not 1 <= len(value) <= 9 or not value.isdigit():
        # Digits without end are a length, too; of something that is not wanted.
        raise LinkError("too_large" if value.isdigit() else "bad_http")
    return int(value)


def _hexadecimal(value):
    if not 1 <= len(value) <= 8:
        raise LinkError("bad_http")
    for byte in value:
        if byte not in b"0123456789abcdefABCDEF":
            raise LinkError("bad_http")
    return int(value, 16)


def _server_code(body):
    """The typed code of an error's body, or None for a body of another make."""
    try:
        code = read_json(body, settings.LINK_JSON_MAX_BYTES)["error"]["code"]
    except (LinkError, KeyError, TypeError):
        return None
    return code if isinstance(code, str) and len(code) <= _SERVER_CODE_MAX else None
