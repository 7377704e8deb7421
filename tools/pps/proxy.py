"""A proxy that ends TLS before the server: what it says of a client is believed, and nobody else's word.

It tells the client's certificate in `X-Client-Cert`, as nginx's $ssl_client_escaped_cert (PEM, percent-encoded), and
the client's address in `X-Real-IP`. Whoever could send these past the proxy could be any module. So a request from
anywhere else gets no further, and these headers reach no application, whoever sent them.
"""

import datetime
import ipaddress
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tools.pps.errors import ServiceError
from tools.pps.identity import CERTIFICATE_EXTENSION
from tools.pps.middleware import render_json

CERTIFICATE_HEADER = b"x-client-cert"
ADDRESS_HEADER = b"x-real-ip"

_OF_PROXIES = {
    CERTIFICATE_HEADER,
    ADDRESS_HEADER,
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"forwarded",
}
_LONGEST = 16 * 1024
_END = b"-----END CERTIFICATE-----"


class BehindProxy:
    """proxy: ProxySettings. For an application whose listener speaks plain HTTP to the proxy."""

    def __init__(self, app, proxy):
        self._app = app
        self._proxy = proxy

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        scope["headers"] = [(name, value) for name, value in headers if name.lower() not in _OF_PROXIES]
        if not self._is_trusted(scope):
            await render_json(ServiceError("forbidden", "this address is not the proxy's"), scope, send)
            return
        scope["scheme"] = "https"
        scope["client"] = _client(_only(headers, ADDRESS_HEADER))
        der = certificate_of(_only(headers, CERTIFICATE_HEADER))
        scope.setdefault("extensions", {})[CERTIFICATE_EXTENSION] = der
        await self._app(scope, receive, send)

    def _is_trusted(self, scope):
        if self._proxy.sockets is not None:
            return True  # who may open the socket is a matter of its folder's permissions
        client = scope.get("client")
        try:
            address = ipaddress.ip_address(client[0].partition("%")[0]) if client else None
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return address is not None and any(address in network for network in self._proxy.networks)


def certificate_of(value):
    """DER of a percent-encoded PEM certificate of a client, within its time, or None.

    The proxy has verified it; that is not taken on trust where it can be checked: the issuer follows in IdentityReader.
    """
    if not value or len(value) > _LONGEST:
        return None
    pem = unquote_to_bytes(value)
    if pem.count(_END) != 1:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, x509.ExtensionNotFound):
        return None
    now = datetime.datetime.now(datetime.UTC)
    in_time = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    return certificate.public_bytes(Encoding.DER) if in_time and ExtendedKeyUsageOID.CLIENT_AUTH in usage else None


def _only(headers, name):
    """The value of a header that is there once, else None: of two, one is somebody else's."""
    found = [value for each, value in headers if each.lower() == name]
    return found[0] if len(found) == 1 else None


def _client(value):
    try:
        return (str(ipaddress.ip_address(value.decode("ascii"))), 0) if value else None
    except ValueError:
        return None
