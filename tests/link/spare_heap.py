"""MicroPython: leaves a script only so much of the heap."""

import gc


def fill_heap(spare):
    """Take all of the heap but `spare` bytes, in one piece; returns what holds it."""
    gc.collect()
    kept = bytearray(spare)
    held = None
    size = 65536
    while size >= 16:
        try:
            held = (held, bytearray(size))
        except MemoryError:
            size //= 2
    del kept
    gc.collect()
    return held
