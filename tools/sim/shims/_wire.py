"""The interpreter's end of the wire: one TCP connection to the port in INKAN_WIRE.

`connect` and `receive` serve the BLE radio's own connection too. Nothing here or in
the modules that use it behaves like a chip; that is at the other end. Pin reads and
writes allocate nothing.
"""

import os
import socket
import struct

import _opcodes

_IPPROTO_TCP = 6
_TCP_NODELAY = 1

_request = bytearray(_opcodes.REQUEST_SIZE)
_reply = bytearray(_opcodes.REPLY_SIZE)


def connect(variable):
    """A connection to the port that an environment variable names."""
    stream = socket.socket()
    stream.connect(socket.getaddrinfo("127.0.0.1", int(os.getenv(variable)))[0][-1])
    stream.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
    return stream


def receive(stream, buffer):
    """Fill a buffer, waiting for as long as it takes."""
    if len(buffer) and stream.readinto(buffer) != len(buffer):
        raise SystemExit  # the house has gone


_stream = connect("INKAN_WIRE")


def post(operation, unit=0, value=0, argument=0, payload=b""):
    """Send what has no reply."""
    struct.pack_into(_opcodes.REQUEST_FORMAT, _request, 0, operation, unit, value, argument, len(payload))
    _stream.write(_request)
    if payload:
        _stream.write(payload)


def ask(operation, unit=0, value=0, argument=0, payload=b"", into=None):
    """Send and wait; returns the reply's value, its payload goes to `into`. OSError as the other end says."""
    post(operation, unit, value, argument, payload)
    receive(_stream, _reply)
    if _reply[0] != _opcodes.STATUS_OK:
        raise OSError(_reply[2] | _reply[3] << 8)
    if into is not None:
        receive(_stream, into)
    return _reply[2] | _reply[3] << 8


def ask_bytes(operation, unit=0):
    """Send and wait; returns the reply's payload."""
    ask(operation, unit)
    data = bytearray(struct.unpack_from("<I", _reply, 4)[0])
    receive(_stream, data)
    return bytes(data)


def wait_for_the_end():
    """The other end is about to end this process."""
    while True:
        receive(_stream, _reply)
