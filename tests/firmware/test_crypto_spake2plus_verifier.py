"""The verifier's half of SPAKE2+: RFC 9383's vectors, and all that is refused."""

from binascii import unhexlify
from hashlib import sha256

from firmware.crypto import p256
from firmware.crypto import spake2plus_verifier as spake2plus
from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.spake2plus_verifier import POINT_M, POINT_N, Prepared, PreparedError, ProofError, Verifier
from tests.dual import raises

# RFC 9383, appendix C, SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256.
CONTEXT = b"SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256 Test Vectors"
ID_PROVER = b"client"
ID_VERIFIER = b"server"
W0 = unhexlify("bb8e1bbcf3c48f62c08db243652ae55d3e5586053fca77102994f23ad95491b3")
W1 = 0x7E945F34D78785B8A3EF44D0DF5A1A97D6B3B460409A345CA7830387A74B1DBA
L = unhexlify(
    "04eb7c9db3d9a9eb1f8adab81b5794c1f13ae3e225efbe91ea487425854c7fc00f"
    "00bfedcbd09b2400142d40a14f2064ef31dfaa903b91d1faea7093d835966efd"
)
X = 0xD1232C8E8693D02368976C174E2088851B8365D0D79A9EEE709C6A05A2FAD539
SHARE_P = unhexlify(
    "04ef3bd051bf78a2234ec0df197f7828060fe9856503579bb1733009042c15c0c1"
    "de127727f418b5966afadfdd95a6e4591d171056b333dab97a79c7193e341727"
)
Y = 0x717A72348A182085109C8D3917D6C43D59B224DC6A7FC4F0483232FA6516D8B3
SHARE_V = unhexlify(
    "04c0f65da0d11927bdf5d560c69e1d7d939a05b0e88291887d679fcadea75810fb"
    "5cc1ca7494db39e82ff2f50665255d76173e09986ab46742c798a9a68437b048"
)
Z = unhexlify(
    "04bbfce7dd7f277819c8da21544afb7964705569bdf12fb92aa388059408d50091"
    "a0c5f1d3127f56813b5337f9e4e67e2ca633117a4fbd559946ab474356c41839"
)
V = unhexlify(
    "0458bf27c6bca011c9ce1930e8984a797a3419797b936629a5a937cf2f11c8b951"
    "4b82b993da8a46e664f23db7c01edc87faa530db01c2ee405230b18997f16b68"
)
TT = unhexlify(
    "38000000000000005350414b45322b2d503235362d5348413235362d484b44462d5348413235362d484d41432d534841"
    "323536205465737420566563746f72730600000000000000636c69656e74060000000000000073657276657241000000"
    "0000000004886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f5ff355163e43ce224e0b0e"
    "65ff02ac8e5c7be09419c785e0ca547d55a12e2d20410000000000000004d8bbd6c639c62937b04d997f38c3770719c6"
    "29d7014d49a24b4f98baa1292b4907d60aa6bfade45008a636337f5168c64d9bd36034808cd564490b1e656edbe74100"
    "00000000000004ef3bd051bf78a2234ec0df197f7828060fe9856503579bb1733009042c15c0c1de127727f418b5966a"
    "fadfdd95a6e4591d171056b333dab97a79c7193e341727410000000000000004c0f65da0d11927bdf5d560c69e1d7d93"
    "9a05b0e88291887d679fcadea75810fb5cc1ca7494db39e82ff2f50665255d76173e09986ab46742c798a9a68437b048"
    "410000000000000004bbfce7dd7f277819c8da21544afb7964705569bdf12fb92aa388059408d50091a0c5f1d3127f56"
    "813b5337f9e4e67e2ca633117a4fbd559946ab474356c4183941000000000000000458bf27c6bca011c9ce1930e8984a"
    "797a3419797b936629a5a937cf2f11c8b9514b82b993da8a46e664f23db7c01edc87faa530db01c2ee405230b18997f1"
    "6b682000000000000000bb8e1bbcf3c48f62c08db243652ae55d3e5586053fca77102994f23ad95491b3"
)
K_MAIN = unhexlify("4c59e1ccf2cfb961aa31bd9434478a1089b56cd11542f53d3576fb6c2a438a29")
K_CONFIRM_P = unhexlify("871ae3f7b78445e34438fb284504240239031c39d80ac23eb5ab9be5ad6db58a")
K_CONFIRM_V = unhexlify("ccd53c7c1fa37b64a462b40db8be101cedcf838950162902054e644b400f1680")
CONFIRM_P = unhexlify("926cc713504b9b4d76c9162ded04b5493e89109f6d89462cd33adc46fda27527")
CONFIRM_V = unhexlify("9747bcc4f8fe9f63defee53ac9b07876d907d55047e6ff2def2e7529089d3e68")
K_SHARED = unhexlify("0c5f8ccd1413423a54f6c1fb26ff01534a87f893779c6e68666d772bfd91f3e7")


