"""CPython stand-ins for the MicroPython modules that portable firmware imports.

Importing this package puts its folder at the end of the path, so that
`import firmware...` works on CPython afterwards. Only what firmware of rank 0
to 2 needs is here; whatever touches hardware runs on MicroPython.
"""

import sys
from pathlib import Path

_FOLDER = str(Path(__file__).parent)

if sys.implementation.name == "cpython" and _FOLDER not in sys.path:
    sys.path.append(_FOLDER)
