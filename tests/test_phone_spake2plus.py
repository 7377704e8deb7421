"""The phone's half of SPAKE2+: RFC 9383's vector, the module's verifier, and what it refuses."""

import inspect
import secrets

import pytest

from firmware import settings
from firmware.crypto import p256
from firmware.crypto.spake2plus_verifier import POINT_N, Prepared, ProofError, Verifier
from firmware.crypto.spake2plus_verifier import exchange_context as module_context
from tools.phone import spake2plus
from tools.phone.spake2plus import REASONS, Prover, ProverError
from tools.pps.services.credentials import derive_verifier

SERIAL = "INK-00000001"
ID = "12345678"
PASSWORD = "87654321"
SALT = bytes(range(16))
ITERATIONS = settings.CREDENTIAL_ITERATIONS_MIN
PROTOCOL = 1

# RFC 9383, appendix C.
RFC = {
    "context": b"SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256 Test Vectors",
    "w0": 0xBB8E1BBCF3C48F62C08DB243652AE55D3E5586053FCA77102994F23AD95491B3,
    "w1": 0x7E945F34D78785B8A3EF44D0DF5A1A97D6B3B460409A345CA7830387A74B1DBA,
    "x": 0xD1232C8E8693D02368976C174E2088851B8365D0D79A9EEE709C6A05A2FAD539,
    "share_p": "04ef3bd051bf78a2234ec0df197f7828060fe9856503579bb1733009042c15c0c1"
    "de127727f418b5966afadfdd95a6e4591d171056b333dab97a79c7193e341727",
    "share_v": "04c0f65da0d11927bdf5d560c69e1d7d939a05b0e88291887d679fcadea75810fb"
    "5cc1ca7494db39e82ff2f50665255d76173e09986ab46742c798a9a68437b048",
    "confirm_p": "926cc713504b9b4d76c9162ded04b5493e89109f6d89462cd33adc46fda27527",
    "confirm_v": "9747bcc4f8fe9f63defee53ac9b07876d907d55047e6ff2def2e7529089d3e68",
    "k_shared": "0c5f8ccd1413423a54f6c1fb26ff01534a87f893779c6e68666d772bfd91f3e7",
}


class Module:
    """A module that holds a credential, and what one exchange with it gives."""

    def __init__(self, user_id=ID, password=PASSWORD, serial=SERIAL, salt=SALT):
        w0, l_point = derive_verifier(user_id, password, serial, salt, ITERATIONS)
        values = Prepared(w0, l_point, secrets.token_bytes)
        while not values.step():
            pass
        self.verifier = Verifier(values.take())
        self.names = (module_context(PROTOCOL, salt, ITERATIONS), b"", serial.encode())

    def respond(self, share_p):
        return self.verifier.respond(share_p, *self.names)


def phone(user_id=ID, password=PASSWORD, serial=SERIAL, salt=SALT, iterations=ITERATIONS, protocol=PROTOCOL):
    return Prover.of_user(user_id, password, serial, salt, iterations, protocol)


def rfc_prover(monkeypatch):
    monkeypatch.setattr(secrets, "randbelow", lambda most: RFC["x"] - 1)
    return Prover(RFC["w0"], RFC["w1"], RFC["context"], b"server", b"client")


def test_rfc_9383_vector(monkeypatch):
    prover = rfc_prover(monkeypatch)
    assert prover.start().hex() == RFC["share_p"]
    confirm_p, k_shared = prover.finish(bytes.fromhex(RFC["share_v"]), bytes.fromhex(RFC["confirm_v"]))
    assert confirm_p.hex() == RFC["confirm_p"]
    assert k_shared.hex() == RFC["k_shared"]


def test_r18_phone_and_module_agree_on_a_key_that_never_comes_twice():
    keys = set()
    for _ in range(3):
        prover, module = phone(), Module()
        confirm_p, k_shared = prover.finish(*module.respond(prover.start()))
        assert module.verifier.finish(confirm_p) == k_shared
        keys.add(k_shared)
    assert len(keys) == 3 and {len(key) for key in keys} == {32}


@pytest.mark.parametrize(
    "changed",
    [
        {"user_id": "12345679"},
        {"password": "87654320"},
        {"user_id": PASSWORD, "password": ID},
        {"serial": "INK-00000002"},
        {"salt": bytes(16)},
        {"iterations": ITERATIONS + 1},
        {"protocol": PROTOCOL + 1},
    ],
    ids=str,
)
def test_s2_what_was_made_for_anything_else_opens_nothing(changed):
    prover, module = phone(**changed), Module()
    share_v, confirm_v = module.respond(prover.start())
    confirm_p, _, _ = prover._answer(prover._x, share_v)  # what a phone would send that does not check
    with pytest.raises(ProverError) as refused:
        prover.finish(share_v, confirm_v)
    assert refused.value.code == "confirm"
    with pytest.raises(ProofError):
        module.verifier.finish(confirm_p)


