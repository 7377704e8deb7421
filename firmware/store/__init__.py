"""The store, rank 2: what the module keeps in flash, as docs/format.md lays it out."""
