import asyncio
import gc

from firmware.drivers.keypad_matrix import MatrixKeypad

INTERPRETERS = ("micropython",)

CODES = "123U456D789L*0#ROB  "
COLUMNS = 4


class Matrix:
    """Contacts without diodes, and a clock that goes on by itself with nothing."""

    def __init__(self):
        self.now_ms = 1 << 29  # near where the ticks wrap
        self.closed = set()
        self.levels = [1] * 5
        self.reads = 0
        self.rows = [Row(self, index) for index in range(5)]
        self.columns = [Column(self, index) for index in range(COLUMNS)]
        self.keypad = MatrixKeypad(self.rows, self.columns, CODES, self.ticks_ms, self.sleep_us)

    def ticks_ms(self):
        return self.now_ms

    def sleep_us(self, time_us):
        pass

    def hold(self, codes):
        self.closed = {(CODES.index(code) // COLUMNS, CODES.index(code) % COLUMNS) for code in codes}

    def level(self, column):
        self.reads += 1
        rows, columns = set(), {column}
        while True:
            more = {row for row, its in self.closed if its in columns} - rows
            if not more:
                break
            rows |= more
            columns |= {its for row, its in self.closed if row in rows}
        return 0 if any(self.levels[row] == 0 for row in rows) else 1

    def run(self, time_ms):
        """Scan as often as the keypad asks for, for so long."""
        end = self.now_ms + time_ms
        while self.now_ms < end:
            self.now_ms += self.keypad.scan()

    def press(self, codes, time_ms=40):
        self.hold(codes)
        self.run(time_ms)
        self.hold("")
        self.run(40)

    def keys(self):
        """The codes that are in the queue."""
        found = []

        async def take():
            while True:
                found.append(await self.keypad.next_key())

        async def all_there_are():
            task = asyncio.create_task(take())
            await asyncio.sleep_ms(0)
            await asyncio.sleep_ms(0)
            task.cancel()

        asyncio.run(all_there_are())
        return "".join(found)


class Row:
    def __init__(self, matrix, index):
        self.matrix = matrix
        self.index = index

    def value(self, level):
        self.matrix.levels[self.index] = level


class Column:
    def __init__(self, matrix, index):
        self.matrix = matrix
        self.index = index

    def value(self):
        return self.matrix.level(self.index)


def test_every_key_gives_its_code_once():
    for code in CODES.strip():
        matrix = Matrix()
        matrix.press(code)
        assert matrix.keys() == code


def test_keys_come_in_the_order_in_which_they_went_down():
    matrix = Matrix()
    matrix.hold("7")
    matrix.run(40)
    matrix.hold("71")
    matrix.run(40)
    matrix.hold("1")
    matrix.run(40)
    matrix.press("")
    assert matrix.keys() == "71"


def test_idle_look_reads_each_column_once_and_drives_all_rows():
    matrix = Matrix()
    matrix.keypad.scan()
    assert matrix.levels == [0] * 5
    before = matrix.reads
    assert matrix.keypad.scan() == 20
    assert matrix.reads - before == COLUMNS


def test_contact_that_bounces_gives_one_key():
    matrix = Matrix()
    for _ in range(6):
        matrix.hold("5")
        matrix.run(5)
        matrix.hold("")
        matrix.run(5)
    assert matrix.keys() == ""
    matrix.hold("5")
    matrix.run(40)
    for _ in range(6):
        matrix.hold("")
        matrix.run(5)
        matrix.hold("5")
        matrix.run(5)
    matrix.press("")
    assert matrix.keys() == "5"


def test_spike_shorter_than_the_debounce_gives_nothing():
    for time_ms in (5, 10):  # seen once, seen twice
        matrix = Matrix()
        matrix.press("9", time_ms)
        assert matrix.keys() == ""


def test_ghost_keys_are_rejected():
    # Three corners of every rectangle, in every choice: the fourth must never show.
    for row in range(4):
        for other_row in range(row + 1, 4):
            for column in range(3):
                for other_column in range(column + 1, 3):
                    corners = [
                        CODES[its_row * COLUMNS + its_column]
                        for its_row in (row, other_row)
                        for its_column in (column, other_column)
                    ]
                    for ghost in corners:
                        matrix = Matrix()
                        held = ""
                        for code in corners:
                            if code != ghost:
                                held += code
                                matrix.hold(held)
                                matrix.run(40)
                        matrix.press("")
                        assert ghost not in matrix.keys()


def test_two_keys_are_never_ambiguous():
    matrix = Matrix()
    for first in CODES.strip():
        for second in CODES.strip():
            if first != second and first not in "UDLR" and second not in "UDLR":
                matrix.hold(first)
                matrix.run(40)
                matrix.hold(first + second)
                matrix.run(40)
                matrix.press("")
                assert matrix.keys() == first + second


def test_arrows_repeat_and_others_do_not():
    matrix = Matrix()
    matrix.press("D", 500 + 3 * 120)
    repeated = matrix.keys()
    assert set(repeated) == {"D"} and 3 <= len(repeated) <= 5
    matrix.press("5", 3000)
    assert matrix.keys() == "5"


def test_arrow_no_longer_repeats_once_another_key_went_down():
    matrix = Matrix()
    matrix.hold("D")
    matrix.run(100)
    matrix.hold("D5")
    matrix.run(3000)
    assert matrix.keys() == "D5"


def test_r16_stuck_arrow_stops_repeating():
    matrix = Matrix()
    matrix.hold("U")
    count = 0
    for _ in range(100):
        matrix.run(1000)
        count += len(matrix.keys())
    assert count == 101, count
    matrix.run(60_000)
    assert matrix.keys() == ""
    matrix.press("")
    matrix.press("U")
    assert matrix.keys() == "U"


def test_full_queue_drops_the_newest_and_counts():
    matrix = Matrix()
    for code in "1234567890*#OB12" + "345":
        matrix.press(code)
    assert matrix.keypad.dropped == 3
    assert matrix.keys() == "1234567890*#OB12"
    matrix.press("7")
    assert matrix.keys() == "7"


def test_place_without_a_key_gives_nothing():
    matrix = Matrix()
    matrix.closed = {(4, 3)}
    matrix.run(100)
    assert matrix.keys() == ""


def test_ticks_may_wrap_while_a_key_is_down():
    matrix = Matrix()
    matrix.now_ms = (1 << 62) - 30
    matrix.hold("3")
    for _ in range(20):
        matrix.now_ms = (matrix.now_ms + matrix.keypad.scan()) & ((1 << 62) - 1)
    assert matrix.keys() == "3"


def test_run_and_next_key_meet_in_one_loop():
    matrix = Matrix()

    async def typed():
        scanning = asyncio.create_task(matrix.keypad.run())
        waiting = asyncio.create_task(matrix.keypad.next_key())
        matrix.hold("8")
        while not waiting.done():
            matrix.now_ms += 5
            await asyncio.sleep_ms(1)
        scanning.cancel()
        return await waiting

    assert asyncio.run(asyncio.wait_for(typed(), 10)) == "8"


class StillPin:
    """A pin that allocates nothing."""

    def __init__(self, level):
        self.level = level

    def value(self, level=None):
        return self.level


def test_a_thousand_scans_allocate_nothing():
    for level in (1, 0):  # idle; then a pad that reads as pressed all over
        columns = [StillPin(level) for _ in range(COLUMNS)]
        pressed = [StillPin(1) for _ in range(COLUMNS - 1)] + [StillPin(0)]
        for its_columns in (columns, pressed):
            keypad = MatrixKeypad([StillPin(1)] * 5, its_columns, CODES, lambda: 7, lambda time_us: None)
            keypad.scan()
            gc.collect()
            before = gc.mem_alloc()
            for _ in range(1000):
                keypad.scan()
            assert gc.mem_alloc() - before == 0
