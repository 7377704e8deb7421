"""`PpsServer`: the three listeners in one event loop, and what the virtual house does with them."""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from pathlib import Path

import uvicorn

from tools.pps.app import console_app, module_app, public_app
from tools.pps.ca import DevelopmentCa
from tools.pps.console.text import alarm_words
from tools.pps.db import Database
from tools.pps.delivery import deliver
from tools.pps.identity import IdentityReader
from tools.pps.metrics import Metrics
from tools.pps.operations import Readiness, operations_app
from tools.pps.proxy import BehindProxy
from tools.pps.services import build_services
from tools.pps.services.alarm_mail import AlarmMail
from tools.pps.services.credentials import CredentialOrder
from tools.pps.services.enrolment import Endpoints
from tools.pps.tls_protocol import TlsProtocol

_PROXIED = ("module", "public", "console")
_KEEP_ALIVE_S = 75
_GRACE_S = 5
_STOP_LOOK_S = 0.3
_ALARM_LOOK_S = 2
_LINK_LOOK_S = 1
_RESTART_S = 5
_LOCAL_OPERATOR = "virtual house"

_log = logging.getLogger("inkan.pps")


class PpsServer:
    """A PPS's server on its own development CA.

    `ca` is there from the start; `services`, `metrics` (what it counts), ports and URLs from start() on. What has no
    `async` may be called from any thread.
    """

    def __init__(self, settings, *, clock=time.time):
        self.settings = settings
        self._clock = clock
        Path(settings.data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ca = DevelopmentCa(Path(settings.data_dir) / "ca")
        self.services = self.metrics = None
        self.module_port = self.enrol_port = self.console_port = self.operations_port = None
        self._database = None
        self._listeners = []
        self._tasks = []

    @property
    def database_path(self):
        """Path of the SQLite file, or None with another database."""
        return self.settings.database_path

    @property
    def credential_url(self):
        return self.settings.credential_url or f"https://{self.settings.host_name}:{self.module_port}"

    @property
    def energy_url(self):
        return self.settings.energy_url or self.credential_url

    @property
    def enrol_host(self):
        """What the user types to enrol: host:port."""
        return self.settings.enrol_host or f"{self.settings.host_name}:{self.enrol_port}"

    @property
    def phone_url(self):
        """The phone's page, as it stands in messages."""
        return self.settings.phone_url or f"https://{self.enrol_host}/phone/"

    @property
    def request_url(self):
        """The page where residents ask for a credential, as it stands in messages; "/" at its end."""
        return self.settings.request_url or f"https://{self.enrol_host}/request/"

    @property
    def console_url(self):
        return self.settings.console_address or f"http://{self.settings.host}:{self.console_port}/"

    async def start(self):
        """Migrate the database and listen. OSError where a port is taken."""
        settings = self.settings
        with contextlib.ExitStack() as undo:
            sockets = self._bind_all(undo)
            self._database = Database(settings.resolved_database_url())
            undo.callback(self._database.close)
            await asyncio.to_thread(self._database.migrate)
            channels = [name for name, gateway in (("email", settings.mail), ("sms", settings.sms)) if gateway]
            endpoints = Endpoints(self.credential_url, self.energy_url, settings.energy_ca_der)
            self.services = build_services(
                self._database,
                self.ca.pps,
                endpoints,
                channels=channels,
                phone_url=self.phone_url,
                clock=self._clock,
                self_service=settings.self_service,
                request_url=self.request_url,
            )
            names = dict.fromkeys((settings.host_name, "localhost", "127.0.0.1", "::1"))
            pem = self.ca.write_server_certificate(list(names))
            reader = IdentityReader(self.ca.pps.certificate_der, self.ca.maker.certificate_der)
            key = settings.console_key()
            behind_https = settings.console_behind_https or settings.proxy is not None
            console = console_app(self.services, key, self.enrol_host, behind_https=behind_https)
            modules, public = module_app(self.services, reader), public_app(self.services, settings.phone_page)
            metrics = self.metrics = Metrics()
            metrics.watch(self.services)

            def listener(name, app, bound, tls):
                app = metrics.measured(app, name)
                if settings.proxy is None:
                    return _Listener(app, bound, tls)
                return _Listener(BehindProxy(app, settings.proxy), bound, None)

            self._listeners = [
                listener("module", modules, sockets[0], _tls_context(pem, self.ca.pps, self.ca.maker)),
                listener("public", public, sockets[1], _tls_context(pem)),
                listener("console", console, sockets[2], None),
            ]
            if settings.operations_port is not None:
                readiness = Readiness(self._database.ping, lambda: self.services.wakeups.closing)
                self._listeners.append(_Listener(operations_app(metrics, readiness), sockets[3], None))
            await asyncio.gather(*(listener.start() for listener in self._listeners))
            if channels:
                outbox = self.services.outbox
                self._tasks.append(_for_ever(lambda: deliver(outbox, settings.mail, settings.sms)))
            if self.services.self_service.is_offered:
                self._tasks.append(_for_ever(lambda: _repeat(self.services.self_service.work, _LINK_LOOK_S)))
            if settings.mail:
                alarm_mail = AlarmMail(
                    self._database, self.services.now, alarm_words, self.console_url, settings.alarm_mails_an_hour
                )
                self._tasks.append(_for_ever(lambda: _repeat(alarm_mail.collect, _ALARM_LOOK_S)))
            undo.pop_all()

    def _bind_all(self, undo):
        """Sockets of the listeners, bound and put into `undo`."""
        settings = self.settings
        if settings.proxy is not None and not (settings.credential_url and settings.enrol_host):
            raise ValueError("behind a proxy: say what modules call the server by (credential URL, host to enrol at)")
        ports = (settings.module_port, settings.enrol_port, settings.console_port)
        sockets = []
        folder = settings.proxy.sockets if settings.proxy is not None else None
        for name, port in zip(_PROXIED, ports, strict=True):
            sockets.append(_bind_unix(folder / f"{name}.sock") if folder is not None else _bind(settings.host, port))
            undo.callback(sockets[-1].close)
        if folder is None:
            self.module_port, self.enrol_port, self.console_port = (bound.getsockname()[1] for bound in sockets)
        if settings.operations_port is not None:
            sockets.append(_bind(settings.operations_host, settings.operations_port))
            undo.callback(sockets[-1].close)
            self.operations_port = sockets[-1].getsockname()[1]
        return sockets

    async def stop(self):
        """Let open requests finish (polls answer at once), then close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self.services is not None:
            self.services.wakeups.close()
            self.services.relay.phone_wakeups.close()
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        self._listeners = []
        if self.settings.proxy is not None and self.settings.proxy.sockets is not None:
            for name in _PROXIED:
                (self.settings.proxy.sockets / f"{name}.sock").unlink(missing_ok=True)
        if self._database is not None:
            self._database.close()

    def register_module(self, serial, name):
        """Make a module known. ServiceError."""
        return self.services.fleet.register(serial, name, _LOCAL_OPERATOR)

    def issue_credential(self, serial, *, channel="email", recipient="resident@example.com", **order):
        """Issue as the console does; further names are those of CredentialOrder. Returns IssuedCredential."""
        order = CredentialOrder(channel=channel, recipient=recipient, **order)
        return self.services.credentials.issue(serial, order, _LOCAL_OPERATOR)

    def revoke_credentials(self, serial):
        """Revoke as the console does. Returns the highest revoked sequence."""
        return self.services.credentials.revoke(serial, _LOCAL_OPERATOR)

    def offer_enrolment(self, serial):
        """A new enrolment code of 20 digits for a module."""
        return self.services.enrolment.offer(serial, _LOCAL_OPERATOR)

    def certify_connection(self, serial, request_der):
        """A connection's certificate (DER) for a certificate request (DER), without a code."""
        return self.services.enrolment.certify(serial, request_der)

    def add_operator(self, name, password):
        """Make an operator for the console. ServiceError conflict where there is one of this name."""
        self.services.operators.add(name, password)


class _Server(uvicorn.Server):
    """A uvicorn server among others: signals are not its business."""

    def __init__(self, config):
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self):
        yield

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.ready.set()


