"""Enrolment: a module gets a connection by a one-time code that never travels (SA)."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import select

from tools.pps.errors import ServiceError
from tools.pps.models import ConnectionCertificate, EnrolmentCode, Module
from tools.pps.services.common import module_by_serial, note_action

CODE_DIGITS = 20
CODE_LIFETIME_S = 24 * 3600
WRONG_TRIES = 5
_ITERATIONS = 20_000


@dataclass(frozen=True)
class Endpoints:
    """What a module is told to talk to. energy_ca_der: None = the CA that signs modules."""

    credential_url: str
    energy_url: str
    energy_ca_der: bytes | None = None


def luhn_digit(digits):
    """Check digit that makes `digits` + it pass the Luhn test."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def code_key(code, serial):
    """The key that both sides stretch from the code: 32 bytes."""
    return hashlib.pbkdf2_hmac("sha256", code.encode(), b"inkan enrol 1" + serial.encode(), _ITERATIONS, 32)


def request_mac(key, serial, nonce, request_der):
    """mac_q of docs/api.md."""
    return _mac(key, b"request", serial.encode(), nonce, request_der)


def answer_mac(key, request_mac_value, nonce, ca_der, certificate_der, endpoints):
    """mac_a of docs/api.md."""
    return _mac(
        key,
        b"answer" + request_mac_value,
        nonce,
        ca_der,
        certificate_der,
        endpoints.credential_url.encode(),
        endpoints.energy_url.encode(),
        endpoints.energy_ca_der or b"",
    )


def _mac(key, start, *parts):
    message = start + b"".join(len(part).to_bytes(2, "little") + part for part in parts)
    return hmac.digest(key, message, "sha256")


@dataclass(frozen=True)
class Enrolled:
    """The answer to a module."""

    nonce: bytes
    ca_der: bytes
    certificate_der: bytes
    endpoints: Endpoints
    mac: bytes


class Enrolment:
    def __init__(self, database, now, authority, endpoints):
        self._database = database
        self._now = now
        self._authority = authority
        self._endpoints = endpoints

    def offer(self, serial, operator):
        """A new code of 20 digits for a module; an older one is withdrawn. Told once, not stored."""
        code = new_code()
        key = code_key(code, serial)
        with self._database.write() as session:
            module = module_by_serial(session, serial, lock=True)
            add_code(session, module, key, operator, self._now())
        return code

    def withdraw(self, serial, operator):
        """End a module's open code, if there is one."""
        now = self._now()
        with self._database.write() as session:
            module = module_by_serial(session, serial, lock=True)
            withdraw_code(session, module, operator, now)

    def enrol(self, serial, nonce, request_der, mac):
        """Certify a module's key. Returns Enrolled. ServiceError code_refused, bad_request (certificate request)."""
        refusal = ServiceError("code_refused", "the enrolment code is wrong, used or expired")
        now = self._now()
        with self._database.write() as session:
            code = self._judge(session, serial, nonce, request_der, mac, now)
            if code is not None:
                key = code.key
                certificate_der = self._sign(session, code.module_id, serial, request_der, now)
                _close(code, "used", now)
        if code is None:  # raised only now, so that the count of wrong tries is committed
            raise refusal
        answer_nonce = secrets.token_bytes(16)
        ca_der = self._authority.certificate_der
        answer = answer_mac(key, mac, answer_nonce, ca_der, certificate_der, self._endpoints)
        return Enrolled(answer_nonce, ca_der, certificate_der, self._endpoints, answer)

    def certify(self, serial, request_der):
        """A connection's certificate without a code, for a module that gets its connection before it leaves."""
        now = self._now()
        with self._database.write() as session:
            module = module_by_serial(session, serial, lock=True)
            return self._sign(session, module.id, serial, request_der, now)

    def newest_code(self, module_id):
        """The module's newest EnrolmentCode with a status that is right for now, or None."""
        with self._database.read() as session:
            query = select(EnrolmentCode).where(EnrolmentCode.module_id == module_id)
            code = session.scalar(query.order_by(EnrolmentCode.id.desc()).limit(1))
        if code is not None and code.status == "open" and self._now() >= code.expires_at:
            code.status = "expired"
        return code

    def _judge(self, session, serial, nonce, request_der, mac, now):
        """The open code that the request was made with, or None; counts a wrong try."""
        module = session.scalar(select(Module).where(Module.serial == serial).with_for_update())
        code = _open_code(session, module) if module is not None else None
        if code is not None and now >= code.expires_at:
            _close(code, "expired", now)
            code = None
        key = code.key if code is not None else bytes(32)  # the same work, whether there is a code or not
        if hmac.compare_digest(request_mac(key, serial, nonce, request_der), mac) and code is not None:
            return code
        if code is not None:
            code.wrong_tries += 1
            if code.wrong_tries >= WRONG_TRIES:
                _close(code, "refused", now)
        return None

    def _sign(self, session, module_id, serial, request_der, now):
        try:
            certificate_der = self._authority.sign_module_request(request_der, serial)
        except ValueError:
            raise ServiceError("bad_request", "the certificate request does not fit this module") from None
        fingerprint = x509.load_der_x509_certificate(certificate_der).fingerprint(hashes.SHA256()).hex()
        session.add(ConnectionCertificate(module_id=module_id, fingerprint=fingerprint, issued_at=now))
        return certificate_der


def new_code():
    """20 random digits, the last of which checks the others."""
    digits = "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS - 1))
    return digits + luhn_digit(digits)


def add_code(session, module, key, operator, now):
    """Offer a code, of which the key is kept, within a transaction that holds the module's lock."""
    former = _open_code(session, module)
    if former is not None:
        _close(former, "withdrawn", now)
    session.add(
        EnrolmentCode(
            module_id=module.id,
            key=key,
            status="open",
            offered_at=now,
            offered_by=operator,
            expires_at=now + CODE_LIFETIME_S,
        )
    )
    note_action(session, now, operator, "offer_enrolment", module)


def withdraw_code(session, module, operator, now):
    """End a module's open code, if there is one, within a transaction that holds the module's lock."""
    code = _open_code(session, module)
    if code is not None:
        _close(code, "withdrawn", now)
        note_action(session, now, operator, "withdraw_enrolment", module)


def _open_code(session, module):
    query = select(EnrolmentCode).where(EnrolmentCode.module_id == module.id, EnrolmentCode.status == "open")
    return session.scalar(query)


def _close(code, status, now):
    code.status = status
    code.closed_at = now
    code.key = None
