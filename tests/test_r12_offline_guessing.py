"""R12: a dictionary that holds the true password, against conversations between phone and module.

The attacker knows all but ID and password: both ends' code, salt, iterations, serial. It records a conversation,
plays the phone, or plays the module. For each word of its dictionary it works out every (Z, V) that it can and
compares what follows with the confirmations that it has. Each test has a control: the very same attacker, given one
secret that it should not have, singles out the password. So where it fails it is not for want of trying.

What that secret is differs. Logarithm of M: opens all words to who plays the phone. Logarithm of N: opens nothing,
as long as a phone confirms second (RFC 9383, section 3.3, allows it to be known); a phone that does not check the
module first is opened by it. Neither opens a recording; an x or y that is not random does.
"""

import hmac
import secrets

import pytest

from firmware.crypto import p256, spake2plus_verifier
from firmware.crypto.spake2plus_verifier import Prepared, ProofError, Verifier, derive_keys, transcript_hash
from tools.derivation import derive_w
from tools.phone import spake2plus as phone_side
from tools.phone.spake2plus import Prover, ProverError, exchange_context

SERIAL = "INK-00000001"
SALT = bytes(range(16))
ITERATIONS = 1000
CONTEXT = exchange_context(1, SALT, ITERATIONS)

TRUE = ("12345678", "87654321")
WORDS = {
    word: derive_w(*word, SERIAL, SALT, ITERATIONS)
    for word in [("12345678", "00000000"), ("12345678", "87654320"), TRUE, ("12345679", "87654321"), TRUE[::-1]]
}
WRONG = [word for word in WORDS if word != TRUE]

# What an attacker takes for a number that it does not know. 0 drops the term in which it stands.
SHOTS = (0, 1, 2, p256.N - 1)
LOG_M = 0x1F2E3D4C5B6A79880123456789ABCDEF0F1E2D3C4B5A69788796A5B4C3D2E1F0
LOG_N = 0x2A3B4C5D6E7F8091A2B3C4D5E6F708192A3B4C5D6E7F8091A2B3C4D5E6F70819


@pytest.fixture
def weak_points(monkeypatch):
    """Phone and module use an M and an N of which the logarithms are LOG_M and LOG_N."""
    for name, log in (("POINT_M", LOG_M), ("POINT_N", LOG_N)):
        for module in (spake2plus_verifier, phone_side):
            monkeypatch.setattr(module, name, p256.encode_point(p256.multiply_base(log)))


def honest_module(random=secrets.token_bytes):
    w0, w1 = WORDS[TRUE]
    values = Prepared(w0.to_bytes(32, "big"), p256.encode_point(p256.multiply_base(w1)), random)
    while not values.step():
        pass
    return Verifier(values.take())


def answer_of(module, share_p):
    return module.respond(share_p, CONTEXT, b"", SERIAL.encode())


def honest_phone():
    return Prover.of_user(*TRUE, SERIAL, SALT, ITERATIONS, 1)


def times(k, point):
    """Also of the identity, None."""
    return p256.multiply(k, point)


def plus(a, b):
    return p256.add(a, b) if a and b else a or b


def point_m():
    return p256.decode_point(spake2plus_verifier.POINT_M)


def point_n():
    return p256.decode_point(spake2plus_verifier.POINT_N)


