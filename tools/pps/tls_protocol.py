"""uvicorn's HTTP protocol with what it lacks here: the client's certificate, and a limit to how long a request's
head may take."""

import json

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tools.pps.errors import ServiceError
from tools.pps.identity import CERTIFICATE_EXTENSION

HEAD_TIMEOUT_S = 10


class TlsProtocol(HttpToolsProtocol):
    """Puts the client certificate's DER, or None, into the ASGI scope's extensions."""

    _certificate_der = None
    _head_timer = None

    def connection_made(self, transport):
        super().connection_made(transport)
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            self._certificate_der = ssl_object.getpeercert(binary_form=True)
        self._await_head()

    def connection_lost(self, exc):
        self._stop_head_timer()
        super().connection_lost(exc)

    def on_message_begin(self):
        super().on_message_begin()
        self.scope["extensions"] = {CERTIFICATE_EXTENSION: self._certificate_der}
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self):
        self._stop_head_timer()
        super().on_headers_complete()

    def send_400_response(self, msg):
        content = json.dumps(ServiceError("bad_request", "this is not HTTP/1.1").body()).encode()
        head = STATUS_LINE[400] + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(head % len(content) + content)
        self.transport.close()

    def _await_head(self):
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _stop_head_timer(self):
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
