"""One TLS connection in the event loop, and the names of what can go wrong with it.

What MicroPython's `tls` does, as far as it matters here: contexts take DER; the handshake happens within the
first write, and its errors come out there; with TLS 1.3 a refusal of the client's certificate comes
out of the first read. A socket whose handshake failed has let go of the socket below it, which therefore is kept and
closed here. The handshake's arithmetic is one uninterrupted stretch, 5 ms on a desktop.
"""

import asyncio
import errno
import gc
import socket

import tls
from micropython import const

from firmware.errors import LinkError

_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)

# mbedTLS (ssl.h, x509.h). No more of its numbers are told apart: they all mean that this is no sound TLS.
_SSL_CONN_EOF = const(-0x7280)
_SSL_FATAL_ALERT_MESSAGE = const(-0x7780)
_X509_CERT_VERIFY_FAILED = const(-0x2700)
_ERRNO_END = const(256)

_EPIPE = const(32)
_CLOSED = (errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, _EPIPE)

_LINE_PART_BYTES = const(64)
_LINE_FEED = const(10)
_TLS_ALERT = const(21)  # record type, RFC 8446, section 5.1

# ECPrivateKey (RFC 5915) around a P-256 scalar, without the public key: mbedTLS works that out.
_KEY_BEFORE = b"\x30\x31\x02\x01\x01\x04\x20"
_KEY_AFTER = b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"


def mutual_context(ca, certificate, private_key):
    """A TLS context for a server under `ca` that is shown `certificate`: DER, DER, 32 bytes.

    `LinkError("tls")` where these cannot be used.
    """
    context = _context()
    context.verify_mode = tls.CERT_REQUIRED
    try:
        context.load_verify_locations(ca)
        context.load_cert_chain(certificate, _KEY_BEFORE + private_key + _KEY_AFTER)
    except (ValueError, OSError):
        raise LinkError("tls")
    return context


def unverified_context():
    """A TLS context that takes any server and shows no certificate; for enrolment alone (SA)."""
    context = _context()
    context.verify_mode = tls.CERT_NONE
    return context


def _context():
    gc.collect()  # it is one piece of 2 KiB, and so is what a handshake wants to have
    return tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)


def error_code(error):
    """The code of docs/architecture.md for an OSError or ValueError out of a socket, TLS or not."""
    if isinstance(error, ValueError):
        # The one finding that `tls` reports in words alone: mbedTLS's, a line for each fault of the certificate.
        text = str(error)
        if "signed" in text:
            return "tls_ca"
        if "(CN)" in text:
            return "tls_host"
        if "expired" in text or "future" in text:
            return "tls_date"
        return "tls_ca"
    number = error.errno or 0
    if -_ERRNO_END < number < 0:  # once the handshake is over, a socket's own errors come out of TLS negated
        number = -number
    if number == _SSL_FATAL_ALERT_MESSAGE:
        return "tls_client"
    if number == _X509_CERT_VERIFY_FAILED:
        return "tls_ca"
    if number == _SSL_CONN_EOF or number in _CLOSED:
        return "closed"
    if number < 0:
        return "tls"
    return "connect"


def readable(stream):
    """To be awaited: until there is something to read, or an error."""
    yield asyncio.core._io_queue.queue_read(stream)


def writable(stream):
    """To be awaited: until a write would go on, or an error."""
    yield asyncio.core._io_queue.queue_write(stream)


async def open_connection(host, port, context):
    """A `Connection`, TCP up and TLS still to come. LinkError: dns, connect, closed, tls.

    The look-up of the name blocks, on every port of MicroPython.
    """
    try:
        address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0]
    except (OSError, IndexError):
        raise LinkError("dns")
    try:
        plain = socket.socket(address[0], address[1], address[2])
    except OSError:
        raise LinkError("connect")
    try:
        plain.setblocking(False)
        try:
            # A port without this option takes 40 ms longer, and that is all.
            plain.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        except OSError:
            pass
        try:
            plain.connect(address[-1])
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
        await writable(plain)
        stream = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    except OSError as error:
        plain.close()
        raise LinkError(error_code(error))
    except BaseException:
        plain.close()
        raise
    return Connection(stream, plain)


class Connection:
    """Bounded reads and writes. Nothing is read ahead, so that no byte is lost to an error that follows it."""

    def __init__(self, stream, plain):
        self._stream = stream
        self._plain = plain
        self._up = False  # the handshake is behind

    async def write(self, data):
        """Write all of a memoryview, after the handshake where that is still to come."""
        done = 0
        while done < len(data):
            await writable(self._stream)
            try:
                size = self._stream.write(data[done:] if done else data)
            except (OSError, ValueError) as error:
                raise LinkError(self._code(error))
            if size:
                self._up = True
                done += size

    async def read_line(self, view):
        """Read up to and with a line feed into a memoryview; returns the length. LinkError: too_large, closed."""
        done = 0
        while done < len(view):
            await readable(self._stream)
            try:
                # `readline` allocates as much as it may read.
                part = self._stream.readline(min(len(view) - done, _LINE_PART_BYTES))
            except (OSError, ValueError) as error:
                raise LinkError(self._code(error))
            if part is None:
                continue
            if not part:
                raise LinkError("closed")
            end = done + len(part)
            view[done:end][:] = part
            done = end
            if view[done - 1] == _LINE_FEED:
                return done
        raise LinkError("too_large")

    async def read_into(self, view):
        """Fill a memoryview."""
        done = 0
        while done < len(view):
            await readable(self._stream)
            try:
                size = self._stream.readinto(view[done:] if done else view)
            except (OSError, ValueError) as error:
                raise LinkError(self._code(error))
            if size is None:
                continue
            if not size:
                raise LinkError("closed")
            done += size

    def waiting(self):
        """What waits to be read: None nothing, b"" the end, or one byte. Does not wait; what it returns is gone."""
        try:
            return self._stream.read(1)
        except (OSError, ValueError):
            return b""

    def close(self):
        """Let go of everything; may be called twice."""
        try:
            self._stream.close()
        finally:
            self._plain.close()

    def _code(self, error):
        code = error_code(error)
        if code == "closed" and not self._up:
            # TLS 1.2: a server that refuses the certificate hangs up on a client that is still
            # writing; its alert is then all that is left to read.
            try:
                alert = self._plain.read(1)
            except OSError:
                alert = None
            if alert and alert[0] == _TLS_ALERT:
                return "tls_client"
        return code
