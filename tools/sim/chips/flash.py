"""NOR flash chip with power cuts. Runs on CPython and on MicroPython.

What it holds to: an erase sets a sector to 0xFF, a program only turns ones
into zeros, and either can be torn by a power cut. A torn program leaves a
part of its bytes, or a part of its bits, done, or all of them so weakly that
they read right for a while only, until they are programmed again. A torn
erase leaves a part of the sector erased, or a sector that reads differently
each time until it is erased again. `torn_kinds` lists what can happen to an
operation.
"""

import hashlib
import os
import sys

if sys.implementation.name == "micropython":
    # A chip's cells are not in the firmware's heap, so they are not in the interpreter's.
    import ffi
    import uctypes

    _allocate = ffi.open(None).func("P", "malloc", "L")

    def _cells(size):
        return uctypes.bytearray_at(_allocate(size), size)

    def _copy(data):
        copy = _cells(len(data))
        memoryview(copy)[:] = data
        return copy

else:
    _cells = bytearray
    _copy = bytes

SECTOR_SIZE = 4096

# Marginal cells after a torn erase; each entry is what one read may find.
_READS_OF = {
    "noisy": ("lifted",),
    "random": ("random",),
    "flicker": ("old", "blank", "lifted", "random"),
    "hiding": ("old",),
}
_READS_HIDDEN = 8  # for which a sector that hides reads blank
_READS_HELD = 6  # for which weak bytes read right


class PowerCut(BaseException):
    """The power went. Not an Exception, so no firmware handler keeps it from ending the run."""


class FlashMisuse(AssertionError):
    """The caller broke a rule of NOR flash; strict chips raise it, all chips list it in `misuses`."""


_BLANK = memoryview(b"\xff" * SECTOR_SIZE)
_free = []  # cells of discarded chips, in pieces of SECTOR_SIZE


