"""The documents: every number has its place, every link leads somewhere, nothing points out of the tree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted((ROOT / "docs").glob("*.md")) + [path for path in [ROOT / "README.md"] if path.exists()]
IDS = [path.name for path in DOCUMENTS]
REQUIREMENTS = [f"R{number}" for number in range(1, 30)]
DECISIONS = [f"S{number}" for number in range(1, 22)] + ["SA", "SB"]

# The numbers that a test's name begins with: test_s9_..., test_r2_s9_...
_NUMBERS = re.compile(r"^(?:async )?def test_((?:(?:r\d+|s\d+|sa|sb)_)+)", re.MULTILINE)
_STAGE = re.compile(r"\b(?:now|not built|with the BLE phone|with energy)\b")
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINKS = (
    re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)"),  # [text](target "title") and ![picture](target)
    re.compile(r"^\[[^\]]+\]:\s*<?([^\s>]+)", re.MULTILINE),  # [name]: target
    re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=[\"']([^\"']+)"),
)
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# A folder of the machine on which something was written, not of the project.
_MACHINE_PATH = re.compile(r"(?<![\w.:/~$}>*-])/(?:work|tmp|home|root|mnt|Users)(?:/|\b)")
_UPWARD_PATH = re.compile(r"(?<![\w/])(?:\.\./)+[\w.-]+(?:/[\w.-]+)*")


def sections(text):
    """Third-level headings of a document and what stands below each, in order."""
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)
    bodies = [re.split(r"^## ", body, flags=re.MULTILINE)[0] for body in parts[2::2]]
    return list(zip(map(str.strip, parts[1::2]), bodies, strict=True))


def anchors(text):
    """Fragments that a Markdown text offers, made as GitHub makes them from headings."""
    found = set(re.findall(r"<a\s+(?:id|name)=[\"']([^\"']+)", text))
    for heading in re.findall(r"^#{1,6} (.+?)\s*#*$", _FENCE.sub("", text), flags=re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        unique, number = slug, 0
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found


def broken_links(text, folder):
    """Relative link targets in `text`, a document of `folder`, that lead nowhere or out of the tree."""
    prose = _INLINE_CODE.sub("", _FENCE.sub("", text))
    broken = []
    for target in (match for pattern in _LINKS for match in pattern.findall(prose)):
        if _SCHEME.match(target) or target.startswith("//"):
            continue
        path, _, fragment = target.partition("#")
        file = (folder / path).resolve() if path else None
        if file and not (file.is_relative_to(ROOT) and file.exists()):
            broken.append(target)
        elif fragment and (file is None or file.suffix == ".md"):
            there = file.read_text(encoding="utf-8") if file else text
            if fragment not in anchors(there):
                broken.append(target)
    return broken


def foreign_paths(text, folder):
    """Paths in `text` that belong to somebody's machine or leave the project."""
    found = [match.group() for match in _MACHINE_PATH.finditer(text)]
    for match in _UPWARD_PATH.finditer(text):
        file = (folder / match.group()).resolve()
        if not file.is_relative_to(ROOT) or not file.exists():
            found.append(match.group())
    return found


def test_every_requirement_has_a_heading_in_order():
    text = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    assert [title for title, _ in sections(text)] == REQUIREMENTS


def test_every_decision_has_a_heading_in_order():
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert [title for title, _ in sections(text)] == DECISIONS


def stands(body):
    """The lines of a section that say where it stands."""
    return re.findall(r"^- \*Where it stands:\* (.+)$", body, flags=re.MULTILINE)


