"""R8, R11, R15, R16, S6, S12, R26: what a session may do, and what is left of it."""

from unit_rig import ALL, NOW_S, Rig, get, message, module

from firmware import settings, unique_info
from firmware.errors import FieldError, FlashError, SessionError
from tests.dual import raises

CONNECTION = settings.ISSUER_CONNECTION
CUSTOMER = settings.GROUP_CUSTOMER
HISTORY = settings.GROUP_USAGE_HISTORY
SITE = settings.GROUP_SITE
CAPACITY = settings.GROUP_CAPACITY
CONNECTION_GROUP = settings.GROUP_CONNECTION
CERTIFICATE = b"\x30\x03abc"
LINE = {0x51: "https://pps.example", 0x53: CERTIFICATE, 0x54: CERTIFICATE, 0x55: b"\x07" * 32}


def session_of(scope=None, **changed):
    rig = module()
    rig.acquisition.accept(message(1, scope, **changed), CONNECTION)
    return rig, rig.open()


def code_of(function, *arguments):
    with raises(SessionError) as caught:
        function(*arguments)
    return caught.value.code


def test_r15_change_see_and_delete():
    rig, session = session_of()
    assert session.fields(CUSTOMER) == [0x11, 0x12, 0x13, 0x14]
    assert session.view(0x11) == ""
    result = session.change(1, session.generation, {0x11: " 山田 太郎", 0x12: "123-4567"})
    assert (result.generation, result.changes_left, result.repeated) == (2, 19, False)
    assert (session.view(0x11), session.view(0x12)) == ("山田 太郎", "1234567")
    assert get(rig.device, 0x11) == "山田 太郎".encode()
    session.change(2, 2, {0x31: "03" + "1" * 20, 0x41: 5500})
    assert session.delete(3, 3, CUSTOMER, [0x11]).generation == 4
    assert (session.view(0x11), session.view(0x12), session.view(0x41)) == ("", "1234567", "5500")
    session.delete(4, 4, CUSTOMER)
    assert session.view(0x12) == ""
    assert get(rig.device, 0x41) == (5500).to_bytes(4, "little")


def test_r1_a_bad_value_changes_nothing_and_costs_nothing():
    rig, session = session_of()
    with raises(FieldError) as caught:
        session.change(1, 1, {0x11: "山田", 0x31: "99" + "1" * 20})
    assert (caught.value.field, caught.value.reason) == (0x31, "bad_area")
    assert (session.generation, session.changes_left) == (1, 20)
    with raises(FieldError):
        session.change(1, 1, {0x11: None})
    assert code_of(session.change, 1, 1, {}) == "not_allowed"
    session.change(1, 1, {0x11: "山田"})


def test_r11_scope_bounds_see_change_and_delete():
    rig, session = session_of({"see": ["customer"], "change": ["site"], "delete": ["capacity"]})
    groups = range(1, 6)
    assert [group for group in groups if session.may("see", group)] == [CUSTOMER]
    assert [group for group in groups if session.may("change", group)] == [SITE]
    assert [group for group in groups if session.may("delete", group)] == [CAPACITY]
    session.view(0x11)
    for field_id in (0x21, 0x31, 0x41, 0x51, 0x55, 0x01):
        assert code_of(session.view, field_id) == "not_allowed"
    session.change(1, 1, {0x31: "03" + "1" * 20})
    assert code_of(session.change, 2, 2, {0x11: "a"}) == "not_allowed"
    assert code_of(session.change, 2, 2, {0x31: "03" + "1" * 20, 0x41: 5}) == "not_allowed"
    assert code_of(session.change_connection, 2, 2, LINE) == "not_allowed"
    session.delete(2, 2, CAPACITY)
    for group in (CUSTOMER, HISTORY, SITE, CONNECTION_GROUP):
        assert code_of(session.delete, 3, 3, group) == "not_allowed"
    assert code_of(session.delete, 3, 3, CAPACITY, [0x11]) == "not_allowed"
    assert code_of(session.wipe) == "not_allowed"
    assert (rig.attempts.changes, session.generation) == (2, 3)


