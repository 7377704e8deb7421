"""The worked example of docs/protocol.md: what it says is what follows from the document, and what the module does."""

import re

from phone_rig import PhoneRig, phone_message
from unit_rig import ID, PASSWORD, blank_flash, provision
from virtual_time import run, sleep_ms

from firmware import settings
from tests import protocol_example
from tests.protocol_example import IV_CHANGE, IV_RESULT, IV_STATUS, NONCE_M, NONCE_P, X, Y
from tools.phone.client import PhoneClient
from tools.setup import ROOT


def _of_the_document():
    document = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    section = re.split(r"^## Worked example\n", document, flags=re.MULTILINE)[1]
    return "".join(re.findall(r"^    .*\n", section, flags=re.MULTILINE))


def test_the_document_has_the_example_byte_for_byte():
    assert _of_the_document() == protocol_example.text()


def test_module_and_phone_say_what_the_example_says(monkeypatch):
    device = blank_flash()
    provision(device)
    module_draws = [(Y - 1).to_bytes(40, "big"), IV_STATUS, IV_RESULT, NONCE_M, bytes(16)]
    phone_draws = [IV_CHANGE, NONCE_P, bytes(16)]
    monkeypatch.setattr("tools.phone.spake2plus.secrets.randbelow", lambda end: X - 1)

    async def scenario():
        rig = PhoneRig(device, random=lambda size: module_draws.pop(0))
        rig.acquisition.accept(phone_message(), settings.ISSUER_CONNECTION)
        stock = rig.unit._stock
        await stock.fill(rig.acquisition.current())
        phone = rig.link()
        client = PhoneClient(phone.end, random=lambda size: phone_draws.pop(0))
        await client.unlock(ID, PASSWORD)
        await client.change({0x11: "山田"})
        phone.end.close()
        await sleep_ms(0)
        again = rig.link()
        await client.resume(again.end)
        rig.power_off()
        return phone.end.sent, phone.module_end.sent, again.end.sent, again.module_end.sent

    from_phone, from_module, phone_again, module_again = run(scenario())
    expected = {"> ": [], "< ": []}
    for name, value in protocol_example.example():
        if name[:2] in expected:
            expected[name[:2]].append(value)
    assert from_phone == b"".join(expected["> "][:-1])
    assert from_module == b"".join(expected["< "][:-1])
    assert phone_again.startswith(expected["> "][-1])
    assert module_again.startswith(expected["< "][-1])
    assert not module_draws and not phone_draws
