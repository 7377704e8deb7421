"""Joins files of the firmware that are in memory together anyway, before compilation.

To MicroPython each module is a dictionary with a place for every import, a table of all the names that its code
uses, and names and paths of its own: some hundred bytes of RAM before it does anything. So a file that is imported at
the head of another becomes a part of that one, as a linker joins objects:

- what the application imports at its head, and what that imports at theirs, is joined to the application
- a file that is imported within functions, or from outside the firmware, is there by its own name; it takes in what
  nobody but itself and its parts import
- what only boards share is in each of them, since a module has one

A line of what was joined is PART_LINES times the number of its part in `Linked.parts`, and the line within that.
"""

import ast
import builtins
import functools
import itertools
import re
from collections import defaultdict

from tools.setup.attributes import identifiers
from tools.setup.shrink import is_private, short_names
from tools.setup.syntax import parse
from tools.setup.trees import walk

RESIDENT = "firmware.app"
_BOARDS = "firmware.boards."  # of these one is ever there
PART_LINES = 1000
_KEPT = 200  # files, twice as many as there are

_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BUILT_IN = set(dir(builtins))


class LinkError(Exception):
    """A file that cannot be joined to others; the text says where and why."""


class Linked:
    """texts: relative path to bytes, to be compiled; parts: module to the paths of what it was made of."""

    def __init__(self, texts, parts):
        self.texts = texts
        self.parts = parts


def link(texts, folder="firmware/"):
    """A `Linked` of `texts` (relative path to bytes), the .py files below `folder` joined. Raises LinkError.

    Where a file does not parse, all of them stay as they are: the compiler will say why.
    """
    sources = {path: text for path, text in texts.items() if path.endswith(".py")}
    try:
        trees = {path: parse(text) for path, text in sources.items()}
    except (SyntaxError, ValueError):
        return Linked(texts, {module_name(path): [path] for path in sources})
    paths = {module_name(path): path for path in sources if path.startswith(folder)}
    modules = frozenset(paths)
    files = {module: _file(path, texts[path], modules) for module, path in paths.items()}
    outside = [tree for path, tree in trees.items() if path not in paths.values()]
    imported = {imported.module for tree in outside for imported in _imports(tree, paths)}
    linker = _Linker(files, imported, set().union(*map(identifiers, outside)))
    kept = {path: text for path, text in texts.items() if path not in paths.values()}
    parts = {unit: [files[part].path for part in modules] for unit, modules in linker.units.items()}
    return Linked({**kept, **linker.texts()}, parts)


def module_name(path):
    """firmware/store/vault.py -> firmware.store.vault"""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class _Imported:
    """A name that an import statement gives to `module` of the firmware, or to `symbol` of it."""

    def __init__(self, node, name, module, symbol):
        self.node, self.name, self.module, self.symbol = node, name, module, symbol


def _imports(tree, modules):
    """Every _Imported below a tree, of `modules` alone."""
    for node in walk(tree):
        if isinstance(node, _IMPORTS):
            for alias in node.names:
                name = alias.asname or alias.name
                if isinstance(node, ast.Import):
                    found = _Imported(node, name, alias.name, None)
                elif f"{node.module}.{alias.name}" in modules:
                    found = _Imported(node, name, f"{node.module}.{alias.name}", None)
                else:
                    found = _Imported(node, name, node.module, alias.name)
                if found.module in modules:
                    yield found


