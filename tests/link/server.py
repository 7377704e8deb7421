"""A TLS server on 127.0.0.1 that does what a test tells it, byte for byte."""

import contextlib
import json
import socket
import ssl
import threading


def server_context(certificate, client_ca=None, newest=None):
    """What a server shows (PEM file of certificate and key), and whose certificates it wants to see (Authority)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if newest:
        context.maximum_version = newest
    if client_ca:
        context.load_verify_locations(cadata=client_ca.der)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class TlsServer:
    """Context manager. `handler(connection)` is run for each connection, in a thread of its own.

    certificate: PEM file of certificate and key; client_ca: Authority whose certificates clients must show, or
    None. With raw=True the handler is given the TCP socket before TLS, and may use `context` itself. A lingering
    server lets its client hang up first when TLS fails.
    """

    def __init__(self, handler, certificate, client_ca=None, *, newest=None, raw=False, lingering=False):
        self._handler = handler
        self._raw = raw
        self._lingering = lingering
        self.context = server_context(certificate, client_ca, newest)  # of the connections from here on
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = []
        self._threads = []
        self._accepting = None
        self.port = self._listener.getsockname()[1]
        self.closing = threading.Event()  # what a server that hangs waits for
        self.connections = 0  # accepted

    def __enter__(self):
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *exception):
        self.closing.set()
        for opened in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        self._accepting.join(10)
        for thread in self._threads:
            thread.join(10)

    def _accept(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(plain)
            thread = threading.Thread(target=self._serve, args=(plain,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, plain):
        # The client may hang up at any point, and many tests make it.
        with contextlib.suppress(OSError), plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._raw:
                self._handler(plain)
                return
            secured = self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            self._sockets.append(secured)
            with secured:
                try:
                    secured.do_handshake()
                except ssl.SSLError:
                    # Closing with something unread resets the connection, and may overtake the alert.
                    while self._lingering and socket.socket.recv(secured, 65536):
                        pass
                else:
                    self._handler(secured)


class Request:
    """One HTTP request off a connection; `None in (method,)` at its end."""

    def __init__(self, method, path, headers, body):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


def read_request(connection):
    """The next `Request`, or None where the client has hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    method, path, _ = lines[0].split(" ")
    return Request(method, path, headers, body)


def answer(message, status="200 OK", headers=""):
    """Bytes of an answer; message: whatever JSON can say, or bytes."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body
