"""The module's certificate request (PKCS#10, RFC 2986) and its private key in DER (SEC 1, RFC 5915)."""

from hashlib import sha256

from firmware.crypto import der, ecdsa, p256

_EC_PUBLIC_KEY = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"  # 1.2.840.10045.2.1
_PRIME256V1 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"  # 1.2.840.10045.3.1.7
_ECDSA_WITH_SHA256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"  # 1.2.840.10045.4.3.2
_COMMON_NAME = b"\x06\x03\x55\x04\x03"  # 2.5.4.3
_MAX_COMMON_NAME = 64  # RFC 5280, ub-common-name: characters


def certificate_request(private_scalar, common_name):
    """DER, signed with ecdsa-with-SHA256. common_name: text of 1 to 64 characters, else `ValueError`."""
    if not 0 < len(common_name) <= _MAX_COMMON_NAME:
        raise ValueError("common name")
    sequence = der.SEQUENCE
    name = der.tlv(sequence, _COMMON_NAME, der.tlv(der.UTF8_STRING, common_name.encode()))
    public_key = p256.encode_point(p256.multiply_base(private_scalar))
    body = der.tlv(
        sequence,
        der.integer(0),
        der.tlv(sequence, der.tlv(der.SET, name)),
        der.tlv(sequence, der.tlv(sequence, _EC_PUBLIC_KEY, _PRIME256V1), der.bit_string(public_key)),
        der.tlv(der.CONTEXT_0),
    )
    r, s = ecdsa.sign(private_scalar, sha256(body).digest())
    return der.tlv(
        sequence,
        body,
        der.tlv(sequence, _ECDSA_WITH_SHA256),
        der.bit_string(ecdsa.signature_der(r, s)),
    )


def private_key_der(private_scalar, public_point):
    """ECPrivateKey with curve and public key, as `tls.SSLContext.load_cert_chain` takes it."""
    return der.tlv(
        der.SEQUENCE,
        der.integer(1),
        der.tlv(der.OCTET_STRING, private_scalar.to_bytes(32, "big")),
        der.tlv(der.CONTEXT_0, _PRIME256V1),
        der.tlv(der.CONTEXT_1, der.bit_string(p256.encode_point(public_point))),
    )
