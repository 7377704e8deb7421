"""CPython stand-in for MicroPython's `micropython` module."""


def const(value):
    return value


def native(function):
    return function


def viper(function):
    return function


def opt_level(level=None):
    return 0 if level is None else None


def schedule(function, argument):
    function(argument)


def heap_lock():
    pass


def heap_unlock():
    return 0
