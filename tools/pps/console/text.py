"""The console's words, Japanese and English. A test holds both to the same keys and every key to a use."""

from markupsafe import Markup

LANGUAGES = {"ja": "日本語", "en": "English"}

_TEXTS = {
    # frame
    "product": ("PPS管理コンソール", "PPS console"),
    "skip": ("本文へ移動", "Skip to content"),
    "modules": ("モジュール", "Modules"),
    "outbox": ("送信箱", "Outbox"),
    "audit": ("監査記録", "Audit trail"),
    "sign_in": ("ログイン", "Sign in"),
    "sign_out": ("ログアウト", "Sign out"),
    "language": ("言語", "Language"),
    "times": ("時刻は{zone}", "Times in {zone}"),
    "page_of": ("{first}〜{last}件目 / 全{total}件", "{first} to {last} of {total}"),
    "previous": ("前へ", "Previous"),
    "next": ("次へ", "Next"),
    "cancel": ("やめる", "Cancel"),
    "back": ("{name}へ戻る", "Back to {name}"),
    "none": ("なし", "None"),
    "never": ("まだありません", "Never"),
    "yes": ("可", "Yes"),
    "no": ("不可", "No"),
    # log-in
    "user_name": ("ユーザー名", "User name"),
    "password": ("パスワード", "Password"),
    "wrong_login": ("ユーザー名またはパスワードが違います。", "User name or password is wrong."),
    "throttled": (
        "失敗が続いたため、一時的に受け付けていません。15分後にやり直してください。",
        "Too many failed attempts. Try again in 15 minutes.",
    ),
    "login_lead": (
        "情報モジュールのワンタイム認証情報と状態を管理します。",
        "One-time credentials and state of the information modules.",
    ),
    # errors
    "error_bad_request": ("入力を確認してください", "Please check what you entered"),
    "error_forbidden": ("この操作はできません", "This is not possible"),
    "error_not_found": ("ページがありません", "There is no such page"),
    "error_internal": ("サーバーで障害が起きました", "The server failed"),
    "error_lead": (
        "前のページに戻ってやり直してください。",
        "Go back and try again.",
    ),
    "stale_form": (
        "フォームの有効期限が切れました。開き直してください。",
        "This form is out of date. Please open it again.",
    ),
    # modules
    "module": ("モジュール", "Module"),
    "serial": ("製造番号", "Serial number"),
    "name": ("名称", "Name"),
    "state": ("状態", "State"),
    "credential": ("認証情報", "Credential"),
    "generation": ("世代", "Generation"),
    "alarms": ("警報", "Alarms"),
    "search": ("製造番号・名称で検索", "Search serial number or name"),
    "search_do": ("検索", "Search"),
    "register": ("モジュールを登録", "Register a module"),
    "register_do": ("登録する", "Register"),
    "no_modules": ("モジュールはまだ登録されていません。", "No module is registered yet."),
    "no_match": ("該当するモジュールはありません。", "No module matches."),
    "name_hint": ("例: 山田様邸 PCS 1号機", "For example: Yamada house, PCS 1"),
    "serial_hint": ("英数字とハイフン。例: INK-00000001", "Letters, digits, hyphens: INK-00000001"),
    "online": ("通信中", "Online"),
    "offline": ("未通信", "Offline"),
    "not_seen": ("未接続", "Never seen"),
    "tampered": ("改ざん検知", "Tampered"),
    "last_seen": ("最終通信", "Last seen"),
    "ago": ("{time}前", "{time} ago"),
    # module
    "firmware": ("ファームウェア", "Firmware"),
    "identity": ("接続の種類", "Identity"),
    "identity_connection": ("接続情報", "Connection"),
    "identity_factory_identity": ("工場出荷時の証明書", "Factory identity"),
    "boot_count": ("起動回数", "Boots"),
    "powered": ("通電時間", "Powered on"),
    "attempts": ("認証の試行", "Attempts"),
    "tamper": ("改ざん", "Tamper"),
    "last_hello": ("最終状態報告", "Last report"),
    "forget": ("記録した最大値を忘れる", "Forget the highest state"),
    "forget_lead": (
        "モジュールを初期設定からやり直したときだけ使います。次の報告を巻き戻しとみなさず、そのまま受け入れます。",
        "Only after the module was provisioned anew. Its next report is then taken as it is, not as a rollback.",
    ),
    "forget_do": ("忘れる", "Forget"),
    # credential
    "issue": ("認証情報を発行", "Issue a credential"),
    "issue_another": ("発行し直す", "Issue another"),
    "no_credential": (
        "有効な認証情報はありません。",
        "No credential is open.",
    ),
    "revoke": ("失効させる", "Revoke"),
    "revoke_lead": (
        "発行済みの認証情報をすべて失効させます。使用中の操作も終了します。",
        "Ends every credential of this module, and a session that is open under it.",
    ),
    "revoked_waiting": (
        "失効の通知をモジュールが受け取るのを待っています。",
        "Waiting for the module to act on the revocation.",
    ),
    "revoked_confirmed": ("モジュールが失効を確認しました。", "The module has acted on the revocation."),
    "use": ("成功 / 失敗 / 変更", "Successes / failures / changes"),
    "history": ("これまでの認証情報", "Earlier credentials"),
    "sequence": ("番号", "Number"),
    "issued": ("発行", "Issued"),
    "fetched": ("モジュールが取得", "Fetched"),
    "confirmed": ("モジュールが確認", "Confirmed"),
    "closed": ("終了", "Ended"),
    "issued_by": ("発行者", "Issued by"),
    "channel": ("送付方法", "Channel"),
    "channel_email": ("メール", "E-mail"),
    "channel_sms": ("SMS", "SMS"),
    "lifetime": ("有効期間", "Lifetime"),
    "lifetime_from": ("モジュールの受領から", "from receipt by the module"),
    "lifetime_none": ("期限なし", "No limit"),
    "successes": ("認証成功", "Successes"),
    "failures": ("認証失敗", "Failures"),
    "changes": ("変更・削除", "Changes"),
    "scope": ("操作できる範囲", "Scope"),
    "group": ("情報", "Group"),
    "see": ("表示", "See"),
    "change": ("変更", "Change"),
    "delete": ("削除", "Delete"),
    "recover": ("復旧(全消去)", "Recover (wipe)"),
    "group_customer": ("契約者", "Customer"),
    "group_usage_history": ("使用履歴", "Usage history"),
    "group_site": ("発電設備地点", "Site"),
    "group_capacity": ("設備容量", "Capacity"),
    "group_connection": ("接続先", "Connection"),
    "status_waiting": ("取得待ち", "Waiting"),
    "status_offered": ("取得中", "Handed out"),
    "status_accepted": ("有効", "Active"),
    "status_refused": ("モジュールが拒否", "Refused"),
    "status_replaced": ("置き換え済み", "Replaced"),
    "status_revoked": ("失効", "Revoked"),
    "status_ended": ("終了", "Ended"),
    "ended_expired": ("期限切れ", "expired"),
    "ended_successes": ("成功回数の上限", "successes used up"),
    "ended_failures": ("失敗回数の上限", "failures used up"),
    "ended_changes": ("変更回数の上限", "changes used up"),
    "ended_revoked": ("失効", "revoked"),
    "ended_replaced": ("置き換え", "replaced"),
    "ended_broken": ("破損", "broken"),
    "ended_wiped": ("全消去", "wiped"),
    # issue
    "issue_lead": (
        "IDとパスワードは自動で作られ、利用者に送られます。パスワードは保存されません。",
        "ID and password are made for you and sent to the user. The password is not kept.",
    ),
    "task": ("作業の内容", "What is to be done"),
    "task_resident": ("居住者の変更", "New resident"),
    "task_equipment": ("機器の変更", "New equipment"),
    "task_contract": ("契約先の変更", "New supplier"),
    "task_recover": ("改ざんからの復旧", "Recovery after tamper"),
    "task_everything": ("すべて", "Everything"),
    "to_user": ("利用者への送付", "Delivery to the user"),
    "recipient": ("送付先", "Recipient"),
    "recipient_hint": ("メールアドレス、または携帯電話番号", "E-mail address or mobile number"),
    "message_language": ("メッセージの言語", "Language of the message"),
    "limits": ("制限", "Limits"),
    "lifetime_hint": (
        "空欄なら送付方法に従います(メール24時間、SMS 10分)。",
        "Left empty it follows the channel: 24 hours by e-mail, 10 minutes by SMS.",
    ),
    "unit_minutes": ("分", "minutes"),
    "unit_hours": ("時間", "hours"),
    "unit_days": ("日", "days"),
    "max_successes": ("認証成功の上限", "Most successes"),
    "max_failures": ("認証失敗の上限", "Most failures"),
    "max_changes": ("変更・削除の上限", "Most changes"),
    "password_digits": ("パスワードの桁数", "Password digits"),
    "recover_hint": (
        "改ざんを検知したモジュールを全消去し、入力し直せるようにします。",
        "Lets a tampered module be wiped and entered anew.",
    ),
    "replaces": (
        "モジュールが受け取ると、現在の認証情報({sequence}番)は使えなくなります。",
        "It replaces credential {sequence} as soon as the module has it.",
    ),
    "issue_do": ("発行する", "Issue"),
    "issued_title": ("認証情報を発行しました", "Credential issued"),
    "issued_shown": (
        "送信設定がないため、次の文面を利用者に伝えてください。モジュールが受け取ると消去され、再表示できません。",
        "No gateway is set up for this channel: pass the text below on to the user. "
        "It is erased once the module has the credential, and not shown again.",
    ),
    "issued_queued": ("{recipient} に送信します。", "It is being sent to {recipient}."),
    "message_to": ("{recipient} へのメッセージ", "Message to {recipient}"),
    # enrolment
    "enrolment": ("接続の登録", "Enrolment"),
    "enrolment_lead": (
        "モジュールの画面で接続先を入力するための一回限りのコードです。",
        "A one-time code for entering the connection at the module.",
    ),
    "enrolment_do": ("登録コードを発行", "Offer a code"),
    "enrolment_withdraw": ("取り消す", "Withdraw"),
    "enrolment_expires": ("有効期限", "Valid until"),
    "enrolment_tries": ("誤入力", "Wrong tries"),
    "enrolment_none": ("登録コードは出していません。", "No code is open."),
    "code_open": ("登録待ち", "Open"),
    "code_used": ("登録済み", "Used"),
    "code_expired": ("期限切れ", "Expired"),
    "code_refused": ("誤入力で無効", "Too many tries"),
    "code_withdrawn": ("取り消し", "Withdrawn"),
    "code_title": ("登録コード", "Enrolment code"),
    "code_lead": (
        "現場の作業者に電話などで伝えてください。この画面を離れると再表示できません。",
        "Tell it to whoever is at the module. It is not shown again after you leave this page.",
    ),
    "code_host": ("接続先ホスト", "Host"),
    "code_code": ("コード(20桁)", "Code (20 digits)"),
    # alarms
    "alarm_tamper": ("改ざんを検知しました", "Tampering detected"),
    "alarm_rollback": ("状態が巻き戻されました", "State stepped back"),
    "alarm_audit_gap": ("監査記録が欠けています", "Audit records are missing"),
    "alarm_audit_conflict": ("監査記録が食い違っています", "Audit records contradict each other"),
    "alarm_credential_refused": ("認証情報が拒否されました", "Credential refused"),
    "acknowledge": ("確認済みにする", "Acknowledge"),
    "acknowledged_by": ("{name}が確認", "Acknowledged by {name}"),
    "alarm_last": ("最終 {time}", "last {time}"),
    "alarm_over": ("解消 {time}", "over {time}"),
    # outbox
    "outbox_lead": (
        "利用者へのメッセージです。本文は送信後、またはモジュールの受領後に消去されます。",
        "Messages to users. The text is erased once it is sent, or once the module has the credential.",
    ),
    "no_messages": ("メッセージはありません。", "No messages."),
    "message": ("本文", "Text"),
    "message_erased": ("消去済み", "Erased"),
    "erased_at": ("{time} 消去済み", "Erased {time}"),
    "message_shown": ("手渡し", "To pass on"),
    "message_queued": ("送信待ち", "Queued"),
    "message_sent": ("送信済み", "Sent"),
    "message_failed": ("送信失敗", "Failed"),
    "message_dropped": ("送信中止", "Dropped"),
    # audit
    "by_modules": ("モジュールの記録", "Modules"),
    "by_operators": ("担当者の操作", "Operators"),
    "no_records": ("記録はありません。", "No records."),
    "all_records": ("すべての記録", "All records"),
    "time": ("時刻", "Time"),
    "event": ("出来事", "Event"),
    "door": ("操作経路", "Door"),
    "fields": ("項目", "Fields"),
    "detail": ("詳細", "Detail"),
    "operator": ("担当者", "Operator"),
    "action": ("操作", "Action"),
    "time_unknown": ("時刻不明(受信 {time})", "Unknown (received {time})"),
    "door_none": ("—", "—"),
    "door_keypad": ("キーパッド", "Keypad"),
    "door_ble": ("BLE", "BLE"),
    "door_relay": ("中継", "Relay"),
    "door_serial": ("シリアル", "Serial"),
    "event_provisioned": ("初期設定", "Provisioned"),
    "event_success": ("認証成功", "Authenticated"),
    "event_failure": ("認証失敗", "Authentication failed"),
    "event_change": ("変更", "Changed"),
    "event_delete": ("削除", "Deleted"),
    "event_undone": ("取り消し", "Undone"),
    "event_purged": ("履歴の消去完了", "Purged"),
    "event_accepted": ("認証情報の受領", "Credential accepted"),
    "event_refused": ("認証情報の拒否", "Credential refused"),
    "event_ended": ("認証情報の終了", "Credential ended"),
    "event_tamper": ("改ざん検知", "Tamper found"),
    "event_finding": ("異常の検出", "Damage found"),
    "event_wiped": ("全消去", "Wiped"),
    "field_customer_name": ("氏名", "Name"),
    "field_postal_code": ("郵便番号", "Postal code"),
    "field_address": ("住所", "Address"),
    "field_contract_number": ("契約番号", "Contract number"),
    "field_readings_key": ("使用履歴の鍵", "Readings key"),
    "field_site_id": ("発電設備地点番号", "Site number"),
    "field_pv_capacity_w": ("太陽光容量", "PV capacity"),
    "field_battery_capacity_wh": ("蓄電池容量", "Battery capacity"),
    "field_ev_capacity_wh": ("EV電池容量", "EV capacity"),
    "field_credential_url": ("認証サーバー", "Credential server"),
    "field_energy_url": ("電力サーバー", "Energy server"),
    "field_ca_certificate": ("CA証明書", "CA certificate"),
    "field_module_certificate": ("モジュール証明書", "Module certificate"),
    "field_private_key": ("秘密鍵", "Private key"),
    "field_energy_ca_certificate": ("電力サーバーのCA証明書", "Energy server's CA certificate"),
    "action_register": ("モジュール登録", "Module registered"),
    "action_issue": ("認証情報の発行", "Credential issued"),
    "action_revoke": ("失効", "Credentials revoked"),
    "action_offer_enrolment": ("登録コードの発行", "Enrolment code offered"),
    "action_withdraw_enrolment": ("登録コードの取り消し", "Enrolment code withdrawn"),
    "action_forget": ("最大値の消去", "Highest state forgotten"),
    "action_acknowledge": ("警報の確認", "Alarm acknowledged"),
    "action_log_in": ("ログイン", "Signed in"),
    "action_log_out": ("ログアウト", "Signed out"),
    "action_operator_added": ("担当者の追加", "Operator added"),
    # notices
    "notice_registered": ("モジュールを登録しました。", "The module is registered."),
    "notice_revoked": ("認証情報を失効させました。", "The credentials are revoked."),
    "notice_withdrawn": ("登録コードを取り消しました。", "The enrolment code is withdrawn."),
    "notice_forgotten": ("記録した最大値を忘れました。", "The highest state is forgotten."),
    "notice_acknowledged": ("警報を確認済みにしました。", "The alarm is acknowledged."),
    "notice_repeated": (
        "このフォームは送信済みです。新しい認証情報は発行していません。",
        "This form was sent before. Nothing was issued again.",
    ),
    "problem_serial": (
        "製造番号は英数字とハイフンで32文字までです。",
        "A serial number has up to 32 letters, digits and hyphens.",
    ),
    "problem_name": ("名称は1〜80文字です。", "A name has 1 to 80 characters."),
    "problem_known": ("この製造番号は登録済みです。", "This serial number is registered already."),
    "problem_recipient": (
        "送付先を正しく入力してください。",
        "Enter an e-mail address or a mobile number that fits the channel.",
    ),
    "problem_number": ("{low}〜{high}の整数を入力してください。", "Enter a whole number from {low} to {high}."),
    "problem_scope": ("操作できる範囲を一つ以上選んでください。", "Choose at least one thing to allow."),
}


def lookup(language):
    """Callable (key, **values) -> text in a language, values escaped for HTML. KeyError for an unknown key."""
    column = list(LANGUAGES).index(language)

    def text(key, **values):
        found = _TEXTS[key][column]
        return Markup(found).format(**values) if values else found

    return text


def keys():
    """Every key there is."""
    return _TEXTS.keys()


def translations(key):
    """The texts of a key, in the order of LANGUAGES."""
    return _TEXTS[key]


def choose_language(accepted):
    """Language for an Accept-Language header: the first of ours in it, else Japanese."""
    for part in accepted.split(","):
        language = part.split(";")[0].strip().lower().split("-")[0]
        if language in LANGUAGES:
            return language
    return "ja"
