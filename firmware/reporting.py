"""Which readings are reported, in what order, and how they are proved (R23, S20; docs/api.md, "readings").

The reporter talks to nobody: a server link takes requests from it and hands it what was answered.
"""

import struct
from binascii import hexlify

from micropython import const

from firmware import settings
from firmware.crypto.hmac import HmacSha256
from firmware.crypto.kdf import hkdf
from firmware.errors import TamperError

_CONTRACT_NUMBER = const(0x14)  # firmware/unique_info.py
_SITE_ID = const(0x31)
_PRIVATE_KEY = const(0x55)

_KIND_SLOT = const(1)  # docs/format.md, "Readings body"
_KIND_CIRCUITS = const(2)
_CONTRACT_AT = const(8)
_TAG_SIZE = const(28)
_MAC_SIZE = const(16)
_KEY_SIZE = const(32)


class Reporter:
    """Follows the readings' ring and what the server has of it.

    readings: epoch (8 bytes, None while nothing is kept), head_number, contract_tag, newest_slot, chained(from_number).
    read_info: `Sessions.read`, the unique information by way of the detection unit; TamperError where it may not be
    used.
    on_rollback: called when the server has more than there is (S10).
    """

    def __init__(self, readings, detection, read_info, on_rollback):
        self._readings = readings
        self._detection = detection
        self._read_info = read_info
        self._on_rollback = on_rollback
        self._lacks = None  # no_site, no_contract, tampered, "" for nothing; None: look again
        self._epoch = None  # of the usage history that the numbers below count in
        self._through = -1  # what the server needs no more; -1: not asked yet
        self._asks = True  # the next request, or the one under way, only asks
        self._from = 1  # the oldest that is to be reported, or below it
        self._found = False  # it is that
        self._ahead = 0  # newest number that was reported before its turn
        self._sent_to = 0  # last number of the request under way; 0: it has no records
        self._is_ahead = False  # it is of such

    def changed(self):
        """A record came, or the unique information is another one."""
        self._lacks = None
        self._found = False

    def ask_anew(self):
        """Before the next records ask what the server has: it may have been restored from a backup."""
        self._asks = True

    @property
    def state(self):
        """ok, no_site, no_contract, tampered or waiting: records that the server has not confirmed."""
        if self._detection.tamper:
            return "tampered"
        if self._lacks is None:
            try:
                self._lacks = _lacking(self._read_info())
            except TamperError:
                return "tampered"
        return self._lacks or ("waiting" if self.waiting else "ok")

    @property
    def waiting(self):
        """How many records the server has not confirmed, those of other contracts among them until they are met."""
        self._follow()
        return max(self._readings.head_number - self._from + 1, 0)

    def unreported(self):
        """Half hours that were cut and the server has not confirmed; None where that is not seen at a glance."""
        if not self.waiting:
            return None if self._epoch is None else 0
        if self._through < 0 or self._ahead >= self._from:
            return None
        looks = settings.REPORT_LOOK_RECORDS
        for _, body, _, _ in self._readings.chained(self._from):
            if body[0] == _KIND_SLOT and self._is_mine(body, False):
                span, slot = struct.unpack_from("<HI", body, 2)
                return self._readings.newest_slot - slot + span
            looks -= 1
            if not looks:
                return None
        return 0

    @property
    def has_word(self):
        """There is something to be said, or asked."""
        known = self.state in ("ok", "waiting") and self._readings.epoch is not None
        return known and self._through < self._readings.head_number

    def key(self):
        """The report key, 32 bytes, or None without a connection. TamperError."""
        private_key = self._read_info().get(_PRIVATE_KEY)
        return private_key and hkdf(private_key, b"inkan report", _KEY_SIZE)

    def request(self, most):
        """The pieces of a request with at most so many records, made as they are taken. What comes of it: `told`.

        None: where it begins is not found yet, ask again. TamperError.
        """
        self._follow()
        head = self._readings.head_number
        self._sent_to = 0
        self._is_ahead = False
        found = own = None
        if not self._asks:
            if not self._find(head):
                return None
            if head - self._from >= most and self._ahead < head:
                # The newest ones first: a long outage does not delay the present.
                own = self._own(max(self._ahead + 1, head - most + 1), most)
                found = next(own, None)
                if found:
                    self._is_ahead = True
                else:
                    self._ahead = head
            if not found and self._from <= head:
                own = self._own(self._from, most)
                found = next(own, None)
                if not found:
                    self._found = False  # it is no longer there
                    return None
        return self._pieces(self._read_info(), found, own)

    def told(self, epoch, through):
        """The server's answer to `request`. False where it cannot be one."""
        if self._epoch is None or self._readings.epoch != self._epoch:
            return True  # what was asked about has been deleted since
        if epoch != self._epoch.hex():
            return False
        if through > self._readings.head_number:
            self._on_rollback()
            return True
        if self._is_ahead:
            self._ahead = self._sent_to
        elif not self._asks and through < (self._sent_to or self._from - 1):
            self._asks = True
            return False
        self._asks = False
        self._through = through
        if through + 1 != self._from:
            self._from = through + 1
            self._found = False
        return True

    def _follow(self):
        """Begin anew with another usage history."""
        epoch = self._readings.epoch
        if epoch != self._epoch:
            self._epoch = epoch
            self._through = -1
            self._asks = True
            self._from = 1
            self._found = False
            self._ahead = 0

    def _find(self, head):
        """Go on to the oldest record that is to be reported; False where that takes more than one look."""
        if self._found:
            return True
        looks = settings.REPORT_LOOK_RECORDS
        mine = False
        for number, body, _, _ in self._readings.chained(max(self._from - 1, 1)):
            mine = self._is_mine(body, mine)
            if number < self._from:
                continue
            self._from = number
            if mine:
                break
            self._from += 1
            looks -= 1
            if not looks:
                return False
        else:
            self._from = head + 1
        self._found = True
        return True

    def _own(self, from_number, most):
        """Yield (number, body, tag, tag before) of the present contract's: the first ones that follow each other."""
        last = 0
        mine = False
        for record in self._readings.chained(max(from_number - 1, 1)):
            mine = self._is_mine(record[1], mine)
            if record[0] < from_number:
                continue
            if last and (not mine or record[0] != last + 1):
                return
            if mine:
                last = record[0]
                yield record
                most -= 1
                if not most:
                    return

    def _is_mine(self, body, before):
        """Whether a record is of the present contract; one of circuits is what the slot before it is."""
        if body[0] == _KIND_CIRCUITS:
            return before
        return struct.unpack_from("<I", body, _CONTRACT_AT)[0] == self._readings.contract_tag

    def _pieces(self, info, found, own):
        """Yield the request's body."""
        mac = HmacSha256(hkdf(info.get(_PRIVATE_KEY), b"inkan report", _KEY_SIZE))
        epoch = self._epoch
        yield b'{"protocol": %d, "epoch": "%s", "site": "%s", "contract": "%s", ' % (
            settings.LINK_PROTOCOL,
            hexlify(epoch),
            info.get(_SITE_ID),
            info.get(_CONTRACT_NUMBER),
        )
        info = None  # nearly all of it is certificates
        yield b'"head": %d, "oldest": %s, "before": "%s", "records": [' % (
            self._readings.head_number,
            b"null" if self._asks else b"%d" % self._from,
            hexlify(found[3] if found else bytes(_TAG_SIZE)),
        )
        while found:
            number, body, tag, before = found
            mac.reset()
            mac.update(b"inkan reading")
            mac.update(epoch)
            mac.update(struct.pack("<I", number))
            mac.update(before)
            mac.update(tag)
            mac.update(body)
            yield b'%s{"number": %d, "body": "' % (b"," if self._sent_to else b"", number)
            yield hexlify(body)
            yield b'", "tag": "%s", "mac": "%s"}' % (hexlify(tag), hexlify(mac.digest()[:_MAC_SIZE]))
            self._sent_to = number
            found = next(own, None)
        yield b"]}"


def _lacking(info):
    """What a report cannot do without and the unique information has not, or ""."""
    if not info.get(_CONTRACT_NUMBER):
        return "no_contract"
    return "" if info.get(_SITE_ID) else "no_site"
