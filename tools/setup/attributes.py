"""Gives attributes of the firmware's objects short names, the same few in all classes, before compilation.

MicroPython keeps every name that it has ever seen in RAM, in tables that double when they are full. Two attributes
can share a name where no object has both: then there are about as many as the largest class has, not as many as
were ever thought of. A name stays as it is where it is more than the firmware's own:

- the interpreter knows it, or anything outside of the firmware uses it
- it stands in a string, for getattr() or a namedtuple, or at the top level of a module
- somebody else than its own class stores it: of which objects it is then nobody can tell from here
- a file that handles hardware uses it
"""

import ast
from collections import defaultdict

from tools.setup.shrink import is_private, short_names
from tools.setup.syntax import parse
from tools.setup.trees import walk

_HARDWARE = ("firmware/drivers/", "firmware/boards/")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def rename_attributes(texts, known, folder="firmware/"):
    """`texts` (relative path to bytes) with attributes renamed in the .py files below `folder`.

    known(names): those of the names that the interpreter has anyway. Where a file does not parse, all stay as they
    are: the compiler will say why.
    """
    try:
        trees = {path: parse(text) for path, text in texts.items() if path.endswith(".py")}
    except (SyntaxError, ValueError):
        return texts
    package = {path: tree for path, tree in trees.items() if path.startswith(folder)}
    families = _families(list(package.values()))
    kept = set().union(*(identifiers(tree) for path, tree in trees.items() if path not in package))
    for path, tree in package.items():
        kept |= identifiers(tree) if path.startswith(_HARDWARE) else _more_than_its_own(tree)
    names = {name for family in families for name in family if not name.startswith("_")} - kept
    table = _shared_names(families, names - known(names))
    return {**texts, **{path: _renamed(texts[path], tree, table) for path, tree in package.items()}}


def identifiers(tree):
    """Everything in a tree that may be the name of an attribute."""
    fields = ("attr", "id", "arg", "name", "value")
    found = {getattr(node, field, None) for node in walk(tree) for field in fields}
    return {name for name in found if isinstance(name, str)}


def _more_than_its_own(tree):
    """Names in a file of which more is known than that some object has them."""
    nodes = list(walk(tree))
    found = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    found |= {node.name for node in tree.body if isinstance(node, (*_FUNCTIONS, ast.ClassDef))} | _assigned(tree.body)
    found |= _stored_elsewhere(tree)
    variables = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    unclear = _modules(tree) & (variables | {node.arg for node in nodes if isinstance(node, ast.arg)})
    found |= {node.attr for node in nodes if getattr(getattr(node, "value", None), "id", None) in unclear}
    return found


def _stored(tree):
    return [part for part in walk(tree) if isinstance(part, ast.Attribute) and not isinstance(part.ctx, ast.Load)]


def _stored_elsewhere(tree):
    """Attributes that are stored in anything but `self`."""
    return {part.attr for part in _stored(tree) if getattr(part.value, "id", None) != "self"}


def _modules(tree):
    """Names that imports give, of which some are modules."""
    imports = [node for node in walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {alias.asname or alias.name.partition(".")[0] for node in imports for alias in node.names}


def _assigned(statements):
    """Names that statements assign to."""
    targets = [target for node in statements if isinstance(node, ast.Assign) for target in node.targets]
    return {node.id for target in targets for node in walk(target) if isinstance(node, ast.Name)}


def _families(trees):
    """Sets of the attributes that one object may have: those of a class, its bases and all that inherit from them."""
    classes = [node for tree in trees for node in walk(tree) if isinstance(node, ast.ClassDef)]
    own, head_of = {node.name for node in classes}, {}

    def head(name):
        while name in head_of:
            name = head_of[name]
        return name

    for node in classes:
        for base in node.bases:
            name = getattr(base, "id", None)
            if name in own and head(name) != head(node.name):
                head_of[head(name)] = head(node.name)
    families = defaultdict(set)
    for tree in trees:
        loose = {name for name in _stored_elsewhere(tree) if is_private(name)}
        for node in walk(tree):
            if isinstance(node, ast.ClassDef):
                families[head(node.name)] |= _attributes_of(node) | loose
    return list(families.values())


def _attributes_of(node):
    """Names that a class gives to its objects: what its body defines, and what is stored in `self`."""
    found = {statement.name for statement in node.body if isinstance(statement, _FUNCTIONS)} | _assigned(node.body)
    return found | {part.attr for part in _stored(node) if getattr(part.value, "id", None) == "self"}


def _shared_names(families, names):
    """{name: short name}, different ones for all that stand in one family."""
    taken = [{name for name in family if is_private(name)} for family in families]
    at_home = {name: [index for index, family in enumerate(families) if name in family] for name in names}
    table = {}
    for name in sorted(names, key=lambda name: (-len(at_home[name]), name)):
        barred = set().union(*(taken[index] for index in at_home[name]))
        table[name] = next(short for short in short_names() if short not in barred)
        for index in at_home[name]:
            taken[index].add(table[name])
    return table


def _renamed(text, tree, table):
    lines = text.split(b"\n")
    modules = _modules(tree)
    edits = set()  # (line, first byte, name)
    for node in walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in table and getattr(node.value, "id", None) not in modules:
            edits.add((node.end_lineno, node.end_col_offset - len(node.attr), node.attr))
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, _FUNCTIONS) and statement.name in table:
                    start = lines[statement.lineno - 1].index(b"def ", statement.col_offset) + len(b"def ")
                    edits.add((statement.lineno, start, statement.name))
                elif isinstance(statement, ast.Assign):
                    names = [part for part in walk(statement) if isinstance(part, ast.Name) and part.id in table]
                    edits |= {(part.lineno, part.col_offset, part.id) for part in names}
    for number, start, name in sorted(edits, reverse=True):
        line = lines[number - 1]
        lines[number - 1] = line[:start] + table[name].encode() + line[start + len(name) :]
    return b"\n".join(lines)