class _File:
    """One source file.

    head, inner: its imports of the firmware, at its top level and within functions. own: what it defines at its top
    level; constants: those of it that the compiler replaces. foreign: names there of MicroPython's modules and of
    what is in them -> (module or None, name). names: (node, names that mean something else in its place) of each
    variable that is one of the top level; attributes: node of each `name.attribute` of such a name.
    """

    def __init__(self, path, text, tree, modules):
        self.path = path
        self.lines = text.split(b"\n")
        self.tree = tree
        if len(self.lines) > PART_LINES:
            raise LinkError(f"{path} has more than {PART_LINES} lines")
        at_top = {id(statement) for statement in tree.body}
        imports = list(_imports(tree, modules))
        self.head = [imported for imported in imports if id(imported.node) in at_top]
        self.inner = [imported for imported in imports if id(imported.node) not in at_top]
        self.by_name = {imported.name: imported for imported in self.head}
        self.foreign = {}
        for node in tree.body:
            if isinstance(node, _IMPORTS):
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    if name not in self.by_name:
                        self.foreign[name] = getattr(node, "module", None), alias.name
        self.own = _bound_in(tree) - set(self.by_name) - set(self.foreign)
        self.subclasses = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.bases}
        self.known = {node.attr for node in walk(tree) if isinstance(node, ast.Attribute) and node.attr[0] != "_"}
        self.constants = {name for statement in tree.body for name in _constants(statement)}
        self.variables = _variables(tree)
        self.names, self.attributes = [], []
        self._visit_all(tree.body, [self.own | set(self.by_name) | set(self.foreign)])

    def _visit_all(self, nodes, scopes):
        for node in nodes:
            self._visit(node, scopes)

    def _visit(self, node, scopes):
        """scopes: the names bound in each scope around a node, the file's first; a class's only for its own body."""
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            raise LinkError(f"{self.path}, line {node.lineno}: a function that sets variables of another scope")
        if isinstance(node, ast.Name):
            inner = set().union(*scopes[1:])
            if node.id in scopes[0] and node.id not in inner:
                self.names.append((node, inner))
        elif isinstance(node, _FUNCTIONS):
            self._visit_all(getattr(node, "decorator_list", ()), scopes)
            self._visit_all([*node.args.defaults, *filter(None, node.args.kw_defaults)], scopes)
            self._visit_all(node.body if isinstance(node.body, list) else [node.body], _within(node, scopes))
        elif isinstance(node, ast.ClassDef):
            self._visit_all([*node.bases, *node.decorator_list], scopes)
            self._visit_all(node.body, [*scopes, _ClassScope(_bound_in(node))])
        elif isinstance(node, _COMPREHENSIONS):
            self._visit_all(ast.iter_child_nodes(node), _within(node, scopes))
        else:
            name = getattr(getattr(node, "value", None), "id", None)
            if isinstance(node, ast.Attribute) and name in scopes[0] - set().union(*scopes[1:]):
                self.attributes.append(node)
            self._visit_all(ast.iter_child_nodes(node), scopes)


@functools.lru_cache(_KEPT)
def _file(path, text, modules):
    """A `_File`, which nothing changes, so that the next image finds it."""
    return _File(path, text, parse(text), modules)


class _ClassScope(set):
    """Not to be seen from the functions within."""


def _within(node, scopes):
    return [*(scope for scope in scopes if not isinstance(scope, _ClassScope)), _bound_in(node)]


def _bound_in(owner):
    """Names that get a value in a file, class, function or comprehension, but not in those within it."""
    found = set()
    if isinstance(owner, _COMPREHENSIONS):
        pending = [generator.target for generator in owner.generators]
    else:
        pending = [owner.args] if isinstance(owner, _FUNCTIONS) else []
        pending += owner.body if isinstance(owner.body, list) else []
    while pending:
        node = pending.pop()
        if isinstance(node, _DEFINITIONS):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
        if not isinstance(node, (*_DEFINITIONS, *_COMPREHENSIONS, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))
    return found


def _constants(statement):
    """The name that `NAME = const(...)` gives, if the statement is one."""
    function = getattr(getattr(statement, "value", None), "func", None)
    if isinstance(statement, ast.Assign) and getattr(function, "id", None) == "const":
        return [target.id for target in statement.targets]
    return []


def _variables(tree):
    """Names anywhere in a file that the compiler would take for those of a constant that is called so."""
    found = set()
    for node in walk(tree):
        found |= {getattr(node, field, None) for field in ("id", "arg", "name")}
    return found