def generator(y):
    """What the DRBG gives where y comes out."""

    def random(size):
        assert size == 40
        return (y - 1).to_bytes(size, "big")

    return random


def constant(data):
    return lambda size: data[:size]


def prepared(w0=W0, l_point=L, random=None):
    values = Prepared(w0, l_point, random or generator(Y))
    while not values.step():
        pass
    return values


def respond(verifier, share_p=SHARE_P, context=CONTEXT, id_prover=ID_PROVER, id_verifier=ID_VERIFIER):
    return verifier.respond(share_p, context, id_prover, id_verifier)


def point_sum(a, b):
    return p256.encode_point(p256.add(a, b))


def test_the_vectors_fit_together():
    m = p256.decode_point(POINT_M)
    n = p256.decode_point(POINT_N)
    w0 = int.from_bytes(W0, "big")
    assert p256.encode_point(p256.multiply_base(W1)) == L
    assert point_sum(p256.multiply_base(X), p256.multiply(w0, m)) == SHARE_P
    assert point_sum(p256.multiply_base(Y), p256.multiply(w0, n)) == SHARE_V
    # The prover's way to Z and V.
    unmasked = p256.add(p256.decode_point(SHARE_V), p256.multiply(-w0, n))
    assert p256.encode_point(p256.multiply(X, unmasked)) == Z
    assert p256.encode_point(p256.multiply(W1, unmasked)) == V
    assert sha256(TT).digest() == K_MAIN


def test_rfc_9383_vectors_at_each_step():
    values = prepared()
    _, y, share_v, v, _ = values.take()
    assert (y, share_v, v) == (Y, SHARE_V, V)
    k_main = spake2plus.transcript_hash(
        CONTEXT, ID_PROVER, ID_VERIFIER, POINT_M, POINT_N, SHARE_P, SHARE_V, Z, V, W0
    )
    assert k_main == K_MAIN
    assert spake2plus.derive_keys(k_main) == (K_CONFIRM_P, K_CONFIRM_V, K_SHARED)
    assert hmac_sha256(K_CONFIRM_P, SHARE_V) == CONFIRM_P
    assert hmac_sha256(K_CONFIRM_V, SHARE_P) == CONFIRM_V


def test_rfc_9383_vectors_through_the_whole_exchange():
    verifier = Verifier(prepared().take())
    assert respond(verifier) == (SHARE_V, CONFIRM_V)
    assert verifier.finish(CONFIRM_P) == K_SHARED
    # As from a buffer that a link fills.
    verifier = Verifier(prepared().take())
    assert respond(verifier, memoryview(bytearray(SHARE_P))) == (SHARE_V, CONFIRM_V)
    assert verifier.finish(memoryview(bytearray(CONFIRM_P))) == K_SHARED


