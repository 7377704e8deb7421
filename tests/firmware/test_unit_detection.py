"""R3, S10, S19: tamper is found, named, kept, and only a wipe leads out."""

from unit_rig import Rig, get, message, module

from firmware import settings
from firmware.detection import Detection
from firmware.errors import AuthError, SessionError, TamperError
from tests.dual import raises

CONNECTION = settings.ISSUER_CONNECTION
FACTORY_IDENTITY = settings.ISSUER_FACTORY_IDENTITY


class Reads:
    """A vault whose reads give, in turn, what the test says: a body or a finding."""

    generation = 1

    def __init__(self, *answers):
        self.answers = list(answers)

    def read(self):
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            raise TamperError(answer)
        return answer


def detection_on(rig, *answers):
    unit = Detection(Reads(*answers), rig.attempts, rig.audit)
    unit.start(None)
    return unit


def damage(rig):
    """Flip a bit of the vault's slot."""
    for sector in range(4, 12):
        if rig.device.sector(sector) != b"\xff" * 4096:
            rig.device.flip_bit(sector * 4096 + 33, 5)


def test_s19_one_bad_read_does_not_latch():
    rig = module()
    unit = detection_on(rig, "vault_seal", bytearray(b"x"))
    assert unit.read() == b"x"
    unit = detection_on(rig, "vault_seal", "vault_seal", bytearray(b"x"))
    assert unit.read() == b"x"
    assert unit.tamper is None and rig.attempts.tamper == 0


def test_s19_three_that_disagree_are_not_used_and_do_not_latch():
    rig = module()
    unit = detection_on(rig, "vault_seal", "vault_missing", "vault_seal", bytearray(b"x"))
    with raises(TamperError):
        unit.read()
    assert unit.tamper is None
    assert unit.read() == b"x"


def test_s19_three_that_agree_latch_and_are_told_once():
    rig = module()
    unit = detection_on(rig, "vault_seal", "vault_seal", "vault_seal")
    heard = []
    unit.listeners.append(lambda: heard.append(unit.tamper))
    for _ in range(3):
        with raises(TamperError) as caught:
            unit.read()
        assert caught.value.what == "vault_seal"
    assert heard == ["vault_seal"]
    assert rig.events().count("tamper") == 1
    unit.latch("remote_rollback")
    assert unit.tamper == "vault_seal"  # the first reason stays


def test_s19_a_reboot_does_not_release():
    rig = module()
    rig.detection.latch("remote_rollback")  # nothing local shows this one
    for _ in range(3):
        rig = Rig(rig.device)
        assert rig.detection.tamper == "remote_rollback"
        assert rig.control.status().state == "tampered"
        with raises(TamperError):
            rig.detection.read()
    assert rig.events().count("tamper") == 1


def test_s19_a_bit_that_flips_back_does_not_release():
    rig = module()
    damage(rig)
    assert Rig(rig.device).detection.tamper == "vault_seal"
    damage(rig)
    assert Rig(rig.device).detection.tamper == "vault_seal"


def test_r3_an_older_image_is_found():
    rig = module()
    rig.acquisition.accept(message(), CONNECTION)
    session = rig.open()
    session.change(1, 1, {0x11: "a"})
    old = [rig.device.sector(index) for index in range(4, 12)]
    session.change(2, 2, {0x11: "b"})
    for index, data in enumerate(old):
        rig.device.load_sector(4 + index, data)
    with raises(SessionError):
        session.view(0x11)
    assert rig.detection.tamper in ("vault_rollback", "vault_missing")
    assert Rig(rig.device).detection.tamper == rig.detection.tamper


def test_s19_tampered_means_that_an_ordinary_credential_opens_nothing():
    rig = module(factory=True)
    rig.acquisition.accept(message(1), CONNECTION)
    rig.detection.latch("vault_seal")
    with raises(AuthError) as caught:
        rig.open()
    assert caught.value.code == "tampered"
    assert rig.attempts.attempts == 0
    assert rig.control.status().failures_left == 0


def recovering(rig, **changed):
    assert rig.acquisition.accept(message(9, {"recover": True}, **changed), FACTORY_IDENTITY) == ("accepted", None)
    assert rig.control.status().state == "tampered" and rig.control.status().failures_left == 5
    return rig.open()


def test_s19_the_way_back_wipes_and_enters_anew():
    rig = module()
    rig.acquisition.accept(message(1), CONNECTION)
    rig.open().change(1, 1, {0x11: "old name", 0x31: "03" + "1" * 20})
    damage(rig)
    rig = Rig(rig.device)
    session = recovering(rig)
    assert session.may_recover
    for group in range(1, 6):
        for action in ("see", "change", "delete"):
            assert not session.may(action, group)
    for call in (
        lambda: session.view(0x11),
        lambda: session.change(1, 2, {0x11: "new"}),
        lambda: session.delete(1, 2, 1),
    ):
        with raises(SessionError) as caught:
            call()
        assert caught.value.code == "not_allowed"
    result = session.wipe()
    assert session.ended is None and not session.may_recover
    assert rig.detection.tamper is None
    assert session.view(0x11) == session.view(0x31) == ""
    assert result.generation == session.generation > 2
    session.change(1, session.generation, {0x11: "new"})
    with raises(SessionError):
        session.wipe()
    state = rig.acquisition.state()
    assert (state["issuer"], state["sequence"], state["ended"]) == ("factory_identity", 9, "wiped")
    rig = Rig(rig.device)
    assert rig.detection.tamper is None
    assert rig.acquisition.current() is None
    assert get(rig.device, 0x11) == b"new"
    assert "wiped" in rig.events()


def test_s13_a_lost_attempts_ring_gives_no_limit_back():
    rig = module(factory=True)
    rig.acquisition.accept(message(5, max_failures=3), CONNECTION)
    rig.fail()
    for sector in range(22, 26):
        rig.device.load_sector(sector, b"")
    for _ in range(2):
        rig = Rig(rig.device)
        assert rig.detection.tamper == "attempts_missing"
        assert rig.acquisition.current() is None
    assert rig.store.credential.read() is None and rig.store.factory.read() is None
    session = recovering(rig)
    session.wipe()
    assert Rig(rig.device).detection.tamper is None


def test_s19_lost_audit_and_clock_rings_stay_tamper_until_the_wipe():
    for first, count, reason in ((26, 4, "clock_missing"), (30, 16, "audit_missing")):
        rig = module()
        for sector in range(first, first + count):
            rig.device.load_sector(sector, b"")
        for _ in range(2):
            rig = Rig(rig.device)
            assert rig.detection.tamper == reason
        recovering(rig).wipe()
        assert Rig(rig.device).detection.tamper is None


def test_damage_that_bars_nothing_is_noted_once():
    rig = module()
    rig.acquisition.accept(message(1), CONNECTION)
    for _ in range(20):
        rig.open().close("done")
        rig.acquisition.accept(message(rig.acquisition.highest(CONNECTION) + 1), CONNECTION)
    rig.device.flip_bit(30 * 4096 + 128 * 5 + 40, 0)  # an old audit record
    for _ in range(2):
        rig = Rig(rig.device)
        assert rig.store.findings == ("audit_chain",)
        assert rig.detection.tamper is None
        assert rig.events().count("finding") == 1


def test_r3_a_tamper_that_flash_cannot_take_still_holds():
    rig = module()

    def fail(body):
        from firmware.errors import FlashError

        raise FlashError()

    rig.store.attempts.append = fail
    rig.detection.latch("remote_rollback")
    assert rig.control.status().state == "tampered"
