"""The JSON reader: all of RFC 8259 and nothing else, within its budget."""

import gc
import json
import sys

from link_random import Random

from firmware import settings
from firmware.errors import LinkError
from firmware.link.json_reader import read_json
from tests.dual import raises

_BUDGET = settings.LINK_JSON_MAX_BYTES


def _read(text, budget=_BUDGET):
    data = text if isinstance(text, bytes) else text.encode()
    return read_json(memoryview(bytearray(data)), budget)


def _code(text, budget=_BUDGET):
    with raises(LinkError) as caught:
        _read(text, budget)
    return caught.value.code


def test_values():
    for text, value in (
        ("null", None),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-0", 0),
        ("-12", -12),
        ("4294967296", 4294967296),
        ("1.5", 1.5),
        ("-1.5e3", -1500.0),
        ("1E+2", 100.0),
        ('""', ""),
        ('"a b"', "a b"),
        ('"印鑑"', "印鑑"),
        ('"\\u5370\\u9451"', "印鑑"),
        ('"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\/\b\f\n\r\t'),
        ('"\\ud83c\\udfe0x"', "\U0001f3e0x"),
        ("[]", []),
        ("{}", {}),
        (' [ 1 , [ ] , { "a" : { } } ] ', [1, [], {"a": {}}]),
        ('\t{"a":[{"b":[[1]]}],"c":null}\r\n', {"a": [{"b": [[1]]}], "c": None}),
    ):
        found = _read(text)
        assert found == value, text
        assert type(found) is type(value), text


def test_r27_a_text_of_nothing_but_escapes_takes_no_more_heap_than_twice_its_length():
    """Text that grew with each escape would take the square of it, and the time to collect that."""
    size = 2000
    data = memoryview(bytearray(b'"' + b"\\n" * size + b'"'))
    allocated = getattr(gc, "mem_alloc", lambda: 0)  # CPython does not tell
    gc.collect()
    gc.disable()
    before = allocated()
    text = read_json(data, _BUDGET)
    taken = allocated() - before
    gc.enable()
    assert text == "\n" * size
    assert taken <= 2 * size, taken


def test_the_same_as_the_interpreters_own_for_what_the_interpreter_writes():
    message = {
        "credential": {"sequence": 6, "w0": "0f" * 32, "scope": {"see": ["customer", "site"], "recover": False}},
        "revoked": 5,
        "text": '"\\\n',
    }
    assert _read(json.dumps(message)) == message


def test_r27_what_is_no_json_is_named():
    for text in (
        "",
        " ",
        "nul",
        "nulls",
        "True",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        ".5",
        "1.",
        "1.e2",
        "1e",
        "1e+",
        "1-2",
        "1.2.3",
        "0x10",
        "1_0",
        "9" * 21,
        '"',
        '"a',
        '"\\"',
        '"\\x"',
        '"\\u12"',
        '"\\u12_4"',
        '"\\u+123"',
        '"\\ud83c"',
        '"\\ud83cx"',
        '"\\ud83c\\u0041"',
        '"\\udfe0"',
        '"\n"',
        '"\0"',
        b'"\xff"',
        b'"\xe5\x8d"',
        "'a'",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "]",
        "{",
        '{"a"',
        '{"a":',
        '{"a":1',
        '{"a":1,',
        '{"a":1,}',
        '{"a" 1}',
        '{"a",1}',
        "{1:2}",
        "{a:1}",
        '{"a":1,"a":1}',
        '{"a":1]',
        "{}{}",
        "{} x",
        "[" * 7 + "]" * 7,
    ):
        assert _code(text) == "bad_json", text


def test_r27_what_would_take_too_much_heap_is_named():
    assert _read("[" + "0," * 19 + "0]") == [0] * 20
    assert _code("[" + "0," * 20 + "0]") == "too_large"
    assert _code("{" + ",".join('"%d":0' % n for n in range(21)) + "}") == "too_large"
    assert _code('"' + "x" * _BUDGET + '"') == "too_large"
    assert _code("[[0],[0],[0],[0]]", 500) == "too_large"
    texts = '"' + "x" * 200 + '"'
    assert _code("[" + ",".join([texts] * 20) + "]") == "too_large"


def test_the_budget_leaves_room_for_every_answer_of_the_api():
    groups = ["customer", "usage_history", "site", "capacity", "connection"]
    longest = {
        "credential": {
            "sequence": 4294967295,
            "w0": "0" * 64,
            "l": "0" * 130,
            "salt": "0" * 32,
            "iterations": 100000,
            "password_digits": 16,
            "lifetime_s": 31536000,
            "max_successes": 1000,
            "max_failures": 100,
            "max_changes": 1000,
            "scope": {"see": groups, "change": groups, "delete": groups, "recover": False},
        },
        "revoked": 4294967295,
    }
    assert _read(json.dumps(longest)) == longest


_SEED = (
    '{"credential": {"sequence": 6, "w0": "0f", "scope": {"see": ["site", "x"], "recover": false}, "n": null},'
    ' "f": [-1.5e3, 0, true, 12], "revoked": 5, "t": "a\\u5370\\n\\ud83c\\udfe0\\""}'
).encode()
_BYTES = b'{}[]",:\\ue0-1.+ \n\x00\xff\xe5tfn'


def test_r27_garbage_is_a_link_error_or_what_it_says():
    random = Random(20260101)
    taken = 0
    for case in range(3000):
        data = bytearray(_SEED)
        for _ in range(1 + random.below(3)):
            at = random.below(len(data))
            byte = bytes((_BYTES[random.below(len(_BYTES))],))
            to = (at, at + 1, min(len(data), at + 1 + random.below(20)))[random.below(3)]
            data = data[:at] + (byte if random.below(3) else b"") + data[to:]
        try:
            value = _read(bytes(data))
        except LinkError:
            continue
        except Exception as error:
            raise AssertionError((case, bytes(data), error))
        taken += 1
        if sys.implementation.name == "cpython":
            assert value == json.loads(bytes(data))
    assert 100 < taken < 2000, taken
