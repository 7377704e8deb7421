"""The virtual house: PPS server, mailbox, network, the module with its chips, the power device, in one event loop."""

import asyncio
import contextlib
import json
import os
import random
import secrets
import shutil
import socket
import time
from pathlib import Path

from tools.flash import layout
from tools.flash.image import FlashImage
from tools.pps.errors import ServiceError
from tools.pps.server import PpsServer
from tools.pps.settings import MailSettings, Settings, SmsSettings
from tools.provision.service import Order, ProvisionError, VirtualConsole, provision
from tools.setup import BUILD
from tools.sim.events import EventLog
from tools.sim.mailbox import Mailbox
from tools.sim.module import ACCESS_POINTS, BOARD, MICROPYTHON, Module
from tools.sim.network import Network
from tools.sim.phones import Phones
from tools.sim.power.device import PANEL_BOARD, PCS, PowerDevice
from tools.sim.power.house_model import HouseModel
from tools.sim.watch import ServerWatch, WatchedFlash

SERIAL = "INK-00000001"
MODULE_NAME = "Inkan House 1"
OPERATOR = "operator"
HEAP = "128wK"  # 128 KiB with 32-bit words; with wider ones as many blocks as those have
# And 6 of the 7 KiB that tools/sim/shims take of it, which on a chip are C and take none.
ROOMY_HEAP = "134wK"
# By this name modules call their servers; it leads to the forwarders of the module's network.
HOST_NAME = "localhost"

_SSID = next(iter(ACCESS_POINTS))
_SAY_INTERPRETER = """
import sys
print("%d.%d.%d" % sys.implementation.version[:3] + ", words of %d bits" % (64 if sys.maxsize >> 31 else 32))
"""
# Servers as the module reaches them, and the one for phones as the whole world does.
_PORTS = ("credential", "enrol", "phone")
_SUM_UP_S = 1.0
_KEPT_PORTS = (20_000, 30_000)
_CIRCUITS = 8  # of a panel board
_TOLD_LINES = 30  # of the module's, with an error
HOSTS = (PCS, PANEL_BOARD)


class HouseError(Exception):
    """The house cannot be started; the text says why and what helps."""


