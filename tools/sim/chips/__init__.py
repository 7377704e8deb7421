"""Chip models: what sits on the other end of the module's wires."""
