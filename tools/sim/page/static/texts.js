// Every text of the page, [Japanese, English]. {name} is filled in.

const LANGUAGES = ["ja", "en"];

export const TEXTS = {
  title: ["Inkan — バーチャルハウス", "Inkan — virtual house"],
  house: ["バーチャルハウス", "virtual house"],
  subtitle: [
    "本物のファームウェアが、本物のMicroPythonで動いています",
    "The real firmware, on the real MicroPython interpreter",
  ],
  language: ["ページの言語", "Language of this page"],
  device: ["情報モジュール", "The information module"],
  brand: ["パワーコンディショナ", "Power conditioner"],
  bezel: ["情報モジュール", "Information module"],
  led_power: ["電源", "Power"],
  led_network: ["通信", "Network"],
  led_alarm: ["警報", "Alarm"],
  keypad: ["操作キー", "Keypad"],
  sticker: ["工場出荷ラベル", "Factory label"],
  serial: ["製造番号", "Serial no."],
  password: ["パスワード", "Password"],
  breaker: ["ブレーカー", "Breaker"],
  on: ["入", "ON"],
  off: ["切", "OFF"],
  lcd_off: ["画面は消えています", "The display is dark"],
  bare: [
    "この基板には画面もキーもありません。操作はスマートフォンか、シリアル回線 {path} の inkan-phone で行います。",
    "This board has neither display nor keys: a phone does everything, or inkan-phone on the serial line {path}.",
  ],
  lcd_blank: ["画面には何も表示されていません", "The display shows nothing"],
  keyboard_hint: [
    "パソコンのキーでも操作できます：数字、矢印、*、#、Enter = 決定、Backspace / Esc = 戻る",
    "Your keyboard works too: digits, arrows, *, #, Enter = OK, Backspace / Esc = back",
  ],
  key_U: ["上", "Up"],
  key_D: ["下", "Down"],
  key_L: ["左", "Left"],
  key_R: ["右", "Right"],
  key_O: ["決定", "OK"],
  key_B: ["戻る", "Back"],

  desk: ["電力会社（PPS）の机", "The power supplier's desk"],
  desk_text: [
    "オペレーターは、コンソールからワンタイム認証情報を発行・失効します。",
    "The operator issues and revokes one-time credentials at the console.",
  ],
  console: ["コンソールを開く", "Open the console"],
  outbox: ["送信箱", "Outbox"],
  operator: ["ユーザー名", "User name"],
  phone: ["作業者のスマートフォン", "The technician's phone"],
  phone_text: [
    "アプリは新しいタブで開き、仮想のBluetoothでモジュールにつながります。",
    "The app opens in a new tab and reaches the module by a virtual Bluetooth.",
  ],
  phone_app: ["スマートフォンのアプリを開く", "Open the phone app"],
  phone_is_away: ["圏外", "out of range"],
  carry_away: ["電波の届かない所へ", "Carry it out of range"],
  bring_back: ["モジュールのそばへ戻す", "Bring it back"],
  no_letters: ["メッセージはまだありません。", "No message yet."],
  email: ["メール", "E-mail"],
  sms: ["SMS", "SMS"],

  story: ["やってみる", "Try this"],
  story_text: [
    "一通りの操作です。確認できた手順には印が付きます。画面の言語は、待受画面で *、矢印、決定の順に押すと変わります。",
    "The whole job, by hand. A step is ticked when its evidence is seen. The display starts in Japanese: *, ↓ and OK turn it to English.",
  ],
  step_issue: ["認証情報を発行する", "Issue a credential"],
  step_issue_how: [
    "「PPSの机」からコンソールを開き、そこにあるユーザー名とパスワードでログイン。「認証情報を発行」で「すべて」を選び、発行します。送付先はどのメールアドレスでもかまいません。",
    "Open the console from the supplier's desk and sign in with the name and password that stand there. Press “Issue a credential”, choose “Everything”, type any e-mail address, issue it.",
  ],
  step_arrive: ["モジュールに届く", "It reaches the module"],
  step_arrive_how: [
    "1秒ほどで、モジュールが相互TLSで受け取り、画面の「期限なし」（工場出荷ラベルのID）が残り時間に変わります。IDとパスワードは作業者のスマートフォンに届きます。",
    "Within a second the module fetches it over mutual TLS: the display's “Ready now” (the factory label's ID) turns into the hours left. ID and password come to the technician's phone.",
  ],
  step_unlock: ["IDとパスワードを入力する", "Type ID and password"],
  step_unlock_how: [
    "決定、IDの8桁、決定、パスワード、決定。わざと間違えると、残り回数が表示されます。",
    "OK, the ID's 8 digits, OK, the password, OK. Type it wrong once on purpose: the tries left are shown.",
  ],
  step_change: ["書き換える", "Change something"],
  step_change_how: [
    "お客さま情報から氏名を選び、決定で変更します。文字は携帯電話と同じ打ち方で、*で文字種が変わり、#で濁点や小文字になります。同じキーの文字が続くときは→を挟みます。書き込まれたセクターが光ります。",
    "Choose Customer, Name, Change. Letters are typed as on a telephone; * goes from kana to ABC, abc and 123, → comes between two letters of the same key. Watch the sectors light up.",
  ],
  step_connect: ["接続先を登録する", "Enrol the connection"],
  step_connect_how: [
    "コンソールで登録コードを発行し、モジュールの「接続先」→「接続先を登録」でホストとコードを入力します。*で数字に変わり、#で . - : を打てます。秘密鍵はモジュールの中で作られます。",
    "Offer a code at the console. On the module: Connection, Enrol connection, type host and code; * goes to digits, # types dot, hyphen and colon. The private key is made on the module.",
  ],
  step_delete: ["消す", "Delete something"],
  step_delete_how: [
    "グループの最後の「まとめて削除」を選びます。確認後は、フラッシュのどこを探しても元の値は残りません。",
    "Choose “Delete all of it” at the end of a group. Once confirmed, no byte of it is left anywhere in the flash.",
  ],
  step_phone: ["スマートフォンで操作する", "The same by phone"],
  step_phone_how: [
    "画面の操作を「戻る」で終えてから「スマートフォンのアプリを開く」。モジュールを選び、IDとパスワードを入力、変更して送信します。画面は「スマートフォンで操作中」になります。途中で「電波の届かない所へ」を押し、戻すと、続きから再開します。",
    "Leave the keypad's session with “back”, then “Open the phone app”: choose the module, type ID and password, change, review, send. The display says that it is in use. “Carry it out of range” on the way: brought back, it resumes.",
  ],
  step_relay: ["離れた場所から操作する", "The same from afar"],
  step_relay_how: [
    "コンソールで「遠隔操作も可」を選んで発行すると、メッセージにリンクが入ります。開くと、サーバー経由でモジュールにつながります（この家の証明書は自己署名なので、ブラウザの警告を越えてください）。",
    "Issue a credential with “Also from afar, through the relay”: its message holds a link, which leads through the server. The house's certificate is of its own making: tell the browser to go on.",
  ],
  step_cut: ["書き込み中に電源を切る", "Cut the power while it writes"],
  step_cut_how: [
    "何かを変更し、「変更しますか」の画面で「次の書き込みで停電」を押してから決定、電源を戻します。値は前か後のどちらかで、中間はありません。",
    "Change something; when asked “Change it?” press “Cut at next write”, then OK. Restore the power: the value is the old or the new one, never anything between.",
  ],
  step_flip: ["1ビット反転させる", "Flip a bit"],
  step_flip_how: [
    "「1ビット反転」は、封印された固有情報のどこか1ビットを変えます。",
    "“Flip a bit” turns one bit over, somewhere in the sealed information.",
  ],
  step_tampered: ["改ざんが見つかる", "The tampering is found"],
  step_tampered_how: [
    "次に情報が読まれるとき、または「入れ直す」を押したときに検出されます。画面に表示され、サーバーに警報が届きます。",
    "It is found when the information is read next, at the latest after a restart: on the display, and as an alarm at the server.",
  ],
  step_recover: ["復旧する", "Recover"],
  step_recover_how: [
    "コンソールで「改ざんからの復旧」の認証情報を発行し、入力して消去を確認します。情報は入れ直しになります。",
    "Issue a credential for “Recovery after tamper”, type it in and confirm the wipe. Everything is entered anew.",
  ],
  step_old: ["古いイメージを書き戻す", "Play an old image back"],
  step_old_how: [
    "「イメージを取る」の後で何かを変更し、数秒待って「イメージを書き戻す」を押します。封印はすべて有効でも、サーバーが覚えているので見つかります。",
    "Press “Take an image”, change something, wait a few seconds, press “Play image back”. Every seal of it holds, but the server remembers: found.",
  ],
  done: ["済", "done"],

  hands: ["手を加える", "Lay hands on it"],
  cut_power: ["電源を切る", "Cut the power"],
  restore_power: ["電源を戻す", "Restore the power"],
  restart: ["入れ直す", "Restart"],
  cut_next: ["次の書き込みで停電", "Cut at next write"],
  cut_armed: ["次の書き込みを待っています…", "Waiting for the next write…"],
  unplug: ["ネットワークを抜く", "Unplug network"],
  plug: ["ネットワークを挿す", "Plug in network"],
  take_image: ["イメージを取る", "Take an image"],
  play_back: ["イメージを書き戻す", "Play image back"],
  flip: ["1ビット反転", "Flip a bit"],
  flip_in: ["場所", "in"],

  map: ["フラッシュ", "Flash"],
  map_sound: ["封印はすべて有効（第{generation}世代）", "every seal holds, generation {generation}"],
  map_unsound: ["封印が破れています", "a seal is broken"],
  blank: ["空き", "blank"],
  used: ["使用中", "used"],
  written: ["書き込み直後", "just written"],
  erased: ["消去直後", "just erased"],
  wrong: ["封印の破れ", "seal broken"],
  sector_is: ["セクター{sector}・{area}・{state}", "Sector {sector} · {area} · {state}"],
  sector_choose: ["セクターを選ぶと内容が分かります。", "Choose a sector to learn what it is."],
  flip_here: ["ここで1ビット反転", "Flip a bit here"],
  area_root: ["ルート秘密", "root secret"],
  area_guard: ["世代ガード", "generation guard"],
  area_vault: ["固有情報", "unique information"],
  area_credential: ["認証情報", "credential"],
  area_factory: ["工場認証情報", "factory credential"],
  area_identity: ["工場身元情報", "factory identity"],
  area_settings: ["設定", "settings"],
  area_attempts: ["認証記録", "attempts"],
  area_clock: ["時計", "clock"],
  area_audit: ["監査記録", "audit trail"],
  area_provisioned: ["設定済み印", "provisioned"],
  area_free: ["予備", "free"],
  area_readings: ["使用履歴", "usage history"],
  short_root: ["ルート", "root"],
  short_guard: ["ガード", "guard"],
  short_vault: ["固有情報", "vault: unique information"],
  short_credential: ["認証", "cred."],
  short_factory: ["工場", "factory"],
  short_identity: ["身元", "identity"],
  short_settings: ["設定", "setup"],
  short_attempts: ["認証記録", "attempts"],
  short_clock: ["時計", "clock"],
  short_audit: ["監査記録", "audit trail"],
  short_provisioned: ["印", "set"],
  short_free: ["予備", "free"],
  short_readings: ["使用履歴", "usage history"],

  log: ["いま起きたこと", "What just happened"],
  lost: ["家との接続が切れました。再接続しています…", "The house does not answer. Trying again…"],

  chip_powered: ["電源 入", "Power on"],
  chip_unpowered: ["電源 切", "Power off"],
  chip_joined: ["接続中", "Connected"],
  chip_alone: ["未接続", "No network"],
  chip_sound: ["封印 有効", "Seals hold"],
  chip_unsound: ["封印 破れ", "Seal broken"],

  event_power_on: ["電源が入りました", "Power on"],
  event_power_off: ["電源が切れました", "Power off"],
  event_power_cut_in_write: ["書き込みの途中で電源が切れました", "Power lost in the middle of a write"],
  event_cut_armed: ["次の書き込みで電源が切れます", "The power will go at the next write"],
  event_started: ["ファームウェアが起動しました（{start}回目）", "Firmware started (no. {start})"],
  event_stopped: ["ファームウェアが止まりました", "Firmware stopped"],
  event_provisioned: ["工場で初期設定されました", "Provisioned at the factory"],
  event_joined: ["Wi-Fiに接続しました", "Joined the Wi-Fi"],
  event_left: ["Wi-Fiから切断されました", "Left the Wi-Fi"],
  event_unplugged: ["ネットワークを抜きました", "Network unplugged"],
  event_plugged: ["ネットワークを挿しました", "Network plugged in"],
  event_phone_connected: ["無線：スマートフォンが接続しました", "Radio: a phone connected"],
  event_phone_gone: ["無線：スマートフォンの接続が終わりました", "Radio: a phone is gone"],
  event_phone_away: ["スマートフォンを電波の届かない所へ移しました", "Phone carried out of range"],
  event_phone_back: ["スマートフォンをモジュールのそばへ戻しました", "Phone brought back"],
  event_flash: ["フラッシュ：{text}", "Flash: {text}"],
  event_flash_program: ["書込{program}", "{program} written"],
  event_flash_erase: ["消去{erase}", "{erase} erased"],
  event_bit_flipped: [
    "{area}のビットを反転（セクター{sector}、バイト{byte}、ビット{bit}）",
    "Bit flipped in {area} (sector {sector}, byte {byte}, bit {bit})",
  ],
  event_image_taken: ["イメージを取りました（第{generation}世代）", "Image taken (generation {generation})"],
  event_image_played_back: ["イメージを書き戻しました（第{generation}世代）", "Image played back (generation {generation})"],
  event_hello_connection: ["サーバー：接続情報でhello", "Server: hello, by the connection"],
  event_hello_factory_identity: ["サーバー：工場身元情報でhello", "Server: hello, by the factory identity"],
  event_credential_issued: ["サーバー：認証情報 #{sequence} を発行", "Server: credential #{sequence} issued"],
  event_credential_offered: ["サーバー：#{sequence} をモジュールへ送出", "Server: #{sequence} handed to the module"],
  event_credential_accepted: ["サーバー：#{sequence} の受領確認", "Server: #{sequence} acknowledged"],
  event_credential_refused: ["サーバー：#{sequence} は拒否されました", "Server: #{sequence} refused by the module"],
  event_credential_replaced: ["サーバー：#{sequence} は置き換えられました", "Server: #{sequence} replaced"],
  event_credential_revoked: ["サーバー：#{sequence} を失効", "Server: #{sequence} revoked"],
  event_credential_ended: ["サーバー：#{sequence} は終了（{why}）", "Server: #{sequence} is over ({why})"],
  event_credential_used: [
    "サーバー：#{sequence} 成功{successes} 失敗{failures} 変更{changes}",
    "Server: #{sequence} successes {successes}, failures {failures}, changes {changes}",
  ],
  event_alarm: ["サーバー：警報 {alarm} {text}", "Server: alarm {alarm} {text}"],
  event_alarm_over: ["サーバー：警報 {alarm} は解消", "Server: alarm {alarm} is over"],
  event_audit: ["サーバー：監査記録 {audit}", "Server: audit record {audit}"],
  event_relay_begun: ["サーバー：中継を開始（#{sequence}）", "Server: a phone through the relay, by #{sequence}"],
  event_relay_ended: ["サーバー：中継を終了（{why}）", "Server: the relay's conversation is over ({why})"],
  event_enrolment: ["サーバー：登録コード {status}", "Server: enrolment code {status}"],

  // Codes of audit records, alarms, ends of credentials and enrolment codes
  word_provisioned: ["初期設定", "provisioned"],
  word_success: ["認証成功", "authenticated"],
  word_failure: ["認証失敗", "failed authentication"],
  word_change: ["変更", "change"],
  word_delete: ["削除", "deletion"],
  word_undone: ["変更の取り消し", "change undone"],
  word_purged: ["使用履歴の消去", "usage history purged"],
  word_accepted: ["認証情報の受領", "credential accepted"],
  word_refused: ["拒否", "refused"],
  word_ended: ["認証情報の終了", "credential over"],
  word_tamper: ["改ざん検出", "tamper"],
  word_finding: ["異常の記録", "finding"],
  word_report_refused: ["電力量報告の拒否", "report refused"],
  word_wiped: ["全消去", "wiped"],
  word_rollback: ["巻き戻し", "rollback"],
  word_audit_gap: ["監査記録の欠落", "gap in the audit trail"],
  word_audit_conflict: ["監査記録の食い違い", "conflict in the audit trail"],
  word_credential_refused: ["認証情報の拒否", "credential refused"],
  word_expired: ["期限切れ", "expired"],
  word_successes: ["認証回数の上限", "successes used up"],
  word_failures: ["失敗回数の上限", "failures used up"],
  word_changes: ["変更回数の上限", "changes used up"],
  word_revoked: ["失効", "revoked"],
  word_replaced: ["置き換え", "replaced"],
  word_broken: ["破損", "broken"],
  word_open: ["発行", "offered"],
  word_used: ["使用済み", "used"],
  word_phone: ["スマートフォン側から", "by the phone"],
  word_module: ["モジュール側から", "by the module"],
  word_silent: ["応答なし", "silence"],
  word_credential: ["認証情報の終了", "its credential is over"],
  word_lost: ["モジュールの再起動", "module restarted"],
  door_keypad: ["操作キー", "keypad"],
  door_ble: ["Bluetooth", "Bluetooth"],
  door_relay: ["中継", "relay"],
  door_serial: ["シリアル", "serial"],
  word_withdrawn: ["取り消し", "withdrawn"],
};

let place = 0;

export function language() {
  return LANGUAGES[place];
}

export function setLanguage(name) {
  place = Math.max(LANGUAGES.indexOf(name), 0);
}

export function firstLanguage() {
  const wanted = [new URLSearchParams(location.search).get("language"), localStorage.getItem("language")];
  wanted.push(...navigator.languages.map((name) => name.slice(0, 2)));
  return wanted.find((name) => LANGUAGES.includes(name)) ?? "en";
}

export function text(key, values = {}) {
  const found = TEXTS[key];
  if (!found) {
    return "";
  }
  return found[place].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? "–");
}

// A code in words, or as it is.
export function word(code) {
  return text(`word_${code}`) || code;
}

// Fill every element that names its text.
export function fillTexts(values) {
  document.title = text("title");
  document.documentElement.lang = language();
  for (const element of document.querySelectorAll("[data-t]")) {
    element.textContent = text(element.dataset.t, values);
  }
  for (const element of document.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", text(element.dataset.tLabel, values));
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language()));
  }
}
