"""Every code, reason and limit that a screen may have to show, in all the states that show it.

`micropython -m panel_sweep LANGUAGE` prints a line for each combination in which something was cut off or has no text,
and then how many there were.
"""

import asyncio

from panel_fakes import LONG, Rig
from panel_scenes import CODE, CONNECTION, IN, LANGUAGES, NAME

from firmware import settings
from firmware.panel.canvas import Canvas
from firmware.panel.glyphs import GlyphFile

_DAY_S = 86_400
SECONDS = (None, 0, 59, 3_599, 3_600, 2 * _DAY_S - 1, settings.CREDENTIAL_LIFETIME_MAX_S)
FAILURES = (1, settings.CREDENTIAL_FAILURES_MAX)
STATES = ("idle", "waiting", "busy", "no_time", "locked")
LINKS = [None] + "online dns connect tls_ca timeout closed bad_http too_large status no_server".split()
TAMPERS = (
    "root_missing root_mismatch guard_missing guard_mismatch vault_missing vault_seal vault_rollback identity_seal "
    "attempts_missing audit_missing clock_missing readings_missing remote_rollback"
).split()
ANSWERS = ("wrong", "no_credential", "no_time", "locked", "busy", "tampered", "flash")
ENDS = ("idle", "lock", "expired", "revoked", "replaced", "tampered")
ENROLS = "code_refused not_proved dns connect tls_ca timeout closed bad_answer status other".split()


def combinations():
    for link in LINKS:
        for state in STATES:
            for seconds in SECONDS if state == "waiting" else (None,):
                for failures in FAILURES:
                    yield {"state": state, "link": link, "seconds_left": seconds, "failures_left": failures}, "", None
    for tamper in TAMPERS:
        for failures in (0,) + FAILURES:
            for actions in ("", "#", "#DDDDDDDD"):
                yield {"tamper": tamper, "failures_left": failures, "seconds_left": 3_599}, actions, None
        yield {"tamper": tamper, "recovering": True}, IN, None
    for answer in ANSWERS:
        yield {"answers": (answer,), "failures_left": settings.CREDENTIAL_FAILURES_MAX}, IN, None
    for reason in ENDS:
        yield {}, IN, reason
        yield {"values": LONG}, IN + NAME, reason
    for error in ENROLS:
        yield {"enrol_error": error, "values": {}}, IN + CONNECTION + "UO" + "7R7R7777#5R7O" + CODE + "OO", None


async def sweep(language):
    canvas = Canvas(GlyphFile("build/font/glyphs12.bin").open())
    count = 0
    for options, actions, end in combinations():
        rig = Rig(canvas, language, **options)
        rig.panel.start()
        await rig.play(actions)
        if end:
            rig.session.end(end)
            rig.panel.tick()
        if rig.cut_off:
            print(rig.panel.name, options, end)
        count += 1
    print(count, "combinations")


def main(language):
    asyncio.run(sweep(LANGUAGES.index(language)))
