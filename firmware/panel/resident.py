"""What is in memory all the time where there is a panel. The screens of a session come with it and go."""

from firmware.panel.canvas import Canvas  # noqa: F401
from firmware.panel.glyphs import GlyphFile  # noqa: F401
from firmware.panel.machine import Panel  # noqa: F401
