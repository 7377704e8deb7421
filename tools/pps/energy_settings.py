"""What can be chosen about half-hour values."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class EnergySettings:
    """keep_*_months: 0 = for ever. utc_offset_s: of the local day, 32,400 = Japan, which has no summer time."""

    keep_values_months: int = 120
    keep_records_months: int = 36
    ahead_months: int = 2
    """Partitions that are made before their month begins (PostgreSQL)."""
    utc_offset_s: int = 9 * 3600

    @classmethod
    def from_environment(cls, environment=os.environ):
        """PPS_KEEP_VALUES_MONTHS and PPS_KEEP_RECORDS_MONTHS, where they are set. ValueError names the one at fault."""
        chosen = {}
        for name in ("keep_values_months", "keep_records_months"):
            text = environment.get(f"PPS_{name.upper()}")
            if text is not None:
                if not text.isascii() or not text.isdigit() or int(text) > 1200:
                    raise ValueError(f"PPS_{name.upper()}: a number of months, 0 for ever")
                chosen[name] = int(text)
        return cls(**chosen)
