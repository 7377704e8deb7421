"""S16: sealed frames, each with its direction and its place; and the keys of a session."""

from link_random import Random

from firmware import wire
from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.kdf import hkdf_expand
from firmware.crypto.seal import Sealer
from firmware.errors import SealError
from firmware.link.channel import MODULE, PHONE, SessionKeys
from tests.dual import raises

SHARED = bytes(range(32))
NONCE_P = b"p" * 16
NONCE_M = b"m" * 16


def pair():
    keys = SessionKeys(SHARED)
    return keys.channel(PHONE), keys.channel(MODULE)


def seal(channel, text, iv=b"i" * 16):
    """The frame, type and body, as a bytearray."""
    buffer = bytearray(wire.FRAME_BUFFER_SIZE)
    memoryview(buffer)[wire.MESSAGE_AT : wire.MESSAGE_AT + len(text)][:] = text
    end = channel.seal(buffer, len(text), iv)
    assert buffer[0] | buffer[1] << 8 == end - 2
    assert wire.is_well_formed(buffer[2:end])
    return buffer[2:end]


def test_what_one_seals_the_other_opens():
    phone, module = pair()
    for size in (0, 1, 15, 16, 17, 500, 958, 959):
        text = bytes([size & 255]) * size
        assert bytes(module.open(memoryview(seal(phone, text)))) == text
        assert bytes(phone.open(memoryview(seal(module, text)))) == text


def test_a_message_has_a_limit():
    phone, _ = pair()
    with raises(ValueError):
        seal(phone, bytes(960))


def test_the_layout_of_frame_keys_and_context():
    phone, _ = pair()
    seal(phone, b"first")
    frame = seal(phone, b"second")
    keys = hkdf_expand(SHARED, b"inkan channel 1", 128)
    assert frame[0] == 0x06 and bytes(frame[1:17]) == b"i" * 16
    assert len(frame) == 1 + 16 + 16 + 32
    context = b"\x06\x01" + bytes(7)
    assert frame[33:] == hmac_sha256(keys[32:64], b"\x09\x00" + context + bytes(frame[1:33]))
    assert bytes(Sealer(keys[:64]).open_in_place(frame[1:], context)) == b"second"


def test_resumption_s_keys_and_macs():
    keys = SessionKeys(SHARED)
    resume = hkdf_expand(SHARED, b"inkan resume 1", 40)
    assert keys.session_id == resume[:8]
    head = resume[:8] + b"\x07\x00\x00\x00" + NONCE_P
    assert keys.resume_mac(7, NONCE_P) == hmac_sha256(resume[8:], b"resume" + head)
    assert keys.resumed_mac(7, NONCE_P, NONCE_M) == hmac_sha256(resume[8:], b"resumed" + head + NONCE_M)
    assert keys.is_resume(resume[:8], 7, NONCE_P, keys.resume_mac(7, NONCE_P))
    assert not keys.is_resume(resume[:8], 8, NONCE_P, keys.resume_mac(7, NONCE_P))
    assert not keys.is_resume(bytes(8), 7, NONCE_P, keys.resume_mac(7, NONCE_P))
    assert not keys.is_resume(resume[:8], 7, NONCE_M, keys.resume_mac(7, NONCE_P))
    frame = seal(keys.channel(PHONE, NONCE_P, NONCE_M), b"again")
    channel_keys = hkdf_expand(SHARED, b"inkan channel 1" + NONCE_P + NONCE_M, 128)
    assert bytes(Sealer(channel_keys[:64]).open_in_place(frame[1:], b"\x06" + bytes(8))) == b"again"
    with raises(SealError):
        keys.channel(MODULE).open(memoryview(seal(keys.channel(PHONE, NONCE_P, NONCE_M), b"again")))


def test_s16_replay_reorder_omission_and_reflection_do_not_open():
    phone, module = pair()
    first, second = seal(phone, b"first"), seal(phone, b"second")
    again = bytes(first)
    module.open(memoryview(first))
    with raises(SealError):
        module.open(memoryview(bytearray(again)))

    phone, module = pair()
    seal(phone, b"first")
    with raises(SealError):  # the first is left out
        module.open(memoryview(seal(phone, b"second")))

    phone, module = pair()
    frame = seal(phone, b"first")
    with raises(SealError):
        phone.open(memoryview(bytearray(frame)))
    phone, module = pair()
    frame[0] = wire.SEALED_M  # as if it came from the module
    with raises(SealError):
        phone.open(memoryview(frame))
    assert second


def test_s16_no_changed_byte_opens_and_nothing_opens_after_it():
    for at in range(81):
        phone, module = pair()
        frame = seal(phone, b"x" * 20)
        good = seal(phone, b"y")
        frame[at] ^= 1 << at % 8
        with raises(SealError):
            module.open(memoryview(frame))
        with raises(SealError):
            module.open(memoryview(good))


def test_s16_nothing_is_decrypted_before_its_tag_holds():
    phone, module = pair()
    frame = seal(phone, b"secret")
    frame[-1] ^= 1
    with raises(SealError):
        module.open(memoryview(frame))
    assert bytes(frame[1:]) == bytes(len(frame) - 1)  # wiped


def test_s16_every_cut_of_a_frame_fails():
    random = Random(5)
    for size in range(64):
        phone, module = pair()
        frame = seal(phone, bytes([random.below(256) for _ in range(9)]))
        with raises(SealError):
            module.open(memoryview(frame)[: 1 + size])


def test_keys_are_overwritten_when_they_are_not_needed_any_more():
    keys = SessionKeys(SHARED)
    kept = keys._k_shared, keys._mac_key
    keys.wipe()
    assert [bytes(part) for part in kept] == [bytes(32), bytes(32)]
    assert keys._k_shared is None and keys._mac_key is None