def test_r15_a_connection_is_set_by_enrolment_only_and_as_a_whole():
    rig, session = session_of()
    for field_id, value in LINE.items():
        assert code_of(session.change, 1, 1, {field_id: value}) == "not_allowed"
    assert code_of(session.change, 1, 1, {0x21: bytes(64)}) == "not_allowed"
    for field_id in LINE:
        part = dict(LINE)
        del part[field_id]
        with raises(FieldError) as caught:
            session.change_connection(1, 1, part)
        assert (caught.value.field, caught.value.reason) == (field_id, "empty")
    assert code_of(session.change_connection, 1, 1, LINE | {0x11: "a"}) == "not_allowed"
    session.change_connection(1, 1, LINE | {0x56: CERTIFICATE})
    assert session.view(0x51) == "https://pps.example"
    assert session.view(0x55) == "stored"
    assert session.view(0x53)[:7] == "sha256:"
    session.change_connection(2, 2, LINE)
    assert session.view(0x56) == ""  # what the new one lacks is gone
    assert code_of(session.delete, 3, 3, CONNECTION_GROUP, [0x55]) == "not_allowed"
    session.delete(3, 3, CONNECTION_GROUP)
    assert get(rig.device, 0x55) is None


def test_s7_a_new_connection_ends_the_old_servers_credential_and_lets_the_session_finish():
    rig, session = session_of()
    session.change_connection(1, 1, LINE)
    assert rig.acquisition.state()["ended"] == "replaced"
    assert session.ended is None
    session.change(2, 2, {0x11: "山田"})
    assert rig.acquisition.accept(message(1), CONNECTION) == ("accepted", None)  # the new server's numbers
    assert session.ended == "replaced"


def test_s7_deleting_and_entering_the_same_connection_resets_nothing():
    rig, session = session_of()
    session.change_connection(1, 1, LINE)
    rig.acquisition.accept(message(5), CONNECTION)
    session = rig.open()
    session.delete(1, 2, CONNECTION_GROUP)
    session.change_connection(2, 3, LINE)
    assert rig.acquisition.highest(CONNECTION) == 5
    rig = Rig(rig.device)
    assert rig.acquisition.accept(message(5), CONNECTION) == ("ignored", None)


def test_s6_a_repeated_request_is_answered_and_not_applied_again():
    rig, session = session_of(max_changes=2)
    first = session.change(1, 1, {0x11: "a"})
    again = session.change(1, 1, {0x11: "a"})
    assert (again.generation, again.changes_left, again.repeated) == (first.generation, 1, True)
    assert rig.attempts.changes == 1
    session.delete(2, 2, CUSTOMER)
    assert session.delete(2, 2, CUSTOMER).repeated  # although nothing is left
    assert code_of(session.change, 1, 1, {0x11: "a"}) == "stale"
    assert (session.generation, rig.attempts.changes) == (3, 2)


def test_s6_a_request_for_another_generation_is_refused():
    rig, session = session_of()
    for generation in (0, 2, 7):
        assert code_of(session.change, 1, generation, {0x11: "a"}) == "stale"
    assert (session.generation, session.changes_left) == (1, 20)


def test_s6_request_numbers_of_another_session_mean_nothing():
    rig, session = session_of()
    session.change(1, 1, {0x11: "a"})
    session.close("done")
    session = rig.open()
    assert not session.change(1, 2, {0x11: "b"}).repeated
    assert session.view(0x11) == "b"


def test_r16_a_session_ends_when_idle_on_lock_and_on_tamper():
    rig, session = session_of()
    rig.pass_s(120)
    session.touch()
    rig.pass_s(120)
    session.view(0x11)
    rig.pass_s(120)
    assert session.ended is None
    heard = []
    session.listeners.append(lambda: heard.append(session.ended))
    rig.pass_s(60)
    assert heard == ["idle"]
    for call in (
        lambda: session.view(0x11),
        lambda: session.change(1, 1, {0x11: "a"}),
        lambda: session.delete(1, 1, CUSTOMER),
        lambda: session.change_connection(1, 1, LINE),
        lambda: session.wipe(),
    ):
        assert code_of(call) == "ended"
    session = rig.open()
    session.close("lock")
    session.close("done")
    assert session.ended == "lock"
    session = rig.open()
    rig.detection.latch("remote_rollback")
    assert session.ended == "tampered"
    assert rig.control.session is None


def test_r3_tamper_is_found_when_the_information_is_used():
    for use in (
        lambda session: session.view(0x11),
        lambda session: session.change(2, 2, {0x11: "b"}),
        lambda session: session.delete(2, 2, CUSTOMER),
    ):
        rig, session = session_of()
        session.change(1, 1, {0x11: "a"})
        for sector in range(4, 12):
            if rig.device.sector(sector) != b"\xff" * 4096:
                rig.device.flip_bit(sector * 4096 + 33, 5)
        assert code_of(use, session) == "ended"
        assert session.ended == "tampered"
        assert rig.detection.tamper == "vault_seal"
        assert rig.events()[-1] == "tamper"


