"""The bounded HTTPS client against real TLS servers that behave well, badly or not at all (R7, R27)."""

import contextlib
import socket
import ssl
import struct

import pytest

from tests.link import micropython
from tests.link.authority import Authority, der, scalar, write_pem
from tests.link.server import TlsServer, answer, read_request, server_context

PATIENT_MS = 10_000  # for whatever is not to run out
SHORT_MS = 150
GOOD = answer({"ok": True})
SPARE_BYTES = 8192  # of heap above what a client takes that has had one answer
TLS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class World:
    """One CA, a server's certificate, a module's."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = Authority()
        self.server_pem = write_pem(folder / "server.pem", *self.ca.server())
        certificate, key = self.ca.module("INK-00000001")
        for name, data in (("ca", self.ca.der), ("certificate", der(certificate)), ("key", scalar(key))):
            (folder / name).write_bytes(data)

    def options(self, server, **changed):
        names = {name: str(self.folder / name) for name in ("ca", "certificate", "key")}
        patient = [PATIENT_MS] * 3
        return names | {"host": "localhost", "port": server.port, "limits": patient, "calls": 1} | changed

    def call(self, server, **changed):
        """Results of the calls, in order."""
        return micropython.run("http_client", self.options(server, **changed))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("link"))


def repeat(*answers):
    """A handler that answers with each of the given bytes in turn, the last one for ever."""
    left = list(answers)

    def handle(connection):
        while read_request(connection):
            connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return handle


@pytest.mark.parametrize("version", TLS)
def test_r7_a_good_server_is_talked_to_over_one_connection(world, version):
    with TlsServer(repeat(GOOD), world.server_pem, world.ca, newest=TLS[version]) as server:
        results = world.call(server, calls=3)
    assert [result["answer"] for result in results] == [{"ok": True}] * 3
    assert server.connections == 1


def then(server, context):
    """A handler that answers once, well; the connections after that are `context`'s."""

    def handle(connection):
        if read_request(connection):
            server.context = context
            connection.sendall(GOOD)
            read_request(connection)

    return handle


# Who is who. The fault comes with a second connection, for which there are 8 KiB of heap.


FAULTS = {
    "unknown CA": (lambda ca: Authority("test CA").server(), "localhost", "tls_ca"),
    "self-signed": (lambda ca: self_signed("localhost"), "localhost", "tls_ca"),
    "wrong host": (lambda ca: ca.server(("example.com", "127.0.0.2")), "localhost", "tls_host"),
    "wrong address": (lambda ca: ca.server(("example.com", "127.0.0.2")), "127.0.0.1", "tls_host"),
    "expired": (lambda ca: ca.server(days=(-10, -1)), "localhost", "tls_date"),
    "not yet valid": (lambda ca: ca.server(days=(2, 10)), "localhost", "tls_date"),
    # An NTP query helps against a date alone; it is not to be made for a stranger's certificate.
    "all at once": (lambda ca: Authority("other").server(("example.com",), (-10, -1)), "localhost", "tls_ca"),
}


def self_signed(name):
    authority = Authority(name)
    return authority.certificate, authority.key


@pytest.mark.parametrize("version", TLS)
@pytest.mark.parametrize("fault", FAULTS)
def test_r27_a_fault_of_the_servers_certificate_is_named_within_8_kib(world, tmp_path, fault, version):
    make, host, code = FAULTS[fault]
    bad = server_context(write_pem(tmp_path / "bad.pem", *make(world.ca)), newest=TLS[version])
    with TlsServer(lambda connection: then(server, bad)(connection), world.server_pem, world.ca) as server:
        good, result = world.call(server, calls=2, spare=SPARE_BYTES, host=host)
    assert good["answer"] == {"ok": True}
    assert result["error"] == code


# Over TLS 1.3 the refusal comes when the client has written its request already. A server that closes on that resets
# the connection, and then either may be first: the alert or the reset, which is a mere `closed`.
@pytest.mark.parametrize("version", TLS)
@pytest.mark.parametrize("shown", ["none", "another CA's"])
def test_r27_a_server_that_refuses_the_clients_certificate_is_named_within_8_kib(world, tmp_path, shown, version):
    certificate, key = Authority("test CA").module("INK-00000001")
    (tmp_path / "certificate").write_bytes(der(certificate))
    (tmp_path / "key").write_bytes(scalar(key))
    strict = server_context(world.server_pem, world.ca, TLS[version])
    lingering = version == "1.3"
    with TlsServer(lambda plain: then(server, strict)(plain), world.server_pem, lingering=lingering) as server:
        options = world.options(server, calls=2, spare=SPARE_BYTES)
        for name in ("certificate", "key"):
            del options[name]
            if shown != "none":
                options[name] = str(tmp_path / name)
        good, result = micropython.run("http_client", options)
    assert good["answer"] == {"ok": True}
    assert result["error"] == "tls_client"


