"""build/console/: what the console's pages load besides their own files, as tools/pps/web/package-lock.json has it.

It is one file, Chart.js, taken out of its package as it is. Without it the pages show their tables alone, so a machine
without a network goes on.
"""

import shutil

from tools.setup import BUILD, ROOT, SetupError, phone, say, write_if_changed

OUT = BUILD / "console"
WORKPLACE = BUILD / "console-source"
_SOURCES = ROOT / "tools" / "pps" / "web"
_NAMES = ("package.json", "package-lock.json")
_PACKAGE = WORKPLACE / "node_modules" / "chart.js"
_TAKEN = {"chart.js": "dist/chart.umd.min.js", "chart.js.LICENSE.md": "LICENSE.md"}
_STAMP = "inkan-stamp"


def ensure():
    """Make build/console hold what package-lock.json names; returns whether it does."""
    stamp = "".join((_SOURCES / name).read_text() for name in _NAMES)
    if (OUT / _STAMP).is_file() and (OUT / _STAMP).read_text() == stamp:
        return True
    say("installing the console's charts (package-lock.json), about 5 MB")
    try:
        for name in _NAMES:
            write_if_changed(WORKPLACE / name, (_SOURCES / name).read_bytes())
        phone.npm(
            phone.find_node(), WORKPLACE, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"
        )
    except SetupError as error:
        say(f"{error}\nset-up: the console shows tables without charts")
        return False
    made = BUILD / "console.part"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for name, source in _TAKEN.items():
        shutil.copy(_PACKAGE / source, made / name)
    (made / _STAMP).write_text(stamp)
    shutil.rmtree(OUT, ignore_errors=True)
    made.rename(OUT)
    return True
