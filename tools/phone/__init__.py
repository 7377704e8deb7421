"""The phone's side of operation 2."""

from tools import compat  # noqa: F401  the curve's arithmetic is the firmware's