@pytest.mark.parametrize(("status", "code"), [("401 Unauthorized", "unauthenticated"), ("403 Forbidden", "forbidden")])
def test_another_modules_certificate_gets_the_servers_typed_refusal(world, status, code):
    refusal = answer({"error": {"code": code, "message": "no \u2026"}}, status)
    with TlsServer(repeat(refusal), world.server_pem, world.ca) as server:
        result = world.call(server)[0]
    assert (result["error"], result["status"], result["server_code"]) == ("status", int(status[:3]), code)


def test_plain_http_is_no_tls(world):
    def handle(plain):
        plain.recv(1000)
        plain.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with TlsServer(handle, world.server_pem, raw=True) as server:
        assert world.call(server)[0]["error"] == "tls"


def test_name_that_leads_nowhere(world):
    with TlsServer(repeat(GOOD), world.server_pem) as server:
        assert world.call(server, host="nowhere.invalid")[0]["error"] == "dns"


def test_port_that_nobody_listens_at(world):
    with TlsServer(repeat(GOOD), world.server_pem) as server:
        options = world.options(server)
    assert micropython.run("http_client", options)[0]["error"] == "connect"


# A server that hangs, at each stage


def well(server, plain):
    with server.context.wrap_socket(plain, server_side=True) as connection:
        repeat(GOOD)(connection)


def hang_before_tls(server, plain):
    server.closing.wait()


def hang_within_tls(server, plain):
    plain.recv(1000)
    plain.sendall(b"\x16\x03\x03")
    server.closing.wait()


def hang_after(start):
    def handle(server, plain):
        with server.context.wrap_socket(plain, server_side=True) as connection:
            read_request(connection)
            connection.sendall(start)
            server.closing.wait()

    return handle


def drip(start, step_s=0.02):
    """A byte at a time, for ever slower than the client has time."""

    def handle(server, plain):
        with server.context.wrap_socket(plain, server_side=True) as connection:
            read_request(connection)
            for byte in start:
                connection.sendall(bytes((byte,)))
                if server.closing.wait(step_s):
                    return

    return handle


