"""R19: a module without keypad and display does everything by a phone; R21: and by a serial line (a pty)."""

import asyncio
import json

import websockets

from tools.flash.image import FlashImage
from tools.phone import cli
from tools.phone.client import PhoneClient
from tools.setup import ROOT
from tools.sim.circuit import Esp32S3BareCircuit
from tools.sim.house import SERIAL, House
from tools.sim.page.server import Page

CUSTOMER_NAME = 0x11
NAME = "山田 太郎"


def telling_app():
    """The application, which also tells once a second what modules there are."""
    text = (ROOT / "firmware" / "app.py").read_text()
    for old, new in (
        ("import gc\n", "import gc\nimport sys\n"),
        (
            "            watchdog.feed()\n",
            '            watchdog.feed()\n            print("modules", " ".join(sys.modules))\n',
        ),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return {"firmware/app.py": text}


async def next_line(module, start):
    """The next line of the module that begins so."""
    found = asyncio.get_running_loop().create_future()

    def look(line):
        if line.startswith(start) and not found.done():
            found.set_result(line)

    module.on_output.append(look)
    try:
        async with asyncio.timeout(60):
            return await found
    finally:
        module.on_output.remove(look)


async def by_serial_line(house, capsys, *words):
    """The answer of `inkan-phone`, which has to be good."""
    given = ["--serial", house.module.serial_path, "--json", *words]
    code = await asyncio.to_thread(cli.main, given)
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 0, answer
    return answer


def test_r19_r21_a_bare_module_is_operated_by_ble_and_by_the_line(tmp_path, capsys, monkeypatch):
    async def run():
        async with House(tmp_path / "house", board="esp32_s3_bare", overlay=telling_app()) as house:
            await house.start(fresh=True)
            module = house.module
            assert type(module.circuit) is Esp32S3BareCircuit and module.lcd is None and module.keys is None
            async with house.phones.radio() as radio:
                client = PhoneClient(await radio.connect())
                label = await client.info()
                assert (label.serial, label.has_panel, label.state) == (SERIAL, False, "waiting")
                issued = await asyncio.to_thread(house.server.issue_credential, SERIAL, max_successes=9)
                monkeypatch.setenv("INKAN_PASSWORD", issued.password)
                async with asyncio.timeout(60):
                    while (info := await client.info()).salt == label.salt or info.state != "waiting":
                        await asyncio.sleep(0.1)
                status = await client.unlock(issued.id, issued.password)
                assert not status.has_panel
                result = await client.change({CUSTOMER_NAME: NAME})
                assert (await client.view(1))[CUSTOMER_NAME] == NAME
                await client.end()
            await house.restart()
            await next_line(module, "modules")
            async with asyncio.timeout(60):  # a lifetime needs the time, and the time the server
                while (info := await by_serial_line(house, capsys, "info"))["state"] != "waiting":
                    await asyncio.sleep(0.1)
            assert info["has_panel"] is False
            login = ["--id", issued.id]
            seen = await by_serial_line(house, capsys, *login, "view", "customer")
            assert seen["groups"]["customer"]["customer_name"] == NAME, "what came by BLE is there after the restart"
            changed = await by_serial_line(house, capsys, *login, "set", "postal_code=123-4567")
            assert changed["generation"] == result.generation + 1
            async with house.phones.radio() as radio:
                client = PhoneClient(await radio.connect())
                await client.unlock(issued.id, issued.password)
                assert (await client.view(1))[0x12] == "1234567", "and what came by the line"
                await client.end()
            there = (await next_line(module, "modules")).split()[1:]
            assert "firmware.boards.esp32_s3_bare" in there and "firmware.boards.esp32_s3" not in there
            assert not [name for name in there if "panel" in name or "lcd" in name or "keypad" in name]
            image = FlashImage(house.flash.image())
            assert image.sound and image.guard[0] == changed["generation"]
            assert module.faults == [] and module.circuit.uart.lost == 0

    asyncio.run(run())


def test_the_house_s_page_has_no_front_then_and_inkan_phone_comes_by_its_radio(tmp_path, capsys, monkeypatch):
    async def run():
        async with House(tmp_path / "house", board="esp32_s3_bare") as house:
            await house.start(fresh=True)
            monkeypatch.setenv("INKAN_PASSWORD", house.label["password"])
            page = Page(house)
            await page.start()
            try:
                address = page.url.replace("http", "ws") + "feed"
                async with websockets.connect(address, origin=page.url.rstrip("/")) as client:
                    assert await client.recv() == bytes(1024)
                    state = json.loads(await client.recv())["state"]
                    assert (state["has_panel"], state["serial_line"]) == (False, house.module.serial_path)
                    await client.send('{"do": "key", "code": "5", "down": true}')
                    await client.send('{"do": "take_image"}')
                    async with asyncio.timeout(60):
                        while house.image is None:
                            await client.recv()
                for words in (["scan"], ["info"], ["--id", house.label["id"], "status"]):
                    given = ["--house", page.url, "--json", *words]
                    code = await asyncio.to_thread(cli.main, given)
                    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
                    assert code == 0, answer
                assert "connection" in answer["change"]
            finally:
                await page.stop()

    asyncio.run(run())
