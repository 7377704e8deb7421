"""inkan-provision: the lines of firmware/provisioning.py, on the real firmware, judged by the flash."""

import asyncio
import json

import pytest

from tools.flash.image import FlashImage
from tools.flash.layout import IMAGE_SIZE, SECTOR
from tools.pps.ca import DevelopmentCa
from tools.provision.service import Order, ProvisionError, VirtualConsole, provision
from tools.sim.chips.flash import NorFlash
from tools.sim.module import Module

SERIAL = "INK-00000042"
PASSPHRASE = "correct horse battery"


@pytest.fixture
def ca(tmp_path):
    return DevelopmentCa(tmp_path / "ca")


def order(ca, **changed):
    values = dict(
        serial=SERIAL,
        url="https://localhost:8443",
        server_ca_der=ca.pps.certificate_der,
        ssid="inkan-house",
        passphrase=PASSPHRASE,
    )
    return Order(**(values | changed))


def on_module(tmp_path, flash, action, **power):
    """Run action(module, ask) on a module that is switched on; returns what it returns."""

    async def run():
        async with Module(flash, folder=tmp_path / "module") as module:
            await module.power_on(**power)
            return await action(module, VirtualConsole(module).ask)

    return asyncio.run(run())


def test_r10_r28_an_empty_module_gets_identity_and_factory_credential(tmp_path, ca):
    flash = NorFlash(IMAGE_SIZE)
    told = []

    async def action(module, ask):
        label = await provision(ask, order(ca, language="en", host_kind="panel_board"), ca.sign_factory_request)
        told.extend(module.output)
        return label

    label = on_module(tmp_path, flash, action)
    image = FlashImage(flash.image())
    assert image.sound and not image.findings
    assert image.guard[0] == 1 and not image.current["vault"].items
    assert image.credential("serial", "identity") == SERIAL
    assert image.credential("host_kind", "identity") == 2
    assert image.credential("language", "settings") == 1
    assert image.credential("max_successes", "factory") == 1
    assert image.credential("scope", "factory") == bytes([0x28, 0x28, 0, 0])
    spoken = "\n".join(told)
    for secret in (image.root, image.credential("w0", "factory"), image.credential("private_key", "identity")):
        assert secret.hex() not in spoken
    assert label.password not in spoken and PASSPHRASE not in spoken
    # S11: no secret in the module's file system.
    for path in (tmp_path / "module").rglob("*"):
        assert not path.is_file() or PASSPHRASE.encode() not in path.read_bytes()


def test_s17_no_two_units_share_a_secret(tmp_path, ca):
    found = []
    for _ in range(2):
        flash = NorFlash(IMAGE_SIZE)
        on_module(tmp_path, flash, lambda module, ask: provision(ask, order(ca), ca.sign_factory_request))
        image = FlashImage(flash.image())
        found.append((image.root, image.credential("private_key", "identity"), image.credential("w0", "factory")))
    assert not set(found[0]) & set(found[1])


BAD_LINES = {
    "not json": "bad_json",
    "[]": "unknown_op",
    '{"op": "erase"}': "unknown_op",
    '{"op": "finish"}': "no_request",
    '{"op": "request"}': "bad_serial",
    '{"op": "request", "serial": "a b"}': "bad_serial",
    '{"op": "request", "serial": "' + "A" * 33 + '"}': "bad_serial",
    "x" * 9000: "too_long",
}


def test_bad_lines_get_a_code_and_change_nothing(tmp_path):
    flash = NorFlash(IMAGE_SIZE)

    async def action(module, ask):
        answers = []
        for line in BAD_LINES:
            heard = len(module.output)
            module.write_console(line)
            answers.append(json.loads((await module.wait_output(r"^\{.*\}$", after=heard)).group()))
        return answers

    answers = on_module(tmp_path, flash, action)
    assert [answer["error"] for answer in answers] == list(BAD_LINES.values())
    assert flash.image() == b"\xff" * IMAGE_SIZE


BAD_FINISH = [
    ({"host_kind": 3}, "bad_host_kind"),
    ({"host_kind": True}, "bad_host_kind"),
    ({"language": "ja"}, "bad_language"),
    ({"url": "http://localhost"}, "bad_url"),
    ({"url": None}, "bad_url"),
    ({"ca": "!"}, "bad_ca"),
    ({"ca": 1}, "bad_ca"),
    ({"certificate": ""}, "bad_certificate"),
    ({"ssid": 5}, "bad_ssid"),
    ({"passphrase": "x" * 65}, "bad_passphrase"),
    ({"ntp_host": None}, "bad_ntp_host"),
    ({"factory": []}, "bad_factory"),
    ({"factory": {}}, "bad_factory"),
]


def test_bad_values_are_named_and_change_nothing(tmp_path, ca):
    flash = NorFlash(IMAGE_SIZE)

    async def action(module, ask):
        answers = []
        for changed, _ in BAD_FINISH:

            async def ask_changed(message, changed=changed):
                return await ask(message | changed if message["op"] == "finish" else message)

            with pytest.raises(ProvisionError) as refused:
                await provision(ask_changed, order(ca), ca.sign_factory_request)
            answers.append(refused.value.code)
        return answers

    assert on_module(tmp_path, flash, action) == [code for _, code in BAD_FINISH]
    assert flash.image() == b"\xff" * IMAGE_SIZE


def test_s14_a_lost_root_secret_needs_everything_erased_first(tmp_path, ca):
    flash = NorFlash(IMAGE_SIZE)
    on_module(tmp_path, flash, lambda module, ask: provision(ask, order(ca), ca.sign_factory_request))
    before = FlashImage(flash.image())
    flash.load(b"\xff" * 2 * SECTOR + flash.image()[2 * SECTOR :])

    async def action(module, ask):
        await module.wait_text("root_missing")
        with pytest.raises(ProvisionError) as refused:
            await provision(ask, order(ca), ca.sign_factory_request)
        assert refused.value.code == "erase_needed"
        kept = flash.image()
        await provision(ask, order(ca, erase=True), ca.sign_factory_request)
        return kept

    kept = on_module(tmp_path, flash, action)
    assert kept[2 * SECTOR :] == before.data[2 * SECTOR :]
    after = FlashImage(flash.image())
    assert after.sound and after.root != before.root


def test_a_provisioned_module_does_not_listen(tmp_path, ca):
    flash = NorFlash(IMAGE_SIZE)
    on_module(tmp_path, flash, lambda module, ask: provision(ask, order(ca), ca.sign_factory_request))
    root = FlashImage(flash.image()).root

    async def action(module, ask):
        module.write_console('{"op": "state"}')
        await module.wait_text(SERIAL)
        return list(module.output)

    output = on_module(tmp_path, flash, action)
    assert not any(line.startswith("{") for line in output)
    assert FlashImage(flash.image()).root == root
