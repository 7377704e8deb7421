"""Maps ROMFS images into memory and mounts them, as the ESP32's start-up code does with its `romfs` partition.

What is imported from there runs in place: only what it makes is on the heap.
"""

import os
import sys

import ffi
import uctypes
import vfs

_PROT_READ = 1
_MAP_PRIVATE = 2


def start(shims, module):
    """Mount two images by their paths; `module` is "" where the firmware is in the file system."""
    mount(shims, "/shims")
    sys.path.insert(0, "/shims")  # before the interpreter's own modules of the same names
    if module:
        mount(module, "/rom")
        sys.path.extend(("/rom", "/rom/lib"))


def mount(path, where):
    c_library = ffi.open(None)
    descriptor = c_library.func("i", "open", "si")(path, 0)
    size = os.stat(path)[6]
    address = c_library.func("P", "mmap", "PLiiil")(None, size, _PROT_READ, _MAP_PRIVATE, descriptor, 0)
    c_library.func("i", "close", "i")(descriptor)
    vfs.mount(vfs.VfsRom(uctypes.bytearray_at(address, size)), where)
