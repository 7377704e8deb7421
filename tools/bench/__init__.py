"""Figures, each beside its limit: `python -m tools.bench`."""
