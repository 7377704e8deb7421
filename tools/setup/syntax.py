"""Parsing beside other threads."""

import ast

_TRIES = 10


def again(work):
    """What `work()` returns; once more where Python 3.11 fails in it because another thread parses too.

    Its count of nesting belongs to the interpreter instead of the thread, and it says so: "AST constructor recursion
    depth mismatch", a SystemError. The next try finds that count at rest.
    """
    for _ in range(_TRIES - 1):
        try:
            return work()
        except SystemError:
            pass
    return work()


def parse(text):
    """`ast.parse`, beside whatever other threads do."""
    return again(lambda: ast.parse(text))
