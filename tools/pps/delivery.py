"""Carries queued messages to the mail server or the SMS gateway."""

import asyncio
import email.message
import logging
import smtplib
import ssl

import httpx

from tools.pps.messages import subject

_TIMEOUT_S = 20
_LOOK_EVERY_S = 1.0

_log = logging.getLogger("inkan.pps")


def send_mail(settings, message):
    """Hand a Message to an SMTP server (MailSettings). OSError, smtplib.SMTPException."""
    mail = email.message.EmailMessage()
    mail["Subject"] = subject(message.language)
    mail["From"] = settings.sender
    mail["To"] = message.recipient
    mail.set_content(message.text)
    with smtplib.SMTP(settings.host, settings.port, timeout=_TIMEOUT_S) as smtp:
        if settings.user is not None:
            smtp.starttls(context=ssl.create_default_context())
            smtp.login(settings.user, settings.password)
        smtp.send_message(mail)


def send_sms(settings, message):
    """Hand a Message to an SMS gateway (SmsSettings). httpx.HTTPError."""
    headers = {"authorization": f"Bearer {settings.token}"} if settings.token else {}
    body = {"to": message.recipient, "text": message.text}
    httpx.post(settings.url, json=body, headers=headers, timeout=_TIMEOUT_S).raise_for_status()


async def deliver(outbox, mail, sms):
    """Send what is queued, for ever. mail, sms: MailSettings and SmsSettings, or None."""
    while True:
        message = await asyncio.to_thread(outbox.claim)
        if message is None:
            await asyncio.sleep(_LOOK_EVERY_S)
            continue
        send, settings = (send_mail, mail) if message.channel == "email" else (send_sms, sms)
        try:
            await asyncio.to_thread(send, settings, message)
        except (OSError, ValueError, smtplib.SMTPException, httpx.HTTPError) as error:
            # The class alone: the text of such an error may quote the message.
            _log.warning("message %d was not taken: %s", message.id, type(error).__name__)
            await asyncio.to_thread(outbox.not_sent, message.id, type(error).__name__[:32])
        else:
            await asyncio.to_thread(outbox.sent, message.id)
