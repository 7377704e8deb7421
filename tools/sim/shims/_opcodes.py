"""What travels on the wire between the interpreter and the chip models.

Request: operation u8, unit u8, value u16, argument u32, payload size u32, payload.
Reply: status u8, 0 u8, value u16, payload size u32, payload. All little-endian.
POSTED operations have no reply.
"""

from micropython import const

REQUEST_FORMAT = "<BBHII"
REQUEST_SIZE = const(12)
REPLY_FORMAT = "<BBHI"
REPLY_SIZE = const(8)

STATUS_OK = const(0)
STATUS_ERROR = const(1)  # value: errno

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
