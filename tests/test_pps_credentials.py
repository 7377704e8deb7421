"""How a credential is made and how it reaches the user."""

import asyncio
import email
import hashlib
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.crypto import spake2plus
from tests.delivery_rig import Gateway, deliver_until
from tests.pps_client import Clock
from tools.pps.ca import CertificateAuthority
from tools.pps.db import Database
from tools.pps.errors import ServiceError
from tools.pps.identity import ModuleIdentity
from tools.pps.services import build_services
from tools.pps.services.credentials import ISSUES_A_DAY, CredentialOrder, Scope, derive_verifier
from tools.pps.services.enrolment import Endpoints
from tools.pps.services.outbox import TRIES
from tools.pps.settings import MailSettings, SmsSettings

SERIAL = "INK-00000001"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/pps.sqlite3")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def make_services(database, clock):
    """Callable (channels that a gateway delivers) -> Services with one module."""

    def make(*channels):
        authority = CertificateAuthority.create("PPS CA")
        endpoints = Endpoints("https://pps.example", "https://pps.example")
        services = build_services(database, authority, endpoints, channels=channels, clock=clock)
        services.fleet.register(SERIAL, "山田様邸", "an operator")
        return services

    return make


def order(**changed):
    return CredentialOrder(**({"channel": "email", "recipient": "resident@example.com"} | changed))


def message_of(services):
    ((message, _),), _ = services.outbox.messages()
    return message


def test_s2_verifier_is_what_the_module_derives():
    salt = bytes(range(16))
    for user_id, password, iterations in (("00000000", "12345678", 1000), ("87654321", "1" * 16, 1001)):
        w0, l_point = derive_verifier(user_id, password, SERIAL, salt, iterations)
        password_input = spake2plus.password_input(password.encode(), user_id.encode(), SERIAL.encode())
        stretched = hashlib.pbkdf2_hmac("sha256", password_input, salt, iterations, 32)
        assert w0 == spake2plus.w0_bytes(spake2plus.expand_w(stretched)[0])
        assert len(w0) == 32 and len(l_point) == 65
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), l_point)


def test_s2_verifier_depends_on_every_input():
    salt = bytes(16)
    base = ("12345678", "87654321", SERIAL, salt, 1000)
    others = [
        ("12345679", "87654321", SERIAL, salt, 1000),
        ("12345678", "87654320", SERIAL, salt, 1000),
        ("12345678", "87654321", "INK-00000002", salt, 1000),
        ("12345678", "87654321", SERIAL, bytes([1]) + bytes(15), 1000),
        ("12345678", "87654321", SERIAL, salt, 1001),
        ("1234567", "887654321", SERIAL, salt, 1000),  # the same digits, cut elsewhere
    ]
    assert len({derive_verifier(*inputs) for inputs in [base, *others]}) == 7


def test_r6_id_and_password_are_random(make_services):
    services = make_services()
    issued = [services.credentials.issue(SERIAL, order(iterations=1000), "an operator") for _ in range(20)]
    assert len({one.id for one in issued}) == len({one.password for one in issued}) == 20
    assert all(re.fullmatch("[0-9]{8}", one.id) and re.fullmatch("[0-9]{8}", one.password) for one in issued)
    assert [one.sequence for one in issued] == list(range(1, 21))


def test_s4_password_is_nowhere_but_in_the_message(make_services, database):
    services = make_services()
    issued = services.credentials.issue(SERIAL, order(), "an operator")
    assert issued.password in message_of(services).text
    with database.read() as session:
        for table in database.engine.dialect.get_table_names(session.connection()):
            rows = session.connection().exec_driver_sql(f'SELECT * FROM "{table}"').fetchall()
            if table != "messages":
                assert issued.password not in str(rows) and issued.id not in str(rows), table
    assert issued.password not in repr(issued) and issued.text not in repr(issued)


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize(
    ("language", "expected"),
    [("ja", ["パスワード", "3回", "有効"]), ("en", ["Password", "3", "alid"])],
)
def test_r6_message_tells_the_user_what_is_needed(make_services, channel, language, expected):
    services = make_services()
    issued = services.credentials.issue(SERIAL, order(channel=channel, language=language), "an operator")
    text = message_of(services).text
    assert issued.text == text
    for part in [issued.id, issued.password, SERIAL, "山田様邸", *expected]:
        assert part in text
    lifetime = {"ja": ("24時間", "10分間"), "en": ("24 hours", "10 minutes")}[language]
    assert lifetime[channel == "sms"] in text
    if channel == "sms" and language == "ja":
        assert len(text) <= 134  # two parts of 67 characters (3GPP TS 23.040, UCS-2)


def test_r8_message_without_a_lifetime_says_so(make_services):
    services = make_services()
    services.credentials.issue(SERIAL, order(lifetime_s=None, language="en"), "an operator")
    assert "without a time limit" in message_of(services).text


@pytest.mark.parametrize(
    "changed",
    [
        {"channel": "pigeon"},
        {"language": "fr"},
        {"recipient": ""},
        {"lifetime_s": 59},
        {"lifetime_s": 365 * 24 * 3600 + 1},
        {"max_successes": 0},
        {"max_failures": 101},
        {"max_changes": 0},
        {"password_digits": 7},
        {"password_digits": 17},
        {"iterations": 999},
        {"iterations": 100_001},
        {"scope": Scope(see=("everything",))},
        {"scope": Scope()},
    ],
    ids=str,
)
def test_r8_order_out_of_bounds_is_refused(changed):
    with pytest.raises(ServiceError) as caught:
        order(**changed)
    assert caught.value.code == "bad_request"


