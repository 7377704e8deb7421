"""The module API with half-hour values on a database of the tests' choice, without TLS: identities are given."""

import asyncio
import contextlib

import httpx

from tests.postgres import opened
from tests.pps_client import Clock
from tools.pps.app import module_app
from tools.pps.energy_settings import EnergySettings
from tools.pps.identity import CERTIFICATE_EXTENSION, CONNECTION, ModuleIdentity
from tools.pps.services import build_services


class Api:
    """Modules call it by serial number; `services`, `database` and `clock` are there to look at and to move."""

    def __init__(self, url, **settings):
        self.clock = Clock()
        self.database = opened(url)
        chosen = EnergySettings(**settings)
        self.services = build_services(self.database, None, None, clock=self.clock, energy_settings=chosen)
        self._app = module_app(self.services, self)
        self._runner = asyncio.Runner()

    def close(self):
        self._runner.close()
        self.database.close()

    def read(self, certificate_der):
        """As an IdentityReader does."""
        serial, kind, number = certificate_der.decode().split("/")
        return ModuleIdentity(serial, kind, (serial + number).encode().hex().ljust(64, "0"))

    def register(self, serial, sender=None):
        """Make a module known; with a Sender its report key too. Returns its id."""
        module = self.services.fleet.register(serial, "a house", "an operator")
        if sender is not None:
            assert self.post(serial, "report_key", sender.key_request()) == {"ok": True}
        return module.id

    def post(self, serial, path, body, status=200, kind=CONNECTION, certificate=1):
        """Answer of /v1/module/PATH, or its error code, after its status was checked."""
        answer = self._runner.run(self._post(f"{serial}/{kind}/{certificate}".encode(), path, body))
        content = answer.json()
        assert answer.status_code == status, (answer.status_code, content)
        return content["error"]["code"] if status >= 400 else content

    def report(self, serial, request, status=200, **options):
        """`through`, or the error code."""
        answer = self.post(serial, "readings", request, status, **options)
        return answer if status >= 400 else answer["through"]

    def post_any(self, serial, request):
        """(status, answer) of a report."""
        answer = self._runner.run(self._post(f"{serial}/{CONNECTION}/1".encode(), "readings", request))
        return answer.status_code, answer.json()

    def alarms(self, module_id, kind):
        return [alarm for alarm in self.services.fleet.alarms(module_id) if alarm.kind == kind]

    def values(self, module_id):
        """{(slot, contract number): (span, energies)} of everything that is stored."""
        rows = self.services.energy.csv_rows(module_id, 0, 2**31 - 1)
        return {(row.slot, row.contract): (row.span, list(row.energies)) for row in rows}

    async def _post(self, certificate, path, body):
        async def with_certificate(scope, receive, send):
            scope["extensions"] = {CERTIFICATE_EXTENSION: certificate}
            await self._app(scope, receive, send)

        transport = httpx.ASGITransport(with_certificate, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="https://pps.example") as client:
            return await client.post(f"/v1/module/{path}", json=body)


@contextlib.contextmanager
def serving(url, **settings):
    api = Api(url, **settings)
    try:
        yield api
    finally:
        api.close()
