"""The module's bitmap font: PCF source, converted file, and a reader of its pictures."""