class House:
    """Everything of one house, kept in `folder`: flash, server, certificates.

    Attributes to look at, from start() on: `server`, `module`, `flash`,
    `mailbox`, `phones`, `power` and `power_model` (the PowerDevice and its HouseModel, or None), `log`; `label` (ID and
    password that came with the module from the factory), `operator_password`; `image` (the one taken last, or None),
    `plugged`.
    All methods belong to one event loop. `ble` and `board` are as Module takes them. host: what the module sits in, one
    of HOSTS, and measures; None leaves its line without a device. clock: the time of that house and of the server, in
    Unix seconds; never before the house's first start.
    """

    def __init__(
        self,
        folder=BUILD / "house",
        overlay=None,
        as_mpy=True,
        heap=ROOMY_HEAP,
        micropython=MICROPYTHON,
        ble=None,
        board=BOARD,
        host=PCS,
        clock=time.time,
    ):
        self.folder = Path(folder)
        self.heap = heap
        self.as_mpy = as_mpy
        self.log = EventLog()
        self.mailbox = Mailbox()
        self.server = self.module = self.flash = self.phones = self.power = self.power_model = None
        self.label = None
        self.operator_password = None
        self.image = None
        self.plugged = True
        self.cut_armed = False
        self.is_new = False
        self._overlay = overlay
        self._micropython = micropython
        self._ble = ble
        self._board = board
        self._host = host
        self._clock = clock
        self._outside = Network()
        self._watch = None
        self._flash_counts = {}  # of the second that runs, by area

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, traceback):
        if error is not None and self.module is not None:
            error.add_note("\n  ".join(["the module's last lines:", *list(self.module.output)[-_TOLD_LINES:]]))
        await self.stop()

    # Start and stop

    async def interpreter(self):
        """What the firmware runs on, as the interpreter says it."""
        process = await asyncio.create_subprocess_exec(
            self._micropython, "-c", _SAY_INTERPRETER, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        return said.decode().strip()

    async def start(self, fresh=False, power=True):
        """Start everything; a house that is new, or to be `fresh`, is provisioned first. HouseError."""
        if fresh and self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        kept = self._load()
        self.label = kept.get("label")
        self.operator_password = kept["operator_password"]
        await self.mailbox.start()
        await self._start_server(kept)
        self.flash = WatchedFlash(layout.IMAGE_SIZE, self.folder / "flash.bin")
        self.module = Module(
            self.flash,
            folder=self.folder / "module",
            overlay=self._overlay,
            as_mpy=self.as_mpy,
            heap=self.heap,
            micropython=self._micropython,
            ble=self._ble,
            board=self._board,
        )
        self.phones = Phones(self.module)
        await self._forward(kept["ports"])
        if self._host:
            self.power = self._power_device(kept)
            await self.power.start(self.module.power_path)
        if not FlashImage(self.flash.image()).provisioned:
            self.is_new = True
            await self._provision(kept)
        self.flash.watchers.append(self._saw_flash)
        self._watch = ServerWatch(self.server.services, SERIAL, self.log.add)
        await self._watch.start()
        await self._follow_module()
        if power:
            await self.power_on()

    async def stop(self):
        """End everything that was started, and nothing else."""
        for part in (self._watch, self.power, self.module, self.server, self.mailbox):
            if part is not None:
                await (part.close() if part is self.module else part.stop())
        await self._outside.close()
        if self.flash is not None:
            self.flash.close()

    async def _start_server(self, kept):
        ports = kept["ports"]
        self.server = PpsServer(
            Settings(
                data_dir=self.folder / "server",
                host_name=HOST_NAME,
                credential_url=f"https://{HOST_NAME}:{ports['credential']}",
                enrol_host=f"{HOST_NAME}:{ports['enrol']}",
                phone_url=f"https://{HOST_NAME}:{ports['phone']}/phone/",
                mail=MailSettings("127.0.0.1", self.mailbox.smtp_port, "pps@example.com"),
                sms=SmsSettings(self.mailbox.sms_url),
            ),
            clock=self._clock,
        )
        await self.server.start()
        with contextlib.suppress(ServiceError):  # conflict: there since an earlier start
            self.server.add_operator(OPERATOR, self.operator_password)
        with contextlib.suppress(ServiceError):
            self.server.register_module(SERIAL, MODULE_NAME)

    async def _forward(self, ports):
        inside, server = self.module.network, self.server
        self._outside.set_link(True)
        for name, network, port in (
            ("credential", inside, server.module_port),
            ("enrol", inside, server.enrol_port),
            ("phone", self._outside, server.enrol_port),
        ):
            try:
                await network.forward("127.0.0.1", port, ports[name])
            except OSError:
                raise HouseError(
                    f"port {ports[name]}, under which the server is known, is in use: "
                    "is another house running? End it, or start anew with --fresh"
                ) from None

    def _power_device(self, kept):
        """One whose counters go on from where they were, since its house lives by a seed: counted from the start."""
        start_s = kept["power_start_s"]
        circuits = _CIRCUITS if self._host == PANEL_BOARD else 0
        self.power_model = HouseModel(start_s, seed=kept["power_seed"], circuits=circuits)
        return PowerDevice(self.power_model, self._clock, kind=self._host, since_s=start_s)

    async def _provision(self, kept):
        """What the factory does, over the module's console; the label goes with the house."""
        order = Order(
            serial=SERIAL,
            url=self.server.credential_url,
            server_ca_der=self.server.ca.pps.certificate_der,
            ssid=_SSID,
            passphrase=ACCESS_POINTS[_SSID],
            host_kind=self._host or PCS,
        )
        await self.module.power_on()
        try:
            label = await provision(VirtualConsole(self.module).ask, order, self.server.ca.sign_factory_request)
        except (ProvisionError, TimeoutError) as error:
            lines = "\n  ".join(["its last lines:", *list(self.module.output)[-12:]])
            raise HouseError(f"the module could not be provisioned: {error or 'no answer'}\n  {lines}") from error
        await self.module.power_off()
        self.label = {"id": label.id, "password": label.password}
        self._save({**kept, "label": self.label})
        self.log.add("provisioned")

    def _load(self):
        """What a house remembers beside flash and database; made at its first start."""
        path = self.folder / "house.json"
        if path.exists():
            kept = json.loads(path.read_text())
        else:
            kept = {
                "ports": dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True)),
                "operator_password": secrets.token_urlsafe(9),
            }
        if "power_seed" not in kept:
            kept |= {"power_start_s": int(self._clock()), "power_seed": secrets.randbelow(1_000_000)}
            self._save(kept)
        return kept

    def _save(self, kept):
        path = self.folder / "house.json"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(kept, file)

    # What one can do to it

    async def power_on(self):
        if not self.module.powered:
            self.cut_armed = False
            self.log.add("power_on")
            await self.module.power_on()

    async def power_off(self):
        """Cut the power now."""
        if self.module.powered:
            await self.module.power_off()

    async def restart(self):
        """Cut the power and restore it."""
        await self.power_off()
        await self.power_on()

    def cut_at_next_write(self):
        """Cut the power within the next program or erase, somewhere."""
        if self.module.powered and not self.cut_armed:
            self.flash.cut_in()
            self.cut_armed = True
            self.log.add("cut_armed")

    def flip_bit(self, area="vault", sector=None, at=None):
        """Turn over one bit that is part of something, in an area of tools.flash.layout or in one sector.

        at: which byte of a sector, any where it is None. Returns (sector, byte in it, bit), or None where all is blank.
        """
        places = self._places(area, sector)
        if at is not None:
            places = [address for address in places if address % layout.SECTOR == at]
        if not places:
            return None
        address, bit = random.choice(places), random.randrange(8)
        self.flash.flip_bit(address, bit)
        sector, at = divmod(address, layout.SECTOR)
        self.log.add("bit_flipped", area=area_of(sector), sector=sector, byte=at, bit=bit)
        return sector, at, bit

    def take_image(self):
        """Keep a copy of the flash as it is."""
        self.image = self.flash.image()
        self.log.add("image_taken", generation=self._generation(self.image))
        return self.image

    async def play_back(self):
        """Put the image that was taken in the place of what the flash holds, with the power off for that."""
        if self.image is None:
            return
        was_powered = self.module.powered
        await self.power_off()
        self.flash.load(self.image)
        self.log.add("image_played_back", generation=self._generation(self.image))
        if was_powered:
            await self.power_on()

    def unplug(self):
        """Take the access point away."""
        if self.plugged:
            self.plugged = False
            self.module.unplug()
            self.log.add("unplugged")

    def plug(self):
        """Bring it back."""
        if not self.plugged:
            self.plugged = True
            self.module.plug()
            self.log.add("plugged")

    def carry_phone_away(self):
        """The technician's phone is out of the module's reach."""
        if self.phones.near:
            self.phones.carry_away()
            self.log.add("phone_away")

    def bring_phone_back(self):
        if not self.phones.near:
            self.phones.bring_back()
            self.log.add("phone_back")

    @property
    def is_on_the_air(self):
        """Whether real phones find the module, through an adapter, in place of the virtual ones."""
        return self._ble is not None

    # Inside

    def _saw_flash(self, kind, sector, size):
        if kind not in ("program", "erase"):
            return
        if not self._flash_counts:
            asyncio.get_running_loop().call_later(_SUM_UP_S, self._sum_up_flash)
        counts = self._flash_counts.setdefault(area_of(sector), {"program": 0, "erase": 0, "size": 0})
        counts[kind] += 1
        counts["size"] += size

    def _sum_up_flash(self):
        counts, self._flash_counts = self._flash_counts, {}
        self.log.add("flash", areas=counts)

    def _places(self, area, sector):
        """Addresses of the bytes in question."""
        image = self.flash.image()
        if sector is None:
            slot = FlashImage(image).current.get(area)
            if slot is not None:
                # IV, ciphertext and tag (docs/format.md); what stands before and behind them means less.
                start = slot.first_sector * layout.SECTOR
                length = int.from_bytes(image[start + 12 : start + 16], "little")
                return range(start + 16, start + 64 + (length // 16 + 1) * 16)
            first, count = layout.AREAS[area]
        else:
            first, count = sector, 1
        addresses = range(first * layout.SECTOR, (first + count) * layout.SECTOR)
        return [address for address in addresses if image[address] != 0xFF]

    @staticmethod
    def _generation(image):
        guard = FlashImage(image).guard
        return guard[0] if guard else None

    async def _follow_module(self):
        module = self.module
        was = {"powered": module.powered, "starts": module.starts, "running": module.running}

        def changed():
            if was["powered"] and not module.powered:
                self.log.add("power_cut_in_write" if self.cut_armed else "power_off")
                self.cut_armed = False
            if module.starts != was["starts"]:
                self.log.add("started", start=module.starts)
            elif was["running"] and not module.running and module.powered:
                self.log.add("stopped")
            was.update(powered=module.powered, starts=module.starts, running=module.running)

        module.listeners.append(changed)
        module.radio.listeners.append(lambda connected: self.log.add("joined" if connected else "left"))
        phones = 0

        def counted(number):
            nonlocal phones
            self.log.add("phone_connected" if number > phones else "phone_gone")
            phones = number

        (await module.ble()).listeners.append(counted)


def area_of(sector):
    """Name of the area that a sector belongs to."""
    return next(name for name, (first, count) in layout.AREAS.items() if first <= sector < first + count)


def _free_ports(count):
    """Ports to keep from one start to the next: not among those that the system gives to whoever asks for any."""
    with contextlib.ExitStack() as stack:
        found = []
        for port in secrets.SystemRandom().sample(range(*_KEPT_PORTS), _KEPT_PORTS[1] - _KEPT_PORTS[0]):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
                if len(found) == count:
                    return found
    raise HouseError(f"no {count} free ports from {_KEPT_PORTS[0]} to {_KEPT_PORTS[1]}")
