"""Carries queued messages to the mail server or the SMS gateway.

A try takes at most `TRY_S` as a whole, however slowly the other end answers. That is shorter than the outbox reserves a
message, so no two processes send it at once.
"""

import asyncio
import contextlib
import email.message
import email.utils
import logging
import smtplib
import socket
import ssl
import threading

import httpx
from sqlalchemy.exc import OperationalError

from tools.pps.messages import subject

TRY_S = 40
_STEP_S = 15
_LOOK_EVERY_S = 1.0

_log = logging.getLogger("inkan.pps")


def send_mail(settings, message):
    """Hand a Message to an SMTP server (MailSettings, RFC 5321). OSError, smtplib.SMTPException.

    Where TLS is asked for and not to be had, nothing is sent: neither the log-in nor the message.
    """
    mail = email.message.EmailMessage()
    mail["Subject"] = subject(message.language, message.kind, message.text)
    mail["From"] = settings.sender
    mail["To"] = message.recipient
    mail["Date"] = email.utils.formatdate(message.created_at)
    # The same each time it is tried: whoever gets it twice may see that.
    mail["Message-ID"] = f"<inkan.{message.id}.{message.created_at}@{settings.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    context = ssl.create_default_context(cafile=settings.ca_file)
    with _smtp(settings, context) as smtp:
        deadline = threading.Timer(TRY_S, _hang_up, [smtp])
        deadline.daemon = True
        deadline.start()
        try:
            if settings.security == "starttls":
                smtp.starttls(context=context)  # SMTPNotSupportedError where it is not offered
            if settings.user is not None:
                smtp.login(settings.user, settings.password or "")
            smtp.send_message(mail)
        finally:
            deadline.cancel()


def _smtp(settings, context):
    if settings.security == "tls":
        return smtplib.SMTP_SSL(settings.host, settings.port, timeout=_STEP_S, context=context)
    return smtplib.SMTP(settings.host, settings.port, timeout=_STEP_S)


def _hang_up(smtp):
    sock = smtp.sock
    if sock is not None:
        with contextlib.suppress(OSError):  # whoever reads from it gets an end of file
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


async def send_sms(settings, message):
    """Hand a Message to an SMS gateway (SmsSettings). httpx.HTTPError, TimeoutError."""
    # The key is the same each time: a gateway that keeps it does not send one message twice.
    headers = {"idempotency-key": f"inkan-{message.id}-{message.created_at}"}
    if settings.token:
        headers["authorization"] = f"Bearer {settings.token}"
    body = {"to": message.recipient, "text": message.text}
    async with asyncio.timeout(TRY_S), httpx.AsyncClient(timeout=_STEP_S) as client:
        (await client.post(settings.url, json=body, headers=headers)).raise_for_status()


async def deliver(outbox, mail, sms):
    """Send what is queued, for ever. mail, sms: MailSettings and SmsSettings, or None.

    Each channel has its own loop: a mail server that hangs keeps no SMS waiting.
    """

    async def send_mail_in_thread(message):
        await asyncio.to_thread(send_mail, mail, message)

    async def send_by_gateway(message):
        await send_sms(sms, message)

    async with asyncio.TaskGroup() as group:
        if mail is not None:
            group.create_task(_deliver(outbox, "email", send_mail_in_thread))
        if sms is not None:
            group.create_task(_deliver(outbox, "sms", send_by_gateway))


async def _deliver(outbox, channel, send):
    while True:
        try:
            message = await asyncio.to_thread(outbox.claim, channel)
            if message is None:
                await asyncio.sleep(_LOOK_EVERY_S)
                continue
            await _send(outbox, message, send)
        except OperationalError:  # a database that does not answer now may do so later
            await asyncio.sleep(_LOOK_EVERY_S)


async def _send(outbox, message, send):
    try:
        await send(message)
    except (OSError, ValueError, smtplib.SMTPException, httpx.HTTPError, httpx.InvalidURL) as error:
        # The class alone: the text of such an error may quote the message.
        _log.warning("message %d was not taken: %s", message.id, type(error).__name__)
        await asyncio.to_thread(outbox.not_sent, message.id, type(error).__name__[:32])
    else:
        await asyncio.to_thread(outbox.sent, message.id)