class Attacker:
    """logs_m, logs_n, scalars: its shots at the logarithms of M and N, and at x and y."""

    def __init__(self, log_m=None, log_n=None, scalar=None):
        self.logs_m = SHOTS if log_m is None else (log_m,)
        self.logs_n = SHOTS if log_n is None else (log_n,)
        self.scalars = SHOTS[1:] if scalar is None else (scalar,)
        self.own = secrets.randbelow(p256.N - 1) + 1

    def words_in_recording(self, share_p, share_v, confirm_v, confirm_p):
        """Words whose Z and V, by some shot at x or y, lead to the confirmations."""
        x_point, y_point = p256.decode_point(share_p), p256.decode_point(share_v)

        def shots(w0, w1):
            x_bare, y_bare = plus(x_point, times(-w0, point_m())), plus(y_point, times(-w0, point_n()))
            for k in self.scalars:
                yield times(k, x_bare), times(k * w1, p256.G)  # k = y
                yield times(k, y_bare), times(w1, y_bare)  # k = x

        by_v = self._fitting(share_p, share_v, shots, confirm_v=confirm_v)
        by_p = self._fitting(share_p, share_v, shots, confirm_p=confirm_p)
        assert by_v == by_p
        return by_v

    def share_as_phone(self, guess):
        """X = a*P + w0*M for the guess' w0, or without M for none."""
        mask = times(WORDS[guess][0], point_m()) if guess else None
        return p256.encode_point(plus(p256.multiply_base(self.own), mask))

    def words_as_phone(self, guess, share_p, share_v, confirm_v):
        """X - w0'*M = (a + (w0 - w0')*m)*P, and Y - w0'*N = y*P: all there is, but for m."""
        guessed_w0 = WORDS[guess][0] if guess else 0
        y_point = p256.decode_point(share_v)

        def shots(w0, w1):
            y_bare = plus(y_point, times(-w0, point_n()))
            for m in self.logs_m:
                yield times(self.own + (guessed_w0 - w0) * m, y_bare), times(w1, y_bare)

        return self._fitting(share_p, share_v, shots, confirm_v=confirm_v)

    def answer_as_module(self, guess, share_p):
        """Y = b*P + w0*N for the guess' w0, and the confirmation that it asks for."""
        w0, w1 = WORDS[guess]
        share_v = p256.encode_point(plus(p256.multiply_base(self.own), times(w0, point_n())))
        x_bare = plus(p256.decode_point(share_p), times(-w0, point_m()))
        keys = self._keys(share_p, share_v, w0, times(self.own, x_bare), times(self.own * w1, p256.G))
        return share_v, hmac.digest(keys[1], share_p, "sha256")

    def words_as_module(self, guess, share_p, share_v, confirm_p):
        """Y - w0'*N = (b + (w0 - w0')*n)*P, and X - w0'*M = x*P: all there is, but for n."""
        x_point = p256.decode_point(share_p)

        def shots(w0, w1):
            x_bare = plus(x_point, times(-w0, point_m()))
            for n in self.logs_n:
                y = self.own + (WORDS[guess][0] - w0) * n
                yield times(y, x_bare), times(y * w1, p256.G)

        return self._fitting(share_p, share_v, shots, confirm_p=confirm_p)

    def _fitting(self, share_p, share_v, shots, confirm_v=None, confirm_p=None):
        found = set()
        for word, (w0, w1) in WORDS.items():
            for z, v in shots(w0, w1):
                confirm_p_key, confirm_v_key, _ = self._keys(share_p, share_v, w0, z, v)
                if confirm_v == hmac.digest(confirm_v_key, share_p, "sha256"):
                    found.add(word)
                if confirm_p == hmac.digest(confirm_p_key, share_v, "sha256"):
                    found.add(word)
        return found

    def _keys(self, share_p, share_v, w0, z, v):
        points = [p256.encode_point(point) if point else b"\x00" for point in (point_m(), point_n(), z, v)]
        parts = (*points[:2], share_p, share_v, *points[2:], w0.to_bytes(32, "big"))
        return derive_keys(transcript_hash(CONTEXT, b"", SERIAL.encode(), *parts))


def recorded(random=secrets.token_bytes):
    """(shareP, shareV, confirmV, confirmP) of a conversation that succeeded."""
    phone, module = honest_phone(), honest_module(random)
    share_p = phone.start()
    share_v, confirm_v = answer_of(module, share_p)
    confirm_p, k_shared = phone.finish(share_v, confirm_v)
    assert module.finish(confirm_p) == k_shared
    return share_p, share_v, confirm_v, confirm_p


def played_phone(attacker, guess):
    """Words that fit after one conversation with a module, whose judgement is checked as well."""
    module = honest_module()
    share_p = attacker.share_as_phone(guess)
    share_v, confirm_v = answer_of(module, share_p)
    with pytest.raises(ProofError):
        module.finish(bytes(32))
    return attacker.words_as_phone(guess, share_p, share_v, confirm_v)


