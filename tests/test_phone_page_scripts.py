"""The scripts of docs/phone.md: guided flows as `inkan-phone` takes them, against docs/lifecycle.md."""

import re

from firmware import unique_info
from tools.phone import cli
from tools.setup import ROOT

# What may be in a script of a flow: a command, or the fields that one `set` gives.
_STEPS = {
    "new_resident": ["delete customer", ["customer_name", "postal_code", "address", "contract_number"]],
    "new_pps": ["enrol", ["contract_number"]],
    "moved": [["site_id", "postal_code", "address"]],
    "equipment": [["pv_capacity_w", "battery_capacity_wh", "ev_capacity_wh"]],
}


def scripts():
    """{flow: its lines} out of the document."""
    text = (ROOT / "docs" / "phone.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("A guided flow (")
    block = re.search(r"^(?: {4}.*\n|\n)+", rest[rest.index("\n") :], re.MULTILINE)[0]
    found = re.split(r"^ {4}# (\w+).*\n", block, flags=re.MULTILINE)
    assert not found[0].strip()
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_scripts_of_the_guided_flows_are_taken_and_do_their_steps_in_order(tmp_path):
    written = scripts()
    assert list(written) == list(_STEPS)
    for flow, lines in written.items():
        path = tmp_path / flow
        path.write_text(lines, encoding="utf-8")
        commands = [cli._parsed(words) for words in cli._lines(path)]
        assert len(commands) == len(_STEPS[flow]), flow
        for options, step in zip(commands, _STEPS[flow], strict=True):
            if options.command == "set":
                values = dict(value.split("=", 1) for value in options.values)
                assert list(values) == [name for name in step if name in values], flow
                # Only where nothing was deleted before may a field be left out.
                assert flow == "equipment" or list(values) == step, flow
                for name, value in values.items():
                    unique_info.check(_id_of(name), value)
            elif options.command == "delete":
                assert (f"delete {options.group}", options.fields) == (step, []), flow
            else:
                assert options.command == step, flow


def _id_of(name):
    return next(field_id for field_id, field in unique_info.FIELDS.items() if field[0] == name)
