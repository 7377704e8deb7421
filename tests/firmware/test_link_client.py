"""The HTTP client over connections in memory: what is repeated, what is not, and answers that are garbage."""

import asyncio

from link_random import Random

from firmware.errors import LinkError
from firmware.link import transport
from firmware.link.http import HttpClient, Limits, StatusError, new_buffer
from tests.dual import raises

INTERPRETERS = ("micropython",)
TIMEOUT_S = 120

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"ok":true}'
_RESET = 104


class Stream:
    """A socket with TLS. `script`: bytes to be read, None (nothing yet), b"" (the end) or an OSError, in turn.

    What is read later than the script goes is `after`.
    """

    def __init__(self, script, after=b""):
        self.script = list(script)
        self.after = after
        self.written = b""
        self.closed = False
        self.refuses = None  # error of every write

    def write(self, data):
        if self.refuses:
            raise self.refuses
        self.written += bytes(data)
        return len(data)

    def read(self, size):
        if not self.script:
            return self.after
        part = self.script.pop(0)
        if isinstance(part, OSError):
            raise part
        if part and len(part) > size:
            self.script.insert(0, part[size:])
            part = part[:size]
        return part

    def readline(self, size):
        line = b""
        while len(line) < size:
            byte = self.read(1)
            if not byte:
                return line or byte
            line += byte
            if byte == b"\n":
                break
        return line

    def readinto(self, view):
        part = self.read(len(view))
        if part is None:
            return None
        view[: len(part)][:] = part
        return len(part)

    def close(self):
        self.closed = True


class Network:
    """Hands out the given streams, one for each connection."""

    def __init__(self, *streams):
        self.streams = list(streams)
        self.used = []

    async def connect(self, host, port, context):
        if not self.streams:
            raise LinkError("connect")
        self.used.append(self.streams.pop(0))
        return transport.Connection(self.used[-1], self.used[-1])

    def client(self, limits=None):
        transport.readable = transport.writable = _at_once
        return HttpClient("pps.example", 8443, None, new_buffer(), limits, self.connect)


def _at_once(stream):
    yield from asyncio.sleep_ms(0)


async def _code(client):
    with raises(LinkError) as caught:
        await client.call("/x", (b"{}",))
    return caught.value.code


async def test_a_request_is_written_in_one_piece_as_http_wants_it():
    stream = Stream([GOOD])
    assert await Network(stream).client().call("/v1/x", (b'{"a":', b"1}")) == {"ok": True}
    head, _, body = stream.written.partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.split(b"\r\n") == [
        b"POST /v1/x HTTP/1.1",
        b"Host: pps.example:8443",
        b"Accept: application/json",
        b"Content-Type: application/json",
        b"Content-Length: 7",
    ]


async def test_a_request_that_does_not_fit_is_not_begun():
    network = Network(Stream([GOOD]))
    with raises(LinkError) as caught:
        await network.client().call("/x", (bytes(4000), bytes(4000)))
    assert caught.value.code == "too_large"
    assert not network.used


async def test_the_connection_is_kept():
    network = Network(Stream([GOOD, None, None, GOOD, None, None, GOOD]))
    client = network.client()
    for _ in range(3):
        assert await client.call("/x", (b"{}",)) == {"ok": True}
    assert len(network.used) == 1


async def test_a_server_that_closes_after_an_answer_is_believed():
    for first in (GOOD.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), GOOD.replace(b"1.1", b"1.0")):
        network = Network(Stream([first, None]), Stream([GOOD, None]))
        client = network.client()
        await client.call("/x", (b"{}",))
        assert network.used[0].closed
        await client.call("/x", (b"{}",))
        assert len(network.used) == 2


async def test_a_kept_connection_that_has_died_is_replaced_in_silence():
    for end in (b"", OSError(_RESET), OSError(-_RESET), OSError(-0x7280)):
        # Found out before the request is sent, and after.
        for quiet in ([None], [None, None, None]):
            network = Network(Stream([GOOD] + quiet + [end]), Stream([GOOD, None]))
            client = network.client()
            assert await client.call("/x", (b"{}",)) == {"ok": True}
            assert await client.call("/x", (b"{}",)) == {"ok": True}
            assert len(network.used) == 2
            assert network.used[0].closed


