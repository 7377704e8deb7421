"""`inkan-phone --relay` with the link out of the message: the real server, and the real firmware in its interpreter."""

import asyncio
import json
import re
import ssl

import pytest

from tests.test_link_relay import NAME, house  # noqa: F401  the fixture
from tools.phone import cli, faults

pytestmark = pytest.mark.asyncio


async def test_r20_commands_from_afar(house, capsys, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("INKAN_PASSWORD", house.issued.password)
    link = re.search(r"https://\S+#relay=[0-9a-f]{32}", house.issued.text)[0]
    ca = tmp_path / "ca.pem"
    ca.write_text(ssl.DER_cert_to_PEM_cert(house.server.ca.pps.certificate_der))

    async def run(*words):
        given = ["--relay", link, "--id", house.issued.id, "--json", *words]
        code = await asyncio.to_thread(cli.main, given)
        said = capsys.readouterr().out
        assert house.issued.password not in said and link[-32:] not in said
        return code, json.loads(said.splitlines()[-1])

    code, answer = await run("info")
    assert code == faults.NOT_REACHED and answer["error"]["code"] == "no_server", "its CA is not the system's"
    code, answer = await run("--ca", str(tmp_path / "nothing"), "info")
    assert code == faults.USAGE and answer["error"]["code"] == "bad_ca"
    code, answer = await run("--ca", str(ca), "info")
    assert code == 0 and answer["state"] == "waiting"
    code, answer = await run("--ca", str(ca), "set", f"customer_name={NAME}")
    assert code == 0 and answer["changes_left"] == 19
    code, answer = await run("--ca", str(ca), "view", "customer")
    assert code == 0 and answer["groups"]["customer"]["customer_name"] == NAME
