"""Where enrolment looks for the public key in a certificate that a server sent (SA)."""

from link_random import Random

from firmware.crypto import der
from firmware.link.enrol import _public_key_of

INTERPRETERS = ("micropython",)

_KEY = der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, b"\x06\x01\x01"), der.bit_string(b"\x04" + bytes(64)))


def _certificate(version=True):
    """What stands in front of the key in a certificate (RFC 5280, 4.1), and something behind it."""
    parts = [der.tlv(der.CONTEXT_0, der.integer(2))] if version else []
    parts += [der.integer(1 << 100), der.tlv(der.SEQUENCE, b"\x06\x01\x02"), der.tlv(der.SEQUENCE, bytes(200))]
    parts += [der.tlv(der.SEQUENCE, bytes(30)), der.tlv(der.SEQUENCE), _KEY, b"\xa3\x00"]
    return der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, *parts), der.tlv(der.SEQUENCE), der.bit_string(bytes(300)))


def test_sa_the_key_is_found_where_it_stands():
    assert _public_key_of(_certificate()) == _KEY
    assert _public_key_of(_certificate(version=False)) == _KEY


def test_sa_a_key_elsewhere_does_not_count():
    behind = der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, der.integer(1)), _KEY)
    assert _public_key_of(behind) != _KEY
    assert _public_key_of(_KEY) != _KEY
    assert _public_key_of(b"") == b""


def test_r27_no_garbage_makes_more_of_it_than_bytes():
    random = Random(20260101)
    whole = _certificate()
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(1 + random.below(3)):
            at = random.below(300)
            data[at] = random.below(256)
        data = bytes(data[: random.below(2 * len(data))])
        assert len(_public_key_of(data)) <= len(data)
