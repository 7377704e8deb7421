"""The panel's texts in the language that is chosen; the other one is not in memory."""

from firmware.modules import forget


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
        forget("firmware.panel.strings_en", "firmware.panel.strings_ja")

    def __call__(self, key, *values):
        table = self._table
        start = table.find("\n%s " % key)
        if start < 0:
            return ""
        start += len(key) + 2
        text = table[start : table.find("\n", start)].replace("|", "\n")
        return text.format(*values) if values else text
