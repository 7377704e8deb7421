"""NTP, which serves certificates' dates alone (S15): what is taken for an answer, and what is not."""

import contextlib
import socket
import struct
import threading

import pytest

from tests.link import micropython

MARK = bytes(range(1, 9))
FROM_1900_TO_2000_S = 3_155_673_600
NOW_S = 830_000_000
SHORT_MS = 200
PATIENT_MS = 10_000


def packet(
    seconds=FROM_1900_TO_2000_S + NOW_S, *, leap=0, version=4, mode=4, stratum=2, origin=MARK, fraction=0x80000000
):
    """An answer as RFC 5905 has it."""
    head = bytes((leap << 6 | version << 3 | mode, stratum, 6, 0xEC))
    return head + bytes(20) + origin + bytes(8) + struct.pack(">II", seconds % 2**32, fraction)


@contextlib.contextmanager
def responder(*packets, stranger=False):
    """Port of a server that answers its one question with these packets; `asked` gets the question."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        server.bind(("127.0.0.1", 0))
        asked = []

        def serve():
            with contextlib.suppress(OSError):
                question, client = server.recvfrom(1000)
                asked.append(question)
                for data in packets:
                    (other if stranger else server).sendto(data, client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], asked
        thread.join(PATIENT_MS / 1000)


def query(port, timeout_ms=PATIENT_MS, host="127.0.0.1"):
    options = {"host": host, "port": port, "timeout_ms": timeout_ms, "mark": MARK.hex()}
    return micropython.run("ntp_client", options)[0]


def test_a_good_server_tells_the_time():
    with responder(packet()) as (port, asked):
        assert query(port) == {"seconds": NOW_S}
    assert asked == [bytes((0x23,)) + bytes(39) + MARK]


@pytest.mark.parametrize("options", [{"version": 3}, {"stratum": 1}, {"stratum": 15}, {"leap": 1}])
def test_what_a_good_answer_may_look_like(options):
    with responder(packet(**options)) as (port, _):
        assert query(port) == {"seconds": NOW_S}


def test_the_time_goes_on_in_2036():
    with responder(packet(2**32 + 1000)) as (port, _):
        assert query(port) == {"seconds": 2**32 + 1000 - FROM_1900_TO_2000_S}


@pytest.mark.parametrize(
    "options",
    [
        {"stratum": 0},  # kiss-o'-death
        {"stratum": 16},
        {"stratum": 255},
        {"mode": 3},
        {"mode": 5},
        {"mode": 6},
        {"version": 2},
        {"version": 5},
        {"leap": 3},
        {"seconds": 0, "fraction": 0},
    ],
    ids=str,
)
def test_s15_an_answer_that_is_no_time_is_refused(options):
    with responder(packet(**options)) as (port, _):
        assert query(port) == {"error": "bad_answer"}


@pytest.mark.parametrize(
    "data", [packet(origin=bytes(8)), packet(origin=MARK[::-1]), packet()[:47], b"", bytes(1000)], ids=len
)
def test_s15_what_has_not_seen_the_question_does_not_count(data):
    with responder(data) as (port, _):
        assert query(port, SHORT_MS) == {"error": "timeout"}
    with responder(data, data, packet()) as (port, _):
        assert query(port) == {"seconds": NOW_S}


def test_s15_nobody_else_is_listened_to():
    with responder(packet(), stranger=True) as (port, _):
        assert query(port, SHORT_MS) == {"error": "timeout"}


def test_r27_a_silent_server_is_left():
    with responder() as (port, _):
        assert query(port, SHORT_MS) == {"error": "timeout"}


def test_a_port_that_nobody_listens_at():
    with responder() as (port, _):
        query(port, SHORT_MS)
    assert query(port) == {"error": "connect"}


def test_a_name_that_leads_nowhere():
    assert query(123, host="nowhere.invalid") == {"error": "dns"}
