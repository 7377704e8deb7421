"""The message that brings ID and password to the user, in the user's language.

No line begins with "From ": on the way of an e-mail that may become ">From ".
"""

import datetime

_TEXTS = {
    "ja": {
        "subject": "情報モジュール操作用のIDとパスワード",
        "body": """情報モジュールの操作用ワンタイム認証情報です。

対象: {name}({serial})
ID: {id}
パスワード: {password}

有効期間: {lifetime}
認証できる回数: {successes}回まで

モジュールの画面で「認証」(決定キー)を選び、IDとパスワードを入力してください。{relay}
電話やメールでパスワードをお尋ねすることはありません。
お心当たりのない場合は、このメッセージを破棄し、電力会社までご連絡ください。""",
        "sms": """{name}({serial})
ID: {id}
パスワード: {password}{relay}
{lifetime}、{successes}回まで有効。他人に教えないでください。""",
        "lifetime": "モジュールが受け取ってから{duration}",
        "no_lifetime": "期限なし",
        "relay": {
            "email": "\n離れた場所からは、次のリンクをスマートフォンで開きます(他人に教えないでください)。\n{link}",
            "sms": "\n遠隔: {link}",
        },
    },
    "en": {
        "subject": "ID and password for your information module",
        "body": """One-time credential for an information module.

Module: {name} ({serial})
ID: {id}
Password: {password}

Valid: {lifetime}
Authentications: {successes} at most

Press OK (Login) on the module's keypad and enter ID and password.{relay}
We never ask for the password by telephone or e-mail.
If you did not expect this message, delete it and tell your power supplier.""",
        "sms": """{name} ({serial})
ID: {id}
Password: {password}{relay}
Valid {lifetime}, {successes} times at most. Tell nobody.""",
        "lifetime": "{duration} from when the module receives it",
        "no_lifetime": "without a time limit",
        "relay": {
            "email": "\nIf you are far away, open this link on your phone. It is for you alone:\n{link}",
            "sms": "\nIf far away: {link}",
        },
    },
}

_LINKS = {
    "ja": {
        "subject": "情報モジュールの認証情報のお申し込み",
        "email": """情報モジュール({serial})の認証情報のお申し込みを受け付けました。
次のリンクを{minutes}分以内に開き、内容を確かめて発行してください。一度だけ使えます。

{link}

お心当たりのない場合は、何もなさらないでください。認証情報は発行されません。""",
        "sms": "情報モジュール{serial}の認証情報({minutes}分以内、一度だけ): {link}",
    },
    "en": {
        "subject": "Your request for an ID and password",
        "email": """Somebody, probably you, asked for an ID and password for the information module {serial}.
Open this link within {minutes} minutes, see what it is about and have them issued. It works once.

{link}

If it was not you, do nothing: nothing is issued then.""",
        "sms": "ID and password for module {serial} (within {minutes} min, once): {link}",
    },
}

_ALARMS = {
    "ja": {
        "subject": "警報: {kind} ({serial})",
        "body": """新しい警報があります。

{line}

{link}""",
        "digest_subject": "警報 {count}件",
        "digest": """この1時間に送れる通数を超えたため、まとめてお知らせします。

{lines}

{link}""",
        "more": "ほか{count}件",
    },
    "en": {
        "subject": "Alarm: {kind} ({serial})",
        "body": """There is a new alarm.

{line}

{link}""",
        "digest_subject": "{count} alarms",
        "digest": """More alarms than there may be mails within an hour, so here they are together.

{lines}

{link}""",
        "more": "and {count} more",
    },
}
_DIGEST_LINES = 50

_UNITS = ((86400, "日間", "day"), (3600, "時間", "hour"), (60, "分間", "minute"), (1, "秒間", "second"))


def subject(language, kind="credential", text=""):
    """Subject line of an e-mail. That of alarms is the first line of their text, see `alarm_message`."""
    if kind in ("alarm", "alarms"):
        return text.partition("\n")[0]
    return (_LINKS if kind == "link" else _TEXTS)[language]["subject"]


def link_message(channel, language, serial, minutes, link):
    """The text that brings a resident the link to the page where a credential is issued."""
    return _LINKS[language][channel].format(serial=serial, minutes=minutes, link=link)


def alarm_message(language, alarms, link):
    """What an operator gets about alarms, [(kind in words, serial, UTC seconds)]. Names no resident.

    One alarm has a text of its own, several are listed.
    """
    texts = _ALARMS[language]
    lines = [f"{_utc(at)}  {serial}  {kind}" for kind, serial, at in alarms[:_DIGEST_LINES]]
    if len(alarms) == 1:
        kind, serial, _ = alarms[0]
        head = texts["subject"].format(kind=kind, serial=serial)
        return head + "\n\n" + texts["body"].format(line=lines[0], link=link)
    if len(alarms) > _DIGEST_LINES:
        lines.append(texts["more"].format(count=len(alarms) - _DIGEST_LINES))
    head = texts["digest_subject"].format(count=len(alarms))
    return head + "\n\n" + texts["digest"].format(lines="\n".join(lines), link=link)


def _utc(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds, language):
    """A duration in the largest unit that divides it: 86400 -> "24 hours", 5400 -> "90 minutes"."""
    size, japanese, english = next(unit for unit in _UNITS if seconds % unit[0] == 0)
    if size == 86400 and seconds == 86400:
        size, japanese, english = _UNITS[1]
    count = seconds // size
    if language == "ja":
        return f"{count:,}{japanese}"
    return f"{count:,} {english}{'' if count == 1 else 's'}"


def user_message(order, name, serial, user_id, password, link=None):
    """The text for an order (CredentialOrder): a short one by SMS. Holds ID and password.

    link: of the page that reaches the module through the relay; None where that is not wanted.
    """
    texts = _TEXTS[order.language]
    lifetime = texts["no_lifetime"]
    if order.lifetime_s is not None:
        lifetime = texts["lifetime"].format(duration=duration(order.lifetime_s, order.language))
    return texts["sms" if order.channel == "sms" else "body"].format(
        name=name,
        serial=serial,
        id=user_id,
        password=password,
        lifetime=lifetime,
        successes=order.max_successes,
        relay=texts["relay"][order.channel].format(link=link) if link else "",
    )
