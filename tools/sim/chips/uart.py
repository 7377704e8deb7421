"""What hangs on a UART, with a pty at its other end.

A bridge to USB: the pty is what the computer behind it has as /dev/ttyACM0. Or an RS-485 transceiver: the pty is what
the power control device has (tools/sim/power/device.py).

The line has no handshake: what comes while nobody takes it is lost, and `lost` counts it, as an overrun does. So is
what passes while the two ends are set up differently.
"""

import asyncio
import contextlib
import os
import tty

_READ_BYTES = 4096


class Uart:
    """`path` is there from open() to close(). form: how the firmware set it up, None where it did not.

    other_form: how the other end is set up, None where it follows, as a bridge does.
    `connect` gives it the firmware's end: a callable that takes what comes from the pty.
    """

    def __init__(self, other_form=None):
        self.path = None
        self.other_form = other_form
        self.form = None
        self.lost = 0
        self._receive = None
        self._master = self._slave = None

    def open(self):
        """Make the pty; its settings are whatever its user sets. Belongs to the running event loop."""
        if self.path is None:
            self._master, self._slave = os.openpty()
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self.path = os.ttyname(self._slave)
            asyncio.get_running_loop().add_reader(self._master, self._came)

    def close(self):
        if self.path is not None:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self.path = None

    def reset(self):
        """The microcontroller has started anew, or lost its power; the bridge has its own, from the computer."""
        self.form = None
        self._receive = None

    def connect(self, receive):
        self._receive = receive

    def send(self, data):
        """What the firmware sends."""
        sent = 0
        if self.path is not None and self._understood:
            with contextlib.suppress(BlockingIOError):
                sent = os.write(self._master, data)
        self.lost += len(data) - sent

    @property
    def _understood(self):
        return self.other_form in (None, self.form)

    def _came(self):
        data = os.read(self._master, _READ_BYTES)
        if self._receive and self._understood:
            self._receive(data)