async def test_a_kept_connection_that_takes_no_request_is_replaced_in_silence():
    stream = Stream([GOOD, None, None])
    network = Network(stream, Stream([GOOD, None]))
    client = network.client()
    await client.call("/x", (b"{}",))
    stream.refuses = OSError(-32)
    assert await client.call("/x", (b"{}",)) == {"ok": True}
    assert network.used[1].written.endswith(b"\r\n\r\n{}")


async def test_a_request_is_repeated_once_and_not_for_ever():
    network = Network(Stream([GOOD, None, None]), Stream([]), Stream([GOOD]))
    client = network.client()
    await client.call("/x", (b"{}",))
    assert await _code(client) == "closed"
    assert len(network.used) == 2


async def test_a_request_that_was_answered_in_part_is_not_repeated():
    network = Network(Stream([GOOD, None, None, GOOD[:-1]]), Stream([GOOD]))
    client = network.client()
    await client.call("/x", (b"{}",))
    assert await _code(client) == "closed"
    assert len(network.used) == 1


async def test_a_request_on_a_new_connection_is_not_repeated():
    network = Network(Stream([]), Stream([GOOD]))
    assert await _code(network.client()) == "closed"
    assert len(network.used) == 1


async def test_a_time_out_is_not_repeated():
    network = Network(Stream([GOOD], None), Stream([GOOD]))
    client = network.client(Limits(1000, 20, 1000))
    await client.call("/x", (b"{}",))
    assert await _code(client) == "timeout"
    assert len(network.used) == 1


async def test_what_a_server_says_unasked_is_no_answer():
    network = Network(Stream([GOOD, None, GOOD]), Stream([GOOD.replace(b"true", b"null"), None]))
    client = network.client()
    assert await client.call("/x", (b"{}",)) == {"ok": True}
    assert await client.call("/x", (b"{}",)) == {"ok": None}


async def test_a_cancelled_request_closes_its_connection():
    stream = Stream([], None)
    network = Network(stream, Stream([GOOD]))
    client = network.client()
    task = asyncio.create_task(client.call("/x", (b"{}",)))
    while not stream.written:
        await asyncio.sleep_ms(0)
    task.cancel()
    with raises(asyncio.CancelledError):
        await task
    assert stream.closed
    assert await client.call("/x", (b"{}",)) == {"ok": True}


async def test_refusals_tell_what_the_server_said():
    for status, body, code, wait_s in (
        (b"429 x", b'{"error":{"code":"too_many","message":"m"}}', "too_many", 7),
        (b"503 x", b"<html>", None, 7),
        (b"500 x", b'{"error":1}', None, 7),
        (b"500 x", b'{"error":{"code":5}}', None, 7),
        (b"500 x", b'{"error":{"code":"' + b"c" * 33 + b'"}}', None, 7),
        (b"500 x", b"[" * 300, None, 7),
    ):
        answer = b"HTTP/1.1 %s\r\nRetry-After: %d\r\nContent-Length: %d\r\n\r\n" % (status, wait_s, len(body))
        with raises(StatusError) as caught:
            await Network(Stream([answer + body])).client().call("/x", (b"{}",))
        error = caught.value
        assert (error.code, error.status, error.server_code, error.retry_after_s) == (
            "status",
            int(status[:3]),
            code,
            wait_s,
        )


async def test_a_date_to_retry_after_is_passed_over():
    answer = b"HTTP/1.1 503 x\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n"
    with raises(StatusError) as caught:
        await Network(Stream([answer])).client().call("/x", (b"{}",))
    assert caught.value.retry_after_s is None


# Errors of sockets and TLS, by number where there is one, else by mbedTLS's words


