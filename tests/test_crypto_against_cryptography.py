"""firmware.crypto on both interpreters against `cryptography` and the phone's prover, on random inputs."""

import hashlib
import hmac
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from firmware.crypto import p256, p256_base
from tools.phone.spake2plus import Prover, ProverError, exchange_context
from tools.pps.services.credentials import derive_verifier
from tools.setup import BUILD, ROOT

CURVE = ec.SECP256R1()
MICROPYTHON = [str(BUILD / "bin" / "micropython"), "-X", "heapsize=2M"]


# The stand-ins for MicroPython's modules must be there before the firmware is.
ON_CPYTHON = "import runpy, sys, tools.compat; runpy.run_module(sys.argv[2], run_name='__main__')"


def on_micropython(arguments, text=""):
    return run_process([*MICROPYTHON, *arguments], text)


def on_cpython(arguments, text=""):
    return run_process([sys.executable, "-c", ON_CPYTHON, *arguments], text)


def run_process(command, text):
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen"),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["cpython", "micropython"])
def run(request):
    """Callable: a list of calls for tests/crypto_batch.py to the list of their results."""
    interpreter = on_cpython if request.param == "cpython" else on_micropython

    def run_batch(calls):
        text = "".join(json.dumps(call) + "\n" for call in calls)
        results = [json.loads(line) for line in interpreter(["-m", "tests.crypto_batch"], text).splitlines()]
        assert len(results) == len(calls)
        return results

    return run_batch


@pytest.fixture
def rng():
    """A random generator; its seed is printed when the test fails."""
    seed = random.SystemRandom().getrandbits(64)
    print(f"seed {seed}")
    return random.Random(seed)


def random_bytes(rng, longest, shortest=0):
    return rng.randbytes(rng.randint(shortest, longest))


def random_scalar(rng):
    """Uniform, or with the long runs of equal bits that carries stumble over."""
    if rng.random() < 0.5:
        return rng.randrange(1, p256.N)
    k = 0
    for _ in range(rng.randint(1, 6)):
        k ^= (1 << rng.randint(0, 256)) - 1
    return k % p256.N or 1


def base_multiple(k):
    numbers = ec.derive_private_key(k, CURVE).public_key().public_numbers()
    return numbers.x, numbers.y


def expect(calls, results, expected):
    for call, result, wanted in zip(calls, results, expected, strict=True):
        assert result == wanted, call


def test_hmac(run, rng):
    calls, expected = [], []
    for _ in range(60):
        key, parts = random_bytes(rng, 150), [random_bytes(rng, 100) for _ in range(3)]
        mac = HMAC(key, hashes.SHA256())
        mac.update(b"".join(parts))
        calls.append(["hmac", key.hex(), *[part.hex() for part in parts]])
        expected.append(mac.finalize().hex())
    expect(calls, run(calls), expected)


def test_hkdf(run, rng):
    calls, expected = [], []
    for _ in range(40):
        ikm, salt, info = random_bytes(rng, 80, 1), random_bytes(rng, 80), random_bytes(rng, 40)
        length = rng.randint(1, 200)
        calls.append(["hkdf", ikm.hex(), info.hex(), length, salt.hex()])
        expected.append(HKDF(hashes.SHA256(), length, salt, info).derive(ikm).hex())
    expect(calls, run(calls), expected)


def test_pbkdf2(run, rng):
    calls, expected = [], []
    for _ in range(30):
        password, salt, iterations = random_bytes(rng, 80), random_bytes(rng, 40), rng.randint(1, 200)
        calls.append(["pbkdf2", password.hex(), salt.hex(), iterations, rng.randint(1, 60)])
        expected.append(PBKDF2HMAC(hashes.SHA256(), 32, salt, iterations).derive(password).hex())
    expect(calls, run(calls), expected)


def seal_by_cryptography(key, iv, context, plaintext):
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key[:32]), modes.CBC(iv)).encryptor()
    body = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    mac = HMAC(key[32:], hashes.SHA256())
    mac.update(len(context).to_bytes(2, "little") + context + iv + body)
    return iv + body + mac.finalize()


