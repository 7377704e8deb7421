"""Every limit, timeout and UUID, each with its unit in its name, and the codes that units share."""

# Trusted time counts from 2000; nothing before this build can be now (S15).
BUILD_TIME_S = 820_540_800  # 2026-01-01

# Clock. A boot adds what a cut can lose of a fine tick, see docs/format.md.
CLOCK_TICK_S = 600
CLOCK_FINE_TICK_S = 60
CLOCK_BOOT_CHARGE_S = 60

# Sessions and attempts
SESSION_IDLE_MS = 180_000
ATTEMPT_TIMEOUT_MS = 60_000
DELAY_FIRST_MS = 1_000  # doubles with each failure in a row
DELAY_MAX_MS = 60_000
DELAY_SLICE_MS = 250
KEYPAD_RESERVED_FAILURES = 2  # BLE and relay cannot spend these (S5)
DERIVE_SLICE_ITERATIONS = 64

# What a credential may ask for (docs/api.md)
CREDENTIAL_ITERATIONS_MIN = 1_000
CREDENTIAL_ITERATIONS_MAX = 100_000
CREDENTIAL_DIGITS_MIN = 8
CREDENTIAL_DIGITS_MAX = 16
CREDENTIAL_LIFETIME_MIN_S = 60
CREDENTIAL_LIFETIME_MAX_S = 31_536_000
CREDENTIAL_SUCCESSES_MAX = 1_000
CREDENTIAL_FAILURES_MAX = 100
CREDENTIAL_CHANGES_MAX = 1_000

# Reads that must agree before tamper latches (S19)
TAMPER_READS = 3

# Doors, as on flash
DOOR_NONE = 0
DOOR_KEYPAD = 1
DOOR_BLE = 2
DOOR_RELAY = 3
DOOR_SERIAL = 4

# Issuers of a credential, as on flash
ISSUER_NONE = 0
ISSUER_CONNECTION = 1
ISSUER_FACTORY_IDENTITY = 2
ISSUER_FACTORY = 3

# Why a credential ended, as on flash
ENDED_NOT = 0
ENDED_EXPIRED = 1
ENDED_SUCCESSES = 2
ENDED_FAILURES = 3
ENDED_CHANGES = 4
ENDED_REVOKED = 5
ENDED_REPLACED = 6
ENDED_BROKEN = 7
ENDED_WIPED = 8

# Groups of fields: the upper half of a field id
GROUP_CUSTOMER = 1
GROUP_USAGE_HISTORY = 2
GROUP_SITE = 3
GROUP_CAPACITY = 4
GROUP_CONNECTION = 5

# Links (docs/api.md)
LINK_PROTOCOL = 1
LINK_CONNECT_MS = 10_000
LINK_FIRST_BYTE_MS = 10_000
LINK_ANSWER_MS = 20_000
LINK_ANSWER_MAX_BYTES = 8_192
LINK_ENERGY_BUFFER_BYTES = 3_072  # where nothing but hello and reports are said
LINK_CONTEXT_BYTES = 1_868  # of heap, in one piece
LINK_HEAD_MAX_BYTES = 2_048
LINK_HEADERS_MAX = 32
LINK_JSON_MAX_BYTES = 5_632  # heap that the values of an answer may take
LINK_RETRY_FIRST_MS = 1_000  # doubles with each failure in a row
LINK_RETRY_MAX_MS = 300_000
LINK_RETRY_AFTER_MAX_S = 3_600
LINK_HELLO_S = 600
LINK_ENERGY_HELLO_S = 3_600  # at an energy server of its own, where no report is due before
LINK_NONCE_MS = 10_000  # how long after its nonce a time may come (S15)
LINK_POLL_WAIT_S = 25
LINK_AUDIT_RECORDS = 8  # in one request
LINK_READINGS_RECORDS = 16  # in one request, with a buffer that takes them
REPORT_LOOK_RECORDS = 62  # of another contract's, read in one go
REPORT_LOOK_MS = 10_000  # how often a link that waits for nothing else looks for new ones
RELAY_POLL_WAIT_S = 5  # while a phone has a conversation
RELAY_ANSWER_MS = 1_000  # how long a poll is put off for the answer to a phone
RELAY_WRITE_S = 10  # for a server, or a phone, that takes nothing
ENROL_ITERATIONS = 20_000
NTP_TIMEOUT_MS = 5_000

