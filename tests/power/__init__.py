"""Power cuts: the harness, the operations that are cut, the scanner of dumps."""
