"""The phone's page without a browser: types, RFC 9383's vectors, the worked example, checks, relay; run by Node.

What has to be as in firmware and server is written to a file of vectors by them, here, and read by tests/*.test.ts.
"""

import hashlib
import json
import os
import random
import subprocess

import pytest

from firmware import unique_info, wire
from firmware.errors import FieldError
from firmware.link.channel import MODULE, SessionKeys
from tests import protocol_example
from tools.derivation import derive_w
from tools.setup import BUILD, SetupError, locked, phone

_FIELDS = (0x11, 0x12, 0x13, 0x14, 0x21, 0x31, 0x41, 0x42, 0x43, 0x51, 0x52, 0x53)
_TEXTS = (
    *("", " ", "\u3000", "x", "山田 太郎", "\u3000山田\u3000", "a\tb", "a\u200eb"),
    *("a\u202eb", "\ufeff", "\ue000", "\ufdd0", "\x7f", "\x85", "e\u0301" * 20),
    *("x" * 40, "x" * 41, "x" * 100, "x" * 101, "山" * 40, "山" * 41, "𠮷" * 40, "𠮷" * 41),
    *("1234567", "123-4567", "12-34567", "123-456", "123--4567", "12345678", "１２３４５６７", "123 4567", "-", "123-"),
    *("0123456789012345678901", "01-2345-6789-0123-4567-8901", "10 1234567890123456 7890", "1112345678901234567890"),
    *("0012345678901234567890", "01", "99" * 11, "01234567890123456789012", "abc", "0", "1", "00001", "999999"),
    *("1000000", "9999999", "10000000", "00000000001", "12345678901", "-1", "+1", "1.5", "0x10", "ABC-123", "a_b"),
    *("https://pps.example.jp", "https://pps.example.jp/", "https://pps.example.jp//", "https://pps.example.jp:443"),
    *("https://pps.example.jp:8443/", "HTTPS://PPS.EXAMPLE.JP", "http://pps.example.jp", "https://", "https:///"),
    *("https://a..b", "https://-a.b", "https://a-.b", "https://a.b:", "https://a.b:0", "https://a.b:65535", "https://a"),
    *("https://a.b:65536", "https://a.b:01", "https://a.b:1:2", "https://1.2.3.4", "https://1.2.3", "https://1.2.3.256"),
    *("https://1.2.3.04", "https://a.1b", "https://a.b/c", "https://a b", "https://a_b", "https://é.jp", "https://a?b"),
    *("https://" + "a" * 63 + ".jp", "https://" + "a" * 64 + ".jp", "https://" + "a." * 46),
    *("https://u@a.b", "ftp://a.b", " https://a.b ", "https://a.b\n", "https://a.b:80\n", "1\n", "a\n", "abc-z"),
)
_ALPHABET = "0123456789abzAZ-. :/@_\u3000山é\t"


def cases():
    """(field id, text, what the firmware's check says) for fixed texts and random ones."""
    generator = random.Random(1)
    drawn = ["".join(generator.choices(_ALPHABET, k=generator.randint(1, 24))) for _ in range(100)]
    drawn += ["".join(generator.choices("0123456789", k=generator.randint(1, 24))) for _ in range(60)]
    for field_id in _FIELDS:
        kind = unique_info.FIELDS[field_id][1]
        for text in (*_TEXTS, *drawn):
            try:
                value = unique_info.check(field_id, text)
            except FieldError as error:
                yield field_id, text, {"reason": error.reason}
            else:
                if kind == unique_info.NUMBER:
                    yield field_id, text, {"value": str(int.from_bytes(value, "little"))}
                else:
                    yield field_id, text, {"value": value.decode()}


def derivation():
    given = {"password": "87654321", "userId": "12345678", "serial": "INK-00000001", "iterations": 1000}
    salt = bytes(range(16))
    w0, w1 = derive_w(given["userId"], given["password"], given["serial"], salt, given["iterations"])
    return {**given, "salt": salt.hex(), "w0": hex(w0), "w1": hex(w1)}


def sealed():
    """Frames as a module seals them."""
    k_shared = hashlib.sha256(b"a shared key").digest()
    channel = SessionKeys(k_shared).channel(MODULE)
    frames = []
    for number, message in enumerate((b"\x96\x01", bytes(range(256)) * 3, b"x" * wire.MESSAGE_MAX)):
        buffer = bytearray(wire.FRAME_BUFFER_SIZE)
        memoryview(buffer)[wire.MESSAGE_AT : wire.MESSAGE_AT + len(message)][:] = message
        end = channel.seal(buffer, len(message), hashlib.sha256(bytes((number,))).digest()[:16])
        frames.append((buffer[wire.FRAME_HEAD_SIZE : end].hex(), message.hex()))
    return {"kShared": k_shared.hex(), "frames": frames}


def worked_example():
    told = protocol_example.example()
    return [(name, value.hex() if isinstance(value, bytes) else str(value)) for name, value in told]


def names():
    # One of the firmware's names is another word for the same number.
    enrol = ["not_reached" if name == "unreachable" else name for name in wire.ENROL_REASONS[1:]]
    return {
        "refusals": wire.REFUSALS[1:],
        "states": wire.STATES,
        "endings": wire.ENDINGS[1:],
        "errors": wire.ERRORS[1:],
        "fieldReasons": wire.FIELD_REASONS[1:],
        "enrolReasons": enrol,
    }


@pytest.fixture(scope="module")
def node():
    """Path of node; sources and packages of the page are laid out."""
    try:
        with locked("setup"):
            return phone.prepare()
    except SetupError as error:
        pytest.fail(str(error))


@pytest.mark.parametrize("project", ["tsconfig.json", "tsconfig.worker.json", "tsconfig.tests.json"])
def test_types_are_strict_and_sound(node, project):
    phone.run(node, phone.WORKPLACE / "node_modules" / "typescript" / "bin" / "tsc", "--noEmit", "-p", project)


def test_units_of_the_page_hold(node, tmp_path):
    vectors = tmp_path / "vectors.json"
    contents = {
        "fields": list(cases()),
        "derivation": derivation(),
        "sealed": sealed(),
        "example": worked_example(),
        "names": names(),
    }
    vectors.write_text(json.dumps(contents))
    units = tmp_path / "units"
    phone.vite(node, "build", "--config", "vite.tests.config.ts", "--logLevel", "warn", INKAN_PHONE_UNITS=str(units))
    built = sorted(units.glob("*.test.js"))
    assert len(built) == len(list((phone.WORKPLACE / "tests").glob("*.test.ts")))
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", *built],
        env={**os.environ, "INKAN_PHONE_VECTORS": str(vectors)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "# fail 0" in done.stdout and "# skipped 0" in done.stdout


def test_lock_file_names_no_registry():
    text = (phone.WORKPLACE / "package-lock.json").read_text() + (phone.WORKPLACE / ".npmrc").read_text()
    assert '"resolved"' not in text and "registry." not in text and "omit-lockfile-registry-resolved=true" in text


def test_built_page_is_not_older_than_its_sources():
    with locked("setup"):
        phone.ensure()
        assert phone.ensure() is False
    built = {path.name for path in (BUILD / "phone").iterdir()}
    assert {"index.html", "worker.js", "manifest.webmanifest", "seal.svg", "assets"} <= built
