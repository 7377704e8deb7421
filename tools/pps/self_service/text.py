"""The residents' page's words, Japanese and English; what the console has words for as well is taken from there."""

from markupsafe import Markup

from tools.pps.console import text as console_text
from tools.pps.console.text import LANGUAGES

TEXTS = {
    "title": ("認証情報のお申し込み", "Ask for an ID and password"),
    "lead": (
        "情報モジュールの操作に必要なIDとパスワードをお送りします。モジュールの画面に表示されている製造番号を入力してください。",
        "You get the ID and password for your information module. Type the serial number that its display shows.",
    ),
    "serial_number": ("製造番号", "Serial number"),
    "serial_example": ("例: INK-00000001", "For example: INK-00000001"),
    "ask": ("申し込む", "Ask"),
    "problem_serial": (
        "製造番号は英数字とハイフンで32文字までです。",
        "A serial number has up to 32 letters, digits and hyphens.",
    ),
    "too_many": (
        "お申し込みが多すぎます。1時間後にやり直すか、電力会社にお電話ください。",
        "Too many requests. Try again in an hour, or telephone your power supplier.",
    ),
    "asked": ("受け付けました", "Request received"),
    "asked_lead": (
        "この製造番号に連絡先が登録されていれば、そこへリンクをお送りします。15分以内に開いてください。"
        "届かないときは、電力会社にお電話ください。",
        "If an address is registered for this serial number, a link goes there. Open it within 15 minutes. "
        "If none comes, telephone your power supplier.",
    ),
    "confirm": ("内容の確認", "What you will get"),
    "confirm_lead": (
        "次の操作ができるIDとパスワードを、登録された連絡先へお送りします。",
        "An ID and password for the following go to the registered address.",
    ),
    "replaces": (
        "モジュールが受け取ると、これまでのIDとパスワードは使えなくなります。",
        "Earlier ones stop working as soon as the module has these.",
    ),
    "valid": ("有効期間", "Valid for"),
    "logins": ("認証できる回数", "Log-ins"),
    "at_most": ("{count}回まで", "{count} at most"),
    "do_issue": ("発行する", "Have them sent"),
    "issued": ("発行しました", "On their way"),
    "issued_lead": (
        "IDとパスワードを、登録された連絡先へお送りしました。このページは閉じてかまいません。",
        "ID and password are being sent to the registered address. You may close this page.",
    ),
    "gone": ("このリンクは使えません", "This link does not work"),
    "gone_lead": (
        "期限が切れたか、使用済みです。もう一度お申し込みください。",
        "It is too old, or was used. Please ask again.",
    ),
    "again": ("もう一度申し込む", "Ask again"),
    "too_many_title": ("本日はこれ以上発行できません", "No more today"),
    "too_many_today": (
        "このモジュールの本日の発行回数が上限に達しました。電力会社にお電話ください。",
        "The number of credentials for this module and day is used up. Telephone your power supplier.",
    ),
    "closed": ("受け付けていません", "Not offered here"),
    "closed_lead": (
        "認証情報は電力会社にお電話でお申し込みください。",
        "Telephone your power supplier for an ID and password.",
    ),
}


def lookup(language):
    """Callable (key, **values) -> text in a language, values escaped for HTML."""
    column = list(LANGUAGES).index(language)
    console = console_text.lookup(language)

    def text(key, **values):
        if key not in TEXTS:
            return console(key, **values)
        found = TEXTS[key][column]
        return Markup(found).format(**values) if values else found

    return text