class _Listener:
    def __init__(self, app, bound, tls):
        config = uvicorn.Config(
            app,
            http=TlsProtocol,
            ws="none",
            lifespan="auto",
            ssl_context_factory=(lambda config, default: tls) if tls else None,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            server_header=False,
            proxy_headers=False,
            access_log=False,
            log_config=None,
        )
        self._server = _Server(config)
        self._bound = bound
        self._task = None

    async def start(self):
        self._task = asyncio.create_task(self._server.serve([self._bound]))
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait((self._task, ready), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            await self._task

    async def stop(self):
        """Answer what was asked; a peer that does not close its idle connection then is not waited for."""
        self._server.should_exit = True
        state = self._server.server_state
        while not (await asyncio.wait((self._task,), timeout=_STOP_LOOK_S))[0]:
            for connection in list(state.connections):
                if not state.tasks and not connection.transport.get_write_buffer_size():
                    connection.transport.abort()
        await self._task


def _for_ever(work):
    """A task that runs work(), a coroutine, and again after a while should it fail."""

    async def run():
        while True:
            try:
                await work()
            except Exception as error:
                # The class alone: the text of an error may hold what was to be stored or sent.
                _log.error("background work ended: %s", type(error).__name__)
            await asyncio.sleep(_RESTART_S)

    return asyncio.create_task(run())


async def _repeat(work, every_s):
    while True:
        await asyncio.to_thread(work)
        await asyncio.sleep(every_s)


def _bind(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio sends at once on those sockets alone that say TCP: an answer's body would else wait for the
    # client to confirm its head, which takes 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"{host}:{port}: {error.strerror}") from None
    return bound


def _bind_unix(path):
    """A Unix socket for the proxy, which has to be of its group. One that a dead server left is taken away."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
        bound.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"{path}: {error.strerror}") from None
    return bound


def _tls_context(pem, *client_authorities):
    """TLS 1.2 or newer. With authorities, a client needs a certificate from one of them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pem)
    # A resumed session would not have its certificate verified again.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    if client_authorities:
        context.verify_mode = ssl.CERT_REQUIRED
        for authority in client_authorities:
            context.load_verify_locations(cadata=authority.certificate_der)
    return context
