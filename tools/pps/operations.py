"""The fourth listener: /healthz, /readyz, /metrics, for the machines that run the server.

It is a listener of its own, by default on the loopback interface and off unless a port is given. A path on a public
listener would be one line of a proxy's configuration away from the public, and a token would have to be kept by
everything that asks; an address that is not routed needs neither.
"""

import asyncio

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tools.pps.metrics import CONTENT_TYPE

DATABASE_TIMEOUT_S = 2


class Readiness:
    """Whether the database answers in time. ask: blocking callable that raises where it does not."""

    def __init__(self, ask, is_closing):
        self._ask = ask
        self._is_closing = is_closing
        self._asking = None

    async def problem(self):
        """What keeps the server from taking work, in a word, or None."""
        if self._is_closing():
            return "closing"
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        # One question at a time: should it hang, more of them would only hang as well.
        done, _ = await asyncio.wait((self._asking,), timeout=DATABASE_TIMEOUT_S)
        if not done:
            return "database: no answer"
        return None if self._asking.exception() is None else "database: error"


def operations_app(metrics, readiness):
    async def healthz(request):
        return PlainTextResponse("ok\n")

    async def readyz(request):
        problem = await readiness.problem()
        return PlainTextResponse(f"{problem or 'ok'}\n", 503 if problem else 200)

    async def collect(request):
        return Response(await asyncio.to_thread(metrics.text), media_type=CONTENT_TYPE)

    app = Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", collect)])
    app.state.readiness = readiness
    return app
