"""Mail and SMS: real servers that take, refuse, hang and lie; what is tried again when; alarms to operators."""

import asyncio
import contextlib
import email
import email.policy
import shutil
import ssl

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.delivery_rig import Gateway, deliver_until
from tests.pps_client import Clock, hello, record
from tools.pps import delivery
from tools.pps.ca import CertificateAuthority, write_private
from tools.pps.console.text import alarm_words
from tools.pps.db import Database
from tools.pps.delivery import send_mail, send_sms
from tools.pps.identity import FACTORY_IDENTITY, ModuleIdentity
from tools.pps.services import build_services
from tools.pps.services.alarm_mail import HOUR_S, AlarmMail
from tools.pps.services.credentials import CredentialOrder
from tools.pps.services.enrolment import Endpoints
from tools.pps.services.outbox import CLAIM_S, TRIES, wait_s
from tools.pps.settings import MailSettings, SmsSettings

SERIAL = "INK-00000001"
IDENTITY = ModuleIdentity(SERIAL, FACTORY_IDENTITY, "")


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority.create("PPS CA")


@pytest.fixture(scope="module")
def first_database(tmp_path_factory, authority):
    path = tmp_path_factory.mktemp("first") / "pps.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    services = build_services(database, authority, Endpoints("https://a", "https://a"), clock=Clock())
    services.fleet.register(SERIAL, "Yamada house", "an operator")
    services.operators.add("operator one", "correct horse battery")
    services.operators.set_mail(1, "one@example.com", "en", True)
    database.close()
    return path


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(first_database, tmp_path):
    database = Database(f"sqlite:///{shutil.copy(first_database, tmp_path)}")
    yield database
    database.close()


@pytest.fixture
def services(database, authority, clock):
    return build_services(
        database, authority, Endpoints("https://a", "https://a"), channels=("email", "sms"), clock=clock
    )


class Inbox:
    """What an SMTP server does with what it gets; `says`: its answer to a recipient, None = take it."""

    def __init__(self, says=None):
        self.mails = []
        self.says = says
        self.logins = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.says:
            return self.says
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((session.ssl is not None, parsed))
        return "250 taken"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append((session.ssl is not None, data.login, data.password))
        return AuthResult(success=data.password == b"a secret")


class _OnAFreePort(Controller):
    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextlib.contextmanager
def smtp_server(inbox, tls=None, **options):
    """aiosmtpd on a free port, in a thread of its own; yields the port."""
    controller = _OnAFreePort(
        inbox, "127.0.0.1", 0, tls_context=tls, authenticator=inbox.authenticate, server_hostname="mail", **options
    )
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def server_tls(authority, tmp_path_factory):
    """(TLS of a mail server, file with its CA)."""
    folder = tmp_path_factory.mktemp("tls")
    write_private(folder / "server.pem", authority.make_server_certificate(["127.0.0.1"]))
    (folder / "ca.pem").write_text(ssl.DER_cert_to_PEM_cert(authority.certificate_der))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context, str(folder / "ca.pem")


def queue(services, channel="email"):
    """A credential's message, claimed."""
    recipient = {"email": "resident@example.com", "sms": "09012345678"}[channel]
    issued = services.credentials.issue(SERIAL, CredentialOrder(channel, recipient), "an operator")
    return issued, services.outbox.claim(channel)


def newest(services):
    return services.outbox.messages()[0][0][0]


def test_r6_mail_goes_by_starttls_and_log_in(services, server_tls):
    context, ca_file = server_tls
    inbox = Inbox()
    issued, message = queue(services)
    with smtp_server(inbox, context, require_starttls=True, auth_required=True) as port:
        settings = MailSettings("127.0.0.1", port, "pps@example.com", "pps", "a secret", ca_file=ca_file)
        send_mail(settings, message)
        send_mail(settings, message)  # once more, as after an answer that was lost
    (encrypted, parsed), (_, again) = inbox.mails
    assert encrypted and inbox.logins == [(True, b"pps", b"a secret")] * 2
    assert issued.password in parsed.get_content() and parsed["To"] == "resident@example.com"
    assert parsed["Subject"] == "情報モジュール操作用のIDとパスワード"
    assert parsed["Message-ID"] == again["Message-ID"] and "@example.com>" in parsed["Message-ID"]


