"""Certificates for tests, all P-256, valid around now unless told otherwise."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def scalar(key):
    """The 32 bytes that the module stores of a private key."""
    return key.private_numbers().private_value.to_bytes(32, "big")


def write_pem(path, certificate, key):
    """One file as `ssl.SSLContext.load_cert_chain` takes it; returns the path."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


class Authority:
    """A CA."""

    def __init__(self, name="test CA"):
        self._name = _name(name)
        self.key = new_key()
        self.certificate = self._sign(self._name, self.key.public_key(), True, (), 0, 30)

    @property
    def der(self):
        return der(self.certificate)

    def server(self, hosts=("localhost", "127.0.0.1"), days=(-1, 30)):
        """(certificate, key) of a server; days: from when to when it is valid, counted from now."""
        key = new_key()
        names = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        return self._sign(_name(hosts[0]), key.public_key(), False, names, *days), key

    def module(self, serial, public_key=None):
        """(certificate, key or None) of a module; the key is a new one unless a public key is given."""
        key = None if public_key else new_key()
        return self._sign(_name(serial), public_key or key.public_key(), False, (), -1, 30), key

    def _sign(self, subject, public_key, is_ca, names, first_day, last_day):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + first_day * _DAY - _DAY)
            .not_valid_after(now + last_day * _DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
