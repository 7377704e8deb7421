"""R20: the server between phone and module, curious first and then hostile, with both ends' own code around it.

It did not issue the credential that is used here (docs/threat-model.md: an issuer who runs the relay as well can be
both ends; the last test shows that it can). What it may do at any time is end the conversation, and that is all.
"""

import asyncio
import base64
import secrets

import pytest
import virtual_time
from phone_rig import ITERATIONS, RELAY, PhoneRig, link_pair, phone_message, w_of
from unit_rig import ID, PASSWORD, SALT, SERIAL, blank_flash, get, provision

from firmware import settings, wire
from firmware.crypto import p256
from firmware.crypto.spake2plus_verifier import Prepared, Verifier, exchange_context
from firmware.errors import LinkError
from firmware.link.channel import MODULE, SessionKeys
from tests.pps_client import Clock, state
from tests.relay_client import order, token_of
from tools.phone.client import ChannelError, PhoneClient, PhoneError, RefusedError
from tools.phone.spake2plus import ProverError
from tools.pps.db import Database
from tools.pps.identity import ModuleIdentity
from tools.pps.services import build_services

CUSTOMER_NAME = 0x11
SITE_ID = 0x31
CUSTOMER, SITE = settings.GROUP_CUSTOMER, settings.GROUP_SITE
NAME = "山田 花子 Hanako"
SITE_NUMBER = "0312345678901234567890"
OTHER_PASSWORD = "11112222"

IDENTITY = ModuleIdentity(SERIAL, "connection", "")
PHONE, DEVICE = 0, 1  # who has sent a frame


class House:
    """A module with a credential for ID and a password."""

    def __init__(self, password=PASSWORD):
        self.device = blank_flash()
        provision(self.device)
        self.rig = PhoneRig(self.device)
        self.rig.acquisition.accept(phone_message(password=password), settings.ISSUER_CONNECTION)
        self.rig.start()

    def serve(self, link):
        self.rig.tasks.append(asyncio.create_task(self.rig.unit.serve(link)))

    @property
    def name(self):
        stored = get(self.device, CUSTOMER_NAME)
        return None if stored is None else stored.decode()

    @property
    def failures(self):
        return self.rig.attempts.failures_in_a_row

    def changes(self):
        return self.rig.events().count("change")


async def use(phone, password=PASSWORD):
    """What a user does, and what he is told: a dict that grows, and the error that ended it, or None."""
    told = {}
    try:
        await phone.unlock(ID, password)
        told["open"] = True
        told["before"] = (await phone.view(CUSTOMER))[CUSTOMER_NAME]
        told["result"] = (await phone.change({CUSTOMER_NAME: NAME, SITE_ID: SITE_NUMBER})).changes_left
        told["after"] = (await phone.view(CUSTOMER))[CUSTOMER_NAME]
        await phone.end()
        told["end"] = True
    except (PhoneError, LinkError, ProverError) as error:
        return told, error
    return told, None


HONEST = {"open": True, "before": "", "result": 19, "after": NAME, "end": True}


# Curious


class ServersLink:
    """One end of a conversation at the server's real relay. seen: all that it was given, with what it has stored."""

    door = RELAY

    def __init__(self, pass_on, fetch, seen):
        self._pass_on = pass_on
        self._fetch = fetch
        self._seen = seen
        self._sent = self._received = 0
        self._left = b""
        self._over = False

    async def write(self, frame):
        await asyncio.sleep(0)
        self._sent += 1
        self._pass_on(self._sent, bytes(frame))
        self._seen(bytes(frame))

    async def read_into(self, view):
        while not self._left and not self._over:
            found = self._fetch(self._received)
            self._seen(repr(found).encode())
            if found:
                self._received += 1
                self._left = found
            else:
                await asyncio.sleep(0.05)
        size = min(len(view), len(self._left))
        view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self):
        self._over = True


def forms_of(secret):
    """Bytes as they might lie about."""
    plain = base64.b64encode(secret)
    yield from (secret, secret[::-1], secret.hex().encode(), secret.hex().upper().encode())
    yield from (plain, plain.rstrip(b"="))


