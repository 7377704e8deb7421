"""Sealing: what was sealed opens, and nothing else does."""

from cryptolib import aes

from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.seal import (
    BLOCK_SIZE,
    IV_SIZE,
    KEY_SIZE,
    TAG_SIZE,
    Sealer,
    padding,
    sealed_size,
    wipe,
)
from firmware.errors import SealError
from tests.dual import raises

KEY = bytes(range(64))
IV = bytes(range(100, 116))
CONTEXT = b"inkan test\x01"


def sealed(plaintext, key=KEY, context=CONTEXT):
    out = bytearray(sealed_size(len(plaintext)))
    assert Sealer(key).seal_into(out, 0, IV, context, plaintext) == len(out)
    return out


def assert_refused(message, key=KEY, context=CONTEXT):
    """The message neither opens nor verifies, and nothing is left in its buffer."""
    assert not Sealer(key).tag_only(message, context)
    buffer = bytearray(message)
    with raises(SealError) as caught:
        Sealer(key).open_in_place(memoryview(buffer), context)
    assert caught.value.args == ()
    assert buffer == bytes(len(buffer))


def test_sizes_are_those_of_the_format():
    assert (IV_SIZE, TAG_SIZE, BLOCK_SIZE, KEY_SIZE) == (16, 32, 16, 64)
    assert [sealed_size(size) for size in (0, 1, 15, 16, 17, 1024)] == [64, 64, 64, 80, 80, 1088]
    assert padding(0) == b"\x10" * 16
    assert padding(15) == b"\x01"


def test_the_layout_is_iv_ciphertext_tag():
    message = bytes(sealed(b"thirteen byte"))
    ciphertext = aes(KEY[:32], 2, IV).encrypt(b"thirteen byte\x03\x03\x03")
    assert message[:16] == IV
    assert message[16:32] == ciphertext
    assert message[32:] == hmac_sha256(KEY[32:], b"\x0b\x00" + CONTEXT + IV + ciphertext)


def test_every_length_opens_again():
    for size in range(0, 70):
        plaintext = bytes(range(size))
        message = sealed(plaintext)
        assert Sealer(KEY).tag_only(message, CONTEXT)
        opened = Sealer(KEY).open_in_place(memoryview(message), CONTEXT)
        assert bytes(opened) == plaintext


def test_the_plaintext_is_opened_where_it_lies():
    message = sealed(b"in place")
    opened = Sealer(KEY).open_in_place(memoryview(message), CONTEXT)
    assert bytes(message[16:24]) == b"in place"
    opened[0] = 0x49
    assert message[16] == 0x49


def test_sealing_at_an_offset_leaves_the_rest_alone():
    out = bytearray(b"\xa5" * 100)
    end = Sealer(KEY).seal_into(out, 7, IV, CONTEXT, b"hello")
    assert end == 7 + 64
    assert out[:7] == b"\xa5" * 7 and out[end:] == b"\xa5" * 29
    assert bytes(out[7:end]) == bytes(sealed(b"hello"))


def test_a_plaintext_already_in_its_place_is_sealed_there():
    out = bytearray(sealed_size(40))
    view = memoryview(out)
    view[16:56][:] = bytes(range(40))
    Sealer(KEY).seal_into(view, 0, IV, CONTEXT, view[16:56])
    assert out == sealed(bytes(range(40)))


def test_too_little_room_or_a_wrong_iv_is_refused_before_anything_is_written():
    for room, offset, iv in ((63, 0, IV), (64, 1, IV), (64, -1, IV), (64, 0, IV[:15]), (64, 0, IV + b"\x00")):
        out = bytearray(room)
        with raises(ValueError):
            Sealer(KEY).seal_into(out, offset, iv, CONTEXT, b"hello")
        assert out == bytes(room)


def test_a_key_of_another_size_is_refused():
    for size in (0, 32, 63, 65):
        with raises(ValueError):
            Sealer(bytes(size))


def test_r3_every_single_bit_flip_is_refused():
    message = sealed(b"site 0123456789 and some more text")
    for position in range(len(message)):
        for bit in range(8):
            message[position] ^= 1 << bit
            assert_refused(message)
            message[position] ^= 1 << bit
    assert Sealer(KEY).tag_only(message, CONTEXT)


def test_r3_every_truncation_and_every_extension_is_refused():
    message = bytes(sealed(bytes(50)))
    for size in range(len(message)):
        assert_refused(message[:size])
        assert_refused(message[len(message) - size :])
    for extra in (b"\x00", bytes(16), message):
        assert_refused(message + extra)


def test_r3_blocks_that_changed_places_are_refused():
    message = sealed(bytes(range(48)))
    message[16:48] = message[32:48] + message[16:32]
    assert_refused(message)


