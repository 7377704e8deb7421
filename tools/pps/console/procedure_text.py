"""The words of the pages about procedures; `text.py` adds them to its own."""

TEXTS = {
    "procedures": ("手続き", "Procedures"),
    "procedures_lead": (
        "居住者・設備・契約先が変わるときの手続きです。期限の近い順に並びます。",
        "What happens when resident, equipment or supplier change. The nearest deadline comes first.",
    ),
    "procedures_open": ("進行中", "Open"),
    "procedures_past": ("終了", "Over"),
    "no_procedures": ("手続きはありません。", "No procedures."),
    "procedure": ("手続き", "Procedure"),
    "procedure_hint": (
        "居住者の交代、契約先の変更、移設、機器の交換のときに開始します。",
        "For a new resident, a change of supplier, a move or new equipment.",
    ),
    "procedure_start": ("手続きを開始", "Open a procedure"),
    "procedure_kind": ("手続きの種類", "Kind"),
    "procedure_new_resident": ("居住者の交代", "New resident"),
    "procedure_joins": ("当社への切り替え", "Joins us"),
    "procedure_leaves": ("他社への切り替え", "Leaves us"),
    "procedure_moved": ("移設", "Moved"),
    "procedure_equipment": ("機器の交換", "New equipment"),
    "about_new_resident": (
        "前の居住者の情報と使用履歴をモジュールから消し、新しい居住者の情報を入力してもらいます。"
        "新しい契約番号の報告が届くと完了し、登録済みの連絡先は削除されます。",
        "The former resident's information and usage history go from the module, the new one's are entered. "
        "Done with the first report for the new contract; the registered address is then taken away.",
    ),
    "about_joins": (
        "モジュールを当社に登録し、契約番号を入力してもらいます。"
        "予定の発電場所と契約番号の報告が届くと完了します。登録コードも発行します。",
        "The module is enrolled with us, and the contract number entered. Done with the first report for the planned "
        "site and contract. An enrolment code is offered, too.",
    ),
    "about_leaves": (
        "モジュールを他社に登録し直してもらいます。切り替えを確認したら、この画面で完了にします。"
        "発電場所の割り当ては解除され、監査記録と電力量は残ります。",
        "The module is enrolled with another supplier. Say here when it has left: its site is then released; audit "
        "trail and half-hour values stay.",
    ),
    "about_moved": (
        "新しい発電場所の識別番号と住所を入力してもらいます。新しい発電場所の報告が届くと完了します。",
        "Number and address of the new site are entered. Done with the first report for the new site.",
    ),
    "about_equipment": (
        "太陽光・蓄電池・車載電池の容量を入力し直してもらいます。変更の監査記録が届くと完了します。",
        "The capacities of PV, battery and EV battery are entered anew. Done when the audit trail has the change.",
    ),
    "procedure_days": ("期限(日)", "Deadline, in days"),
    "procedure_days_hint": (
        "{low}〜{high}日。期限までに完了しなければ、予定は取り消されます。",
        "{low} to {high}. What is not done by then is undone.",
    ),
    "procedure_scope_hint": (
        "範囲は手続きの種類で決まります。",
        "The scope follows from the kind of procedure.",
    ),
    "planned": ("予定", "Planned"),
    "planned_site": ("新しい発電場所の識別番号", "New generation site"),
    "planned_contract": ("新しい契約番号", "New contract"),
    "procedure_lifetime_hint": (
        "空欄なら送付方法に従います(メール24時間、SMS 10分)。手続きの期限を超えることはありません。",
        "Left empty it follows the channel: 24 hours by e-mail, 10 minutes by SMS. Never beyond the deadline.",
    ),
    "procedure_opened": ("手続きを開始しました", "The procedure is open"),
    "procedure_go": ("手続きの画面へ", "To the procedure"),
    "procedure_again": ("認証情報を発行し直す", "Issue another credential"),
    "again_lead": (
        "メッセージが届かない、または認証情報が切れたときに使います。前の認証情報と置き換わります。",
        "For when the message did not arrive, or the credential has ended. It replaces the one before.",
    ),
    "deadline": ("期限", "Deadline"),
    "opened": ("開始", "Opened"),
    "opened_by": ("{name}が開始", "opened by {name}"),
    "closed_by": ("終了({name})", "Ended ({name})"),
    "steps": ("進み具合", "Steps"),
    "step_sent": ("メッセージ送付", "Message sent"),
    "step_taken": ("モジュールが受領", "Credential taken"),
    "step_unlocked": ("認証成功", "Unlocked"),
    "step_cleared": ("前の情報を消去", "Cleared"),
    "step_entered": ("お客さま情報を入力", "Customer entered"),
    "step_site": ("発電場所を入力", "Site entered"),
    "step_capacity": ("容量を入力", "Capacity entered"),
    "step_enrolled": ("接続を登録", "Enrolled"),
    "step_reported": ("最初の報告", "First report"),
    "step_left": ("切り替え完了", "Has left"),
    "trouble_failed": ("送信できませんでした", "could not be sent"),
    "trouble_dropped": ("送信を中止しました", "was not sent"),
    "trouble_refused": ("モジュールが拒否しました", "refused by the module"),
    "stage_open": ("進行中", "Open"),
    "stage_done": ("完了", "Done"),
    "stage_called_off": ("取り消し", "Called off"),
    "stage_undone": ("期限切れで取り消し", "Undone at the deadline"),
    "now_assigned": ("現在の割り当て", "Assigned now"),
    "undone_stands": (
        "予定は取り消され、認証情報と登録コードは失効しました。割り当ては元のままです。"
        "モジュールで済んだ操作(上の進み具合)は元に戻りません。",
        "What was planned is dropped, credential and enrolment code are revoked, and the assignment is as it was. "
        "What was done at the module by then, as the steps say, stands.",
    ),
    "call_off": ("手続きを取り消す", "Call off"),
    "call_off_lead": (
        "取り消しますか。予定は破棄され、認証情報と登録コードは失効します。モジュールで済んだ操作は元に戻りません。",
        "Call it off? What is planned is dropped; credential and enrolment code are revoked. "
        "What was done at the module stands.",
    ),
    "call_off_do": ("取り消す", "Call it off"),
    "finish": ("切り替え完了にする", "It has left"),
    "finish_lead": (
        "モジュールが他社に移ったことを確認しましたか。発電場所の割り当てが解除されます。",
        "Has the module left for the other supplier? Its site is released.",
    ),
    "finish_do": ("完了にする", "Yes, it has left"),
    "notice_procedure_open": (
        "このモジュールの手続きはすでに進行中です。新しい手続きは開始していません。",
        "A procedure is open for this module already. No other was opened.",
    ),
    "notice_procedure_over": (
        "この手続きはすでに終了しています。何も変更していません。",
        "This procedure is over already. Nothing was changed.",
    ),
    "notice_called_off": ("手続きを取り消しました。", "The procedure is called off."),
    "notice_finished": ("手続きを完了しました。", "The procedure is done."),
    "problem_same": (
        "モジュールにすでに割り当てられています。",
        "The module has this already.",
    ),
    "problem_procedure": (
        "手続きの進行中は割り当てを変更できません。先に手続きを取り消してください。",
        "The assignment cannot be changed while a procedure is open. Call it off first.",
    ),
    "action_procedure_opened": ("手続きの開始", "Procedure opened"),
    "action_procedure_done": ("手続きの完了", "Procedure done"),
    "action_procedure_called_off": ("手続きの取り消し", "Procedure called off"),
    "action_procedure_undone": ("手続きの期限切れ", "Procedure undone"),
}
