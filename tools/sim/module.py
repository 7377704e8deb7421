"""The whole module: the real firmware on the real interpreter, on a virtual board that can lose power."""

import asyncio
import collections
import contextlib
import importlib
import os
import re
import signal

from tools.setup import BUILD, ROOT
from tools.setup.shrink import shrink
from tools.setup.stage import in_sources, rom_of, stage, write_rom, write_tree
from tools.sim.ble_wire import BleWire
from tools.sim.circuit import CIRCUITS, HARD_RESET, WDT_RESET
from tools.sim.network import Network
from tools.sim.uart_wire import UartWire
from tools.sim.wire import Wire

MICROPYTHON = BUILD / "bin" / "micropython"
SHIMS = ROOT / "tools" / "sim" / "shims"
DEFAULT_TIMEOUT_S = 60  # the machine may be busy
BOARD = "esp32_s3"
ACCESS_POINTS = {"inkan-house": "correct horse"}

_DARK = bytes(1024)
_KEPT_LINES = 200
# As the ESP32's start-up code does it: the ROM file system, boot.py, Ctrl-C at the console again, main.py.
_START = """import _rom, sys
_rom.start({!r}, {!r})
del _rom, sys.modules["_rom"], sys
import boot, micropython
micropython.kbd_intr(3)
import main
"""
_BOOTSTRAP = "_rom.py"
_SHIMS_FOLDER = BUILD / "shims"


class ModuleStopped(Exception):
    """What was waited for cannot come: the module is off, or its interpreter has ended."""