def test_r3_another_key_or_another_context_is_refused():
    message = bytes(sealed(b"secret"))
    for position in (0, 31, 32, 63):
        key = bytearray(KEY)
        key[position] ^= 1
        if position >= 32:
            assert_refused(message, key=bytes(key))
        else:
            # The tag is fine: the wrong key gives noise, whose padding is wrong too.
            buffer = bytearray(message)
            with raises(SealError):
                Sealer(key).open_in_place(buffer, CONTEXT)
            assert buffer == bytes(len(buffer))
    for context in (b"", CONTEXT[:-1], CONTEXT + b"\x00", b"inkan test\x02"):
        assert_refused(message, context=context)


def test_r3_the_border_between_context_and_message_cannot_be_moved():
    message = bytes(sealed(bytes(20), context=b"ab"))
    assert_refused(b"b" + message[:-1], context=b"a")
    assert_refused(message[16:], context=b"ab" + message[:16])


def test_r3_wrong_padding_under_a_right_tag_is_refused():
    for last_block in (
        bytes(16),
        b"\x11" * 16,
        bytes(15) + b"\x02",
        bytes(13) + b"\x02\x03\x03",
        bytes(15) + b"\xff",
        b"\x0f" + b"\x10" * 15,
    ):
        body = aes(KEY[:32], 2, IV).encrypt(bytes(16) + last_block)
        message = bytearray(IV + body)
        message += hmac_sha256(KEY[32:], b"\x0b\x00", CONTEXT, message)
        assert Sealer(KEY).tag_only(message, CONTEXT)
        with raises(SealError):
            Sealer(KEY).open_in_place(message, CONTEXT)
        assert message == bytes(len(message))


def test_r3_no_body_or_half_a_block_under_a_right_tag_is_refused():
    for size in (0, 1, 15, 17):
        message = bytearray(IV + bytes(size))
        message += hmac_sha256(KEY[32:], b"\x0b\x00", CONTEXT, message)
        assert_refused(message)


def test_one_sealer_serves_many_messages():
    sealer = Sealer(KEY)
    bad = bytearray(96)
    for number in range(5):
        out = bytearray(sealed_size(20))
        sealer.seal_into(out, 0, IV, CONTEXT, bytes([number]) * 20)
        assert out == sealed(bytes([number]) * 20)
        with raises(SealError):
            sealer.open_in_place(bad, CONTEXT)
        assert bytes(sealer.open_in_place(out, CONTEXT)) == bytes([number]) * 20


def test_written_in_pieces_is_the_same_message():
    plaintext = bytes(range(200))
    whole = bytes(sealed(plaintext))
    body = bytearray(plaintext + padding(len(plaintext)))
    view = memoryview(body)
    sealer = Sealer(KEY)
    writer = sealer.writer(IV, CONTEXT)
    for start, end in ((0, 16), (16, 144), (144, 208)):
        writer.update(view[start:end])
        sealer.tag_only(whole, CONTEXT)  # Another message in between does no harm.
    assert IV + bytes(body) + writer.finish() == whole


def test_read_in_pieces_is_the_same_message():
    plaintext = bytes(range(200))
    message = sealed(plaintext)
    view = memoryview(message)
    sealer = Sealer(KEY)
    for piece in (1, 16, 33, 500):
        check = sealer.reader_verify(CONTEXT)
        for at in range(0, len(view) - 32, piece):
            check.update(view[at : min(at + piece, len(view) - 32)])
        assert check.matches(view[len(view) - 32 :])
    other = sealer.reader_verify(b"other")
    other.update(view[: len(view) - 32])
    assert not other.matches(view[len(view) - 32 :])
    short = sealer.reader_verify(CONTEXT)
    short.update(view[: len(view) - 33])
    assert not short.matches(view[len(view) - 32 :])
    decryptor = sealer.decryptor(view[:16])
    for start, end in ((16, 48), (48, 224)):
        decryptor.update(view[start:end])
    assert bytes(message[16:216]) == plaintext
    assert bytes(message[216:224]) == padding(200)


def test_wiping_reaches_every_byte():
    for size in (0, 1, 63, 64, 65, 200):
        buffer = bytearray(b"\xff" * size)
        wipe(buffer)
        assert buffer == bytes(size)


def test_sealing_1_kib_takes_little_heap():
    import gc

    if not hasattr(gc, "mem_alloc"):
        return
    sealer = Sealer(KEY)
    plaintext = bytes(1024)
    out = bytearray(sealed_size(1024))
    sealer.seal_into(out, 0, IV, CONTEXT, plaintext)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    sealer.seal_into(out, 0, IV, CONTEXT, plaintext)
    between = gc.mem_alloc()
    sealer.open_in_place(out, CONTEXT)
    after = gc.mem_alloc()
    gc.enable()
    # Less than two payloads: none was copied.
    assert between - before <= 2048 and after - between <= 2048
