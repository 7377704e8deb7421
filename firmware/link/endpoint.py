"""Which server is called, and as whom (S18, R25)."""

from firmware import settings, unique_info
from firmware.errors import TamperError

CREDENTIAL = "credential"
ENERGY = "energy"

_HTTPS = "https://"
_HTTPS_PORT = 443


class Endpoint:
    """A server and who calls it.

    host, port; ca and certificate DER; private_key 32 bytes; issuer: settings.ISSUER_... of what comes from there;
    takes_reports: it is the energy server.
    """

    def __init__(self, url, ca, certificate, private_key, issuer, takes_reports=False):
        self.host, self.port = split_url(url)
        self.ca = ca
        self.certificate = certificate
        self.private_key = private_key
        self.issuer = issuer
        self.takes_reports = takes_reports


def split_url(url):
    """(host, port) of a URL that `unique_info.check` has passed."""
    host, _, port = url[len(_HTTPS) :].partition(":")
    return host, int(port) if port else _HTTPS_PORT


def endpoints(role, read_body, identity):
    """Yield what may be called in a role, the best first.

    read_body: `Detection.read`. CREDENTIAL: the connection, then the factory identity. ENERGY: the connection's energy
    server, unless its credential server is the same; never with the factory identity.
    """
    try:
        info = unique_info.UniqueInfo(read_body())
    except TamperError:
        info = None
    if info is not None:
        found = _connection(role, info)
        if found is not None:
            yield found
    if role == CREDENTIAL:
        try:
            complete = identity.complete
        except TamperError:
            complete = False
        if complete:
            yield Endpoint(
                identity.url,
                identity.ca,
                identity.certificate,
                identity.private_key,
                settings.ISSUER_FACTORY_IDENTITY,
            )


def _connection(role, info):
    url = info.get(unique_info.CREDENTIAL_URL)
    ca = info.get(unique_info.CA_CERTIFICATE)
    energy_url = info.get(unique_info.ENERGY_URL)
    energy_ca = info.get(unique_info.ENERGY_CA_CERTIFICATE) or ca
    is_both = energy_url == url and energy_ca == ca
    if role == ENERGY:
        if is_both:
            return None
        url = energy_url
        ca = energy_ca
    certificate = info.get(unique_info.MODULE_CERTIFICATE)
    private_key = info.get(unique_info.PRIVATE_KEY)
    if not (url and ca and certificate and private_key):
        return None
    takes_reports = is_both or role == ENERGY
    return Endpoint(url.decode(), ca, certificate, private_key, settings.ISSUER_CONNECTION, takes_reports)
