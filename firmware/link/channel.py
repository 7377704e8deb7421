"""Keys and sealed frames of a phone's session (docs/protocol.md, S16). The same class serves either end."""

import struct

from micropython import const

from firmware import wire
from firmware.crypto.hmac import constant_time_equal, hmac_sha256
from firmware.crypto.kdf import hkdf_expand
from firmware.crypto.seal import KEY_SIZE, Sealer, wipe
from firmware.errors import SealError

PHONE = 0
MODULE = 1

NONCE_SIZE = 16
SESSION_ID_SIZE = 8

_MAC_KEY_SIZE = const(32)
_TYPES = (wire.SEALED_P, wire.SEALED_M)  # by the role that sends


class SessionKeys:
    """What a handshake leaves: the session's id, the key of its resumptions, and all of its channels' keys."""

    def __init__(self, k_shared):
        self._k_shared = bytearray(k_shared)
        resume = hkdf_expand(k_shared, b"inkan resume 1", SESSION_ID_SIZE + _MAC_KEY_SIZE)
        self.session_id = resume[:SESSION_ID_SIZE]
        self._mac_key = bytearray(resume[SESSION_ID_SIZE:])

    def channel(self, role, nonce_p=b"", nonce_m=b""):
        """The `Channel` of a role, PHONE or MODULE; nonces after a resumption alone."""
        keys = hkdf_expand(self._k_shared, b"inkan channel 1" + nonce_p + nonce_m, 2 * KEY_SIZE)
        return Channel(keys, role)

    def resume_mac(self, turn, nonce_p):
        return self._mac(b"resume", turn, nonce_p)

    def resumed_mac(self, turn, nonce_p, nonce_m):
        return self._mac(b"resumed", turn, nonce_p, nonce_m)

    def is_resume(self, session_id, turn, nonce_p, mac):
        """True if whoever says *resume* has these keys."""
        return session_id == self.session_id and constant_time_equal(self.resume_mac(turn, nonce_p), mac)

    def wipe(self):
        """Overwrite the keys; nothing can be had from here any more."""
        wipe(self._k_shared)
        wipe(self._mac_key)
        self._k_shared = self._mac_key = None

    def _mac(self, label, turn, *nonces):
        return hmac_sha256(self._mac_key, label, self.session_id, turn.to_bytes(4, "little"), *nonces)


class Channel:
    """Both directions of one link, each with its key and its counter. A frame that does not open is the last."""

    def __init__(self, keys, role):
        self._types = _TYPES[role], _TYPES[1 - role]
        sealers = Sealer(keys[:KEY_SIZE]), Sealer(keys[KEY_SIZE:])
        self._out = sealers[role]
        self._in = sealers[1 - role]
        self._sent = 0
        self._received = 0
        self._context = bytearray(9)

    def seal(self, buffer, size, iv):
        """Make a sealed frame of the message, `size` bytes, that lies at wire.MESSAGE_AT of a bytearray.

        Returns the frame's length, the two bytes before it included. The IV must be unpredictable and used once.
        """
        message = memoryview(buffer)[wire.MESSAGE_AT : wire.MESSAGE_AT + size]
        kind = self._types[0]
        context = self._in_context(kind, self._sent)
        end = self._out.seal_into(buffer, wire.FRAME_HEAD_SIZE, iv, context, message)
        struct.pack_into("<HB", buffer, 0, end - 2, kind)
        self._sent += 1
        return end

    def open(self, frame):
        """The message in a sealed frame (type and body), where it lies. SealError, from then on for every frame."""
        opener = self._in
        self._in = None
        if opener is None or frame[0] != self._types[1]:
            raise SealError()
        message = opener.open_in_place(frame[1:], self._in_context(frame[0], self._received))
        self._received += 1
        self._in = opener
        return message

    def _in_context(self, kind, counter):
        struct.pack_into("<BQ", self._context, 0, kind, counter)
        return self._context
