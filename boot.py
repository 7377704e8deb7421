# Runs before main.py. On a locked module no key at the console leads to a prompt (S21).
#
# A module is locked when the file `locked` is there. Then this takes Ctrl-C from the
# console while boot.py runs; MicroPython gives it back when main.py starts, so main.py
# takes it again, and never returns. What neither can close: the moment before the
# first line of either file, and the chip's ROM boot loader, which reads and writes
# flash whatever is in it. Only firmware built without a prompt, with secure boot and
# flash encryption, closes those.
import os

import micropython

if "locked" in os.listdir():
    micropython.kbd_intr(-1)
