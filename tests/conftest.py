"""Plugins and fixtures that every test shares.

Dual tests: each function `test_*` of tests/firmware/test_*.py becomes one item
per interpreter, `test_x.py::test_a[cpython]` and `test_x.py::test_a[micropython]`.
The file may set, at module level and as literals,

    INTERPRETERS = ("micropython",)   where it runs; default both
    HEAP = "256wK"                    MicroPython's heap; default 128wK, the microcontroller's
    HEAP = {"test_x": "512K"}         the same for these tests only
    TIMEOUT_S = 120                   default 60

On MicroPython firmware and tests run in place from a ROM image, as on the module,
and an item is a process of its own. The current folder is the repository's.
"""

import ast
import asyncio
import gc
import inspect
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.cut_counts import count_cuts, table
from tests.dual import Skip
from tests.on_micropython import command, environment, stage_tests
from tests.ready_database import copy_or_migrate
from tools import compat  # noqa: F401  puts the stand-ins on the path
from tools.pps.db import Database
from tools.setup import BUILD, ROOT, mip
from tools.setup.chromium import CHROMIUM_ARGUMENTS, find_chromium
from tools.setup.syntax import again
from tools.sim.house import HEAP

_DUAL_FOLDER = ROOT / "tests" / "firmware"
_DEFAULTS = {"INTERPRETERS": ("cpython", "micropython"), "HEAP": {}, "TIMEOUT_S": 60}
_LONG = ("tests/test_story_by_hand.py", "tests/test_demo.py", "tests/firmware/test_panel_machine.py")
_STAGE_FAULT = "INKAN_TEST_STAGE_FAULT"


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="accept the pictures as they are now")


def pytest_configure(config):
    if str(_DUAL_FOLDER) not in sys.path:
        sys.path.append(str(_DUAL_FOLDER))
    if not hasattr(config, "workerinput"):  # xdist's workers find it done
        os.environ[_STAGE_FAULT] = stage_tests()
    # A worker holds a great deal that stays, and each look through it for what is garbage costs an eighth of its time.
    gc.set_threshold(20_000, 20, 100)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Put the long ones first, so that none of them is what the last worker alone is at; after the random order."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


def pytest_terminal_summary(terminalreporter):
    """Say how many power cuts were made; the captured output of passed tests is not shown otherwise."""
    lines = table(count_cuts(report.capstdout for report in terminalreporter.getreports("passed")))
    if lines:
        terminalreporter.section("power cuts, on both interpreters together")
        for line in lines:
            terminalreporter.line(line)


def pytest_report_header():
    return f"aioble: {mip.choose().text}"


def pytest_pycollect_makemodule(module_path, parent):
    if module_path.is_relative_to(_DUAL_FOLDER):
        return DualModule.from_parent(parent, path=module_path)
    return None


class DualModule(pytest.Module):
    """A file of dual tests. It is parsed, not imported: some import only on MicroPython."""

    def collect(self):
        tree = ast.parse(self.path.read_text(), str(self.path))
        options = dict(_DEFAULTS)
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in options:
                options[node.targets[0].id] = ast.literal_eval(node.value)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for interpreter in options["INTERPRETERS"]:
                    yield DualItem.from_parent(
                        self,
                        name=f"{node.name}[{interpreter}]",
                        function=node.name,
                        interpreter=interpreter,
                        line=node.lineno,
                        options=options,
                    )


class DualFailure(Exception):
    """A dual test failed on MicroPython; the text is what it printed."""


