"""One question to an NTP server (SNTP, RFC 5905, section 14). The answer serves dates of certificates alone (S15)."""

import asyncio
import socket
import struct

from micropython import const

from firmware import settings
from firmware.errors import LinkError
from firmware.link.transport import readable

_PORT = const(123)
_SIZE = const(48)
_ASK = const(0x23)  # no leap second known, version 4, client
_MODE_SERVER = const(4)
_LEAP_UNKNOWN = const(3)
_STRATUM_MAX = const(15)
_FROM_1900_TO_2000_S = const(3_155_673_600)
_ERA_S = const(0x1_0000_0000)


async def query(host, random, timeout_ms=settings.NTP_TIMEOUT_MS, port=_PORT):
    """UTC seconds since 2000-01-01. LinkError: dns, connect, timeout, bad_answer.

    The time of transmission that goes out is a random number: what comes back with it has seen the question.
    """
    try:
        address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0]
    except (OSError, IndexError):
        raise LinkError("dns")
    try:
        link = socket.socket(address[0], address[1], address[2])
    except OSError:
        raise LinkError("connect")
    try:
        link.setblocking(False)
        # A connected socket takes no datagram from anybody else.
        link.connect(address[-1])
        mark = random(8)
        link.send(bytes((_ASK,)) + bytes(_SIZE - 9) + mark)
        return await asyncio.wait_for_ms(_answer(link, mark), timeout_ms)
    except asyncio.TimeoutError:
        raise LinkError("timeout")
    except OSError:
        raise LinkError("connect")
    finally:
        link.close()


async def _answer(link, mark):
    while True:
        await readable(link)
        packet = link.recv(_SIZE + 1)
        # Anybody can send what is not an answer: that must not end the wait for the one that is.
        if len(packet) >= _SIZE and packet[24:32] == mark:
            return _time_of(packet)


def _time_of(packet):
    first, stratum = packet[0], packet[1]
    if first & 7 != _MODE_SERVER or first >> 3 & 7 not in (3, 4) or first >> 6 == _LEAP_UNKNOWN:
        raise LinkError("bad_answer")
    if not 1 <= stratum <= _STRATUM_MAX:  # 0 asks to be left alone ("kiss-o'-death")
        raise LinkError("bad_answer")
    seconds, fraction = struct.unpack_from(">II", packet, 40)
    if not seconds and not fraction:
        raise LinkError("bad_answer")
    if seconds < _FROM_1900_TO_2000_S:
        seconds += _ERA_S  # the era that begins in 2036
    return seconds - _FROM_1900_TO_2000_S
