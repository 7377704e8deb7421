"""The panel's texts in the language that is chosen; the other one is not in memory."""

import sys


class Strings:
    """Call it with a key for the text, `{}` filled with what else is given. "" where there is no such key."""

    def __init__(self):
        self._table = ""

    def load(self, language):
        """0 Japanese, 1 English (preferences.py)."""
        self._table = ""
        if language:
            from firmware.panel import strings_en as module
        else:
            from firmware.panel import strings_ja as module
        self._table = module.TABLE
        # A module holds its constants for as long as anything names it.
        import firmware.panel as package

        name = "strings_en" if language else "strings_ja"
        del sys.modules["firmware.panel." + name]
        delattr(package, name)

    def __call__(self, key, *values):
        table = self._table
        start = table.find("\n%s " % key)
        if start < 0:
            return ""
        start += len(key) + 2
        text = table[start : table.find("\n", start)].replace("|", "\n")
        return text.format(*values) if values else text