def test_r2_seal_and_open(run, rng):
    calls, expected = [], []
    for _ in range(60):
        key, iv = rng.randbytes(64), rng.randbytes(16)
        context, plaintext = random_bytes(rng, 300), random_bytes(rng, 1200)
        message = seal_by_cryptography(key, iv, context, plaintext)
        calls.append(["seal", key.hex(), iv.hex(), context.hex(), plaintext.hex()])
        expected.append(message.hex())
        calls.append(["open", key.hex(), context.hex(), message.hex()])
        expected.append(plaintext.hex())
        forged = bytearray(message)
        forged[rng.randrange(len(forged))] ^= 1 << rng.randrange(8)
        calls.append(["open", key.hex(), context.hex(), forged.hex()])
        expected.append(None)
    expect(calls, run(calls), expected)


def generate_by_hmac(entropy, nonce, personalization, sizes, reseed):
    """SP 800-90A rev. 1, 10.1.2, on the standard library's HMAC."""

    def update(data):
        nonlocal key, value
        for separator in b"\x00\x01" if data else b"\x00":
            key = hmac.digest(key, value + bytes([separator]) + data, "sha256")
            value = hmac.digest(key, value, "sha256")

    key, value, out = bytes(32), b"\x01" * 32, []
    update(entropy + nonce + personalization)
    for size in [*sizes, None]:
        if size is None:
            update(reseed)
        block = b""
        while len(block) < (size or 32):
            value = hmac.digest(key, value, "sha256")
            block += value
        update(b"")
        out.append(block[: size or 32].hex())
    return out


def test_s17_drbg(run, rng):
    calls, expected = [], []
    for _ in range(20):
        entropy, reseed = random_bytes(rng, 64, 32), random_bytes(rng, 64, 32)
        nonce, personalization = random_bytes(rng, 32), random_bytes(rng, 64)
        sizes = [rng.randint(1, 100) for _ in range(4)]
        calls.append(["generate", entropy.hex(), nonce.hex(), personalization.hex(), sizes, reseed.hex()])
        expected.append(generate_by_hmac(entropy, nonce, personalization, sizes, reseed))
    expect(calls, run(calls), expected)


def test_p256_multiples(run, rng):
    calls, expected = [], []
    for _ in range(40):
        k, d = random_scalar(rng), random_scalar(rng)
        x, y = base_multiple(d)
        calls.append(["multiply", f"{k:x}", f"{x:x}", f"{y:x}"])
        expected.append([f"{value:x}" for value in base_multiple(k * d % p256.N)])
        calls.append(["multiply_base", f"{k:x}"])
        expected.append([f"{value:x}" for value in base_multiple(k)])
    expect(calls, run(calls), expected)


def test_p256_every_single_bit(run):
    scalars = [1 << bit for bit in range(256)] + [p256.N - (1 << bit) for bit in range(255)]
    calls = [["multiply_base", f"{k:x}"] for k in scalars]
    expect(calls, run(calls), [[f"{value:x}" for value in base_multiple(k)] for k in scalars])


def test_p256_base_table_is_what_its_docstring_says():
    assert len(p256_base.TABLE) == 2048
    for half in range(2):
        for index in range(16):
            signs = [1 if index >> tooth & 1 else -1 for tooth in range(4)]
            k = (1 << 208) + sum(sign << 52 * tooth for tooth, sign in enumerate(signs))
            x, y = base_multiple((k << 26 * half) % p256.N)
            at = 64 * (16 * half + index)
            expected = x.to_bytes(32, "big") + (2 * y % p256.P).to_bytes(32, "big")
            assert p256_base.TABLE[at : at + 64] == expected, (half, index)


