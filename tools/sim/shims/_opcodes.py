"""What travels on the wire between the interpreter and the chip models.

Request: operation u8, unit u8, value u16, argument u32, payload size u32, payload.
Reply: status u8, 0 u8, value u16, payload size u32, payload. All little-endian.
POSTED operations have no reply.

The BLE radio has a connection of its own, since it speaks unasked: events come in the form of replies, with
STATUS_EVENT, MicroPython's number of the event in the second byte, and the connection's handle as the value.
So has a UART, in another form: its number u8, which comes back, then what it sends; what comes is what it receives.
"""

from micropython import const

REQUEST_FORMAT = "<BBHII"
REQUEST_SIZE = const(12)
REPLY_FORMAT = "<BBHI"
REPLY_SIZE = const(8)

STATUS_OK = const(0)
STATUS_ERROR = const(1)  # value: errno
STATUS_EVENT = const(2)

NO_PARITY = const(2)

# operation              unit         value            argument      payload -> reply
PIN_MODE = const(1)  #     pin          mode | pull << 4, + 0x100 | level << 9 where a level is given
PIN_WRITE = const(2)  #    pin          level
SPI_OPEN = const(3)  #     bus          mode 0..3        hertz         sck pin u8, mosi pin u8
SPI_WRITE = const(4)  #    bus                                         bytes
RESET = const(5)
WATCHDOG_START = const(6)  #                             timeout ms
WATCHDOG_FEED = const(7)
RTC_SET = const(8)  #                                                  year u16, then six times u8
POSTED = const(8)  # everything up to here

PIN_READ = const(9)  #     pin                                         -> value: level
PARTITION_COUNT = const(10)  #                                         -> value
PARTITION_INFO = const(11)  # partition                                -> type, subtype u8, address, size u32, label
FLASH_READ = const(12)  #  partition                     address       size u32 -> bytes
FLASH_PROGRAM = const(13)  # partition                   address       bytes
FLASH_ERASE = const(14)  # partition    sector
RESET_CAUSE = const(15)  #                                             -> value
UNIQUE_ID = const(16)  #                                               -> 6 bytes
RTC_GET = const(17)  #                                                 -> as RTC_SET
RADIO_ACTIVE = const(18)  # 0 off, 1 on, 2 only ask                    -> value: 0 or 1
RADIO_CONNECT = const(19)  #                                           ssid size u8, ssid, passphrase
RADIO_DISCONNECT = const(20)
RADIO_STATUS = const(21)  #                                            -> value
RADIO_CONNECTED = const(22)  #                                         -> value: 0 or 1
RADIO_TRIES = const(23)  #              tries, 0 for ever
UART_OPEN = const(24)  #   UART         tx pin | rx << 8  hertz         bits, parity (0, 1, NO_PARITY), stop bits u8

# The BLE radio's       unit          value        argument     payload -> reply
BLE_ANSWER = const(32)  #             status                    to events 3 and 4, in their order; of 4 the value
BLE_POSTED = const(32)  # everything of the radio's up to here

BLE_ACTIVE = const(33)  # 0 off, 1 on MTU                       name
BLE_CONFIG = const(34)  #             MTU                       name
BLE_ADVERTISE = const(35)  # 0 off, 1, 2 takes no connection    interval us  size u8, advertising data, scan response
BLE_REGISTER = const(36)  #                                     services as in bluetooth.py -> handles u16
BLE_NOTIFY = const(37)  #             connection   handle       bytes
BLE_UPDATE = const(38)  #                          handle       bytes, to all who subscribed
BLE_INDICATE = const(39)  #           connection   handle       bytes; its end is an event
BLE_DISCONNECT = const(40)  #         connection                -> value: 1, or 0 where there is none
BLE_MAC = const(41)  #                                          -> type u8, 6 bytes

# Payloads of events. 1, 2: address type u8, address. 3: handle u16, bytes. 4: handle u16. 20: handle u16, status u16.
# 21: MTU u16.
