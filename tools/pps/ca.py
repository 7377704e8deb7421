"""Certificate authorities of the virtual house: the maker's (factory identities) and the PPS's (connections).

Made fresh in a folder and meant for it alone: the keys lie there unencrypted. P-256 throughout (RFC 5280, RFC 5480).
"""

import contextlib
import datetime
import ipaddress
import os
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CA_YEARS = 30
_MODULE_YEARS = 20
_SERVER_DAYS = 397
_CLOCK_SLACK = datetime.timedelta(days=1)
_YEAR = datetime.timedelta(days=365)


class CertificateAuthority:
    """A CA with its key. `certificate` is the x509 object, `certificate_der` its bytes."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self._key = key

    @property
    def certificate_der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @classmethod
    def create(cls, name):
        """A new CA; a random part makes its name its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Inkan virtual house"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {secrets.token_hex(4)}"),
            ]
        )
        now = _utc_now()
        usage = _key_usage(key_cert_sign=True, crl_sign=True)
        builder = _builder(subject, subject, key.public_key(), now - _CLOCK_SLACK, now + _CA_YEARS * _YEAR)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def open(cls, directory, stem, name):
        """The CA of `stem`.pem and `stem`.key in a folder, made there if it is missing."""
        directory = Path(directory)
        certificate_path, key_path = directory / f"{stem}.pem", directory / f"{stem}.key"
        if not certificate_path.exists():
            made = cls.create(name)
            write_private(key_path, _key_pem(made._key))
            certificate_path.write_bytes(made.certificate.public_bytes(serialization.Encoding.PEM))
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        return cls(certificate, serialization.load_pem_private_key(key_path.read_bytes(), None))

    def sign_module_request(self, request_der, serial, *, valid_from=None, valid_until=None):
        """A module's certificate (DER) for a certificate request (DER).

        ValueError where the request is malformed, not self-signed, not for P-256, or not for this serial number.
        """
        request = _load_request(request_der)
        if _common_name(request) != serial:
            raise ValueError("the common name is not the serial number")
        now = _utc_now()
        return self._sign(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)]),
            request.public_key(),
            ExtendedKeyUsageOID.CLIENT_AUTH,
            valid_from or now - _CLOCK_SLACK,
            valid_until or now + _MODULE_YEARS * _YEAR,
        ).public_bytes(serialization.Encoding.DER)

    def make_server_certificate(self, names, *, valid_from=None, valid_until=None):
        """A server's key and certificate for DNS names and IP addresses; returns one PEM text as bytes."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = _utc_now()
        alternatives = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        certificate = self._sign(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]),
            key.public_key(),
            ExtendedKeyUsageOID.SERVER_AUTH,
            valid_from or now - _CLOCK_SLACK,
            valid_until or now + datetime.timedelta(days=_SERVER_DAYS),
            x509.SubjectAlternativeName(alternatives),
        )
        return _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)

    def _sign(self, subject, public_key, purpose, valid_from, valid_until, alternatives=None):
        builder = _builder(subject, self.certificate.subject, public_key, valid_from, valid_until)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(digital_signature=True), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.certificate.public_key())
        builder = builder.add_extension(issuer_key, critical=False)
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())


class DevelopmentCa:
    """Both CAs of a virtual house, kept in one folder: `maker` and `pps`."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.maker = CertificateAuthority.open(self.directory, "maker_ca", "Maker CA")
        self.pps = CertificateAuthority.open(self.directory, "pps_ca", "PPS CA")

    def sign_factory_request(self, request_der):
        """A factory identity's certificate (DER) for the serial number that the request names. ValueError."""
        serial = _common_name(_load_request(request_der))
        return self.maker.sign_module_request(request_der, serial)

    def write_server_certificate(self, names):
        """Make a new server key and certificate under the PPS's CA; returns the path of its PEM file."""
        path = self.directory / "server.pem"
        write_private(path, self.pps.make_server_certificate(names))
        return path


def write_private(path, data):
    """Write a file that only its owner may read, in place of what was there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _load_request(request_der):
    request = x509.load_der_x509_csr(request_der)
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the key is not on P-256")
    if not request.is_signature_valid:
        raise ValueError("the request is not signed with its own key")
    return request


def _common_name(request):
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise ValueError("one common name is needed")
    return names[0].value


def _builder(subject, issuer, public_key, valid_from, valid_until):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid_from)
        .not_valid_after(valid_until)
    )


def _key_usage(*, digital_signature=False, key_cert_sign=False, crl_sign=False):
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _utc_now():
    return datetime.datetime.now(datetime.UTC)