def test_ecdsa(run, rng):
    calls, keys, digests = [], [], []
    for _ in range(25):
        keys.append(ec.derive_private_key(random_scalar(rng), CURVE))
        digests.append(rng.choice((rng.randbytes(32), b"\xff" * 16 + rng.randbytes(16))))
        private = keys[-1].private_numbers().private_value
        calls.append(["sign", f"{private:x}", digests[-1].hex()])
    prehashed = utils.Prehashed(hashes.SHA256())
    for key, digest, result in zip(keys, digests, run(calls), strict=True):
        signature = bytes.fromhex(result)
        key.public_key().verify(signature, digest, ec.ECDSA(prehashed))
        assert signature == key.sign(digest, ec.ECDSA(prehashed, deterministic_signing=True))


def test_r15_certificate_request(run, rng):
    names = ["INK-00000001", "n", "n" * 64, "受電箱1号"]
    privates = [random_scalar(rng) for _ in names]
    results = run([["request", f"{k:x}", name] for k, name in zip(privates, names, strict=True)])
    for private, name, result in zip(privates, names, results, strict=True):
        request = x509.load_der_x509_csr(bytes.fromhex(result))
        assert request.is_signature_valid
        assert request.signature_hash_algorithm.name == "sha256"
        assert request.subject == x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        numbers = request.public_key().public_numbers()
        assert (numbers.x, numbers.y) == base_multiple(private)
        assert list(request.extensions) == [] and list(request.attributes) == []


def test_private_key(run, rng):
    privates = [1, p256.N - 1, random_scalar(rng)]
    for private, result in zip(privates, run([["private_key", f"{k:x}"] for k in privates]), strict=True):
        key = serialization.load_der_private_key(bytes.fromhex(result), None)
        assert key.private_numbers().private_value == private
        assert key.curve.name == CURVE.name


def a_credential(rng):
    """ID, password, serial, salt and iterations, as a server and its modules have them."""
    digits = "".join(rng.choices("0123456789", k=24))
    return digits[:8], digits[8 : rng.randint(16, 24)], f"INK-{rng.randrange(10**8):08}", rng.randbytes(16), 1000


def verify_calls(credentials, randoms, shares, confirms):
    calls = []
    for credential, drawn, share_p, confirm_p in zip(credentials, randoms, shares, confirms, strict=True):
        w0, l_point = derive_verifier(*credential)
        context, serial = exchange_context(1, *credential[3:]), credential[2].encode()
        calls.append(["verify", *(part.hex() for part in (w0, l_point, drawn, share_p, context, serial, confirm_p))])
    return calls


def test_r12_r18_the_phone_s_proof_and_the_module_s_judgement_meet(run, rng):
    """The same exchange twice on the module: to hear its answer, then to judge what the phone says to that."""
    credentials = [a_credential(rng) for _ in range(6)]
    provers = [Prover.of_user(*credential, 1) for credential in credentials]
    shares = [prover.start() for prover in provers]
    randoms = [rng.randbytes(40) for _ in credentials]
    nothing = [b""] * len(credentials)
    answers = run(verify_calls(credentials, randoms, shares, nothing))
    assert [answer[2:] for answer in answers] == [["proof"]] * len(credentials)
    proofs = [
        prover.finish(*map(bytes.fromhex, answer[:2])) for prover, answer in zip(provers, answers, strict=True)
    ]
    judged = run(verify_calls(credentials, randoms, shares, [confirm_p for confirm_p, _ in proofs]))
    for (_, k_shared), answer, result in zip(proofs, answers, judged, strict=True):
        assert result == [*answer[:2], k_shared.hex()]


def test_s2_a_proof_for_another_module_or_another_credential_fails(run, rng):
    credentials, provers = [], []
    for place in range(4):  # ID, password, serial, salt
        credential = a_credential(rng)
        other = list(credential)
        other[place] = a_credential(rng)[place]
        credentials.append(credential)
        provers.append(Prover.of_user(*other, 1))
    shares = [prover.start() for prover in provers]
    randoms = [rng.randbytes(40) for _ in credentials]
    answers = run(verify_calls(credentials, randoms, shares, [b""] * 4))
    # What a phone would say that sends its confirmation unchecked.
    confirms = [
        prover._answer(prover._x, bytes.fromhex(answer[0]))[0] for prover, answer in zip(provers, answers, strict=True)
    ]
    assert [result[2:] for result in run(verify_calls(credentials, randoms, shares, confirms))] == [["proof"]] * 4
    for prover, answer in zip(provers, answers, strict=True):
        with pytest.raises(ProverError) as refused:
            prover.finish(*map(bytes.fromhex, answer[:2]))
        assert refused.value.code == "confirm"


