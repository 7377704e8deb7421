"""What a dual test may use: it runs on CPython and on MicroPython alike."""


class Skip(Exception):
    """Raised by `skip`; the runner of either interpreter reports it."""


def skip(reason):
    """End the running test as skipped, with a printed reason."""
    raise Skip(reason)


class raises:
    """`with raises(FieldError) as caught: ...`; the error is then `caught.value`."""

    def __init__(self, expected):
        self.expected = expected
        self.value = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            raise AssertionError("nothing was raised, %s was expected" % self.expected.__name__)
        if not issubclass(kind, self.expected):
            return False
        self.value = value
        return True