class NorFlash:
    """The device protocol (sector_size, size, read, program, erase) over sparse memory.

    size is in bytes. With path the contents live in that file too, written
    through, and are taken from it at the start. A blank sector costs no memory.
    On MicroPython the memory of the others comes back only by `discard`.
    """

    def __init__(self, size, path=None, sector_size=SECTOR_SIZE, strict=True):
        self.size = size
        self.sector_size = sector_size
        self.strict = strict
        self.misuses = []
        self.powered = True
        self.operations = None  # list once record() was called
        self.before_each = None  # called with (operation as in `operations`, what is programmed or None) before each
        self.clear_counters()
        self._blank = _BLANK if sector_size == SECTOR_SIZE else memoryview(b"\xff" * sector_size)
        self._sectors = {}  # index -> its cells; blank sectors are absent
        self._digests = {}  # index -> SHA-256 of the cells, of those that were asked for and have not changed
        self._marginal = {}  # index -> (kind, reads so far) after a torn erase
        self._weak = {}  # address -> (size, reads so far) after a weak program
        self._cut_in = None  # operations left before the cut
        self._cut_torn = None
        self._file = None
        if path is not None:
            self._open(path)

    def _open(self, path):
        try:
            os.stat(path)
        except OSError:
            with open(path, "wb") as file:
                for _ in range(self.size // self.sector_size):
                    file.write(self._blank)
        self._file = open(path, "r+b")  # noqa: SIM115  held as long as the chip
        for index in range(self.size // self.sector_size):
            self._set_sector(index, self._file.read(self.sector_size))

    def close(self):
        """Close the file, if there is one."""
        if self._file:
            self._file.close()
            self._file = None

    # The device protocol

    def read(self, address, buffer):
        """Fill buffer from address (bytes)."""
        if not self.powered:
            raise PowerCut()
        out = memoryview(buffer)
        size = len(out)
        if address < 0 or address + size > self.size:
            self._misuse(f"{size} bytes at 0x{address:x} leave the chip")
        self.reads += 1
        self.bytes_read += size
        index = address // self.sector_size
        offset = address - index * self.sector_size
        if offset + size <= self.sector_size:
            self._read_part(index, offset, out)
        else:
            for index, offset, part in self._parts(address, out):
                self._read_part(index, offset, part)
        if self._weak:
            self._weaken(address, out)

    def program(self, address, data):
        """Turn ones into zeros. A one over a zero, or a program on a half-erased sector, is a misuse."""
        data = memoryview(data)
        self._check_range(address, len(data))
        torn = self._begin(("program", address, len(data)), data)
        if torn == "before":
            self._cut()
        self.programs += 1
        self.bytes_programmed += len(data)
        self._check_program(address, data)
        if torn == "shaky":
            # What was programmed before is as firm, or as weak, as it was.
            if self._program(address, data):
                self._weak[address] = (len(data), 0)
        elif torn is None or torn == "after":
            self._program(address, data)
            self._harden(address, len(data))
        else:
            kind, done, bits = torn
            rest = data[done : done + 1] if kind == "bytes" else data
            done = data[:done] if kind == "bytes" else b""
            self._program(address, bytes(done) + bytes([byte | bits ^ 0xFF for byte in rest]))
        if torn is not None:
            self._cut()

    def erase(self, sector_index):
        """Set a sector to 0xFF."""
        if not 0 <= sector_index < self.size // self.sector_size:
            self._misuse(f"erase of sector {sector_index}, which is not there")
        was_blank = sector_index not in self._sectors and sector_index not in self._marginal
        torn = self._begin(("erase", sector_index, was_blank))
        if torn == "before":
            self._cut()
        self.erases += 1
        if torn is None or torn == "after":
            self._set_sector(sector_index, self._blank)
            self._marginal.pop(sector_index, None)
            self._harden(sector_index * self.sector_size, self.sector_size)
        else:
            self._tear_erase(sector_index, torn)
        if torn is not None:
            self._cut()

    # Power

    def cut_at(self, operation_index, torn):
        """Cut the power in an operation to come: 0 is the next program or erase.

        torn: "before", "after", or one of `torn_kinds`. PowerCut is raised
        there and by whatever is done before `power_on`.
        """
        self._cut_in = operation_index
        self._cut_torn = torn

    def power_on(self):
        """Power again; a cut that is still to come is called off."""
        self.powered = True
        self._cut_in = None

    def torn_kinds(self, operation):
        """What a cut can do to an operation of `operations`, as a list for `cut_at`.

        Program: ("bytes", n, bits): n bytes are done and of the next one those
        zeros that `bits` selects; ("weak", 0, bits): of every byte; "shaky": all,
        but they read right for a while only. Erase:
        ("head", n) or ("tail", n): n bytes there are erased, the rest is old;
        "noisy", "random", "flicker": each read finds other bits; "hiding": it reads
        blank at first, and old later. A blank sector has fewer ways to be half erased.
        """
        if operation[0] == "erase" and operation[2]:
            kinds = ["before", "random", "flicker", "after"]
        elif operation[0] == "erase":
            kinds = ["before", ("head", 16), ("head", self.sector_size // 2), ("tail", self.sector_size - 48)]
            kinds += ["noisy", "random", "flicker", "hiding", "after"]
        else:
            size = operation[2]
            kinds = ["before", ("bytes", 0, 0x0F), ("weak", 0, 0x55), "shaky"]
            for count, bits in ((1, 0), (size // 4, 0x81), (size // 2, 0), (size - 16, 0), (size - 1, 0x30)):
                if 0 < count < size and ("bytes", count, bits) not in kinds:
                    kinds.append(("bytes", count, bits))
            kinds.append("after")
        return kinds

    # Looking at it and meddling with it

    def record(self):
        """Start the list `operations` anew: ("program", address, size), ("erase", sector_index, was_blank)."""
        self.operations = []

    def clear_counters(self):
        """Set reads, bytes_read, programs, bytes_programmed and erases to 0."""
        self.reads = self.bytes_read = self.programs = self.bytes_programmed = self.erases = 0

    def torn_fork(self, operation, data, torn):
        """A fork after a power cut in its next operation, power back on: what `before_each` was told of, torn."""
        other = self.fork()
        other.cut_at(0, torn)
        try:
            if operation[0] == "erase":
                other.erase(operation[1])
            else:
                other.program(operation[1], data)
        except PowerCut:
            other.power_on()
        return other

    def fork(self):
        """A chip of its own with the same contents, in memory, powered, counters at 0."""
        other = NorFlash(self.size, None, self.sector_size, self.strict)
        for index, data in self._sectors.items():
            other._put(index, data)
        other._digests.update(self._digests)
        other._marginal.update(self._marginal)
        other._weak.update(self._weak)
        return other

    def discard(self):
        """Give back the memory: the chip is not to be used any more."""
        self.powered = False
        for cells in self._sectors.values():
            self._give_back(cells)
        self._sectors.clear()

    def image(self):
        """A copy of all of the contents; half-erased sectors as they were before the erase."""
        whole = _cells(self.size)
        for index in range(self.size // self.sector_size):
            at = index * self.sector_size
            memoryview(whole)[at : at + self.sector_size][:] = self._sectors.get(index, self._blank)
        return whole if _copy is not bytes else bytes(whole)

    def load(self, image):
        """Take over an image of at most the chip's size; what it does not cover becomes blank."""
        image = memoryview(image)
        self._marginal.clear()
        for index in range(self.size // self.sector_size):
            self.load_sector(index, image[index * self.sector_size : (index + 1) * self.sector_size])

    def state(self):
        """A digest of all that later reads depend on: contents, half-erased sectors and weak bytes."""
        digest = hashlib.sha256()
        for index in sorted(self._sectors):
            digest.update(b"%d " % index)
            if index not in self._digests:
                self._digests[index] = hashlib.sha256(self._sectors[index]).digest()
            digest.update(self._digests[index])
        digest.update(repr((sorted(self._marginal.items()), sorted(self._weak.items()))).encode())
        return digest.digest()

    def sector(self, index):
        """A copy of the contents of a sector."""
        return _copy(self._sectors.get(index, self._blank))

    def is_erased(self, index):
        """Whether a sector is all ones, below whatever a read might show."""
        return self._sectors.get(index, self._blank) == self._blank

    def load_sector(self, index, data):
        """Put data (at most a sector) at the head of a sector, blank the rest: for playing back."""
        self._marginal.pop(index, None)
        self._harden(index * self.sector_size, self.sector_size)
        memoryview(self._put(index, self._blank))[: len(data)][:] = data
        self._settle(index)

    def flip_bit(self, address, bit):
        """Turn one bit over, as no program could."""
        index, offset = divmod(address, self.sector_size)
        self._of(index)[offset] ^= 1 << bit
        self._settle(index)

    # Inside

    def _need_power(self):
        if not self.powered:
            raise PowerCut()

    def _check_range(self, address, size):
        if address < 0 or address + size > self.size:
            self._misuse(f"{size} bytes at 0x{address:x} leave the chip")

    def _misuse(self, what):
        self.misuses.append(what)
        if self.strict:
            raise FlashMisuse(what)

    def _begin(self, operation, data=None):
        """Count an operation; returns how it is torn or None."""
        self._need_power()
        if self.before_each:
            self.before_each(operation, data)
        if self.operations is not None:
            self.operations.append(operation)
        if self._cut_in is None:
            return None
        self._cut_in -= 1
        return self._cut_torn if self._cut_in < 0 else None

    def _cut(self):
        self.powered = False
        self._cut_in = None
        raise PowerCut()

    def _set_sector(self, index, data):
        self._put(index, data)
        self._settle(index)

    def _settle(self, index):
        """After the cells of a sector have changed."""
        self._digests.pop(index, None)
        if self._sectors[index] == self._blank:
            self._give_back(self._sectors.pop(index))
        self._write_through(index)

    def _of(self, index):
        """The cells of a sector, to be changed."""
        return self._sectors[index] if index in self._sectors else self._put(index, self._blank)

    def _put(self, index, data):
        """Copy data into the cells of a sector; returns those."""
        cells = self._sectors.get(index)
        if cells is None:
            cells = _free.pop() if _free and self.sector_size == SECTOR_SIZE else _cells(self.sector_size)
            self._sectors[index] = cells
        memoryview(cells)[:] = data
        self._digests.pop(index, None)
        return cells

    def _give_back(self, cells):
        if self.sector_size == SECTOR_SIZE:
            _free.append(cells)

    def _write_through(self, index):
        if self._file:
            self._file.seek(index * self.sector_size)
            self._file.write(self._sectors.get(index, self._blank))
            self._file.flush()

    def _parts(self, address, data):
        """(sector, offset in it, part of data) of each sector that data at an address reaches."""
        done = 0
        while done < len(data):
            index, offset = divmod(address + done, self.sector_size)
            part = data[done : done + self.sector_size - offset]
            yield index, offset, part
            done += len(part)

    def _read_part(self, index, offset, out):
        cells = self._sectors.get(index)
        out[:] = self._blank[: len(out)] if cells is None else memoryview(cells)[offset : offset + len(out)]
        if index in self._marginal:
            self._disturb(index, out)

    def _check_program(self, address, data):
        for index, offset, part in self._parts(address, data):
            if index in self._marginal:
                self._misuse(f"program at 0x{address:x} on a half-erased sector")
            old = self._sectors.get(index)
            if old is not None and memoryview(old)[offset : offset + len(part)] != self._blank[: len(part)]:
                was = int.from_bytes(memoryview(old)[offset : offset + len(part)], "big")
                wanted = int.from_bytes(part, "big")
                if was & wanted != wanted:
                    self._misuse(f"program at 0x{address:x} turns a zero into a one")

    def _program(self, address, data):
        """True if that turned any bit."""
        turned = False
        for index, offset, part in self._parts(address, data):
            self._digests.pop(index, None)
            view = memoryview(self._of(index))[offset : offset + len(part)]
            if view == self._blank[: len(part)]:
                turned = turned or part != view
                view[:] = part
            else:
                was = int.from_bytes(view, "big")
                done = was & int.from_bytes(part, "big")
                turned = turned or done != was
                view[:] = done.to_bytes(len(part), "big")
            self._write_through(index)
        return turned

    def _tear_erase(self, index, torn):
        if torn in _READS_OF:
            # The bits stay what they were below the reads' noise. A sector
            # that was half erased before gets the kind of the newer tear.
            self._of(index)
            self._marginal[index] = (torn, 0)
            return
        kind, count = torn
        first = 0 if kind == "head" else self.sector_size - count
        # The part that reads old stays marginal where it was before.
        memoryview(self._of(index))[first : first + count][:] = self._blank[:count]
        self._settle(index)

    def _harden(self, address, size):
        """What was weak within these bytes is so no longer."""
        for weak in list(self._weak):
            if address <= weak and weak + self._weak[weak][0] <= address + size:
                del self._weak[weak]

    def _weaken(self, address, out):
        for weak, (size, reads) in list(self._weak.items()):
            first = max(weak, address)
            last = min(weak + size, address + len(out))
            if first < last:
                self._weak[weak] = (size, reads + 1)
                if reads >= _READS_HELD:
                    part = out[first - address : last - address]
                    noise = hashlib.sha256(b"%d %d" % (weak, reads)).digest()
                    for at in range(min(len(part), len(noise))):
                        part[at] |= noise[at]

    def _disturb(self, index, part):
        torn, reads = self._marginal[index]
        self._marginal[index] = (torn, reads + 1)
        noise = hashlib.sha256(b"%d %d" % (index, reads)).digest()
        kinds = _READS_OF[torn]
        kind = kinds[noise[0] % len(kinds)]
        if torn == "hiding" and reads < _READS_HIDDEN:
            kind = "blank"
        size = len(part)
        if kind == "blank":
            part[:] = self._blank[:size]
        elif kind != "old":
            noise = (noise * (size // 32 + 1))[:size]
            if kind == "lifted":
                bits = int.from_bytes(noise, "big") | int.from_bytes(part, "big")
                noise = bits.to_bytes(size, "big")
            part[:] = noise