def test_r26_the_trail_names_fields_and_never_values():
    rig, session = session_of()
    session.change(1, 1, {0x11: "山田", 0x14: "GEHEIM-1"})
    session.delete(2, 2, CUSTOMER, [0x11])
    session.change_connection(3, 3, LINE)
    records = list(rig.audit.pending(0, 100))
    assert [record["number"] for record in records] == list(range(1, len(records) + 1))
    changes = [record for record in records if record["event"] in ("change", "delete")]
    assert [record["fields"] for record in changes] == [
        ["customer_name", "contract_number"],
        ["customer_name"],
        [
            "credential_url",
            "energy_url",
            "ca_certificate",
            "module_certificate",
            "private_key",
            "energy_ca_certificate",
        ],
    ]
    assert [record["subject"] for record in changes] == ["", "customer", "connection"]
    assert [record["generation"] for record in changes] == [2, 3, 4]
    assert all(record["door"] == "keypad" and record["sequence"] == 1 for record in changes)
    assert changes[0]["time"] == NOW_S + 946_684_800
    for _, body, _ in rig.store.audit.records():
        for value in ("山田".encode(), b"GEHEIM", b"pps.example", b"\x07" * 8):
            assert value not in body
    assert [record["number"] for record in rig.audit.pending(3, 2)] == [4, 5]
    assert rig.events()[0] == "provisioned"


def test_s12_deleting_the_usage_history_erases_the_ring_and_its_key():
    rig, session = session_of()
    session.change(1, 1, {0x14: "PPS-1"})
    key = get(rig.device, 0x21)
    assert len(key) == 64
    for sector in (48, 50, 191):
        rig.device.program(sector * 4096, b"usage")
    session.change(2, session.generation, {0x11: "a", 0x14: "PPS-2"})
    assert get(rig.device, 0x21) == key
    result = session.delete(3, session.generation, HISTORY)
    assert result.generation == session.generation
    assert get(rig.device, 0x21) not in (None, key)
    assert all(rig.device.sector(sector) == b"\xff" * 4096 for sector in range(48, 192))
    assert not rig.store.vault.purge_pending
    assert session.view(0x11) == "a"
    assert session.delete(3, result.generation, HISTORY).repeated
    assert "purged" in rig.events()


def test_r5_s12_the_usage_history_goes_with_the_contract_number():
    for fields in (None, [0x14]):
        rig, session = session_of()
        told = []
        rig.sessions.information_listeners.append(lambda told=told, rig=rig: told.append(rig.store.vault.generation))
        session.change(1, 1, {0x11: "a"})
        assert get(rig.device, 0x21) is None  # without a contract number nothing is kept
        session.change(2, 2, {0x14: "PPS-1"})
        key = get(rig.device, 0x21)
        assert len(key) == 64 and told == [2, 3]
        rig.device.program(60 * 4096, b"usage")
        session.delete(3, 3, CUSTOMER, [0x11])
        assert get(rig.device, 0x21) == key and not rig.device.is_erased(60)
        session.delete(4, session.generation, CUSTOMER, fields)
        assert get(rig.device, 0x21) is None and rig.device.is_erased(60)
        assert told[-2:] == [5, 6] and rig.events()[-2:] == ["delete", "purged"]
        session.change(5, session.generation, {0x14: "PPS-1"})
        assert get(rig.device, 0x21) not in (None, key)
        assert "purged" not in rig.events()[-1:]


def test_s12_without_a_contract_number_a_purge_leaves_no_key():
    rig, session = session_of()
    session.delete(1, 1, HISTORY)
    assert rig.events()[-2:] == ["delete", "purged"] and get(rig.device, 0x21) is None
    session.delete(2, session.generation, CUSTOMER)
    assert rig.events()[-1] == "delete"  # there was nothing to purge


def test_s12_a_purge_that_flash_failed_in_goes_on_with_the_next_use():
    rig, session = session_of()

    def fail():
        raise FlashError()

    erase = rig.store.readings.erase_not_blank
    rig.store.readings.erase_not_blank = fail
    session.change(1, 1, {0x14: "PPS-1"})
    with raises(FlashError):
        session.delete(2, 2, HISTORY)
    assert rig.store.vault.purge_pending
    assert get(rig.device, 0x21) is None
    rig.store.readings.erase_not_blank = erase
    session.change(3, session.generation + 1, {0x11: "a"})
    assert not rig.store.vault.purge_pending
    assert len(get(rig.device, 0x21)) == 64


