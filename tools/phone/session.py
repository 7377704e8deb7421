"""A session that outlives its links: asks again what had no answer, by the rules of docs/protocol.md ("Resuming")."""

import asyncio
import contextlib

from firmware import settings
from firmware.errors import LinkError
from tools.phone.client import PhoneClient, PhoneError, RefusedError, Result
from tools.phone.links import LASTING

_PAUSES_S = (0, 0.5, 1, 2, 4, 8)  # and every 8 s from then on
_GIVE_UP_S = settings.PHONE_NO_LINK_MS / 1000  # so long the module keeps a session without a link


class SessionLostError(Exception):
    """The link is lost, and the session with it. `unsure`: a request may have been carried out or not."""

    def __init__(self, code, unsure):
        super().__init__(code)
        self.code = code
        self.unsure = unsure


class Session:
    """One module over one carrier. told(code): called when the link is lost ("lost") and when it stands again ("back").

    Raises what PhoneClient does; of LinkError only what comes before a session, and SessionLostError then.
    """

    def __init__(self, carrier, told=lambda code: None):
        self._carrier = carrier
        self._told = told
        self._client = None
        self.open = False

    async def info(self):
        return await (await self._linked()).info()

    async def unlock(self, user_id, password):
        """Waits until an attempt may begin, if the module says so; returns `Status`."""
        client = await self._linked()
        info = await client.info()
        if not info.iterations:
            raise RefusedError("no_credential", 0, 0)
        await asyncio.sleep(info.delay_s)
        status = await client.unlock(user_id, password)
        self.open = True
        return status

    async def status(self):
        return await self._asked(self._client.status)

    async def view(self, group):
        return await self._asked(lambda: self._client.view(group))

    async def change(self, values):
        return await self._requested(lambda: self._client.change(values))

    async def delete(self, group, field_ids):
        return await self._requested(lambda: self._client.delete(group, field_ids))

    async def enrol(self, host, code, progress=None):
        return await self._requested(lambda: self._client.enrol(host, code, progress))

    async def wipe(self):
        """It has no number: after another link *status* says whether it is still to be done."""
        while True:
            try:
                return await self._client.wipe()
            except LinkError as error:
                status = await self._resumed(error, True)
                if not status.may_wipe:
                    return Result(status.generation, status.changes_left, True)

    async def close(self):
        """End the session, so that nobody has to wait for its end, and give back the carrier."""
        try:
            if self.open:
                self.open = False
                with contextlib.suppress(LinkError, PhoneError):  # then it ends by itself, a little later
                    await self._client.end()
        finally:
            if self._client:
                self._client.close()
            await self._carrier.close()

    async def _linked(self):
        if self._client is None:
            self._client = PhoneClient(await self._carrier.open())
        return self._client

    async def _asked(self, ask):
        while True:
            try:
                return await ask()
            except LinkError as error:
                await self._resumed(error, False)

    async def _requested(self, ask):
        while True:
            try:
                return await ask()
            except LinkError as error:
                await self._resumed(error, True)
                ask = self._client.repeat

    async def _resumed(self, error, unsure):
        """`Status` over another link. SessionLostError."""
        self._told("lost")
        await self._client.ending()
        loop = asyncio.get_running_loop()
        until = loop.time() + _GIVE_UP_S
        tries = 0
        while error.code not in LASTING and loop.time() < until:
            await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1
            try:
                status = await self._client.resume(await self._carrier.open())
            except LinkError as again:
                error = again
            except RefusedError as refused:
                if refused.code == "no_session":
                    error = refused
                    break
                error = LinkError("closed")  # it may be another time: the old link could not be ended
            else:
                self._told("back")
                return status
        self.open = False
        raise SessionLostError(error.code, unsure)