def test_r6_mail_server_without_tls_gets_neither_log_in_nor_text(services, server_tls):
    inbox = Inbox()
    _, message = queue(services)
    with smtp_server(inbox, auth_require_tls=False) as port:
        settings = MailSettings("127.0.0.1", port, "pps@example.com", "pps", "a secret", ca_file=server_tls[1])
        with pytest.raises(delivery.smtplib.SMTPNotSupportedError):
            send_mail(settings, message)
    assert inbox.mails == inbox.logins == []


def test_r6_mail_server_with_another_ca_gets_neither_log_in_nor_text(services, server_tls):
    inbox = Inbox()
    _, message = queue(services)
    with smtp_server(inbox, server_tls[0], require_starttls=True) as port, pytest.raises(ssl.SSLError):
        send_mail(MailSettings("127.0.0.1", port, "pps@example.com", "pps", "a secret"), message)
    assert inbox.mails == inbox.logins == []


async def _slow_smtp(reader, writer):
    """Greets, then answers one sign at a time, for ever."""
    writer.write(b"220 ready\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"2")
            await writer.drain()
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_r27_mail_server_that_drips_is_left_in_time(services, monkeypatch):
    assert delivery.TRY_S < CLAIM_S
    monkeypatch.setattr(delivery, "TRY_S", 0.3)
    _, message = queue(services)
    server = await asyncio.start_server(_slow_smtp, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises((OSError, delivery.smtplib.SMTPException)):
        await asyncio.wait_for(
            asyncio.to_thread(send_mail, MailSettings("127.0.0.1", port, "pps@example.com"), message), 30
        )
    server.close()


@pytest.mark.asyncio
async def test_r27_mail_server_that_hangs_keeps_no_sms_waiting(services, monkeypatch):
    monkeypatch.setattr(delivery, "TRY_S", 2)
    monkeypatch.setattr(delivery, "_STEP_S", 2)
    silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)
    queue_of = CredentialOrder("email", "resident@example.com")
    services.credentials.issue(SERIAL, queue_of, "an operator")
    services.credentials.issue(SERIAL, CredentialOrder("sms", "09012345678"), "an operator")
    async with Gateway(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n") as gateway:
        mail = MailSettings("127.0.0.1", silent.sockets[0].getsockname()[1], "pps@example.com")
        await deliver_until(services, lambda: newest(services).status == "sent", mail, SmsSettings(gateway.url))
    silent.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("says", ["451 later", "550 no such user"])
async def test_r6_refused_mail_is_tried_again_with_growing_waits_and_given_up(services, clock, says, caplog):
    issued = services.credentials.issue(SERIAL, CredentialOrder("email", "resident@example.com"), "an operator")
    with smtp_server(Inbox(says)) as port:
        mail = MailSettings("127.0.0.1", port, "pps@example.com")

        # In one go: a delivery that is broken off may just have claimed the message, by the clock as it is then.
        def all_tried():
            if _has_tried(services, all_tried.tries):
                clock.advance(600)
                all_tried.tries += 1
            return all_tried.tries > TRIES

        all_tried.tries = 1
        await deliver_until(services, all_tried, mail)
    message = newest(services)
    assert (message.status, message.text, message.problem) == ("failed", None, "SMTPRecipientsRefused")
    assert issued.password not in caplog.text and "resident" not in caplog.text


def _has_tried(services, tries):
    message = newest(services)
    judged = message.status != "queued" or message.next_try_at != services.now() + CLAIM_S
    return message.tries == tries and judged


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 x\r\ncontent-length: 10\r\n\r\n",
        b"\x00garbage",
        b"",
        None,
    ],
    ids=["error", "redirect", "short", "garbage", "closed", "silent"],
)
async def test_r6_sms_gateway_that_fails_gets_the_same_message_again(services, monkeypatch, answer):
    if answer is None:
        monkeypatch.setattr(delivery, "TRY_S", 2)
    services.credentials.issue(SERIAL, CredentialOrder("sms", "09012345678"), "an operator")
    async with Gateway(answer) as gateway:
        await deliver_until(services, lambda: newest(services).problem, sms=SmsSettings(gateway.url, "a token"))
        message = newest(services)
        assert (message.status, message.tries) == ("queued", 1) and message.text
        with contextlib.suppress(OSError, delivery.httpx.HTTPError):
            await send_sms(SmsSettings(gateway.url, "a token"), message)
    (head, body), (_, again) = gateway.posts
    assert body == again == {"to": "09012345678", "text": message.text}
    assert "authorization: bearer a token" in head and head.count("idempotency-key: inkan-") == 1
    keys = {next(line for line in head.splitlines() if "idempotency" in line) for head, _ in gateway.posts}
    assert len(keys) == 1


