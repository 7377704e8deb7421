"""Runs calls of firmware.crypto on either interpreter: one JSON line in, one out.

A line is [name, argument, ..]. Bytes and large integers are hexadecimal text, and so are the results.
"""

import json
import sys
from binascii import hexlify, unhexlify


def _hmac(key, *parts):
    from firmware.crypto.hmac import hmac_sha256

    return _text(hmac_sha256(unhexlify(key), *[unhexlify(part) for part in parts]))


def _hkdf(ikm, info, length, salt):
    from firmware.crypto.kdf import hkdf

    return _text(hkdf(unhexlify(ikm), unhexlify(info), length, unhexlify(salt)))


def _pbkdf2(password, salt, iterations, slice_size):
    from firmware.crypto.kdf import Pbkdf2

    derivation = Pbkdf2(unhexlify(password), unhexlify(salt), iterations)
    while not derivation.step(slice_size):
        pass
    return _text(derivation.result())


def _seal(key, iv, context, plaintext):
    from firmware.crypto.seal import Sealer, sealed_size

    plaintext = unhexlify(plaintext)
    out = bytearray(sealed_size(len(plaintext)))
    Sealer(unhexlify(key)).seal_into(out, 0, unhexlify(iv), unhexlify(context), plaintext)
    return _text(out)


def _open(key, context, message):
    from firmware.crypto.seal import Sealer
    from firmware.errors import SealError

    try:
        return _text(Sealer(unhexlify(key)).open_in_place(bytearray(unhexlify(message)), unhexlify(context)))
    except SealError:
        return None


def _generate(entropy, nonce, personalization, sizes, reseed):
    from firmware.crypto.drbg import HmacDrbg

    generator = HmacDrbg(unhexlify(entropy), unhexlify(nonce), unhexlify(personalization))
    out = [_text(generator.generate(size)) for size in sizes]
    generator.reseed(unhexlify(reseed))
    out.append(_text(generator.generate(32)))
    return out


def _multiply(k, x, y):
    from firmware.crypto.p256 import multiply

    return _point(multiply(int(k, 16), (int(x, 16), int(y, 16))))


def _multiply_base(k):
    from firmware.crypto.p256 import multiply_base

    return _point(multiply_base(int(k, 16)))


def _sign(private, digest):
    from firmware.crypto.ecdsa import sign, signature_der

    return _text(signature_der(*sign(int(private, 16), unhexlify(digest))))


def _request(private, name):
    from firmware.crypto.x509 import certificate_request

    return _text(certificate_request(int(private, 16), name))


def _private_key(private):
    from firmware.crypto.p256 import multiply_base
    from firmware.crypto.x509 import private_key_der

    return _text(private_key_der(int(private, 16), multiply_base(int(private, 16))))


def _verify(w0, l_point, random, share_p, context, id_verifier, confirm_p):
    """[shareV, confirmV, K_shared] of one exchange; in their place the code of what it ended with."""
    from firmware.crypto.spake2plus_verifier import Prepared, Verifier
    from firmware.errors import InkanError

    drawn = unhexlify(random)
    values = Prepared(unhexlify(w0), unhexlify(l_point), lambda size: drawn[:size])
    while not values.step():
        pass
    out = []
    try:
        verifier = Verifier(values.take())
        out += verifier.respond(unhexlify(share_p), unhexlify(context), b"", unhexlify(id_verifier))
        out.append(verifier.finish(unhexlify(confirm_p)))
    except InkanError as error:
        return [_text(data) for data in out] + [error.code]
    return [_text(data) for data in out]


def _modules_after(name):
    __import__(name)
    return sorted(name for name in sys.modules if name.startswith("firmware.crypto."))


CALLS = {
    "hmac": _hmac,
    "hkdf": _hkdf,
    "pbkdf2": _pbkdf2,
    "seal": _seal,
    "open": _open,
    "generate": _generate,
    "multiply": _multiply,
    "multiply_base": _multiply_base,
    "sign": _sign,
    "request": _request,
    "private_key": _private_key,
    "verify": _verify,
    "modules_after": _modules_after,
}


def _text(data):
    return hexlify(data).decode()


def _point(point):
    return None if point is None else [f"{point[0]:x}", f"{point[1]:x}"]


def answer(line):
    name, *arguments = json.loads(line)
    return json.dumps(CALLS[name](*arguments))


if __name__ == "__main__":
    for line in sys.stdin:
        print(answer(line))
