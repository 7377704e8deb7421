"""The flash map of docs/format.md: (first sector, number of sectors) of each area."""

SECTOR_SIZE = 4096
SECTOR_COUNT = 192

ROOT = (0, 2)
GUARD = (2, 2)
VAULT = (4, 8)
CREDENTIAL = (12, 2)
FACTORY = (14, 2)
IDENTITY = (16, 4)
SETTINGS = (20, 2)
ATTEMPTS = (22, 4)
CLOCK = (26, 4)
AUDIT = (30, 16)
PROVISIONED = (46, 1)
READINGS = (48, 144)

ATTEMPTS_RING_ID = 1
CLOCK_RING_ID = 2
AUDIT_RING_ID = 3
READINGS_RING_ID = 4