class _Linker:
    """units: module that will be there -> modules of its parts, in the order in which they run, itself last."""

    def __init__(self, files, asked_for, names):
        self._files = files
        self._asked_for = names.union(*(file.known for file in files.values()))
        self.units = self._make_units(asked_for)
        self._unit_of = {part: unit for unit, parts in self.units.items() for part in parts}
        self._whole = set(asked_for)  # modules that somebody wants to have as such
        for file in files.values():
            self._whole |= {imported.module for imported in file.inner if not imported.symbol}
            looked_into = {id(node.value) for node in file.attributes}
            for node, _ in file.names:
                imported = file.by_name.get(node.id)
                if imported and not imported.symbol and id(node) not in looked_into:
                    self._whole.add(imported.module)
        self._abroad = self._imported_abroad()
        self._called = {}  # (unit, what it is) -> its name there
        for unit in self.units:
            self._name(unit)

    # Which files become one

    def _make_units(self, asked_for):
        files = self._files
        at_heads = {imported.module for file in files.values() for imported in file.head}
        by_name = {imported.module for file in files.values() for imported in file.inner} | set(asked_for)
        units = {RESIDENT: self._closure(RESIDENT)} if RESIDENT in files else {}
        resident = {part for parts in units.values() for part in parts}
        roots = [module for module in files if module not in resident]
        roots = [module for module in roots if module in by_name or module not in at_heads]
        closures = {root: self._closure(root, resident.union(roots)) for root in roots}
        owners = defaultdict(set)
        for root, parts in closures.items():
            for part in parts:
                owners[part].add(root)
        taken = resident.union(roots)
        for part, sharers in owners.items():
            if len(sharers) > 1 and not all(root.startswith(_BOARDS) for root in sharers):
                # One of them may be where the others are called from.
                hosts = [root for root in sharers if self._calls(closures[root], sharers - {root})]
                if len(hosts) == 1:
                    owners[part] = set(hosts)
                else:
                    roots.append(part)
                    taken.add(part)
        for root in roots:
            others = {part for part, found in owners.items() if root not in found}
            units[root] = self._closure(root, taken | others)
        return units

    def _calls(self, parts, modules):
        """Whether all of the modules are imported in functions of some files, and nowhere else."""
        for module in modules:
            callers = {name for name, file in self._files.items() for entry in file.inner if entry.module == module}
            if not callers or not callers <= set(parts):
                return False
        return True

    def _closure(self, module, without=()):
        """A module and what is imported at heads on the way, but for `without`, in the order in which it would run."""
        found, seen = [], {module, *without}

        def visit(name):
            for imported in self._files[name].head:
                if imported.module not in seen:
                    seen.add(imported.module)
                    visit(imported.module)
            found.append(name)

        visit(module)
        return found

    def _imported_abroad(self):
        """What a unit finds in another one, of what is asked for by its own name."""
        found = set()
        for part, file in self._files.items():
            wanted = [self._meaning(entry.module, entry.symbol) for entry in file.head + file.inner if entry.symbol]
            for node in file.attributes:
                what, module = self._meaning(part, node.value.id)
                if what is None:
                    wanted.append(self._meaning(module, node.attr))
            found.update(
                meaning for meaning in wanted if meaning[0] and self._unit_of[meaning[0]] != self._unit_of[part]
            )
        return found

    # What everything is called

    def _meaning(self, module, name):
        """What a name at the top level of a module is: (module, symbol), (None, whole module), (False, foreign)."""
        file = self._files[module]
        if name in file.by_name:
            imported = file.by_name[name]
            return self._meaning(imported.module, imported.symbol) if imported.symbol else (None, imported.module)
        return (False, file.foreign[name]) if name in file.foreign else (module, name)

    def _member(self, part, module, node):
        """What `module.attribute` in a file is."""
        meaning = self._meaning(module, node.attr)
        if not meaning[0] or meaning[1] not in self._files[meaning[0]].own:
            raise LinkError(f"{self._files[part].path}, line {node.lineno}: {module} has no {node.attr}")
        return meaning

    def _is_within(self, unit, meaning):
        """Whether it is something of the unit's own files."""
        return meaning[0] in self.units[unit]

    def _home(self, unit, module):
        """The unit where a unit finds a module: itself, if it can."""
        return unit if module in self.units[unit] else self._unit_of[module]

    def _name(self, unit):
        """Choose the names of all that has one at the top level of a unit."""
        parts = self.units[unit]
        barred = defaultdict(set)  # what is something else where a meaning is used
        root_names = [(unit, name) for name in sorted(self._files[unit].own & self._asked_for)]
        for part in parts:
            file = self._files[part]
            for name in sorted(file.own):
                barred[part, name] |= set()
            around = {id(node): inner for node, inner in file.names}
            for node, inner in file.names:
                barred[self._meaning(part, node.id)] |= inner
            for node in file.attributes:
                what, module = self._meaning(part, node.value.id)
                if what is None and module in self.units[unit]:
                    barred[self._member(part, module, node)] |= around[id(node.value)]
        constants = (f"_{number}" for number in itertools.count())
        there = {*parts, *self.units.get(RESIDENT, ())}
        known = sorted(set().union(*(self._files[part].known for part in there)) - _BUILT_IN)
        taken = set()
        for meaning in dict.fromkeys([*root_names, *barred]):
            where, what = meaning
            is_constant = where and where in parts and what in self._files[where].constants
            is_known = meaning in root_names or meaning in self._abroad or where in self._whole
            if is_constant and (is_private(what) or not is_known):
                name = next(constants)  # the compiler leaves it out
            else:
                wanted = what[1].partition(".")[0] if where is False else what.rpartition(".")[2]
                choice = short_names() if is_private(wanted) else _numbered(wanted)
                if where in parts and meaning not in root_names and what not in self._files[where].subclasses:
                    choice = itertools.chain(known, choice)
                avoid = taken if meaning in root_names else taken | barred[meaning] | _BUILT_IN
                if is_constant and meaning not in root_names:
                    avoid = avoid.union(*(self._files[part].variables for part in parts))
                name = next(name for name in choice if name not in avoid)
            taken.add(name)
            self._called[unit, meaning] = name

    # What is compiled

    def texts(self):
        """{path: bytes} of all units, and of modules that somebody wants to have by name and that were joined."""
        made = {}
        for unit, parts in self.units.items():
            lines = []
            for place, part in enumerate(parts):
                lines += [b""] * (place * PART_LINES - len(lines))
                lines += self._edited(unit, part)
            made[self._files[unit].path] = b"\n".join(lines)
        for module in sorted(self._whole - set(self.units)):
            made[self._files[module].path] = self._signpost(module)
        for file in self._files.values():
            if file.path.endswith("/__init__.py") and not file.own and not file.head:
                made.pop(file.path, None)  # a folder is a package without it too
        return made

    def _signpost(self, module):
        """Text of a module whose contents are elsewhere."""
        unit = self._unit_of[module]
        file = self._files[module]
        names = [name for name in sorted(file.own) if not is_private(name)]
        return "".join(_import_text(unit, self._called[unit, (module, name)], name) + "\n" for name in names).encode()

    def _edited(self, unit, part):
        """The lines of a file as they are in its unit."""
        file = self._files[part]
        edits = set()
        for node in file.tree.body:
            if isinstance(node, _DEFINITIONS):
                start = re.compile(rb"(?:async +)?(?:def|class) +").match(file.lines[node.lineno - 1]).end()
                edits.add((node.lineno, start, start + len(node.name), self._called[unit, (part, node.name)]))
            elif isinstance(node, _IMPORTS):
                edits |= _replaced(file, node, self._head_import(unit, part, node))
        for node in {imported.node for imported in file.inner}:
            edits |= _replaced(file, node, self._inner_import(unit, file, node))
        looked_into = {id(node.value): node for node in file.attributes}
        for node, _ in file.names:
            meaning = self._meaning(part, node.id)
            if meaning[0] is None and meaning[1] not in self._whole:
                outer, module = looked_into[id(node)], meaning[1]
                if outer.lineno != outer.end_lineno:
                    raise LinkError(f"{file.path}, line {node.lineno}: write this on one line")
                member = self._member(part, module, outer)
                home = self._home(unit, member[0])
                name = self._called[home, member]
                if home != unit:
                    name = f"{self._called[unit, meaning]}.{name}"
                edits.add((outer.lineno, outer.col_offset, outer.end_col_offset, name))
            elif self._called[unit, meaning] != node.id:
                edits.add((node.lineno, node.col_offset, node.end_col_offset, self._called[unit, meaning]))
        lines = list(file.lines)
        for number, start, end, text in sorted(edits, reverse=True):
            line = lines[number - 1]
            lines[number - 1] = line[:start] + text.encode() + line[end:]
        return lines

    def _head_import(self, unit, part, node):
        statements = []
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            meaning = self._meaning(part, name)
            where, what = meaning
            if self._is_within(unit, meaning):
                continue
            called = self._called.get((unit, meaning))
            if called is None:
                continue  # nobody uses it
            if where is False:
                statements.append(_import_text(what[0], what[1], called))
            elif where:
                home = self._home(unit, where)
                statements.append(_import_text(home, self._called[home, meaning], called))
            elif what in self._whole:
                statements.append(_import_text(*what.rpartition(".")[::2], called))
            elif what not in self.units[unit]:
                statements.append(_import_text(*self._unit_of[what].rpartition(".")[::2], called))
        return statements

    def _inner_import(self, unit, file, node):
        statements = []
        for imported in file.inner:
            if imported.node is node:
                if imported.symbol:
                    meaning = self._meaning(imported.module, imported.symbol)
                    home = self._home(unit, meaning[0])
                    name = self._called[home, meaning]
                    statements.append(_import_text(home, name, imported.name))
                elif imported.name == imported.module:
                    statements.append(f"import {imported.module}")
                else:
                    statements.append(_import_text(*imported.module.rpartition(".")[::2], imported.name))
        return statements


def _numbered(name):
    """name, name2, name3 and so on"""
    return itertools.chain([name], (f"{name}{number}" for number in itertools.count(2)))


def _import_text(module, name, called):
    start = f"from {module} import {name}" if module else f"import {name}"
    return start if called == name else f"{start} as {called}"


def _replaced(file, node, statements):
    """Edits that put statements in the place of an import."""
    edits = set()
    text = "; ".join(statements) or "pass"
    for number in range(node.lineno, node.end_lineno + 1):
        start = node.col_offset if number == node.lineno else 0
        edits.add((number, start, len(file.lines[number - 1]), text))
        text = ""
    return edits
