"""Who a module is, by the certificate that it came with (S18)."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

CONNECTION = "connection"
FACTORY_IDENTITY = "factory_identity"

CERTIFICATE_EXTENSION = "inkan.client_certificate"
"""Key in the ASGI scope's extensions under which tls_protocol leaves the client certificate's DER."""


@dataclass(frozen=True)
class ModuleIdentity:
    """A module's serial number, `kind` of certificate, and its SHA-256 as hex."""

    serial: str
    kind: str
    fingerprint: str


class IdentityReader:
    """Tells a connection's certificate (PPS's CA) from a factory identity (maker's CA)."""

    def __init__(self, connection_ca_der, factory_ca_der):
        self._issuers = (
            (x509.load_der_x509_certificate(connection_ca_der), CONNECTION),
            (x509.load_der_x509_certificate(factory_ca_der), FACTORY_IDENTITY),
        )

    def read(self, certificate_der):
        """ModuleIdentity of a certificate that TLS has verified, or None where no known CA issued it."""
        certificate = x509.load_der_x509_certificate(certificate_der)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if len(names) != 1:
            return None
        for issuer, kind in self._issuers:
            try:
                certificate.verify_directly_issued_by(issuer)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return ModuleIdentity(names[0].value, kind, certificate.fingerprint(hashes.SHA256()).hex())
        return None
