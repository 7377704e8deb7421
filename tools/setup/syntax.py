"""Parsing beside other threads."""

import ast

_TRIES = 10


def parse(text):
    """`ast.parse`, again where Python 3.11 fails because another thread parses too.

    Its count of nesting belongs to the interpreter instead of the thread, and it says so: "AST constructor recursion
    depth mismatch", a SystemError. The next try finds that count at rest.
    """
    for left in reversed(range(_TRIES)):
        try:
            return ast.parse(text)
        except SystemError:
            if not left:
                raise
    return None
