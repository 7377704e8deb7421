"""Several threads parse at once: houses are staged beside each other."""

import ast
from concurrent.futures import ThreadPoolExecutor

import pytest

from tools.setup import ROOT, syntax

TEXT = (ROOT / "tools" / "setup" / "link.py").read_text()


def test_threads_that_parse_at_once_all_get_their_tree():
    whole = ast.dump(ast.parse(TEXT))
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(syntax.parse, [TEXT + "\n" * number for number in range(40)]))
    assert all(ast.dump(tree) == whole for tree in trees[::8])


def test_the_same_text_is_parsed_once():
    assert syntax.parse("a = 1") is syntax.parse("a = 1") is not syntax.parse("a = 2")


def test_what_does_not_parse_is_said():
    with pytest.raises(SyntaxError):
        syntax.parse("def")


def test_what_fails_for_ever_is_raised():
    tries = []

    def fail():
        tries.append(None)
        raise SystemError("AST constructor recursion depth mismatch")

    with pytest.raises(SystemError):
        syntax.again(fail)
    assert len(tries) == 10