def test_s2_a_module_that_trusts_a_context_of_its_own_is_not_believed():
    """The same w0 and L, but other parameters said: somebody in between changed them."""
    prover, module = phone(), Module()
    module.names = (module_context(PROTOCOL, SALT, ITERATIONS + 1), *module.names[1:])
    with pytest.raises(ProverError, match=REASONS["confirm"]):
        prover.finish(*module.respond(prover.start()))


def test_s2_wrong_id_and_wrong_password_are_one_event():
    seen = []
    for changed in ({"user_id": "00000000"}, {"password": "00000000"}):
        prover, module = phone(**changed), Module()
        share_p = prover.start()
        share_v, confirm_v = module.respond(share_p)
        confirm_p, _, _ = prover._answer(prover._x, share_v)
        with pytest.raises(ProverError) as at_phone:
            prover.finish(share_v, confirm_v)
        with pytest.raises(ProofError) as at_module:
            module.verifier.finish(confirm_p)
        seen.append(
            (
                [len(part) for part in (share_p, share_v, confirm_v, confirm_p)],
                (at_phone.value.code, at_phone.value.args),
                (type(at_module.value), at_module.value.code, at_module.value.args),
            )
        )
    assert seen[0] == seen[1]


@pytest.mark.parametrize("iterations", [-1, 0, 1, settings.CREDENTIAL_ITERATIONS_MIN - 1, 100_001, 1 << 40])
def test_s2_iterations_out_of_bounds_are_refused_before_anything_is_derived(monkeypatch, iterations):
    monkeypatch.setattr(spake2plus, "derive_w", lambda *inputs: pytest.fail("derived"))
    with pytest.raises(ProverError) as refused:
        phone(iterations=iterations)
    assert refused.value.code == "iterations"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"user_id": ""}, "digits"),
        ({"user_id": "1234567a"}, "digits"),
        ({"password": "１２３４５６７８"}, "digits"),
        ({"password": "1234 678"}, "digits"),
        ({"serial": ""}, "serial"),
        ({"serial": "INK-ä"}, "serial"),
        ({"serial": "I" * 33}, "serial"),
        ({"serial": "INK-1\n"}, "serial"),
        ({"salt": b""}, "salt"),
        ({"salt": bytes(17)}, "salt"),
    ],
)
def test_inputs_that_no_module_and_no_user_has(changed, code):
    with pytest.raises(ProverError) as refused:
        phone(**changed)
    assert refused.value.code == code
    assert PASSWORD not in str(refused.value) and ID not in str(refused.value)


def off_curve():
    x, y = p256.decode_point(bytes.fromhex(RFC["share_v"]))
    return p256.encode_point((x, y ^ 1))


def that_makes_z_the_identity():
    return p256.encode_point(p256.multiply(RFC["w0"], p256.decode_point(POINT_N)))


@pytest.mark.parametrize(
    "share_v",
    [b"", b"\x00", bytes(65), bytes.fromhex(RFC["share_v"])[:64], off_curve(), that_makes_z_the_identity()],
    ids=["empty", "identity", "zeros", "short", "off the curve", "w0*N"],
)
def test_s3_shares_that_are_none_are_refused(monkeypatch, share_v):
    prover = rfc_prover(monkeypatch)
    prover.start()
    with pytest.raises(ProverError) as refused:
        prover.finish(share_v, bytes.fromhex(RFC["confirm_v"]))
    assert refused.value.code == "share"
    with pytest.raises(ProverError) as spent:
        prover.finish(bytes.fromhex(RFC["share_v"]), bytes.fromhex(RFC["confirm_v"]))
    assert spent.value.code == "order"


@pytest.mark.parametrize("wrong", [lambda tag: b"", lambda tag: tag[:31], lambda tag: tag[:31] + bytes([tag[31] ^ 1])])
def test_r12_a_module_gets_one_guess_and_no_confirmation(monkeypatch, wrong):
    prover = rfc_prover(monkeypatch)
    prover.start()
    share_v, confirm_v = (bytes.fromhex(RFC[name]) for name in ("share_v", "confirm_v"))
    with pytest.raises(ProverError) as refused:
        prover.finish(share_v, wrong(confirm_v))
    assert refused.value.code == "confirm"
    with pytest.raises(ProverError) as spent:
        prover.finish(share_v, confirm_v)
    assert spent.value.code == "order"


def test_an_exchange_goes_start_then_finish_each_once(monkeypatch):
    share_v, confirm_v = (bytes.fromhex(RFC[name]) for name in ("share_v", "confirm_v"))
    prover = rfc_prover(monkeypatch)
    with pytest.raises(ProverError, match=REASONS["order"]):
        prover.finish(share_v, confirm_v)
    prover.start()
    with pytest.raises(ProverError, match=REASONS["order"]):
        prover.start()
    prover.finish(share_v, confirm_v)
    for again in (prover.start, lambda: prover.finish(share_v, confirm_v)):
        with pytest.raises(ProverError, match=REASONS["order"]):
            again()


def test_every_reason_is_raised_somewhere():
    source = inspect.getsource(spake2plus)
    assert all(f'ProverError("{code}")' in source for code in REASONS)