HANGING = {
    "before TLS": (hang_before_tls, 0),
    "within TLS": (hang_within_tls, 0),
    "after the request": (hang_after(b""), 1),
    "after one byte": (hang_after(b"H"), 2),
    "within the headers": (hang_after(b"HTTP/1.1 200 OK\r\nContent-Le"), 2),
    "after the headers": (hang_after(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"), 2),
    "within the body": (hang_after(GOOD[:-1]), 2),
    "within a chunk": (hang_after(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{"), 2),
    "never closing": (hang_after(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"), None),
    "a byte at a time": (drip(GOOD * 9), 2),
    "headers a byte at a time": (drip(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 31), 2),
}


@pytest.mark.parametrize("stage", HANGING)
def test_r27_a_server_that_hangs_is_left_within_8_kib(world, stage):
    handler, short = HANGING[stage]
    limits = [SHORT_MS if place == short else PATIENT_MS for place in range(3)]
    handlers = [well, handler]
    with TlsServer(lambda plain: handlers.pop(0)(server, plain), world.server_pem, world.ca, raw=True) as server:
        good, result = world.call(server, calls=2, spare=SPARE_BYTES, later_limits=limits)
    assert good["answer"] == {"ok": True}
    assert result["error"] == ("bad_http" if short is None else "timeout")
    assert result["most_steps"] <= 1
    assert short is None or result["ticks"] > 20


def test_a_host_that_swallows_packets_is_left(world):
    """Connecting itself hangs: the queue of a listener that never accepts is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        with TlsServer(repeat(GOOD), world.server_pem) as server:
            options = world.options(server, port=port, limits=[SHORT_MS, PATIENT_MS, PATIENT_MS])
        result = micropython.run("http_client", options)[0]
        for filler in fillers:
            filler.close()
    assert result["error"] == "timeout"


@pytest.mark.parametrize("fault", ["tls_ca", "tls", "closed", "timeout", "connect"])
def test_r27_a_failure_leaves_no_socket_open(world, tmp_path, fault):
    pem = world.server_pem
    limits = [PATIENT_MS] * 3
    raw = False
    handler = reset(b"")
    if fault == "tls_ca":
        pem = write_pem(tmp_path / "stranger.pem", *Authority("test CA").server())
    elif fault == "tls":
        handler, raw = (lambda plain: plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")), True
    elif fault == "timeout":
        handler, raw, limits[0] = (lambda plain: server.closing.wait()), True, 10
    with TlsServer(handler, pem, raw=raw) as server:
        options = world.options(server, calls=12, limits=limits)
        if fault != "connect":
            results = micropython.run("http_client", options)
    if fault == "connect":
        results = micropython.run("http_client", options)
    assert {result["error"] for result in results} == {fault}
    assert len({result["open_files"] for result in results}) == 1


# Answers that are wrong, each with the error that names it. All of them are read with 8 KiB of heap left.

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def sized(body):
    return answer(body)


def endless(start, more):
    """A handler that never stops."""

    def handle(connection):
        read_request(connection)
        connection.sendall(start)
        while True:
            connection.sendall(more)

    return handle


def cut(data):
    """A handler that closes properly after `data`."""

    def handle(connection):
        read_request(connection)
        connection.sendall(data)
        connection.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            connection.unwrap()  # says goodbye, and does not wait for the client's

    return handle


def reset(data):
    """A handler whose connection is reset after `data`."""

    def handle(connection):
        read_request(connection)
        connection.sendall(data)
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        socket.socket(fileno=connection.detach()).close()

    return handle


BIG = b"x" * 65536
HOSTILE = {
    # Too much
    "10 MB body": (endless(HEAD + b"Content-Length: 10485760\r\n\r\n", BIG), "too_large"),
    "body of 8193 bytes": (HEAD + b"Content-Length: 8193\r\n\r\n" + BIG[:8193], "too_large"),
    "length beyond all bounds": (HEAD + b"Content-Length: " + b"9" * 200 + b"\r\n\r\n", "too_large"),
    "endless chunks": (endless(CHUNKED, b"400\r\n" + BIG[:1024] + b"\r\n"), "too_large"),
    "chunk of 10 MB": (endless(CHUNKED + b"A00000\r\n", BIG), "too_large"),
    "chunk of 4 GiB": (CHUNKED + b"FFFFFFFF\r\n", "too_large"),
    "chunks of 1 byte": (CHUNKED + b"1\r\nx\r\n" * 8193, "too_large"),
    "endless chunk line": (endless(CHUNKED, b"0" * 65536), "too_large"),
    "endless headers": (endless(HEAD, b"A: b\r\n" * 1000), "too_large"),
    "33 headers": (HEAD + b"A: b\r\n" * 33 + b"Content-Length: 2\r\n\r\n{}", "too_large"),
    "endless header": (endless(HEAD + b"A: ", BIG), "too_large"),
    "header of 2 KiB": (HEAD + b"A: " + b"b" * 2048 + b"\r\nContent-Length: 2\r\n\r\n{}", "too_large"),
    "endless status line": (endless(b"HTTP/1.1 200 ", BIG), "too_large"),
    "endless trailers": (endless(CHUNKED + b"2\r\n{}\r\n0\r\n", b"A: b\r\n" * 1000), "too_large"),
    "endless 100 Continue": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "too_large"),
    # No HTTP as it should be
    "no HTTP": (b"220 smtp.example.com ESMTP\r\n", "bad_http"),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", "bad_http"),
    "status of 2 digits": (b"HTTP/1.1 20 OK\r\n\r\n", "bad_http"),
    "status of 4 digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "bad_http"),
    "status of letters": (b"HTTP/1.1 abc OK\r\n\r\n", "bad_http"),
    "status 099": (b"HTTP/1.1 099 OK\r\n\r\n", "bad_http"),
    "status 999": (b"HTTP/1.1 999 OK\r\n\r\n", "bad_http"),
    "switching protocols": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "bad_http"),
    "redirect": (answer(b"", "302 Found", "Location: https://example.com/\r\n"), "bad_http"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "bad_http"),
    "bare line feed": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "bad_http"),
    "neither length nor chunks": (HEAD + b"\r\n{}", "bad_http"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "bad_http"),
    "length and chunks": (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "bad_http"),
    "negative length": (HEAD + b"Content-Length: -2\r\n\r\n{}", "bad_http"),
    "length in hexadecimal": (HEAD + b"Content-Length: 0x2\r\n\r\n{}", "bad_http"),
    "length of nothing": (HEAD + b"Content-Length: \r\n\r\n{}", "bad_http"),
    "header without colon": (HEAD + b"Content-Length 2\r\n\r\n{}", "bad_http"),
    "header without name": (HEAD + b": 2\r\n\r\n{}", "bad_http"),
    "space before the colon": (HEAD + b"Content-Length : 2\r\n\r\n{}", "bad_http"),
    "folded header": (HEAD + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}", "bad_http"),
    "compressed": (answer(b"{}", headers="Content-Encoding: gzip\r\n"), "bad_http"),
    "compressed in transfer": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad_http"),
    "chunk size missing": (CHUNKED + b"\r\n{}\r\n0\r\n\r\n", "bad_http"),
    "chunk size no number": (CHUNKED + b"xyz\r\n{}\r\n0\r\n\r\n", "bad_http"),
    "chunk size negative": (CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", "bad_http"),
    "chunk size of 9 digits": (CHUNKED + b"000000002\r\n{}\r\n0\r\n\r\n", "bad_http"),
    "chunk longer than its size": (CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", "bad_http"),
    "chunk shorter than its size": (CHUNKED + b"3\r\n{}\r\n0\r\n\r\n", "bad_http"),
    "chunk size with a bare line feed": (CHUNKED + b"2\n{}\r\n0\r\n\r\n", "bad_http"),
    "two answers": (GOOD + GOOD, "bad_http"),
    "answer and a byte": (GOOD + b"x", "bad_http"),
    # No JSON, or not what it should be
    "no JSON": (sized(b"<html>"), "bad_json"),
    "empty": (sized(b""), "bad_json"),
    "JSON cut short": (sized(b'{"ok": true'), "bad_json"),
    "JSON and more": (sized(b'{"ok": true} x'), "bad_json"),
    "JSON of no UTF-8": (sized(b'{"ok": "\xff"}'), "bad_json"),
    "a list": (sized(b"[]"), "bad_answer"),
    "a number": (sized(b"1"), "bad_answer"),
    "null": (sized(b"null"), "bad_answer"),
    "deep JSON": (sized(b"[" * 4000 + b"]" * 4000), "bad_json"),
    "wide JSON": (sized(b"[" + b"0," * 4000 + b"0]"), "too_large"),
    "many names": (sized(b"{" + b",".join(b'"%d":0' % n for n in range(900)) + b"}"), "too_large"),
    "long text": (sized(b'{"a":"' + BIG[:8000] + b'"}'), "too_large"),
    "long number": (sized(b"9" * 8000), "bad_json"),
    "8 KiB of blanks": (sized(b" " * 8192), "bad_json"),
    # Cut short
    "closed at once": (cut(b""), "closed"),
    "closed within the status": (cut(b"HTTP/1.1 2"), "closed"),
    "closed within the headers": (cut(HEAD), "closed"),
    "closed within the body": (cut(GOOD[:-1]), "closed"),
    "closed within a chunk": (cut(CHUNKED + b"5\r\n{}"), "closed"),
    "closed before the last chunk": (cut(CHUNKED + b"2\r\n{}\r\n"), "closed"),
    "reset at once": (reset(b""), "closed"),
    "reset within the headers": (reset(HEAD), "closed"),
    "reset within the body": (reset(GOOD[:-1]), "closed"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_r27_a_hostile_answer_is_named_within_8_kib(world, kind):
    wrong, expected = HOSTILE[kind]
    handlers = [repeat(GOOD), wrong if callable(wrong) else repeat(wrong)]
    with TlsServer(lambda connection: handlers.pop(0)(connection), world.server_pem, world.ca) as server:
        good, result = world.call(server, calls=2, spare=SPARE_BYTES)
    assert good["answer"] == {"ok": True}
    assert result.get("error") == expected
    assert result["most_steps"] <= 1


def test_the_heap_that_is_left_is_what_counts(world):
    """The instrument of the tests above: with too little left, even a good answer does not fit."""
    with TlsServer(repeat(GOOD), world.server_pem, world.ca) as server:
        # Of so little it fails at once; of a kilobyte it may as well end between the client and who catches it.
        assert world.call(server, calls=2, spare=384)[1]["error"] == "MemoryError"


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        HEAD + b"content-LENGTH:2\r\n\r\n{}",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length:   2  \r\nX-Y_z: \xff\r\n\r\n{}",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + GOOD,
        CHUNKED + b'b;name="value"\r\n{"ok":true\r\n1\r\n}\r\n0\r\n\r\n'.replace(b"b;", b"A;"),
        CHUNKED + b"2\r\n{}\r\n000\r\nTrailer: x\r\n\r\n",
        HEAD + b"A: b\r\n" * 31 + b"Content-Length: 2\r\n\r\n{}",
        answer(b"{}" + b" " * 8190),
        answer({"text": "y" * 1500, "number": -1.5e3, "list": [1, [2, {"x": None}]]}),
    ],
)
def test_unusual_but_right_answers_are_taken_within_8_kib(world, data):
    with TlsServer(repeat(GOOD, data, GOOD), world.server_pem, world.ca) as server:
        results = world.call(server, calls=3, spare=SPARE_BYTES)
    assert "answer" in results[1]
    assert server.connections == 2  # the client was closed once, to begin with