def test_r6_unknown_module_is_refused(make_services):
    with pytest.raises(ServiceError) as caught:
        make_services().credentials.issue("INK-00000002", order(), "an operator")
    assert caught.value.code == "unknown_module"


def test_r6_form_that_is_sent_twice_issues_once(make_services):
    services = make_services()
    services.credentials.issue(SERIAL, order(form_token="a token"), "an operator")
    with pytest.raises(ServiceError) as caught:
        services.credentials.issue(SERIAL, order(form_token="a token"), "an operator")
    assert caught.value.code == "conflict"
    assert services.outbox.messages()[1] == 1


class MailServer:
    """Takes one kind of mail by SMTP (RFC 5321), or refuses it."""

    def __init__(self, refuse=False):
        self.mails = []
        self._refuse = refuse

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error):
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, reader, writer):
        writer.write(b"220 ready\r\n")
        while line := (await reader.readline()).strip():
            verb = line.split()[0].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(b"250 taken\r\n")
            elif verb == b"RCPT" and self._refuse:
                writer.write(b"550 no such user\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
        await writer.drain()
        writer.close()


@pytest.mark.asyncio
async def test_s4_mail_is_sent_and_its_text_erased(make_services, tmp_path):
    services = make_services("email")
    issued = services.credentials.issue(SERIAL, order(), "an operator")
    assert issued.delivered_by_gateway
    async with MailServer() as server:
        mail = MailSettings("127.0.0.1", server.port, "pps@example.com")
        await deliver_until(services, lambda: message_of(services).status == "sent", mail=mail)
    (raw,) = server.mails
    parsed = email.message_from_bytes(raw)
    assert parsed["To"] == "resident@example.com"
    assert issued.password in parsed.get_payload(decode=True).decode()
    assert message_of(services).text is None
    assert issued.password.encode() not in (tmp_path / "pps.sqlite3").read_bytes()


@pytest.mark.asyncio
async def test_s4_sms_is_sent_and_its_text_erased(make_services):
    services = make_services("sms")
    issued = services.credentials.issue(SERIAL, order(channel="sms", recipient="09012345678"), "an operator")
    async with Gateway(b"HTTP/1.1 202 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n") as gateway:
        sms = SmsSettings(gateway.url, "a token")
        await deliver_until(services, lambda: message_of(services).status == "sent", sms=sms)
    ((head, body),) = gateway.posts
    assert body == {"to": "09012345678", "text": issued.text}
    assert "authorization: bearer a token" in head
    assert message_of(services).text is None


@pytest.mark.asyncio
async def test_r6_refused_message_waits_for_another_try(make_services, clock, caplog):
    services = make_services("email")
    issued = services.credentials.issue(SERIAL, order(), "an operator")
    async with MailServer(refuse=True) as server:
        mail = MailSettings("127.0.0.1", server.port, "pps@example.com")
        await deliver_until(services, lambda: message_of(services).problem is not None, mail=mail)
    message = message_of(services)
    assert (message.status, message.text, message.tries) == ("queued", issued.text, 1)
    assert message.problem == "SMTPRecipientsRefused"
    assert issued.password not in caplog.text and "resident" not in caplog.text
    assert services.outbox.claim() is None
    clock.advance(10)
    assert services.outbox.claim().text == issued.text


def test_s4_message_that_nobody_takes_is_given_up_and_erased(make_services, clock):
    services = make_services("email")
    services.credentials.issue(SERIAL, order(), "an operator")
    for _ in range(TRIES):
        assert message_of(services).status == "queued"
        services.outbox.not_sent(services.outbox.claim().id, "a problem")
        clock.advance(3600)
    message = message_of(services)
    assert (message.status, message.text) == ("failed", None)
    assert services.outbox.claim() is None


def test_s4_message_that_a_gateway_has_to_take_outlives_the_acknowledgement(make_services):
    services = make_services("email")
    identity = ModuleIdentity(SERIAL, "factory_identity", "")
    issued = services.credentials.issue(SERIAL, order(), "an operator")
    services.credentials.offer(identity, 0, 0)
    services.credentials.acknowledge(identity, 1, "accepted", None)
    message = services.outbox.claim()
    assert message.text == issued.text
    services.outbox.sent(message.id)
    assert message_of(services).text is None


def test_s4_revoked_before_it_was_sent_is_dropped(make_services):
    services = make_services("email")
    services.credentials.issue(SERIAL, order(), "an operator")
    services.credentials.revoke(SERIAL, "an operator")
    message = message_of(services)
    assert (message.status, message.text) == ("dropped", None)
    assert services.outbox.claim() is None


def test_s5_a_module_gets_so_many_credentials_a_day_and_no_more(make_services, clock):
    services = make_services()
    for number in range(ISSUES_A_DAY):
        services.credentials.issue(SERIAL, order(iterations=1000), "an operator")
        clock.now += 60 if number else 0
    outbox = services.outbox.messages()[1]
    with pytest.raises(ServiceError) as refused:
        services.credentials.issue(SERIAL, order(), "an operator")
    assert refused.value.code == "too_many"
    assert services.outbox.messages()[1] == outbox
    clock.now += refused.value.retry_after_s - 1
    with pytest.raises(ServiceError):
        services.credentials.issue(SERIAL, order(), "an operator")
    clock.now += 1
    services.credentials.issue(SERIAL, order(), "an operator")
