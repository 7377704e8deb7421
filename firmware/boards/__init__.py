"""One file per board: its pins as data, and a `Board` that builds the drivers."""
