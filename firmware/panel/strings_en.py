"""Texts in English: a key, a space, the text. `|` begins a new row; a hint is `cap:effect`, one to a row."""

TABLE = """
idle.t Inkan module
idle.h OK:Login|#:Info|*:日本語
state.waiting Ready {} {} tries
state.idle No credential
state.busy In use elsewhere
state.no_time No trusted time
state.locked Locked
state.tampered Out of use
left.none now
left.days {} d
left.hours {} h
left.minutes {}min
link.text Network: {}
link.online OK
link.none none
link.dns no host
link.connect no server
link.tls certificate
link.timeout no answer
link.closed cut off
link.bad bad answer
link.status refused
link.other error
tampered.t Tampering
tampered.h #:Info|*:日本語
tampered.ok OK:Login|#:Info|*:日本語
tampered.b {}|Module out of use|Ask PPS: recovery ID
tampered.ready {}|Module out of use|Recovery ID is ready
tamper.vault_seal Information altered
tamper.vault_missing Information missing
tamper.vault_rollback Old information back
tamper.guard Version log damaged
tamper.identity Identity damaged
tamper.attempts Log-in log damaged
tamper.audit Audit log damaged
tamper.clock Time log damaged
tamper.readings Usage log damaged
tamper.remote Old records put back
tamper.other Records damaged
info.t Information
info.h ↑↓:Scroll|BACK:Close
info.serial Serial number:
info.link Connection:
info.check Check line and router
info.time Date and time:
info.no_time unknown
info.credential One-time credential:
info.version Firmware:
info.tamper Tampering:
language.t 言語 Language
language.h ↑↓|OK:Set|BACK:Exit
no_credential.t No credential
no_credential.b No ID to log in with|Ask the PPS|to issue one
no_credential.h OK:Close
no_time.t No trusted time
no_time.b The time is unknown|Wait for the network|to come back
no_time.h OK:Close
locked.t Locked
locked.b Too many failures|Ask the PPS|for a new ID
locked.h OK:Close
busy.t In use
busy.b Another device is|working on the module|Please wait
busy.h OK:Close
id.t Log in
id.note Enter ID (8 digits)
id.left Tries left: {}
id.h OK:Next|↓:Del|BACK:Exit
password.t Log in
password.note Password ({} digits)
password.h OK:Send|↓:Del|BACK:ID
wait.t Logging in
wait.above Checking
wait.delay Check in {} s
wait.below Please wait
failed.t Log-in failed
failed.b ID or password|is wrong|Tries left: {}
failed.h OK:Try again|BACK:Exit
ended.t Session over
ended.idle No key was pressed
ended.lock Locked
ended.expired The ID has expired
ended.revoked The PPS revoked the ID
ended.replaced A new ID has arrived
ended.tampered Tampering was found
ended.b {}|Session closed,|open input dropped
ended.h OK:Close
error.t Not done
error.h OK:Back
error.not_allowed This ID does not|allow that|Ask the PPS
error.stale Information changed|Look at it,|then try again
error.used_up No changes left|Ask the PPS|for a new ID
error.store Could not be saved|Look at it,|then try again
error.flash Could not be saved|Look at it,|then try again
error.delayed Too many failures|Wait a little,|then try again
error.tamper Could not be read|Try again
error.other Something went wrong|Try again
menu.t Change menu
menu.h OK:Open|*:Lock|BACK:End
menu.left {} left
menu.flows →Step by step
flows.t Step by step
flows.h ↑↓|OK:Open|BACK:Menu
flow0 New resident
flow1 New PPS
flow2 Equipment moved
flow3 New equipment
flow.h ↑↓|OK:Go on|BACK:List
flow.free OK:Change|#:Stays|BACK
flow.done done
g1 Customer
g2 Usage history
g3 Generation site
g4 Capacity
g5 Connection
f10 Delete customer
f50 Enrol connection
f11 Name
f12 Postcode
f13 Address
f14 Contract
f31 Site no.
f41 PV
f42 Battery
f43 EV
f51 ID URL
f52 Power URL
f53 CA cert.
f54 Own cert.
f55 Own key
f56 Power CA
t11 Customer name
t12 Postal code
t13 Customer address
t14 Contract number
t31 Generation site no.
t41 PV capacity
t42 Battery capacity
t43 EV battery capacity
t51 Credential server
t52 Energy server
t53 Server's CA
t54 Module's certificate
t55 Module's private key
t56 Energy server's CA
unset not set
hidden not shown
stored stored
stored.long stored|(never shown)
leave.t End
leave.b End the session?|To use it again,|log in again
leave.h OK:End|BACK:Go on
group.h ↑↓|OK:Open|BACK:Menu
group.enrol →Enrol connection
group.delete →Delete all of it
field.h BACK:Back
field.do OK:Change|BACK:List
action.h ↑↓|OK:Set|BACK:Exit
action.change Change
action.delete Delete
usage.h BACK:Menu
usage.do OK:Delete|BACK:Menu
usage.some Energy per half hour,|stored encrypted|(never shown)
usage.none No usage history yet
edit_text.h OK:Set|↓:Del|BACK
edit_digits.h OK:Set|↓:Del|BACK:Exit
edit_number.h OK:Set|↓:Del|BACK:Exit
edit.digits Enter {} digits
edit.number {:,} to {:,}
mode.か かな
mode.カ カナ
mode.A ABC
mode.a abc
mode.1 123
invalid.t Check the input
invalid.h OK:Correct
invalid.empty Nothing was entered|To remove the value,|choose Delete
invalid.too_short Digits are missing|Enter all {1} of them
invalid.bad_area The first two digits|are 01 to 10|Check the number
invalid.out_of_range Enter a number|from {:,}|to {:,}
invalid.luhn The code is mistyped|Check it|digit by digit
invalid.host That is no host name|Example:|pps.example.jp:8443
invalid.other That cannot be used|Check it
discard.t Leave the input
discard.b Throw away what|you have entered?
discard.h OK:Drop it|BACK:Edit
confirm_change.t Change it?
confirm_change.b New: {}|Old: {}
confirm_change.h OK:Change|BACK:Edit
confirm_delete.t Delete it?
confirm_delete.b {}|will be deleted and|cannot be restored
confirm_delete.group Cannot be restored:|{}
confirm_delete.usage All usage history,|{}|Cannot be restored
confirm_delete.history {}|{}|Cannot be restored
contract_and_history Contract and history
unreported.some {} half hours unsent
unreported.none All of it is reported
unreported.unknown unreported values too
confirm_delete.h OK:Delete|BACK:Exit
working.t Saving
working.b Writing|Leave the power on|and wait
result.t Done
result.h OK:Close
result.b {}|Version {}|Changes left: {}
result.change Changed
result.delete Deleted
result.connection Connected
result.wipe All is wiped
enrol_host.t Host
enrol_host.h OK:Next|↓:Del|BACK
enrol_code.t Enrolment code
enrol_code.h OK:Next|↓:Del|BACK:Host
confirm_enrol.t Connect to it?
confirm_enrol.b New:{}|Old:{}
confirm_enrol.some Another PPS: contract|number goes, {} half|hours are never sent
confirm_enrol.none Another PPS: contract|number goes
confirm_enrol.unknown Another PPS: contract|number goes, unsent|values are never sent
confirm_enrol.h OK:Connect|BACK:Edit
enrolling.t Enrolling
enrolling.above Asking the host
enrol_failed.t Not enrolled
enrol_failed.h OK:Try again|BACK:Exit
enrol_failed.b {}|Connection unchanged|({})
enrol.code_refused The code is not valid|Ask the PPS|Connection unchanged
enrol.not_proved Server not confirmed|Ask the PPS|Connection unchanged
recover.t Recovery
recover.b Wipe the information,|then enter it anew|to use the module
recover.h OK:Wipe|*:Lock|BACK:End
confirm_wipe.t Wipe it?
confirm_wipe.b All information and|usage history goes,|for good
confirm_wipe.h OK:Wipe|BACK:Exit
"""