def test_r12_m_and_n_come_out_of_a_hash():
    # RFC 9383, its appendix on point generation: the first hash of the seed that is the x of a point.
    for letter, point in (("M", POINT_M), ("N", POINT_N)):
        block = sha256(b"1.2.840.10045.3.1.7 point generation seed (%s)" % letter.encode()).digest()
        tries = 0
        found = None
        while found is None and tries < 100:
            following = sha256(block).digest()
            # 33 bytes: one for the sign of y, then x.
            sign = block[0] & 1
            found = with_x(int.from_bytes(block[1:] + following[:1], "big"), sign)
            block = following
            tries += 1
        assert p256.encode_point(found) == point, letter


def with_x(x, sign):
    """The point with this x and y odd or even, or None."""
    if x >= p256.P:
        return None
    square = (x * x * x - 3 * x + 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B) % p256.P
    y = pow(square, (p256.P + 1) // 4, p256.P)
    if y * y % p256.P != square:
        return None
    return x, (y if y & 1 == sign else p256.P - y)


def test_r27_preparing_goes_in_steps_of_one_multiplication():
    counted = []
    names = ("multiply", "multiply_base", "multiply_sum")
    originals = [getattr(p256, name) for name in names]

    def counting(original):
        def multiply(*arguments):
            counted.append(original)
            return original(*arguments)

        return multiply

    for name, original in zip(names, originals):
        setattr(p256, name, counting(original))
    try:
        values = Prepared(W0, L, generator(Y))
        steps = 0
        done = False
        while not done:
            assert not values.ready
            before = len(counted)
            done = values.step()
            steps += 1
            assert len(counted) - before == 1
        assert values.ready and steps == 4
        assert values.step() and len(counted) == 4
        # What is left to do while the peer waits.
        verifier = Verifier(values.take())
        respond(verifier)
        assert len(counted) == 5
        verifier.finish(CONFIRM_P)
        assert len(counted) == 5
    finally:
        for name, original in zip(names, originals):
            setattr(p256, name, original)


def test_s3_y_is_never_0_and_shows_no_bias_of_its_size():
    for data, y in (
        (bytes(40), 1),
        ((p256.N - 2).to_bytes(40, "big"), p256.N - 1),
        ((p256.N - 1).to_bytes(40, "big"), 1),
        (b"\xff" * 40, ((1 << 320) - 1) % (p256.N - 1) + 1),
    ):
        assert prepared(random=constant(data)).take()[1] == y


def test_s3_prepared_values_serve_once():
    values = prepared()
    verifier = Verifier(values.take())
    assert not values.ready
    with raises(PreparedError):
        Verifier(values.take())
    with raises(PreparedError):
        values.take()
    respond(verifier)
    with raises(PreparedError) as caught:
        respond(verifier)
    assert caught.value.code == "prepared"
    # The failed second call spoils nothing of the first.
    assert verifier.finish(CONFIRM_P) == K_SHARED


def test_s3_values_that_are_not_ready_are_not_taken():
    values = Prepared(W0, L, generator(Y))
    for _ in range(4):
        with raises(PreparedError):
            Verifier(values.take())
        values.step()
    assert respond(Verifier(values.take())) == (SHARE_V, CONFIRM_V)


def test_s3_a_malformed_share_spends_the_prepared_values():
    verifier = Verifier(prepared().take())
    with raises(ProofError):
        respond(verifier, SHARE_P[:64])
    with raises(PreparedError):
        respond(verifier)
    with raises(ProofError):
        verifier.finish(CONFIRM_P)


def test_s3_shares_that_are_none_are_refused():
    x, y = p256.decode_point(SHARE_P)
    bad = [
        b"",
        b"\x00",
        b"\x00" * 65,
        b"\x04" + bytes(64),
        SHARE_P[:64],
        SHARE_P + b"\x00",
        SHARE_P[1:],
        bytes((2 + (y & 1),)) + SHARE_P[1:33],
        bytes((6 + (y & 1),)) + SHARE_P[1:],
        p256.encode_point((x, y ^ 1)),
        p256.encode_point((p256.P, y)),
    ]
    for share_p in bad:
        with raises(ProofError) as caught:
            respond(Verifier(prepared().take()), share_p)
        assert caught.value.code == "proof"
        assert caught.value.args == ()


def test_s3_a_share_that_makes_z_the_identity_is_refused():
    hit = p256.encode_point(p256.multiply(int.from_bytes(W0, "big"), p256.decode_point(POINT_M)))
    with raises(ProofError) as caught:
        respond(Verifier(prepared().take()), hit)
    assert caught.value.code == "proof" and caught.value.args == ()
    # Its mirror image is a share like any other.
    x, y = p256.decode_point(hit)
    assert respond(Verifier(prepared().take()), p256.encode_point((x, p256.P - y)))[0] == SHARE_V


def test_s1_a_confirmation_is_judged_once():
    wrong = bytearray(CONFIRM_P)
    wrong[31] ^= 1
    for confirm_p in (wrong, b"", CONFIRM_P[:31], CONFIRM_P + b"\x00", CONFIRM_V, bytes(32)):
        verifier = Verifier(prepared().take())
        respond(verifier)
        with raises(ProofError):
            verifier.finish(confirm_p)
        with raises(ProofError):
            verifier.finish(CONFIRM_P)
    verifier = Verifier(prepared().take())
    respond(verifier)
    verifier.finish(CONFIRM_P)
    with raises(ProofError):
        verifier.finish(CONFIRM_P)


def test_s1_nothing_is_proved_before_the_share():
    verifier = Verifier(prepared().take())
    for confirm_p in (CONFIRM_P, b"", bytes(32)):
        with raises(ProofError):
            verifier.finish(confirm_p)


def test_s3_w0_and_l_of_no_use_are_refused_before_anything_is_made():
    def no_random(size):
        raise AssertionError("drawn")

    for w0 in (bytes(32), p256.N.to_bytes(32, "big"), b"\xff" * 32, W0[1:], W0 + b"\x00", b""):
        with raises(ValueError):
            Prepared(w0, L, no_random)
    x, y = p256.decode_point(L)
    for l_point in (b"\x00", bytes(65), L[:64], L + b"\x00", b"\x02" + L[1:33], p256.encode_point((x, y ^ 1))):
        with raises(p256.PointError):
            Prepared(W0, l_point, no_random)
    assert Prepared((p256.N - 1).to_bytes(32, "big"), L, generator(Y)).step() is False


def test_s2_whatever_differs_gives_other_confirmations():
    other_w0 = (int.from_bytes(W0, "big") ^ 1).to_bytes(32, "big")
    other_l = p256.encode_point(p256.multiply_base(W1 ^ 1))
    seen = {CONFIRM_V}
    for verifier, changed in (
        (Verifier(prepared(w0=other_w0).take()), {}),
        (Verifier(prepared(l_point=other_l).take()), {}),
        (Verifier(prepared().take()), {"context": b""}),
        (Verifier(prepared().take()), {"id_prover": b""}),
        (Verifier(prepared().take()), {"id_verifier": b"serverr"}),
        (Verifier(prepared().take()), {"id_prover": ID_VERIFIER, "id_verifier": ID_PROVER}),
        (Verifier(prepared().take()), {"id_prover": b"clients", "id_verifier": b"erver"}),
    ):
        _, confirm_v = respond(verifier, **changed)
        seen.add(confirm_v)
        with raises(ProofError):
            verifier.finish(CONFIRM_P)
    assert len(seen) == 8


def test_s2_context_tells_version_salt_and_iterations():
    salt = b"s" * 16
    assert spake2plus.exchange_context(1, salt, 10_000) == b"inkan phone 1" + salt + b"\x10\x27\x00\x00"
    contexts = set()
    for protocol, salt, iterations in (
        (1, b"s" * 16, 10_000),
        (2, b"s" * 16, 10_000),
        (1, b"t" * 16, 10_000),
        (1, b"s" * 16, 10_001),
    ):
        contexts.add(spake2plus.exchange_context(protocol, salt, iterations))
    assert len(contexts) == 4
