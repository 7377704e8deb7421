"""The flash map and the tables of docs/format.md, written down once more so that the firmware has a second opinion."""

SECTOR = 4096
SECTORS = 192
IMAGE_SIZE = SECTOR * SECTORS

# name: (first sector, number of sectors)
AREAS = {
    "root": (0, 2),
    "guard": (2, 2),
    "vault": (4, 8),
    "credential": (12, 2),
    "factory": (14, 2),
    "identity": (16, 4),
    "settings": (20, 2),
    "attempts": (22, 4),
    "clock": (26, 4),
    "audit": (30, 16),
    "provisioned": (46, 1),
    "free": (47, 1),
    "readings": (48, 144),
}

# name: (label, magic)
SLOTS = {
    "vault": (b"inkan vault", b"IKV1"),
    "credential": (b"inkan credential", b"IKC1"),
    "factory": (b"inkan factory credential", b"IKF1"),
    "identity": (b"inkan identity", b"IKI1"),
    "settings": (b"inkan settings", b"IKS1"),
}

# name: (label, ring id)
RINGS = {
    "attempts": (b"inkan attempts", 1),
    "clock": (b"inkan clock", 2),
    "audit": (b"inkan audit", 3),
}
READINGS_RING_ID = 4

GUARD_LABEL = b"inkan guard"
PROVISIONED_LABEL = b"inkan provisioned"

# Items of each kind of body: id -> (name, how to read it). Secret ones are never printed.
FIELDS = {
    0x01: ("last_request", "bytes"),
    0x02: ("contract_server", "bytes"),
    0x11: ("customer_name", "text"),
    0x12: ("postal_code", "text"),
    0x13: ("address", "text"),
    0x14: ("contract_number", "text"),
    0x21: ("readings_key", "secret"),
    0x31: ("site_number", "text"),
    0x41: ("pv_capacity_w", "u32"),
    0x42: ("battery_capacity_wh", "u32"),
    0x43: ("ev_capacity_wh", "u32"),
    0x51: ("credential_url", "text"),
    0x52: ("energy_url", "text"),
    0x53: ("ca_certificate", "der"),
    0x54: ("module_certificate", "der"),
    0x55: ("private_key", "secret"),
    0x56: ("energy_ca_certificate", "der"),
}
CREDENTIAL = {
    0x01: ("sequence", "u32"),
    0x02: ("w0", "secret"),
    0x03: ("l", "secret"),
    0x04: ("salt", "secret"),
    0x05: ("iterations", "u32"),
    0x06: ("issuer", "u8"),
    0x07: ("lifetime_s", "u32"),
    0x08: ("max_successes", "u16"),
    0x09: ("max_failures", "u16"),
    0x0A: ("max_changes", "u16"),
    0x0B: ("scope", "bytes"),
    0x0C: ("password_digits", "u8"),
}
IDENTITY = {
    0x01: ("serial", "text"),
    0x02: ("host_kind", "u8"),
    0x03: ("url", "text"),
    0x04: ("ca_certificate", "der"),
    0x05: ("certificate", "der"),
    0x06: ("private_key", "secret"),
}
SETTINGS = {
    0x01: ("language", "u8"),
    0x02: ("ssid", "text"),
    0x03: ("passphrase", "secret"),
    0x04: ("ntp_host", "text"),
}
ITEMS = {
    "vault": FIELDS,
    "credential": CREDENTIAL,
    "factory": CREDENTIAL,
    "identity": IDENTITY,
    "settings": SETTINGS,
}

# Fields of the rings' bodies: offset, struct format, name.
ATTEMPTS_BODY = (
    (0, "B", "kind"),
    (1, "B", "door"),
    (2, "B", "issuer"),
    (3, "B", "ended"),
    (4, "I", "sequence"),
    (8, "I", "highest_connection"),
    (12, "I", "highest_factory_identity"),
    (16, "H", "successes"),
    (18, "H", "failures"),
    (20, "H", "changes"),
    (22, "H", "failures_in_a_row"),
    (24, "I", "attempts_ever"),
    (28, "I", "successes_ever"),
    (32, "I", "accepted_at"),
    (36, "I", "accepted_powered_s"),
    (40, "B", "factory_ended"),
    (41, "B", "tamper"),
    (42, "H", "factory_failures"),
    (44, "I", "revoked_connection"),
    (48, "I", "revoked_factory_identity"),
    (60, "I", "factory_first_use_powered_s"),
)
CLOCK_BODY = ((0, "B", "kind"), (4, "I", "boot_count"), (8, "I", "powered_s"), (12, "I", "time_floor"))
AUDIT_BODY = (
    (0, "B", "event"),
    (1, "B", "door"),
    (2, "B", "subject"),
    (3, "B", "detail"),
    (4, "I", "time"),
    (8, "I", "powered_s"),
    (12, "I", "sequence"),
    (16, "I", "generation"),
)
BODIES = {"attempts": ATTEMPTS_BODY, "clock": CLOCK_BODY, "audit": AUDIT_BODY}
TAMPER = {
    1: "root_missing", 2: "root_mismatch", 3: "vault_seal", 4: "vault_missing", 5: "vault_rollback",
    6: "guard_missing", 7: "guard_mismatch", 8: "identity_seal", 9: "attempts_missing", 10: "audit_missing",
    11: "clock_missing", 12: "remote_rollback", 13: "attempts_chain", 14: "clock_chain", 15: "audit_chain",
    16: "readings_chain", 17: "settings_seal",
}  # fmt: skip
