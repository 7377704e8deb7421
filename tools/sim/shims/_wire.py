"""The interpreter's end of the wire: one TCP connection to the port in INKAN_WIRE.

Nothing here or in the modules that use it behaves like a chip; that is at the
other end. Pin reads and writes allocate nothing.
"""

import os
import socket
import struct

import _opcodes

_IPPROTO_TCP = 6
_TCP_NODELAY = 1

_request = bytearray(_opcodes.REQUEST_SIZE)
_reply = bytearray(_opcodes.REPLY_SIZE)


def _connect():
    stream = socket.socket()
    stream.connect(socket.getaddrinfo("127.0.0.1", int(os.getenv("INKAN_WIRE")))[0][-1])
    stream.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
    return stream


_stream = _connect()


def post(operation, unit=0, value=0, argument=0, payload=b""):
    """Send what has no reply."""
    struct.pack_into(_opcodes.REQUEST_FORMAT, _request, 0, operation, unit, value, argument, len(payload))
    _stream.write(_request)
    if payload:
        _stream.write(payload)


def ask(operation, unit=0, value=0, argument=0, payload=b"", into=None):
    """Send and wait; returns the reply's value, its payload goes to `into`. OSError as the other end says."""
    post(operation, unit, value, argument, payload)
    _receive(_reply)
    if _reply[0] != _opcodes.STATUS_OK:
        raise OSError(_reply[2] | _reply[3] << 8)
    if into is not None:
        _receive(into)
    return _reply[2] | _reply[3] << 8


def ask_bytes(operation, unit=0):
    """Send and wait; returns the reply's payload."""
    ask(operation, unit)
    data = bytearray(struct.unpack_from("<I", _reply, 4)[0])
    _receive(data)
    return bytes(data)


def wait_for_the_end():
    """The other end is about to end this process."""
    while True:
        _receive(_reply)


def _receive(buffer):
    if len(buffer) and _stream.readinto(buffer) != len(buffer):
        raise SystemExit  # the house has gone