def numbers_tested():
    """R and S numbers, in upper case, that names of tests begin with."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    return {
        number.upper() for text in texts for found in _NUMBERS.findall(text) for number in found.split("_") if number
    }


@pytest.mark.parametrize("name", ["requirements.md", "security.md"])
def test_every_number_says_once_where_it_stands(name):
    for title, body in sections((ROOT / "docs" / name).read_text(encoding="utf-8")):
        assert len(stands(body)) == 1, title
        assert _STAGE.search(stands(body)[0]), title


@pytest.mark.parametrize("name", ["requirements.md", "security.md"])
def test_every_number_that_stands_now_has_a_test(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    now = {title for title, body in sections(text) if re.search(r"\bnow\b", stands(body)[0])}
    assert len(now) > 15
    assert now - numbers_tested() == set()


def test_tests_carry_no_number_that_is_not_there():
    assert numbers_tested() - set(REQUIREMENTS) - set(DECISIONS) == set()


def test_numbers_are_read_from_the_beginning_of_a_name():
    names = "def test_r2_s9_a_cut():\nasync def test_sa_code():\ndef test_s4():\ndef test_a_r3_b():\n"
    assert _NUMBERS.findall(names) == ["r2_s9_", "sa_"]


def test_every_decision_has_attack_decision_and_the_prefix_of_its_tests():
    for title, body in sections((ROOT / "docs" / "security.md").read_text(encoding="utf-8")):
        parts = re.findall(r"^- \*\*(Attack|Decision|Test)\.\*\*", body, flags=re.MULTILINE)
        assert parts == ["Attack", "Decision", "Test"], title
        assert f"- **Test.** `test_{title.lower()}_...`: " in body, title


def test_the_threat_model_names_every_attacker():
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    for attacker in (
        "Thief with a soldering iron",
        "Technician with an old credential",
        "False server",
        "Network owner",
        "Previous resident",
        "PPS's ex-employee",
        "Curious neighbour",
    ):
        assert f"**{attacker}.**" in text, attacker


def test_the_threat_models_limits_are_numbered_without_a_gap():
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    limits = re.findall(r"^- \*\*L(\d+) ", text, flags=re.MULTILINE)
    assert limits == [str(number) for number in range(1, len(limits) + 1)]
    assert {int(number) for number in re.findall(r"\bL(\d+)\b", text)} <= set(range(1, len(limits) + 1))


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_relative_links_resolve(document):
    assert broken_links(document.read_text(encoding="utf-8"), document.parent) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_documents_name_no_path_outside_the_project(document):
    assert foreign_paths(document.read_text(encoding="utf-8"), document.parent) == []


def test_a_broken_link_is_found():
    docs = ROOT / "docs"
    assert broken_links("[a](missing.md) ![b](missing.png)\n\n[c]: gone.md\n<img src='no.png'>", docs) == [
        "missing.md",
        "missing.png",
        "gone.md",
        "no.png",
    ]
    assert broken_links("[a](security.md#s22)", docs) == ["security.md#s22"]
    assert broken_links("# One\n[a](#one) [b](#two)", docs) == ["#two"]
    assert broken_links("[a](../../elsewhere.md)", docs) == ["../../elsewhere.md"]


def test_a_good_link_and_code_are_left_alone():
    links = "[a](security.md#s9) [b](https://example.com/x) [c](mailto:a@example.com)"
    text = links + "\n\n```\n[d](missing.md)\n```\n`[e](missing.md)`"
    assert broken_links(text, ROOT / "docs") == []


def test_a_foreign_path_is_found():
    docs = ROOT / "docs"
    for folder in ("work", "tmp", "home", "root"):
        assert foreign_paths(f"see `/{folder}/x.md`", docs) == [f"/{folder}/"]
        assert foreign_paths(f"(/{folder})", docs) == [f"/{folder}"]
    outside = "/".join(["..", "elsewhere", "NOTES.md"])
    assert foreign_paths(f"see {outside}", docs) == [outside]


def test_an_inner_path_and_an_address_are_left_alone():
    text = "../docs/security.md, `build/home/x`, https://example.com/home/x, `POST /v1/home`, /dev/ttyACM0"
    assert foreign_paths(text, ROOT / "docs") == []
