"""All screens on one page: `python -m tools.sim.contact_sheet [FOLDER]`.

Writes build/screens-ja.png and build/screens-en.png from the golden pictures of the tests, SCREEN-LANGUAGE-VARIANT.png;
three pixels a dot, each with its name.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from tools.font import reader

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("ja", "en")
_SCALE = 3
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


def main():
    parser = argparse.ArgumentParser(prog="python -m tools.sim.contact_sheet", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "tests" / "golden")
    folder = parser.parse_args().folder
    for language in LANGUAGES:
        pictures = {path.stem: Image.open(path) for path in sorted(folder.glob(f"*-{language}-*.png"))}
        path = ROOT / "build" / f"screens-{language}.png"
        contact_sheet(pictures).save(path)
        print(f"{path}: {len(pictures)} screens")


if __name__ == "__main__":
    main()
