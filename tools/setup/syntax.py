"""Parsing beside other threads, and once for the same text."""

import ast
import functools

_TRIES = 10
_KEPT = 600  # three times as many as an image has files


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


@functools.lru_cache(_KEPT)
def parse(text):
    """`ast.parse`, beside whatever other threads do. The tree is everybody's: it must not change.

    Images differ in a file or two, so that whoever makes several finds most of their files parsed.
    """
    return again(lambda: ast.parse(text))