def secrets_of_the_session():
    w0, w1 = w_of()
    yield "ID", ID.encode()
    yield "password", PASSWORD.encode()
    yield "name", NAME.encode()
    yield "name, Japanese part", "山田".encode()
    yield "name, in UTF-16", NAME.encode("utf-16-le")
    yield "site number", SITE_NUMBER.encode()
    yield "w0", w0.to_bytes(32, "big")
    yield "w1", w1.to_bytes(32, "big")
    yield "L", p256.encode_point(p256.multiply_base(w1))


def test_r20_nothing_that_the_server_saw_or_stored_has_a_secret_in_it(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/pps.sqlite3")
    database.migrate()
    services = build_services(database, None, None, phone_url="https://pps.example/phone/", clock=Clock())
    services.fleet.register(SERIAL, "a house", "an operator")
    token = token_of(services.credentials.issue(SERIAL, order(), "an operator").text)
    services.fleet.hello(IDENTITY, "0.1.0", state())
    relay = services.relay
    name = "00" * 8
    seen = []

    def see(data):
        seen.append(data)
        seen.extend(path.read_bytes() for path in tmp_path.iterdir())

    def from_phone(received):
        view = relay.phone(token, name, received, [], False, "192.0.2.1")
        return view.frames[0][1] if view.frames else None

    def to_module(received):
        found = relay.for_module(IDENTITY, (name, received) if received else None)
        return found and found.frame

    async def main():
        house = House()
        phone = ServersLink(
            lambda number, frame: relay.phone(token, name, number - 1, [(number, frame)], False, "192.0.2.1"),
            from_phone,
            see,
        )
        device = ServersLink(lambda number, frame: relay.from_module(IDENTITY, name, number, frame), to_module, see)
        house.serve(device)
        told, error = await use(PhoneClient(phone))
        house.rig.power_off()
        assert (told, error) == (HONEST, None)
        assert house.name == NAME

    virtual_time.run(main())
    database.close()
    everything = b"\n".join(set(seen))
    assert len(seen) > 20 and len(everything) > 10_000
    for what, secret in secrets_of_the_session():
        assert not any(form in everything for form in forms_of(secret)), what
    # The search would find it: salt and serial number are told to whoever asks.
    for public in (SALT, SERIAL.encode(), wire.frame(wire.ASK_INFO)):
        assert public in everything


# Hostile: one frame of a session is not what it was


def flip(place):
    def alter(frame, before):
        changed = bytearray(frame)
        changed[int(place * (len(frame) - 1))] ^= 0x10
        return bytes(changed)

    return alter


def shorten(frame, before):
    """A byte less, with a length that fits."""
    size = len(frame) - 3
    return size.to_bytes(2, "little") + frame[2:-1]


ALTERATIONS = {
    "length": flip(0),
    "type": lambda frame, before: frame[:2] + bytes((frame[2] ^ 0x10,)) + frame[3:],
    "early bit": flip(0.1),
    "middle bit": flip(0.5),
    "last bit": flip(1),
    "cut": lambda frame, before: frame[:-1],
    "shortened": shorten,
    "dropped": lambda frame, before: b"",
    "twice": lambda frame, before: frame + frame,
    "an older one": lambda frame, before: before[0][-1] if before[0] else frame[::-1],
    "the other's": lambda frame, before: before[1][-1] if before[1] else frame[::-1],
    "zeros": lambda frame, before: frame[:3] + bytes(len(frame) - 3),
    "random": lambda frame, before: frame[:3] + secrets.token_bytes(len(frame) - 3),
    "garbage before": lambda frame, before: wire.frame(0x7F, b"x") + frame,
}


async def wire_up(house, gates):
    """A phone's link to a module, with a gate for what each of both sends."""
    device, phone = link_pair(RELAY)
    phone.gate, device.gate = gates
    house.serve(device)
    return phone


def gates_that(alter, who, index):
    """Gates that alter the frame `index` of one sender, and the kinds of frame that each has sent."""
    sent = [], []

    def gate(sender):
        def pass_on(frame):
            number = len(sent[sender])
            before = sent[sender][:], sent[1 - sender]
            sent[sender].append(frame)
            return alter(frame, before) if (sender, number) == (who, index) else frame

        return pass_on

    return (gate(PHONE), gate(DEVICE)), sent


def attacked(alter, who, index):
    """(told, error, House, frames of both) after a session in which one frame was altered, and three minutes more."""

    async def main():
        house = House()
        gates, sent = gates_that(alter, who, index)
        told, error = await use(PhoneClient(await wire_up(house, gates)))
        await virtual_time.sleep_ms(200_000)
        assert house.rig.control.session is None
        house.rig.power_off()
        return told, error, house, sent

    return virtual_time.run(main())


def test_r20_left_alone_the_same_session_succeeds():
    told, error, house, sent = attacked(lambda frame, before: frame, PHONE, 0)
    assert (told, error, house.name, house.changes()) == (HONEST, None, NAME, 1)
    assert [frame[2] for frame in sent[PHONE]] == [wire.ASK_INFO, wire.SHARE_P, wire.CONFIRM_P] + [wire.SEALED_P] * 4
    assert [frame[2] for frame in sent[DEVICE]] == [wire.INFO, wire.SHARE_V] + [wire.SEALED_M] * 5


COUNTS_AS_A_SHARE = ("early bit", "middle bit", "last bit", "twice", "zeros", "random")

# Frames of the session by their number: the handshake's first, then status, view, change, view, end.
HANDSHAKE = [(PHONE, 1), (DEVICE, 1), (PHONE, 2)]
SEALED_BEFORE_THE_CHANGE = [(DEVICE, 2), (PHONE, 3), (DEVICE, 3), (PHONE, 4)]
SEALED_BEHIND_IT = [(DEVICE, 4), (PHONE, 5), (DEVICE, 5), (PHONE, 6), (DEVICE, 6)]


def places(frames):
    names = {PHONE: "phone", DEVICE: "module"}
    return pytest.mark.parametrize(("who", "index"), frames, ids=[f"{names[who]} {index}" for who, index in frames])


@pytest.mark.parametrize("how", ALTERATIONS)
@places([(PHONE, 0), (DEVICE, 0)])
def test_r20_info_can_be_falsified_and_then_nothing_comes_of_it(how, who, index):
    """It is not authenticated. What matters of it is bound by the handshake."""
    told, error, house, _ = attacked(ALTERATIONS[how], who, index)
    assert (told, error) == (HONEST, None) or (told == {} and error is not None)
    assert house.name == (NAME if told else None)


@pytest.mark.parametrize("how", ALTERATIONS)
@places(HANDSHAKE)
def test_r20_altered_handshake_opens_nothing_and_counts(how, who, index):
    told, error, house, _ = attacked(ALTERATIONS[how], who, index)
    # A proof that comes twice has opened a session, which its second ends.
    assert told == ({"open": True} if (how, who, index) == ("twice", PHONE, 2) else {})
    assert error is not None
    assert (house.name, house.changes()) == (None, 0)
    counts = how in COUNTS_AS_A_SHARE if (who, index) == (PHONE, 1) else how != "twice"
    assert house.failures == counts


@pytest.mark.parametrize("how", ALTERATIONS)
@places(SEALED_BEFORE_THE_CHANGE)
def test_s16_altered_frame_ends_the_session_and_nothing_changes(how, who, index):
    told, error, house, _ = attacked(ALTERATIONS[how], who, index)
    assert error is not None and "end" not in told
    _nothing_untrue(told)
    if how == "twice" and (who, index) in ((DEVICE, 3), (PHONE, 4)):
        assert (house.name, house.changes()) == (NAME, 1)  # the first of both was good, and the change came
    else:
        assert (house.name, house.changes()) == (None, 0)
        assert "result" not in told


@pytest.mark.parametrize("how", ALTERATIONS)
@places(SEALED_BEHIND_IT)
def test_s16_altered_frame_behind_a_change_undoes_and_repeats_nothing(how, who, index):
    told, error, house, _ = attacked(ALTERATIONS[how], who, index)
    assert (house.name, house.changes()) == (NAME, 1)
    assert (error is None) == ("end" in told)
    _nothing_untrue(told)


def _nothing_untrue(told):
    """Whatever the user was told is so."""
    assert told.items() <= HONEST.items()


# Hostile: whole conversations


def test_s16_an_old_conversation_played_again_is_a_wrong_password():
    async def main():
        house = House()
        gates, sent = gates_that(None, None, None)
        assert (await use(PhoneClient(await wire_up(house, gates))))[1] is None
        await virtual_time.sleep_ms(5000)
        device, phone = link_pair(RELAY)
        house.serve(device)
        before = house.failures, house.changes(), house.rig.store.vault.generation
        answers = wire.FrameReader()
        kinds = []
        for frame in sent[PHONE]:
            try:
                await phone.write(frame)
            except LinkError:
                break
            count = await phone.read_into(answers.room())
            answers.add(count)
            if not count:
                break
            kinds.append(answers.next()[0])
        assert kinds[:3] == [wire.INFO, wire.SHARE_V, wire.REFUSED] and wire.SEALED_M not in kinds
        assert (house.failures, house.changes(), house.rig.store.vault.generation) == (before[0] + 1, *before[1:])
        house.rig.power_off()

    virtual_time.run(main())


def test_s16_frames_in_another_order_end_the_session():
    async def main():
        house = House()
        held = []

        def swap(frame):
            # From the change on: two requests, the later one first.
            if len(sent) < 4:
                sent.append(frame)
                return frame
            held.append(frame)
            return held[1] + held[0] if len(held) == 2 else b""

        sent = []
        link = await wire_up(house, (swap, None))
        phone = PhoneClient(link)
        await phone.unlock(ID, PASSWORD)
        await phone.view(CUSTOMER)
        requests = [asyncio.create_task(phone.change({CUSTOMER_NAME: NAME})), asyncio.create_task(phone.status())]
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert all(isinstance(result, LinkError | PhoneError) for result in results)
        assert house.name is None and house.rig.control.session is None
        house.rig.power_off()

    virtual_time.run(main())


def test_r20_phone_that_is_led_to_another_module_gets_nowhere():
    async def main():
        mine, other = House(), House(OTHER_PASSWORD)
        told, error = await use(PhoneClient(await wire_up(other, (None, None))))
        assert told == {} and isinstance(error, RefusedError) and error.code == "wrong"
        assert (mine.failures, other.failures) == (0, 1)
        assert (mine.name, other.name) == (None, None)
        for house in (mine, other):
            house.rig.power_off()

    virtual_time.run(main())


def test_r20_frames_of_two_modules_swapped_within_sessions_end_both():
    async def main():
        houses = House(), House(OTHER_PASSWORD)
        links = [await wire_up(house, (None, None)) for house in houses]
        phones = [PhoneClient(link) for link in links]
        await phones[0].unlock(ID, PASSWORD)
        await phones[1].unlock(ID, OTHER_PASSWORD)
        # From here on each phone's frames go to the other's module, and its answers to the other phone.
        devices = links[0].other, links[1].other
        links[0].other, links[1].other = devices[1], devices[0]
        devices[0].other, devices[1].other = links[1], links[0]
        for phone in phones:
            with pytest.raises((LinkError, PhoneError)):
                await phone.change({CUSTOMER_NAME: NAME})
        for house in houses:
            assert house.rig.control.session is None and house.name is None
            house.rig.power_off()

    virtual_time.run(main())


# Hostile: in the module's place


class FalseModule:
    """Plays the module, with a share and a confirmation as it likes."""

    def __init__(self, share_v, behind):
        self._share_v = share_v
        self._behind = behind  # frames that it sends after share V, one for each of the phone's
        self.kinds = []  # of the frames that the phone has sent

    async def run(self, link):
        reader = wire.FrameReader()
        while True:
            frame = reader.next()
            if frame is None:
                count = await link.read_into(reader.room())
                if not count:
                    return
                reader.add(count)
                continue
            self.kinds.append(frame[0])
            await link.write(self._answer(frame))

    def _answer(self, frame):
        if frame[0] == wire.ASK_INFO:
            info = bytes((1, 1, 2, 3, 0, 0, 8, 0)) + ITERATIONS.to_bytes(4, "little") + SALT + b"\xff" * 4
            return wire.frame(wire.INFO, info, bytes((len(SERIAL),)), SERIAL.encode())
        if frame[0] == wire.SHARE_P:
            return self._share_v(bytes(frame[1:]))
        return self._behind(bytes(frame))


def point():
    return p256.encode_point(p256.multiply_base(secrets.randbelow(p256.N - 1) + 1))


POLITE = wire.frame(wire.REFUSED, bytes((1, 2, 0, 0, 0, 0)))
SEALED = wire.frame(wire.SEALED_M, bytes(16 + 32 + 32))
FALSE_SHARES = {
    "a random point": lambda share_p: wire.frame(wire.SHARE_V, point(), secrets.token_bytes(32)),
    "the phone's own point": lambda share_p: wire.frame(wire.SHARE_V, share_p, secrets.token_bytes(32)),
    "no point": lambda share_p: wire.frame(wire.SHARE_V, bytes(65), bytes(32)),
    "off the curve": lambda share_p: wire.frame(wire.SHARE_V, b"\x04" + b"\x01" * 64, bytes(32)),
    "a session at once": lambda share_p: SEALED,
}


@pytest.mark.parametrize("behind", [POLITE, SEALED, b"\x00\x00"], ids=["refuses", "goes on", "garbage"])
@pytest.mark.parametrize("how", FALSE_SHARES)
def test_r20_in_the_modules_place_it_gets_no_proof_and_no_request(how, behind):
    async def main():
        module = FalseModule(FALSE_SHARES[how], lambda frame: behind)
        device, link = link_pair(RELAY)
        task = asyncio.create_task(module.run(device))
        told, error = await use(PhoneClient(link))
        task.cancel()
        assert told == {} and isinstance(error, RefusedError | ChannelError)
        assert set(module.kinds) <= {wire.ASK_INFO, wire.SHARE_P, wire.GIVE_UP}

    virtual_time.run(main())


def test_r20_with_the_verifier_it_could_have_been_the_module():
    """The control: the very same false module, given w0 and L, is believed. Only an issuer has them (S4, S21)."""
    keys = []

    async def main():
        w0, w1 = w_of()
        values = Prepared(w0.to_bytes(32, "big"), p256.encode_point(p256.multiply_base(w1)), secrets.token_bytes)
        while not values.step():
            pass
        verifier = Verifier(values.take())

        def share_v(share_p):
            share, confirm = verifier.respond(share_p, exchange_context(1, SALT, ITERATIONS), b"", SERIAL.encode())
            return wire.frame(wire.SHARE_V, share, confirm)

        def behind(frame):
            if frame[0] == wire.CONFIRM_P:
                keys.append(SessionKeys(verifier.finish(frame[1:])).channel(MODULE))
                message = bytes((wire.STATUS_IS,)) + bytes(16)
            else:
                message = bytes((wire.VIEW_IS, CUSTOMER, CUSTOMER_NAME, 5, 0)) + b"False"
            buffer = bytearray(wire.FRAME_BUFFER_SIZE)
            buffer[wire.MESSAGE_AT : wire.MESSAGE_AT + len(message)] = message
            return bytes(buffer[: keys[0].seal(buffer, len(message), secrets.token_bytes(16))])

        module = FalseModule(share_v, behind)
        device, link = link_pair(RELAY)
        task = asyncio.create_task(module.run(device))
        told, error = await use(PhoneClient(link))
        task.cancel()
        assert told == {"open": True, "before": "False"} and error is not None

    virtual_time.run(main())
