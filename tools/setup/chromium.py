"""Where Chromium is, and what it is started with in tests."""

import os
import shutil
from pathlib import Path

from tools.setup import BUILD

JAPANESE_FONT = BUILD / "japanese"
"""Where the set-up lays a Japanese font, on a machine without one."""

PACKAGE = "chromium-headless-shell"
"""Debian's Chromium without windows: the same engine, half the instructions for the same pages, no GTK."""

_NAMES = (PACKAGE, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# --headless=new is for one with windows. --no-sandbox is what Chromium asks for under root; the pages are our own.
CHROMIUM_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium():
    """Path of Chromium: CHROME where it is set, else the first on PATH, else None."""
    named = os.environ.get("CHROME")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, _NAMES)), None)
    return Path(found) if found else None


def picture_environment():
    """Chromium's environment for pictures, in which it finds the font that the set-up brought."""
    if not JAPANESE_FONT.is_dir():
        return dict(os.environ)
    return {**os.environ, "XDG_DATA_HOME": str(JAPANESE_FONT / "usr" / "share")}