def played_module(attacker, guess):
    """Words that fit after a user's phone has met the attacker: it learns a confirmation, or that there is none."""
    phone = honest_phone()
    share_p = phone.start()
    share_v, confirm_v = attacker.answer_as_module(guess, share_p)
    try:
        confirm_p, _ = phone.finish(share_v, confirm_v)
    except ProverError as refused:
        assert refused.code == "confirm"
        return set()
    return attacker.words_as_module(guess, share_p, share_v, confirm_p)


def played_module_to_careless_phone(attacker, guess):
    """The same with a phone that confirms before it has checked the module."""
    phone = honest_phone()
    share_p = phone.start()
    share_v, _ = attacker.answer_as_module(guess, share_p)
    confirm_p, _, _ = phone._answer(phone._x, share_v)
    return attacker.words_as_module(guess, share_p, share_v, confirm_p)


def test_r12_a_recording_tests_no_password():
    assert Attacker().words_in_recording(*recorded()) == set()


def test_r12_a_recording_tests_no_password_even_with_both_logarithms(weak_points):
    for log in (LOG_M, LOG_N):
        assert Attacker(scalar=log).words_in_recording(*recorded()) == set()


def test_r12_control_a_recording_of_a_stuck_generator_gives_the_password_away():
    stuck = bytes(range(40))
    y = int.from_bytes(stuck, "big") % (p256.N - 1) + 1
    conversation = recorded(lambda size: stuck[:size])
    assert Attacker(scalar=y).words_in_recording(*conversation) == {TRUE}
    assert Attacker(scalar=y + 1).words_in_recording(*conversation) == set()


def test_r12_control_a_recording_of_a_phone_that_counts_gives_the_password_away(monkeypatch):
    monkeypatch.setattr(secrets, "randbelow", lambda most: 1)
    assert Attacker().words_in_recording(*recorded()) == {TRUE}


@pytest.mark.parametrize("guess", [None, *WRONG])
def test_r12_who_plays_the_phone_learns_of_a_wrong_guess_that_it_is_wrong(guess):
    assert played_phone(Attacker(), guess) == set()


def test_r12_who_plays_the_phone_learns_of_the_one_guess_that_it_is_right():
    """This is the guess that the module counts before it answers (S1)."""
    assert played_phone(Attacker(), TRUE) == {TRUE}


@pytest.mark.parametrize("guess", [None, *WRONG])
def test_r12_control_with_the_logarithm_of_m_any_conversation_gives_the_password_away(weak_points, guess):
    assert played_phone(Attacker(log_m=LOG_M), guess) == {TRUE}
    assert played_phone(Attacker(log_m=LOG_M + 1), guess) == set()
    assert played_phone(Attacker(), guess) == set()


@pytest.mark.parametrize("guess", WRONG)
def test_r12_who_plays_the_module_learns_of_a_wrong_guess_that_it_is_wrong(guess):
    assert played_module(Attacker(), guess) == set()


def test_r12_who_plays_the_module_learns_of_the_one_guess_that_it_is_right():
    assert played_module(Attacker(), TRUE) == {TRUE}


@pytest.mark.parametrize("guess", WRONG)
def test_r12_the_logarithm_of_n_is_of_no_use_while_the_phone_confirms_second(weak_points, guess):
    assert played_module(Attacker(log_n=LOG_N), guess) == set()


@pytest.mark.parametrize("guess", WRONG)
def test_r12_control_a_phone_that_confirms_first_is_opened_by_the_logarithm_of_n(weak_points, guess):
    assert played_module_to_careless_phone(Attacker(log_n=LOG_N), guess) == {TRUE}
    assert played_module_to_careless_phone(Attacker(log_n=LOG_N + 1), guess) == set()


@pytest.mark.parametrize("guess", WRONG)
def test_r12_without_that_logarithm_not_even_such_a_phone_is_opened(guess):
    assert played_module_to_careless_phone(Attacker(), guess) == set()
    assert played_module_to_careless_phone(Attacker(), TRUE) == {TRUE}
