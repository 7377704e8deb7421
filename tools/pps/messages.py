"""The message that brings ID and password to the user, in the user's language.

No line begins with "From ": on the way of an e-mail that may become ">From ".
"""

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

_UNITS = ((86400, "日間", "day"), (3600, "時間", "hour"), (60, "分間", "minute"), (1, "秒間", "second"))


def subject(language):
    """Subject line of an e-mail."""
    return _TEXTS[language]["subject"]


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