def test_errors_are_named():
    lines = {
        "signed": "The certificate is not correctly signed by the trusted CA",
        "host": "The certificate Common Name (CN) does not match with the expected CN",
        "expired": "The certificate validity has expired",
        "future": "The certificate validity starts in the future",
        "weak": "The certificate is signed with an unacceptable key (eg bad curve, RSA too short).",
    }
    for error, code in (
        (ValueError("\n" + lines["signed"] + "\n"), "tls_ca"),
        (ValueError("\n" + lines["host"] + "\n"), "tls_host"),
        (ValueError("\n" + lines["expired"] + "\n"), "tls_date"),
        (ValueError("\n" + lines["future"] + "\n"), "tls_date"),
        (ValueError("\n" + lines["expired"] + "\n" + lines["host"] + "\n"), "tls_host"),
        (ValueError("\n" + lines["expired"] + "\n" + lines["host"] + "\n" + lines["signed"] + "\n"), "tls_ca"),
        (ValueError("\n" + lines["weak"] + "\n"), "tls_ca"),
        (ValueError("something else"), "tls_ca"),
        (OSError(-0x2700), "tls_ca"),
        (OSError(-0x7780, "SSL - A fatal alert message was received from our peer"), "tls_client"),
        (OSError(-0x7200), "tls"),
        (OSError(-0x7280), "closed"),
        (OSError(_RESET), "closed"),
        (OSError(-_RESET), "closed"),
        (OSError(32), "closed"),
        (OSError(111), "connect"),
        (OSError(113), "connect"),
        (OSError(), "connect"),
    ):
        assert transport.error_code(error) == code, error


def test_certificates_that_are_none_are_named():
    for ca, certificate, key in ((b"\x30\x00", b"\x30\x00", bytes(32)), (b"x", b"y", b"z")):
        with raises(LinkError) as caught:
            transport.mutual_context(ca, certificate, key)
        assert caught.value.code == "tls"


# Fuzzing


_SEEDS = (
    GOOD,
    b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5\r\n{"ok"\r\n6;a=b\r\n:true}\r\n0\r\nT: x\r\n\r\n',
    b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 32\r\n\r\n"
    b'{"error":{"code":"unavailable"}}',
    b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{"credential":null,"revoked":4,"x":1}',
)
_TOKENS = (
    b"\r\n",
    b"\n",
    b"\r",
    b":",
    b";",
    b"0",
    b"-1",
    b"ffffffff",
    b"99999999999999999999",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\x00",
    b"\xff\xfe",
    b'"',
    b"\\u",
    b"{",
    b"[[[[[[[[",
    b" ",
    b"e5",
)


def _mutated(random):
    data = _SEEDS[random.below(len(_SEEDS))]
    for _ in range(1 + random.below(4)):
        at = random.below(len(data) + 1)
        to = min(len(data), at + random.below(12))
        kind = random.below(6)
        if kind == 0:
            data = data[:at] + data[to:]
        elif kind == 1:
            data = data[:at] + bytes((random.below(256),)) + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + _TOKENS[random.below(len(_TOKENS))] + data[at:]
        elif kind == 3:
            data = data[:at] + _TOKENS[random.below(len(_TOKENS))] + data[to:]
        elif kind == 4:
            data = data[:to] + data[at:]
        else:
            data = data[:at]
    return data


def _script(random, data):
    """The data in pieces, with pauses between."""
    script = []
    while data:
        size = 1 + random.below(len(data))
        script.append(data[:size])
        data = data[size:]
        if random.below(2):
            script.append(None)
    return script


async def test_r27_garbage_is_a_link_error_and_nothing_else():
    random = Random(20260101)
    outcomes = {}
    for case in range(4000):
        data = _mutated(random)
        network = Network(Stream(_script(random, data)))
        client = network.client()
        try:
            await client.call("/x", (b"{}",))
            outcome = "answer"
        except LinkError as error:
            outcome = error.code
            assert network.used[0].closed or outcome not in ("bad_http", "closed"), (case, data)
        except Exception as error:
            raise AssertionError((case, data, error))
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    # A fuzzer that ends all in one place finds nothing.
    for code in ("answer", "bad_http", "bad_json", "closed", "status"):
        assert outcomes.get(code, 0) > 20, outcomes
