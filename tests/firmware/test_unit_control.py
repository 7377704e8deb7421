"""R13, S1, S2: the judgement at the keypad, its order, its evenness, and one session at a time."""

import asyncio

from unit_rig import ID, PASSWORD, Rig, message, module, w0_of

from firmware import settings
from firmware.errors import AuthError
from tests.dual import raises

KEYPAD = settings.DOOR_KEYPAD


def with_credential(**changed):
    rig = module()
    rig.acquisition.accept(message(**changed), settings.ISSUER_CONNECTION)
    return rig


async def wrong(rig, user_id, password):
    with raises(AuthError) as caught:
        await rig.control.authenticate(KEYPAD, user_id, password)
    return caught.value


async def test_r14_the_right_id_and_password_open_a_session():
    rig = with_credential()
    session = await rig.control.authenticate(KEYPAD, ID, PASSWORD)
    assert rig.control.session is session
    assert (rig.attempts.successes, rig.attempts.failures, rig.attempts.attempts) == (1, 0, 1)
    assert rig.events()[-1] == "success"


async def test_r13_s2_wrong_id_and_wrong_password_are_one_event():
    seen = []
    for user_id, password in (("12345679", PASSWORD), (ID, "87654322"), ("00000000", "00000000"), ("", "")):
        rig = with_credential()
        rig.device.clear_counters()
        rig.device.record()
        slices = []
        sleeps = []
        sleep_ms = rig.sleep_ms

        async def counted_sleep(ms, sleeps=sleeps, sleep_ms=sleep_ms):
            sleeps.append(ms)
            await sleep_ms(ms)

        rig.control._sleep_ms = counted_sleep
        with raises(AuthError) as caught:
            await rig.control.authenticate(
                KEYPAD, user_id, password, lambda done, all, slices=slices: slices.append((done, all))
            )
        error = caught.value
        records = [
            sorted((key, str(record[key])) for key in record if key not in ("tag", "before"))
            for record in rig.audit.pending(0, 99)
        ]
        device = rig.device
        seen.append(
            (
                (error.code, error.failures_left, error.delay_ms, str(error), repr(error.args)),
                (device.operations, device.reads, device.bytes_read, device.programs, device.bytes_programmed),
                slices,
                sleeps,
                rig.events(),
                records,
                rig.acquisition.state(),
                rig.ms,
            )
        )
    assert seen[0][0][:3] == ("wrong", 4, 1000)
    assert seen[0] == seen[1] == seen[2] == seen[3]


async def test_s2_the_serial_number_is_part_of_the_proof():
    rig = with_credential()
    rig.control._serial = "INK-00000002"
    assert (await wrong(rig, ID, PASSWORD)).code == "wrong"


async def test_s1_the_attempt_is_in_flash_before_the_derivation_begins():
    rig = with_credential()
    seen = []

    def progress(done, total):
        if not seen:
            seen.append(Rig(rig.device.fork()).attempts.failures)

    await rig.control.authenticate(KEYPAD, ID, PASSWORD, progress)
    assert seen == [1]


async def test_r27_the_derivation_gives_way_after_each_slice():
    rig = with_credential()
    steps = []
    await rig.control.authenticate(KEYPAD, ID, PASSWORD, lambda done, total: steps.append((done, total)))
    size = settings.DERIVE_SLICE_ITERATIONS
    assert steps[0] == (size, 1000) and steps[-1] == (1000, 1000)
    assert len(steps) == (1000 + size - 1) // size


async def test_one_judgement_at_a_time():
    rig = with_credential()
    codes = []

    async def real_sleep(ms):
        await asyncio.sleep(0)

    rig.control._sleep_ms = real_sleep

    async def attempt():
        try:
            await rig.control.authenticate(KEYPAD, ID, PASSWORD)
            codes.append("open")
        except AuthError as error:
            codes.append(error.code)

    await asyncio.gather(attempt(), attempt(), attempt())
    assert sorted(codes) == ["busy", "busy", "open"]
    assert rig.attempts.attempts == 1


async def test_one_session_for_all_doors():
    rig = with_credential()
    session = await rig.control.authenticate(KEYPAD, ID, PASSWORD)
    assert (await wrong(rig, ID, PASSWORD)).code == "busy"
    with raises(AuthError):
        rig.control.begin(settings.DOOR_BLE)
    assert rig.attempts.attempts == 1
    session.close("lock")
    assert rig.control.session is None
    await rig.control.authenticate(KEYPAD, ID, PASSWORD)


async def test_s1_a_judgement_that_is_cancelled_stays_a_failure():
    rig = with_credential()

    async def leave(ms):
        raise asyncio.CancelledError()

    rig.control._sleep_ms = leave
    try:
        await rig.control.authenticate(KEYPAD, ID, PASSWORD)
        raise AssertionError("not cancelled")
    except asyncio.CancelledError:
        pass
    assert (rig.attempts.failures, rig.attempts.successes) == (1, 0)
    assert not rig.attempts.pending
    assert rig.events()[-1] == "failure"
    rig.control._sleep_ms = rig.sleep_ms
    await rig.control.authenticate(KEYPAD, ID, PASSWORD)


async def test_r13_the_keypad_waits_out_the_delay():
    rig = with_credential()
    for _ in range(3):
        error = await wrong(rig, ID, "00000000")
    assert (error.failures_left, error.delay_ms) == (2, 4000)
    before = rig.ms
    session = await rig.control.authenticate(KEYPAD, ID, PASSWORD)
    assert rig.ms - before == 4000
    assert session.ended is None


async def test_nothing_to_judge_is_told_at_once_and_counts_nothing():
    rig = module()
    assert rig.control.status().state == "idle"
    assert (await wrong(rig, ID, PASSWORD)).code == "no_credential"
    rig.detection.latch("vault_seal")
    assert (await wrong(rig, ID, PASSWORD)).code == "tampered"
    assert rig.attempts.attempts == 0


async def test_r13_the_last_wrong_attempt_looks_like_the_others():
    rig = with_credential(max_failures=1)
    error = await wrong(rig, ID, "00000000")
    assert (error.code, error.failures_left) == ("wrong", 0)
    assert (await wrong(rig, ID, PASSWORD)).code == "locked"
    assert rig.control.status().state == "locked"


async def test_s4_nothing_of_the_verifier_is_left_after_each_way_of_ending():
    w0 = w0_of(ID, PASSWORD)
    for way in range(1, 9):
        rig = with_credential(max_failures=1)
        assert rig.store.credential.read() is not None
        credential = rig.acquisition.current()
        if way == settings.ENDED_FAILURES:
            await wrong(rig, ID, "00000000")
        else:
            rig.acquisition.end(way)
        assert rig.acquisition.current() is None
        assert rig.store.credential.read() is None
        assert credential.w0 is None and credential.l is None
        # Neither in clear nor in a slot that this flash's keys open.
        for sector in (12, 13):
            assert w0 not in rig.device.sector(sector)
            assert rig.device.sector(sector)[160:] == b"\xff" * (4096 - 160)