def test_r27_waits_grow_to_a_bound_and_differ():
    assert [wait_s(tries, lambda: 1.0) for tries in (1, 2, 3, 4)] == [10, 20, 40, 80]
    assert [wait_s(tries, lambda: 0.0) for tries in (1, 2, 3, 4)] == [5, 10, 20, 40]
    assert wait_s(50, lambda: 1.0) == 600
    assert len({wait_s(6) for _ in range(100)}) > 10


# alarms


@pytest.fixture
def alarm_mail(database, services):
    return AlarmMail(database, services.now, alarm_words, "https://console.example/", 3)


def raise_alarms(services, count):
    for _ in range(count):
        number = services.audit.take(IDENTITY, [])
        services.audit.take(IDENTITY, [record(number + 2)])


def mails(services):
    """Claims every mail that is due, and has it sent: [(kind, text)]."""
    found = []
    while message := services.outbox.claim("email"):
        services.outbox.sent(message.id)
        found.append((message.kind, message.text))
    return found


def test_r24_new_alarm_is_mailed_once_and_names_no_resident(services, alarm_mail, clock):
    assert alarm_mail.collect() == 0
    services.fleet.hello(IDENTITY, "0.1.0", hello(SERIAL, tamper="vault_seal")["state"])
    assert alarm_mail.collect() == 1
    clock.advance(60)
    services.fleet.hello(IDENTITY, "0.1.0", hello(SERIAL, tamper="vault_seal")["state"])  # the same, once more
    assert alarm_mail.collect() == 0
    ((kind, text),) = mails(services)
    assert kind == "alarm" and text.startswith(f"Alarm: Tampering detected ({SERIAL})")
    assert "https://console.example/" in text and "Yamada" not in text
    assert services.outbox.messages()[1] == 0  # it is not among the residents' messages


def test_r24_many_alarms_are_few_mails_and_none_is_left_out(services, alarm_mail, clock):
    raise_alarms(services, 10)
    assert alarm_mail.collect() == 3
    kinds = mails(services)
    assert [kind for kind, _ in kinds] == ["alarm", "alarm", "alarms"] and "8 alarms" in kinds[2][1]
    raise_alarms(services, 4)
    clock.advance(HOUR_S - 1)
    assert alarm_mail.collect() == 0
    clock.advance(1)
    assert alarm_mail.collect() == 3
    kinds = mails(services)
    assert [kind for kind, _ in kinds] == ["alarm", "alarm", "alarms"] and kinds[2][1].count(SERIAL) == 2
    assert alarm_mail.collect() == 0


def test_r24_alarms_go_to_nobody_who_does_not_want_them(services, alarm_mail):
    raise_alarms(services, 5)
    alarm_mail.collect()
    mails(services)
    raise_alarms(services, 1)  # no room within this hour: it waits
    assert alarm_mail.collect() == 0
    services.operators.set_mail(1, "one@example.com", "en", False)
    raise_alarms(services, 1)
    assert alarm_mail.collect() == 0
    services.operators.set_mail(1, "one@example.com", "ja", True)
    assert alarm_mail.collect() == 0  # what was raised in between is for whom wanted it then


def test_r24_two_processes_mail_an_alarm_once(services, database, alarm_mail):
    other = AlarmMail(database, services.now, alarm_words, "https://console.example/", 3)
    raise_alarms(services, 2)
    assert alarm_mail.collect() + other.collect() == 2