# The phone (docs/protocol.md)
PHONE_SILENCE_S = 30  # before a session
PHONE_FRAME_S = 10  # a frame's first byte to its last
PHONE_SHARE_MS = 400  # share P to share V at the least (S2)
PHONE_CONFIRM_S = 10
PHONE_PREPARED_S = 10
PHONE_LET_GO_S = 10  # how long a link that was closed may take
PHONE_NO_LINK_MS = 120_000
PHONE_PROGRESS_MS = 500
PHONE_LOOK_MS = 1_000

# BLE (docs/protocol.md)
BLE_SERVICE_UUID = "51644326-28e6-4c56-a4d1-f27e4c2bfcfb"
BLE_INFO_UUID = "51644327-28e6-4c56-a4d1-f27e4c2bfcfb"
BLE_TO_MODULE_UUID = "51644328-28e6-4c56-a4d1-f27e4c2bfcfb"
BLE_FROM_MODULE_UUID = "51644329-28e6-4c56-a4d1-f27e4c2bfcfb"
BLE_MTU = 517
BLE_VALUE_BYTES = 512  # the most that one write can carry
BLE_BUFFER_BYTES = 1_026  # of a link, for what was written and not read yet
BLE_LINKS = 2
BLE_ADVERTISE_US = 250_000
BLE_WRITE_MS = 10_000  # for a peer that takes nothing
BLE_RETRY_MS = 10
BLE_END_MS = 40_000  # how long a link may take to end; the longest supervision timeout is 32 s
BLE_RADIO_RETRY_MS = 1_000

# Serial line (docs/protocol.md)
SERIAL_HERTZ = 115_200
SERIAL_WRITE_MS = 10_000  # for a line that takes nothing
SERIAL_RETRY_MS = 10

# Power control device (docs/metering.md)
MODBUS_HERTZ = 9_600
MODBUS_PARITY = 0  # even, as the serial line's specification has it
MODBUS_STOP_BITS = 1
MODBUS_ADDRESS = 1
MODBUS_ANSWER_MS = 1_000  # a request's last byte to its answer's
MODBUS_REPEATS = 2
MODBUS_PAUSE_MS = 100  # before the first repeat; doubles
MODBUS_POLL_MS = 5

# Metering (docs/metering.md)
METER_READ_MS = 10_000
METER_STEP_S = 2  # what the clock may be put right by without a record
METER_MOST_W = 100_000  # more than can pass is a jump
METER_CIRCUIT_MOST_W = 12_000
METER_MOST_MORE_WH = 100
METER_UNTIMED_S = 31 * 86_400  # of a pause that nobody timed

# Application
FIRMWARE_VERSION = "0.1.0"
FONT_PATH = "glyphs12.bin"
LOCAL_TIME_S = 32_400  # Japan's, ahead of UTC all year
PANEL_ENTRY_MS = 60_000  # without a key before a session: back to the status screen
PANEL_ENDED_MS = 10_000  # how long it says why a session is over
HOUSEKEEPING_MS = 1_000
RESEED_S = 600
WATCHDOG_MS = 90_000  # a purge erases up to 144 sectors in one go, each up to 400 ms where flash is old
TASK_RESTART_FIRST_MS = 500  # doubles each time, with a random part
TASK_RESTART_MAX_MS = 60_000
WIFI_RETRY_FIRST_MS = 1_000
WIFI_RETRY_MAX_MS = 60_000
PROVISIONING_LINE_MAX = 8_192
