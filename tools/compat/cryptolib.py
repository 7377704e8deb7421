"""CPython stand-in for MicroPython's `cryptolib`, over `cryptography`.

As on the device: keys of 16 or 32 bytes, modes 1 (ECB) and 2 (CBC), whole
blocks only, and one object either encrypts or decrypts.
"""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_MODE_ECB = 1
_MODE_CBC = 2
_BLOCK_BYTES = 16


class aes:
    def __init__(self, key, mode, iv=None):
        if len(key) not in (16, 32):
            raise ValueError("key")
        if mode == _MODE_ECB:
            cipher_mode = modes.ECB()
        elif mode == _MODE_CBC:
            if iv is None or len(iv) != _BLOCK_BYTES:
                raise ValueError("IV")
            cipher_mode = modes.CBC(bytes(iv))
        else:
            raise ValueError("mode")
        self._cipher = Cipher(algorithms.AES(bytes(key)), cipher_mode)
        self._direction = None
        self._context = None

    def encrypt(self, source, destination=None):
        return self._run("encrypt", source, destination)

    def decrypt(self, source, destination=None):
        return self._run("decrypt", source, destination)

    def _run(self, direction, source, destination):
        if len(source) % _BLOCK_BYTES:
            raise ValueError("blksize % 16")
        if self._context is None:
            make = self._cipher.encryptor if direction == "encrypt" else self._cipher.decryptor
            self._context = make()
            self._direction = direction
        elif self._direction != direction:
            raise ValueError("can't encrypt & decrypt")
        if destination is None:
            return self._context.update(bytes(source))
        if len(destination) < len(source):
            raise ValueError("output too small")
        memoryview(destination)[: len(source)] = self._context.update(bytes(source))
        return destination