class DualItem(pytest.Item):
    def __init__(self, *, function, interpreter, line, options, **rest):
        super().__init__(**rest)
        self.function_name = function
        self.interpreter = interpreter
        self.line = line
        heap = options["HEAP"]
        self.heap = heap.get(function, HEAP) if isinstance(heap, dict) else heap
        self.timeout_s = options["TIMEOUT_S"]

    def runtest(self):
        if self.interpreter == "micropython":
            self._run_on_micropython()
        else:
            self._run_on_cpython()

    def _run_on_cpython(self):
        # Pytest parses the file, and a house may be staged in another thread.
        function = getattr(again(self._module), self.function_name)

        def out_of_time(number, frame):
            raise TimeoutError(f"not done after {self.timeout_s} s")

        previous = signal.signal(signal.SIGALRM, out_of_time)
        signal.setitimer(signal.ITIMER_REAL, self.timeout_s + 1)
        try:
            result = function()
            if inspect.iscoroutine(result):
                asyncio.run(asyncio.wait_for(result, self.timeout_s))
        except Skip as reason:
            pytest.skip(str(reason))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    def _module(self):
        """The file's module, before the test's time begins; where it does not load, no half of it stays behind."""
        before = set(sys.modules)
        try:
            return self.parent.obj
        except BaseException:
            for name in set(sys.modules) - before:
                del sys.modules[name]
            raise

    def _run_on_micropython(self):
        arguments = (self.path.stem, self.function_name, self.timeout_s)
        try:
            done = subprocess.run(
                command("tests.mp_runner", *arguments, heap=self.heap),
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self.timeout_s + 5,
                check=False,
            )
        except FileNotFoundError:
            raise DualFailure("there is no interpreter: run `make setup`") from None
        except subprocess.TimeoutExpired as error:
            printed = (error.stdout or b"").decode(errors="replace")
            raise DualFailure(f"{printed}\nnot done after {self.timeout_s} s") from None
        printed = done.stdout.decode(errors="replace")
        if done.returncode:
            fault = os.environ.get(_STAGE_FAULT)
            note = f"\nwhat did not compile:\n{fault}" if fault else ""
            raise DualFailure(f"{_with_source_lines(printed)}\nexit status {done.returncode}{note}")
        self.add_report_section("call", "stdout", printed)
        skipped = re.search(r"^SKIP (.*)", printed, re.MULTILINE)
        if skipped:
            pytest.skip(skipped[1])

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, DualFailure):
            return str(excinfo.value)
        ours = excinfo.traceback.cut(path=__file__)
        excinfo.traceback = ours.cut(path=self.path)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, self.line - 1, self.name


def _with_source_lines(traceback):
    """Put the line of source below each line of a MicroPython traceback."""
    lines = []
    for line in traceback.splitlines():
        lines.append(line)
        place = re.match(r'  File "(.+)", line (\d+)', line)
        path = ROOT / (place[1].replace(".", "/") + ".py") if place else None
        if path and path.is_file():
            lines.append("    " + path.read_text().splitlines()[int(place[2]) - 1].strip())
    return "\n".join(lines)


@pytest.fixture(scope="session", autouse=True)
def _databases_are_copied():
    """See ready_database.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "migrate", copy_or_migrate)
        yield


@pytest.fixture
def golden(request):
    """Callable (name, image): compares with tests/golden/NAME.png, pixel by pixel."""
    from PIL import Image, ImageChops

    def compare(name, image):
        expected_path = ROOT / "tests" / "golden" / f"{name}.png"
        if request.config.getoption("--update-golden"):
            expected_path.parent.mkdir(parents=True, exist_ok=True)
            image.save(expected_path)
            return
        if not expected_path.is_file():
            pytest.fail(f"no golden picture {expected_path.relative_to(ROOT)}: run `make golden`, look at it")
        with Image.open(expected_path) as opened:
            expected = opened.convert(image.mode)
        if expected.size == image.size and expected.tobytes() == image.tobytes():
            return
        found_path = BUILD / "golden-diff" / f"{name}.png"
        found_path.parent.mkdir(parents=True, exist_ok=True)
        image.save(found_path)
        box = expected.size == image.size and ImageChops.difference(
            expected.convert("RGB"), image.convert("RGB")
        ).getbbox()
        place = f"in the box {box}" if box else f"in size: {image.size}, not {expected.size}"
        pytest.fail(f"{name} differs {place}; see {found_path.relative_to(ROOT)}, or `make golden`")

    return compare


@pytest.fixture(scope="session")
def chromium_path():
    """Path of Chromium; tests that need it are skipped where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium-headless-shell, or CHROME=/path/to/it")
    return path


@pytest.fixture(scope="module")
def browser(chromium_path):
    """A headless Chromium behind Playwright's blocking interface.

    One per file: while it runs, this thread counts as running an event loop.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(chromium_path), headless=True, args=list(CHROMIUM_ARGUMENTS)
        )
        yield opened
        opened.close()