def test_sealing_and_key_derivation_load_no_curve(run):
    for name in ("seal", "kdf", "drbg", "spake2plus"):
        (loaded,) = run([["modules_after", f"firmware.crypto.{name}"]])
        assert f"firmware.crypto.{name}" in loaded
        assert not {"firmware.crypto.p256", "firmware.crypto.p256_base", "firmware.crypto.ecdsa"} & set(loaded)
    (loaded,) = run([["modules_after", "firmware.crypto.p256"]])
    assert loaded == ["firmware.crypto.p256"]


def certificate(issuer_key, issuer_name, public_key, name, is_ca, host=None):
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if host:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def common_name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


TLS_CLIENT = """
import socket, sys, tls
from binascii import unhexlify
certificate, key, ca, port = [unhexlify(line) for line in sys.stdin.read().split()]
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
try:
    context.load_cert_chain(certificate, key)
except (ValueError, OSError) as error:
    print("refused")
    sys.exit()
context.load_verify_locations(ca)
context.verify_mode = tls.CERT_REQUIRED
connection = socket.socket()
connection.connect(socket.getaddrinfo("127.0.0.1", int.from_bytes(port, "big"))[0][-1])
stream = context.wrap_socket(connection, server_hostname="localhost")
stream.write(b"ping")
print(stream.read(4).decode())
"""


def test_r7_the_module_s_key_and_certificate_authenticate_it_in_tls(rng, tmp_path):
    """Key and request made on MicroPython, certificate by `cryptography`, handshake by MicroPython's tls."""
    private = random_scalar(rng)
    calls = [["request", f"{private:x}", "INK-00000001"], ["private_key", f"{private:x}"]]
    text = "".join(json.dumps(call) + "\n" for call in calls)
    lines = on_micropython(["-m", "tests.crypto_batch"], text).split()
    request_der, key_der = (bytes.fromhex(json.loads(line)) for line in lines)
    request = x509.load_der_x509_csr(request_der)

    ca_key, server_key = ec.generate_private_key(CURVE), ec.generate_private_key(CURVE)
    ca_name = common_name("test CA")
    ca = certificate(ca_key, ca_name, ca_key.public_key(), ca_name, True)
    server = certificate(ca_key, ca_name, server_key.public_key(), common_name("localhost"), False, "localhost")
    module = certificate(ca_key, ca_name, request.public_key(), request.subject, False)

    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    chain = tmp_path / "server.pem"
    chain.write_bytes(
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + server.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    context.load_verify_locations(cadata=ca.public_bytes(der))
    context.verify_mode = ssl.CERT_REQUIRED

    seen = []

    def serve(listener):
        with listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as stream:
            seen.append((stream.recv(4), stream.getpeercert(binary_form=True)))
            stream.sendall(b"pong")

    script = tmp_path / "client.py"
    script.write_text(TLS_CLIENT)

    def client(key):
        fields = (module.public_bytes(der), key, ca.public_bytes(der), port.to_bytes(2, "big"))
        return on_micropython([str(script)], "\n".join(field.hex() for field in fields)).strip()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        assert client(key_der) == "pong"
        thread.join(30)
    assert seen == [(b"ping", module.public_bytes(der))]
    assert client(key_der[:-5]) == "refused"


def test_the_batch_runner_itself_can_fail(run):
    (result,) = run([["hmac", "00", ""]])
    assert result == hmac.digest(b"\x00", b"", hashlib.sha256).hex()
    with pytest.raises(AssertionError):
        run([["no such call"]])
