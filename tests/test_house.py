"""The virtual house: its wiring, what is done to it, and who may open its page."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import sys

import httpx
import pytest
import websockets

from tools.flash import layout
from tools.flash.image import FlashImage
from tools.setup import ROOT
from tools.sim.evidence import Evidence
from tools.sim.house import ROOMY_HEAP, SERIAL, House, HouseError, area_of
from tools.sim.mailbox import Mailbox
from tools.sim.page.server import Page

pytestmark = pytest.mark.asyncio
ONLINE = "通信 正常"


@contextlib.asynccontextmanager
async def house_in(folder, power=True):
    async with House(folder) as house:
        await house.start(power=power)
        yield house


def kinds(house):
    return [event["kind"] for event in house.log.events]


async def until(condition, timeout_s=60):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


async def test_r29_house_goes_on_as_it_was_left(tmp_path):
    async with house_in(tmp_path) as house:
        assert house.is_new
        await house.module.wait_text(ONLINE)
        label, boots = house.label, FlashImage(house.flash.image()).totals("clock")["boot_count"]
        assert FlashImage(house.flash.image()).credential("serial", "identity") == SERIAL
    async with house_in(tmp_path) as house:
        assert not house.is_new
        await house.module.wait_text(ONLINE)
        assert house.label == label
        assert FlashImage(house.flash.image()).totals("clock")["boot_count"] == boots + 1
        first = house.module.starts
    assert first == 1


async def test_fresh_house_is_another_house(tmp_path):
    async with House(tmp_path) as house:
        await house.start(power=False)
        label, authority = house.label, house.server.ca.pps.certificate_der
    async with House(tmp_path) as house:
        await house.start(fresh=True, power=False)
        assert house.is_new
        assert (house.label, house.server.ca.pps.certificate_der) != (label, authority)


async def test_port_in_use_is_said(tmp_path):
    async with house_in(tmp_path, power=False):
        pass
    port = json.loads((tmp_path / "house.json").read_text())["ports"]["credential"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(HouseError, match=str(port)):
            async with house_in(tmp_path, power=False):
                pass


async def test_r3_flipped_bit_is_where_it_was_asked_for(tmp_path):
    async with house_in(tmp_path, power=False) as house:
        before = house.flash.image()
        sector, at, bit = house.flip_bit("vault")
        assert area_of(sector) == "vault"
        after = house.flash.image()
        changed = [place for place in range(len(before)) if before[place] != after[place]]
        assert changed == [sector * layout.SECTOR + at]
        assert before[changed[0]] ^ after[changed[0]] == 1 << bit
        assert not FlashImage(after).sound
        assert house.flip_bit(sector=20)[0] == 20
        assert house.flip_bit(sector=100) is None


async def test_r2_power_goes_at_the_next_write_and_comes_back(tmp_path):
    async with house_in(tmp_path) as house:
        await house.module.wait_text(ONLINE)
        house.cut_at_next_write()
        assert house.cut_armed
        await asyncio.to_thread(house.server.issue_credential, SERIAL)
        await house.module.wait_power_loss()
        assert not house.cut_armed
        assert kinds(house).count("power_cut_in_write") == 1
        await house.power_on()
        await house.module.wait_text("残23時間")
        assert FlashImage(house.flash.image()).sound


async def test_r3_image_is_played_back(tmp_path):
    async with house_in(tmp_path) as house:
        await house.module.wait_text(ONLINE)
        await house.power_off()
        image = house.take_image()
        await house.power_on()
        await until(lambda: house.flash.image() != image)
        await house.power_off()
        await house.play_back()
        assert house.flash.image() == image
        assert not house.module.powered


async def test_r27_network_unplugged_and_plugged(tmp_path):
    async with house_in(tmp_path) as house:
        await house.module.wait_text(ONLINE)
        house.unplug()
        assert not house.module.radio.connected
        await asyncio.to_thread(house.server.issue_credential, SERIAL)
        house.plug()
        await until(lambda: house.module.radio.connected)
        await house.module.wait_text("残23時間")
        assert [kind for kind in kinds(house) if "plugged" in kind] == ["unplugged", "plugged"]


async def test_r6_messages_reach_the_mailbox_and_no_secret_the_log(tmp_path):
    async with house_in(tmp_path) as house:
        await house.module.wait_text(ONLINE)
        for number, channel in enumerate(("email", "sms"), 1):
            issued = await asyncio.to_thread(
                house.server.issue_credential, SERIAL, channel=channel, recipient="tech@example.com", language="en"
            )
            letter = await house.mailbox.wait_letter(number)
            assert (letter.channel, letter.recipient) == (channel, "tech@example.com")
            assert issued.id in letter.text and issued.password in letter.text
            await until(lambda: "credential_accepted" in kinds(house))
        code = await asyncio.to_thread(house.server.offer_enrolment, SERIAL)
        await until(lambda: "enrolment" in kinds(house))
        told = json.dumps(list(house.log.events)) + "\n".join(house.module.output)
        secrets = [code, issued.id, issued.password, house.operator_password, *house.label.values()]
        assert [secret for secret in secrets if secret in told] == []
        evidence = Evidence(house)
        await until(lambda: not evidence.in_database(issued.id, issued.password))


async def test_mailbox_takes_what_is_no_message(tmp_path):
    mailbox = Mailbox()
    await mailbox.start()
    try:
        for port, line in ((mailbox.smtp_port, b"DATA\r\n"), (mailbox.sms_port, b"\x00\xff\r\n\r\n")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(line)
            writer.write_eof()
            await reader.read()
            writer.close()
        assert mailbox.letters == []
    finally:
        await mailbox.stop()


async def test_stop_ends_the_interpreter(tmp_path):
    async with house_in(tmp_path) as house:
        process = house.module._process
        assert process.returncode is None
    assert process.returncode is not None


async def test_r29_run_says_where_everything_is_and_ends_on_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "tools.sim", "run", "--port", "0", "--no-open", "--folder", tmp_path / "house"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        lines = []
        async with asyncio.timeout(60):
            while not lines or not lines[-1].startswith("Ctrl-C"):
                line = await process.stdout.readline()
                assert line, lines
                lines.append(line.decode())
            assert re.fullmatch(r"interpreter: MicroPython 1\.\d+\.\d+, words of (32|64) bits", lines[0].strip())
            assert lines[1].startswith("firmware:") and "ROM image" in lines[1] and ROOMY_HEAP in lines[1]
            page = next(line.split()[1] for line in lines if line.startswith("page:"))
            async with httpx.AsyncClient() as client:
                assert (await client.get(page)).status_code == 200
            process.send_signal(signal.SIGINT)
            rest = (await process.stdout.read()).decode()
            assert await process.wait() == 0, rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "Traceback" not in rest


async def test_run_says_that_the_port_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "tools.sim", "run", "--no-open", "--folder", tmp_path / "house"]
        process = await asyncio.create_subprocess_exec(
            *command, "--port", port, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert port in said.decode() and "--port" in said.decode() and "Traceback" not in said.decode()


@contextlib.asynccontextmanager
async def page_in(folder):
    async with house_in(folder, power=False) as house:
        page = Page(house)
        await page.start()
        try:
            yield house, page
        finally:
            await page.stop()


async def test_page_answers_to_its_own_name_only(tmp_path):
    async with page_in(tmp_path) as (house, page), httpx.AsyncClient() as client:
        answer = await client.get(page.url)
        assert answer.status_code == 200
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        for password in (house.operator_password, house.label["password"]):
            assert password not in answer.text
        for host in ("evil.example", "127.0.0.1", "127.0.0.1:1"):
            assert (await client.get(page.url, headers={"host": host})).status_code == 403
        assert (await client.get(page.url + "static/../server.py")).status_code == 404
        port = int(page.url.rstrip("/").rpartition(":")[2])
        with socket.socket() as other:  # the same port at another address is free: only 127.0.0.1 is bound
            other.bind(("127.0.0.2", port))


async def test_socket_opens_to_its_own_page_only(tmp_path):
    async with page_in(tmp_path) as (_, page):
        address = page.url.replace("http", "ws") + "feed"
        for origin in (None, "http://evil.example", "https://127.0.0.1", "null"):
            with pytest.raises(websockets.InvalidStatus):
                await websockets.connect(address, origin=origin)
        async with websockets.connect(address, origin=page.url.rstrip("/")) as client:
            assert len(await client.recv()) == 1024


async def test_page_outlives_nonsense(tmp_path):
    async with page_in(tmp_path) as (house, page):
        address = page.url.replace("http", "ws") + "feed"
        async with websockets.connect(address, origin=page.url.rstrip("/")) as client:
            for message in (
                "", "[]", "{}", '{"do": "no"}', '{"do": "key"}', '{"do": "key", "code": "12", "down": true}',
                '{"do": "flip_bit", "sector": 4000}', '{"do": "flip_bit", "sector": "x"}', '{"do": ["power_on"]}', "7",
            ):  # fmt: skip
                await client.send(message)
            await client.send('{"do": "take_image"}')
            await until(lambda: house.image is not None)
            assert FlashImage(house.flash.image()).sound


async def test_keys_are_let_go_when_the_page_leaves(tmp_path):
    async with page_in(tmp_path) as (house, page):
        await house.power_on()
        await house.module.wait_text("情報モジュール")
        address = page.url.replace("http", "ws") + "feed"
        async with websockets.connect(address, origin=page.url.rstrip("/")) as client:
            await client.send('{"do": "key", "code": "5", "down": true}')
            await until(lambda: house.module.keys.down == "5")
        await until(lambda: house.module.keys.down == "")
