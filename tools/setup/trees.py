"""Walks syntax trees, faster than `ast.walk` does: for every image all of the firmware is walked a dozen times."""

import ast

_KEPT = (ast.Module, ast.ClassDef)  # walked more than once


def walk(tree):
    """What `ast.walk` yields, as a list in the same order. Of files and classes it is kept: they must not change."""
    if isinstance(tree, _KEPT):
        try:
            return tree.all_nodes
        except AttributeError:
            tree.all_nodes = _walked(tree)
            return tree.all_nodes
    return _walked(tree)


def _walked(tree):
    nodes = [tree]
    for node in nodes:  # while it grows
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                nodes += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                nodes.append(value)
    return nodes
