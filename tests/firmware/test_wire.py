"""Frames out of a stream, however it comes; and the numbers of the protocol."""

import gc

from link_random import Random

from firmware import wire
from firmware.errors import LinkError
from tests.dual import raises, skip

FRAMES = (
    (wire.ASK_INFO, b""),
    (wire.SHARE_P, bytes(65)),
    (wire.CONFIRM_P, bytes(range(32))),
    (wire.GIVE_UP, b""),
    (wire.RESUME, bytes(60)),
    (wire.SEALED_P, bytes(64)),
    (wire.SEALED_P, bytes(1008)),
    (wire.INFO, bytes(33)),
    (wire.INFO, bytes(65)),
    (wire.SHARE_V, bytes(97)),
    (wire.RESUMED, bytes(48)),
    (wire.SEALED_M, bytes(80)),
    (wire.REFUSED, bytes(6)),
)


def feed(reader, data, piece=None):
    """Every frame that comes out, as (type, body)."""
    found = []
    at = 0
    while at < len(data):
        room = reader.room()
        assert len(room)
        part = data[at : at + min(len(room), piece or len(room))]
        room[: len(part)][:] = part
        reader.add(len(part))
        at += len(part)
        while True:
            frame = reader.next()
            if frame is None:
                break
            found.append((frame[0], bytes(frame[1:])))
    return found


def test_every_frame_in_pieces_of_every_size():
    stream = b"".join([wire.frame(kind, body) for kind, body in FRAMES])
    for piece in (1, 2, 3, 5, 16, 17, 20, 67, 100, 244, 512, 1025, 1026, None):
        reader = wire.FrameReader()
        assert feed(reader, stream, piece) == list(FRAMES), piece
        assert not reader.begun


def test_a_frame_split_at_every_byte():
    stream = wire.frame(wire.SHARE_P, bytes(range(65))) + wire.frame(wire.ASK_INFO)
    for at in range(len(stream) + 1):
        reader = wire.FrameReader(wire.OPENING_FRAME_MAX)
        found = feed(reader, stream[:at])
        assert reader.begun == (at not in (0, 68, 71))
        found += feed(reader, stream[at:])
        assert found == [(wire.SHARE_P, bytes(range(65))), (wire.ASK_INFO, b"")]


def test_the_head_is_length_and_type():
    assert wire.frame(wire.GIVE_UP) == b"\x01\x00\x04"
    assert wire.frame(wire.SEALED_P, bytes(16), bytes(992)) == b"\xf1\x03\x06" + bytes(1008)


def test_r27_a_length_of_nothing_or_too_much_is_refused_before_its_bytes_come():
    for most, head in (
        (wire.FRAME_MAX, b"\x00\x00"),
        (wire.FRAME_MAX, b"\x01\x04"),
        (wire.FRAME_MAX, b"\xff\xff"),
        (wire.OPENING_FRAME_MAX, b"\x43\x00"),
        (wire.OPENING_FRAME_MAX, b"\x00\x01"),
    ):
        reader = wire.FrameReader(most)
        feed(reader, head[:1])
        with raises(LinkError) as caught:
            feed(reader, head[1:])
        assert caught.value.code == "malformed"


def test_r27_a_frame_of_an_unknown_type_or_another_size_is_refused():
    known = [kind for kind, _ in FRAMES]
    wrong = [(kind, b"") for kind in range(256) if kind not in known]
    for kind, body in FRAMES:
        wrong.append((kind, body + b"\x00"))
        if body and (kind, body[:-1]) not in FRAMES:
            wrong.append((kind, body[:-1]))
    wrong += [(wire.SEALED_P, bytes(size)) for size in (0, 16, 48, 63, 65, 72, 1000, 1016)]
    wrong += [(wire.INFO, bytes(32)), (wire.INFO, bytes(66))]
    for kind, body in wrong:
        if (kind, len(body)) in ((wire.INFO, 34), (wire.INFO, 64)):
            continue  # a serial number may be that long
        with raises(LinkError) as caught:
            feed(wire.FrameReader(), wire.frame(kind, body))
        assert caught.value.code == "malformed", (kind, len(body))


def test_a_reader_goes_on_where_another_stands():
    whole = wire.frame(wire.CONFIRM_P, bytes(range(32))) + wire.frame(wire.SEALED_P, bytes(64))
    small = wire.FrameReader(wire.OPENING_FRAME_MAX)
    room = small.room()
    room[:50][:] = whole[:50]
    small.add(50)
    assert small.next()[0] == wire.CONFIRM_P
    large = wire.FrameReader()
    feed(large, b"\x10\x00\x06")  # of a link that is gone
    large.take_over(small)
    assert feed(large, whole[50:]) == [(wire.SEALED_P, bytes(64))]


def test_names_are_numbered_as_in_the_protocol():
    assert wire.REFUSALS.index("wrong") == 1 and wire.REFUSALS.index("failed") == 12
    assert wire.ERRORS.index("not_allowed") == 1 and wire.ERRORS.index("bad_message") == 8
    assert wire.FIELD_REASONS.index("empty") == 1 and wire.FIELD_REASONS.index("bad_text") == 10
    assert wire.ENROL_REASONS.index("host_form") == 1 and wire.ENROL_REASONS.index("other") == 8
    assert wire.ENDINGS.index("done") == 1 and wire.ENDINGS.index("tampered") == 7
    assert wire.STATES.index("idle") == 0 and wire.STATES.index("no_time") == 5


def test_no_byte_costs_ram():
    if not hasattr(gc, "mem_alloc"):
        skip("this interpreter does not count its heap")
    reader = wire.FrameReader()
    random = Random(1)
    body = bytes([random.below(256) for _ in range(1008)])
    stream = wire.frame(wire.SEALED_P, body)
    view = memoryview(stream)

    def cost(piece):
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        at = 0
        while at < len(view):
            part = view[at : at + piece]
            reader.room()[: len(part)][:] = part
            reader.add(len(part))
            at += piece
            while reader.next() is not None:
                pass
        spent = gc.mem_alloc() - before
        gc.enable()
        return spent

    cost(500)
    by_read = cost(337) / 3
    assert by_read < 400
    assert cost(1011) < 400