def test_r27_a_module_starts_although_flash_fails_in_a_purge():
    rig, session = session_of()
    rig.store.vault.commit(unique_info.UniqueInfo(rig.detection.read()).items(), True)
    erase = rig.device.erase

    def fail(sector):
        if sector >= 48:
            raise FlashError()
        erase(sector)

    rig.device.erase = fail
    rig = Rig(rig.device)
    assert rig.store.vault.purge_pending
    session = rig.open()
    with raises(FlashError):
        session.view(0x11)
    rig.device.erase = erase
    assert session.view(0x11) == ""
    assert not rig.store.vault.purge_pending


def test_r8_a_change_that_flash_refused_is_counted_and_undone():
    rig, session = session_of()

    def fail(items, purge=False):
        raise FlashError()

    commit = rig.store.vault.commit
    rig.store.vault.commit = fail
    with raises(FlashError):
        session.change(1, 1, {0x11: "a"})
    rig.store.vault.commit = commit
    assert rig.events()[-2:] == ["change", "undone"]
    assert session.changes_left == 19
    assert not session.change(1, 1, {0x11: "a"}).repeated


# R10, S8: the factory credential


def factory_session(**options):
    rig = module(factory=True, **options)
    return rig, rig.open()


def test_s8_a_factory_credential_enters_connection_and_site_only():
    rig, session = factory_session(now=None)
    for group in range(1, 6):
        allowed = group in (SITE, CONNECTION_GROUP)
        assert session.may("see", group) == session.may("change", group) == allowed
        assert not session.may("delete", group)
    session.change(1, 1, {0x31: "03" + "1" * 20})
    session.change_connection(2, 2, LINE)
    assert not session.may_recover


def test_s8_a_factory_credential_ends_with_its_first_success():
    rig, session = factory_session()
    assert rig.store.factory.read() is None
    session.close("done")
    for again in (rig, Rig(rig.device)):
        assert again.acquisition.current() is None
        assert again.control.status().state == "idle"
    assert rig.acquisition.state() == {
        "issuer": "factory",
        "sequence": 0,
        "successes": 1,
        "failures": 0,
        "changes": 0,
        "ended": "successes",
    }


def test_s8_its_scope_holds_even_if_flash_says_more():
    rig = module()
    items = message(0, {"see": ALL, "recover": True})
    from firmware.acquisition import _to_items

    rig.store.factory.write(_to_items(items, settings.ISSUER_FACTORY))
    session = Rig(rig.device).open()
    assert [group for group in range(1, 6) if session.may("see", group)] == [SITE, CONNECTION_GROUP]
    assert not session._credential.may_recover


def test_r10_failures_of_the_factory_credential_are_limited_without_any_clock():
    rig = module(factory=True, now=None, factory_failures=3)
    for left in (2, 1, 0):
        assert rig.fail().failures_left == left
        rig = Rig(rig.device, now=None)
    assert rig.control.status().state == "locked"
    assert rig.store.factory.read() is None


def test_r10_a_lifetime_of_the_factory_credential_begins_with_its_first_use():
    rig = module(factory=True, now=None, factory_lifetime_s=3600)
    rig.pass_s(7200)
    rig = Rig(rig.device, now=None)
    assert rig.control.status().seconds_left == 3600
    rig.fail()
    rig.pass_s(1800)
    rig = Rig(rig.device, now=None)
    rig.pass_s(1680)
    assert 0 < rig.control.status().seconds_left <= 120
    rig.pass_s(120)
    assert rig.acquisition.current() is None
    assert rig.acquisition.state()["ended"] == "expired"


def test_s2_a_servers_credential_hides_the_factorys():
    rig = module(factory=True)
    rig.fail()
    rig.acquisition.accept(message(1, max_failures=3), CONNECTION)
    assert rig.control.status().failures_left == 3
    rig.fail()
    assert (rig.attempts.failures, rig.attempts.factory_failures) == (1, 1)
    rig.acquisition.revoke(CONNECTION, 1)
    assert rig.control.status().failures_left == 4  # the factory's own count
    rig = Rig(rig.device)
    assert rig.acquisition.current().issuer == settings.ISSUER_FACTORY
    rig.open()
