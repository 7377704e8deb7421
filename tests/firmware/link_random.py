"""Numbers for fuzzing that come again with the same seed, on either interpreter."""


class Random:
    """Xorshift with 32 bits (Marsaglia 2003)."""

    def __init__(self, seed):
        self._state = seed

    def below(self, end):
        x = self._state
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self._state = x
        return x % end
