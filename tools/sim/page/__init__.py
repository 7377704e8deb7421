"""The house on a web page: display, keys, flash map, log, and hands on plug and power switch."""
