# Picks the board and runs the application. Never returns: what ends is started anew.
import gc
import io
import os
import sys
import time

import micropython

LOCK_FILE = "locked"
BOARD_FILE = "board.txt"  # one line, the name of a module in firmware/boards
DEFAULT_BOARD = "esp32_s3"
RESTART_AFTER_MS = 3000
# Nothing moves on this heap. While it fills with what stays, what does not stay is collected at once, so that
# the rest is left in one piece. The application is milder once it is built.
COLLECT_EVERY_BYTES = 2048


def make_board():
    name = DEFAULT_BOARD
    if BOARD_FILE in os.listdir():
        with open(BOARD_FILE) as file:
            name = file.readline().strip()
    return __import__("firmware.boards." + name, None, None, ("Board",)).Board()


def print_safely(error):
    # Where it happened and what class of error. The message may repeat what somebody entered.
    trace = io.StringIO()
    sys.print_exception(error, trace)
    for line in trace.getvalue().split("\n"):
        if line.startswith('  File "'):
            print(line)
    print("stopped:", type(error).__name__, getattr(error, "code", ""))


def main():
    if LOCK_FILE in os.listdir():
        micropython.kbd_intr(-1)  # see boot.py
    gc.threshold(COLLECT_EVERY_BYTES)
    board = None
    try:
        board = make_board()
        from firmware.app import run

        run(board)
        print("stopped: the application returned")
    except Exception as error:
        print_safely(error)
    time.sleep_ms(RESTART_AFTER_MS)
    if board:
        board.reset()
    while True:  # without a board there is nothing to reset with; a prompt would be worse
        time.sleep_ms(RESTART_AFTER_MS)


main()