class Module:
    """One module. All methods belong to one event loop.

    flash: a NorFlash of the data partition's size; the caller keeps it.
    overlay: relative paths to source texts in place of the repository's files.
    ble: a Bumble transport ("usb:0" and so on) that leads to a real radio, in place of `air`.
    board: a key of circuit.CIRCUITS.
    Attributes to look at: `lcd` and `keys` (None on a board without), `radio`,
    `network`, `flash`, `circuit`; `serial_path` (the pty of its serial line, or
    None); `power_path` (that of the line to the power control device);
    `powered`; `running` (the interpreter); `starts` (how often it
    was started); `output` (its last lines); `faults` (what the hardware would
    not have taken). `on_output` callables get each line, `listeners` are called
    without arguments when power or interpreter come or go.
    """

    def __init__(
        self,
        flash,
        folder=BUILD / "module",
        overlay=None,
        as_mpy=True,
        heap="128wK",
        access_points=ACCESS_POINTS,
        micropython=MICROPYTHON,
        ble=None,
        board=BOARD,
    ):
        self.flash = flash
        self.circuit = CIRCUITS[board](flash, access_points)
        self.lcd = self.circuit.lcd
        self.keys = self.circuit.keys
        self.radio = self.circuit.radio
        self.network = Network()
        self.radio.listeners.append(self.network.set_link)
        self.powered = False
        self.running = False
        self.starts = 0
        self.exit_status = None
        self.output = collections.deque(maxlen=_KEPT_LINES)
        self.faults = self.lcd.faults if self.lcd else []
        self.on_output = []
        self.listeners = []
        self._folder = folder
        self._overlay = overlay if board == BOARD else {**(overlay or {}), "board.txt": board}
        self._as_mpy = as_mpy
        self._heap = heap
        self._micropython = micropython
        self._air = None
        self._ble_transport = ble
        self._servers = ()
        self._process = None
        self._reader = None
        self._restart = None
        self._wire = None
        self._ble_wire = None
        self._uart_wires = []
        self._watchdog_ms = None
        self._watchdog_timer = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception):
        await self.close()

    async def close(self):
        """Power off, and give back every port and process."""
        await self.power_off()
        await self.network.close()
        for server in self._servers:
            server.close()
        self._servers = ()
        for uart in self.circuit.uarts:
            uart.close()

    # Power

    async def power_on(self, cut_at=None):
        """Switch on; returns when the interpreter has been started.

        cut_at: (operation index, how it is torn), counted from the first
        program or erase after this, as NorFlash.cut_at takes it.
        """
        if self.powered:
            return
        await self._prepare()
        self.flash.power_on()
        if cut_at is not None:
            self.flash.cut_at(*cut_at)
        self.powered = True
        self.circuit.power(True)
        await self._start()

    async def power_off(self):
        """Cut the power now: nothing that the interpreter sends after this arrives anywhere."""
        self._lose_power()
        await self._settled()

    async def wait_power_loss(self, timeout_s=DEFAULT_TIMEOUT_S):
        """Wait until the power is gone, as after NorFlash.cut_at."""
        await self._wait(lambda: not self.powered, timeout_s)
        await self._settled()

    async def wait_start(self, number, timeout_s=DEFAULT_TIMEOUT_S):
        """Wait until the interpreter has been started `number` times since the beginning."""
        await self._wait(lambda: self.starts >= number, timeout_s)

    # Keys

    async def press(self, code, hold_ms=None, timeout_s=DEFAULT_TIMEOUT_S, finger=None):
        """Press a key until the firmware has read it for hold_ms, and let it go until it has seen that.

        With `finger` (chips.keys.Finger) it stays down until that is lifted as well.
        """
        arguments = {} if hold_ms is None else {"hold_ms": hold_ms}
        await self._unless_stopped(self.keys.press(code, timeout_s=timeout_s, finger=finger, **arguments))

    async def type(self, codes):
        """Press one key after the other."""
        for code in codes:
            await self.press(code)

    # Display

    def frame(self):
        """What the eye sees: 1,024 bytes of MONO_VLSB; all dark where there is no display."""
        return self.lcd.pixels() if self.lcd else _DARK

    async def wait_frame(self, predicate, timeout_s=DEFAULT_TIMEOUT_S):
        """Wait until predicate(frame) holds; returns that frame. TimeoutError, ModuleStopped."""
        return await self._unless_stopped(self.lcd.wait_frame(predicate, timeout_s))

    async def wait_text(self, text, timeout_s=DEFAULT_TIMEOUT_S):
        """Wait until the text stands on the display, dot by dot; returns the frame."""
        from tools.font.reader import find, read_rows

        try:
            return await self.wait_frame(lambda frame: find(frame, text) is not None, timeout_s)
        except TimeoutError:
            shown = " / ".join(read_rows(self.frame()))
            raise TimeoutError(f"{text!r} did not show; the display says: {shown}") from None

    # Network

    def unplug(self):
        """The access point goes away and every connection with it."""
        self.radio.set_in_range(False)
        self.network.cut()

    def plug(self):
        """It is back; the firmware has to join it again."""
        self.radio.set_in_range(True)
        self.network.restore()

    # Air

    @property
    def air(self):
        """Where phones find the module (tools/sim/phone_radio.py). Bumble, which it is made of, is imported for it."""
        if self._air is None:
            from tools.sim.air import Air

            self._air = Air()
        return self._air

    # Serial line

    @property
    def serial_path(self):
        """The pty at the other end of the line, from the first power-on to close()."""
        return self.circuit.uart and self.circuit.uart.path

    @property
    def power_path(self):
        """The pty of the line to the power control device: from when it is asked for, power or not, to close()."""
        self.circuit.power_line.open()
        return self.circuit.power_line.path

    # Output

    async def wait_output(self, pattern, timeout_s=DEFAULT_TIMEOUT_S, after=0):
        """Wait for a line that matches the regular expression, among the kept ones but for the first `after` too."""
        found = None

        def look():
            nonlocal found
            lines = list(self.output)[after:]
            found = next(filter(None, (re.search(pattern, line) for line in lines)), None)
            return found is not None

        await self._wait(look, timeout_s, output=True)
        return found

    def write_console(self, line):
        """A line typed at the serial console."""
        if not self.running:
            raise ModuleStopped(self._stopped_text())
        self._process.stdin.write(line.encode() + b"\n")

    def interrupt(self):
        """Ctrl-C at the console."""
        self._process.send_signal(signal.SIGINT)

    # What the wire calls

    def attach(self, wire):
        """A connection to the wire; False where none is expected."""
        if not self.running or self._wire is not None:
            return False
        self._wire = wire
        return True

    def attach_ble(self, wire):
        """The same of the BLE radio's."""
        if not self.running or self._ble_wire is not None:
            return False
        self._ble_wire = wire
        return True

    def attach_uart(self, wire):
        """The same of a UART's; there are several."""
        if self.running:
            self._uart_wires.append(wire)
        return self.running

    def uart_of(self, unit):
        return self.circuit.uart_of(unit)

    async def ble(self):
        """The BLE radio. Made when it is wanted, and beside the event loop: the import takes a third of a second."""
        if self.circuit.ble is None:
            chips = await asyncio.to_thread(importlib.import_module, "tools.sim.chips.ble")
            self.circuit.ble = chips.Ble(self._ble_transport or self.air, self.circuit.unique_id)
        return self.circuit.ble

    def reset(self, cause=HARD_RESET):
        """machine.reset(), the watchdog or the reset button: the interpreter starts anew, the power stays."""
        if not self.powered:
            return
        self._kill()
        self.circuit.reset(cause)
        self._restart = asyncio.ensure_future(self._start())

    def power_cut(self):
        """The flash lost power within an operation, and everything with it."""
        self._lose_power()

    def fault(self, text):
        """Something that real hardware would not have taken."""
        self.faults.append(text)

    def watchdog_start(self, timeout_ms):
        self._watchdog_ms = timeout_ms
        self.watchdog_feed()

    def watchdog_feed(self):
        if self._watchdog_ms is None:
            return
        self._watchdog_stop()
        loop = asyncio.get_running_loop()
        self._watchdog_timer = loop.call_later(self._watchdog_ms / 1000, self.reset, WDT_RESET)

    def _watchdog_stop(self):
        if self._watchdog_timer:
            self._watchdog_timer.cancel()
            self._watchdog_timer = None

    # Inside

    async def _prepare(self):
        if not self._servers:
            form = "rom" if self._as_mpy else "source"
            await asyncio.to_thread(stage, self._folder, ROOT, form, self._overlay)
            # The shims are C on a real board, so they do not take the heap for their bytecode either.
            texts = {path.name: path.read_bytes() for path in SHIMS.glob("*.py")}
            await asyncio.to_thread(write_tree, _SHIMS_FOLDER, {_BOOTSTRAP: texts.pop(_BOOTSTRAP)})
            await asyncio.to_thread(write_rom, rom_of(_SHIMS_FOLDER), await asyncio.to_thread(_shrunk_shims, texts))
            loop = asyncio.get_running_loop()
            wires = (lambda: Wire(self.circuit, self), lambda: BleWire(self), lambda: UartWire(self))
            self._servers = [await loop.create_server(wire, "127.0.0.1", 0) for wire in wires]
            for uart in self.circuit.uarts:
                uart.open()

    async def _start(self):
        """Start the interpreter, unless the power goes first."""
        await self._reap()
        if not self.powered:
            return
        ports = [str(server.sockets[0].getsockname()[1]) for server in self._servers]
        folders = [_SHIMS_FOLDER, self._folder, self._folder / "lib", ".frozen"]
        environment = dict(os.environ, INKAN_WIRE=ports[0], INKAN_RADIO=ports[1], INKAN_UART=ports[2])
        environment["MICROPYPATH"] = ":".join(map(str, folders))
        self.exit_status = None
        self.running = True
        self.starts += 1
        self._process = await asyncio.create_subprocess_exec(
            self._micropython,
            "-X",
            f"heapsize={self._heap}",
            "-c",
            _START.format(str(rom_of(_SHIMS_FOLDER)), str(rom_of(self._folder)) if self._as_mpy else ""),
            cwd=self._folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C at the terminal is not for the module
        )
        self._reader = asyncio.ensure_future(self._follow(self._process))
        if not self.powered:
            self._kill()
        self._changed()

    async def _follow(self, process):
        while line := await process.stdout.readline():
            text = in_sources(self._folder, line.decode(errors="replace").rstrip())
            self.output.append(text)
            for listener in list(self.on_output):
                listener(text)
            self._changed()
        status = await process.wait()
        if process is self._process and self.running:
            # It ended by itself. A real one would wait at its prompt, with its pins as they are.
            self.exit_status = status
            self._detach()

    def _lose_power(self):
        if not self.powered:
            return
        self.powered = False
        self.flash.powered = False
        self._kill()
        self.circuit.power(False)
        if self.keys:
            self.keys.release_all()
        self._changed()

    def _kill(self):
        """End the interpreter now; the process is collected later."""
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._detach()

    def _detach(self):
        self._watchdog_stop()
        self._watchdog_ms = None
        for wire in filter(None, (self._wire, self._ble_wire, *self._uart_wires)):
            wire.cut()
        self._wire = self._ble_wire = None
        self._uart_wires = []
        self.running = False
        self._changed()

    async def _settled(self):
        """Wait until no process is left and no restart is under way."""
        if self._restart:
            await self._restart
            self._restart = None
        await self._reap()

    async def _reap(self):
        if self._process and not self.running:
            await self._process.wait()
            await self._reader

    def _changed(self):
        for listener in list(self.listeners):
            listener()

    def _stopped_text(self):
        state = "is off" if not self.powered else f"ended with status {self.exit_status}"
        return "\n".join([f"the module {state}; its last lines:", *list(self.output)[-20:]])

    def _is_stopped(self):
        return not self.powered or (not self.running and self.exit_status is not None)

    async def _wait(self, condition, timeout_s, output=False):
        """Wait for the condition; with `output` also give up when the module has stopped."""
        changed = asyncio.Event()
        self.listeners.append(changed.set)
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    if output and self._is_stopped():
                        raise ModuleStopped(self._stopped_text())
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise TimeoutError("\n".join(["not in time; the module's last lines:", *self.output])) from None
        finally:
            self.listeners.remove(changed.set)

    async def _unless_stopped(self, awaitable):
        """Await it, or raise ModuleStopped as soon as the module stops."""
        wanted = asyncio.ensure_future(awaitable)
        stopped = asyncio.ensure_future(self._wait(self._is_stopped, None))
        try:
            await asyncio.wait((wanted, stopped), return_when=asyncio.FIRST_COMPLETED)
            if wanted.done():
                return wanted.result()
            raise ModuleStopped(self._stopped_text())
        finally:
            for task in (wanted, stopped):
                task.cancel()
            await asyncio.gather(wanted, stopped, return_exceptions=True)


_OFFERED = re.compile(r"^ *(?:class |def )?([A-Za-z]\w*)(?= = |\(|:)", re.MULTILINE)


def _shrunk_shims(texts):
    """The shims without names that only they use among themselves, which are not there on a real board."""
    offered = {word for name, text in texts.items() if name[0] != "_" for word in _OFFERED.findall(text.decode())}
    users = {path.as_posix(): path.read_bytes() for path in (ROOT / "firmware").glob("[bd]*s/*.py")}
    shrunk = shrink({**texts, **users, "offered.py": f"{sorted(offered)}".encode()}, folder="")
    return {name: shrunk[name] for name in texts}
