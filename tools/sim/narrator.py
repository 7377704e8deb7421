"""Tells the demo: each step with what was seen, in a terminal and in a JSON file."""

import contextlib
import json
import time
import unicodedata

from tools.font.reader import read_rows, to_text

_CELLS = 21
_BESIDE = 3  # displays in a line
_NO_LETTER = "▒"  # what the reader gives for the bars of the network and the like


class DemoFailed(Exception):
    """A step's evidence was not as it had to be."""


class Step:
    """One step: `check` takes what was found out, `look` the display as it is."""

    def __init__(self, title, requirement):
        self.title = title
        self.requirement = requirement
        self.frames = []
        self.checks = []

    @property
    def ok(self):
        return bool(self.checks) and all(ok for _, ok in self.checks)

    def check(self, text, ok):
        """Note a piece of evidence. Returns ok."""
        self.checks.append((text, bool(ok)))
        return bool(ok)

    def look(self, frame):
        """Note a picture of the display, to be printed."""
        self.frames.append(frame)


class Narrator:
    """`steps` are those that are over. path: of the JSON file; pictures: print every dot instead of rows."""

    def __init__(self, path, pictures=False, write=print):
        self.steps = []
        self._path = path
        self._pictures = pictures
        self._write = write
        self._begun = time.monotonic()
        path.unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def step(self, title, requirement):
        """A step, as `async with`. DemoFailed where a check fails, or something that is waited for does not come."""
        step = Step(title, requirement)
        try:
            yield step
        except Exception as error:
            step.check(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", False)
            raise DemoFailed(title) from error
        finally:
            self.steps.append(step)
            self._tell(step)
            self._save()
        if not step.ok:
            raise DemoFailed(title)

    def _tell(self, step):
        elapsed = time.monotonic() - self._begun
        self._write(f"\n{len(self.steps):>2}  {step.title}  [{step.requirement}]  {elapsed:.1f} s")
        for start in range(0, len(step.frames), _BESIDE):
            for line in self._displays(step.frames[start : start + _BESIDE]):
                self._write("    " + line)
        for text, ok in step.checks:
            self._write(f"    {'+' if ok else '!'} {text}")
        self._write(f"    {'OK' if step.ok else 'FAILED'}")

    def _displays(self, frames):
        if self._pictures:
            return "\n".join(to_text(frame) for frame in frames).splitlines()
        # The last row says what the keys do; it is left to the pictures.
        boxes = [box(read_rows(frame)[:-1]) for frame in frames]
        return ["  ".join(parts) for parts in zip(*boxes, strict=True)]

    def _save(self):
        steps = [{"step": step.title, "requirement": step.requirement, "ok": step.ok} for step in self.steps]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(steps, ensure_ascii=False, indent=1) + "\n")


def box(rows):
    """The display's rows as recognised, in a frame; each line is as wide as the others in a terminal."""
    edge = "─" * (_CELLS + 2)
    lines = [f"┌{edge}┐"]
    for row in rows:
        text = " ".join(row.replace(_NO_LETTER, " ").split())
        lines.append(f"│ {text}{' ' * (_CELLS - _cells(text))} │")
    return [*lines, f"└{edge}┘"]


def _cells(text):
    return sum(2 if unicodedata.east_asian_width(character) in "WFA" else 1 for character in text)
