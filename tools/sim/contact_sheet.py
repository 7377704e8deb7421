"""All screens on one page: `python -m tools.sim.contact_sheet [FOLDER] [--documents]`.

Writes build/screens-ja.png and build/screens-en.png from the golden pictures of the tests, SCREEN-LANGUAGE-VARIANT.png;
three pixels a dot, each with its name.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from tools.font import reader

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("ja", "en")
# What docs/screens shows.
CHOSEN = (
    "idle-ja-short",
    "password-en-masked",
    "menu-ja-short",
    "edit_text-ja-turning",
    "confirm_change-en-number",
    "tampered-ja-recover",
)
_SCALE = 3
_DOCUMENT_SCALE = 4
_COLUMNS = 4
_CAPTION = 14
_SPACE = 10
_PAPER = (0xF2, 0xF2, 0xEE)
_INK = (0x30, 0x30, 0x30)


def contact_sheet(pictures, columns=_COLUMNS):
    """One image of `pictures`, a dict of name to 128x64 image, in its order."""
    tiles = {name: reader.to_image(picture, _SCALE) for name, picture in pictures.items()}
    width, height = next(iter(tiles.values())).size
    rows = -(-len(tiles) // columns)
    size = (columns * (width + _SPACE) + _SPACE, rows * (height + _CAPTION + _SPACE) + _SPACE)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (name, tile) in enumerate(tiles.items()):
        x = _SPACE + index % columns * (width + _SPACE)
        y = _SPACE + index // columns * (height + _CAPTION + _SPACE)
        draw.text((x, y), name, _INK)
        sheet.paste(tile, (x, y + _CAPTION))
    return sheet


def write_chosen(golden, folder):
    """The screens that the documents show, four pixels a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CHOSEN:
        with Image.open(golden / f"{name}.png") as picture:
            reader.to_image(picture, _DOCUMENT_SCALE).save(folder / f"{name}.png", optimize=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m tools.sim.contact_sheet", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "tests" / "golden")
    parser.add_argument("--documents", action="store_true", help="write the chosen ones to docs/screens too")
    arguments = parser.parse_args()
    folder = arguments.folder
    for language in LANGUAGES:
        pictures = {path.stem: Image.open(path) for path in sorted(folder.glob(f"*-{language}-*.png"))}
        path = ROOT / "build" / f"screens-{language}.png"
        contact_sheet(pictures).save(path)
        print(f"{path}: {len(pictures)} screens")
    if arguments.documents:
        write_chosen(folder, ROOT / "docs" / "screens")


if __name__ == "__main__":
    main()
