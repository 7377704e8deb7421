"""Takes out of the firmware's sources what costs RAM on the module and does nothing there.

MicroPython keeps every name that it has ever seen in RAM, and a slot for every global. Where a linker strips
local symbols and puts numbers in the place of constants, this does the same to Python, before compilation:

- an integer constant of another file, `settings.LIMIT` or imported by name, becomes the number; where nothing else
  refers to the constant, its own file folds it too
- literals with private names, `_MAGIC = b"..."` or `_BLANK = b"..." * 16`, are folded, as MicroPython's `const` does
- private names, `self._head` or `_read()`, and arguments that nobody passes by keyword become `_a`, `_b` and so
  on, the same few in every file
- classes forget `__module__` and `__qualname__`, which MicroPython itself never asks for

Every line stays where it is: a traceback names the right ones.
"""

import ast
import itertools
import re
import string
from collections import Counter, defaultdict

from tools.setup.syntax import parse
from tools.setup.trees import walk


class ShrinkError(Exception):
    """A file that cannot be shrunk; the text says where and why."""


def shrink(texts, folder="firmware/"):
    """`texts` (relative path to bytes) with the .py files below `folder` shrunk.

    All other files stay as they are, and what they use of these keeps its name. A file that does not parse
    stays too: the compiler will say why. Raises ShrinkError.
    """
    files = {}
    for path, text in texts.items():
        if path.endswith(".py"):
            try:
                files[path] = _File(path, text)
            except (SyntaxError, ValueError):
                continue
    package = {file.module: file for path, file in files.items() if path.startswith(folder)}
    for file in package.values():
        file.refuse_shared_privacy(package)
        file.inline(package)
    public = set().union(*(file.asked_for | file.attributes for file in files.values()))
    private = set().union(*(file.asked_for | file.attributes - set(file.bound) for file in files.values()))
    keywords = set().union(*(file.asked_for | file.keywords for file in files.values()))
    shrunk = {}
    for file in package.values():
        file.work_out()
        file.fold(public)
        file.drop_origins()
        file.rename_private(private)
        file.rename_arguments(keywords)
        shrunk[file.path] = file.result()
    return {**texts, **shrunk}


_IMPORTS = (ast.Import, ast.ImportFrom)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class _File:
    """One source file and the edits decided on so far.

    bound: how often each name is given a value; attributes: names behind a dot; keywords: of arguments in calls;
    asked_for: imported names, and strings, which getattr() may take for names; integers: public constants.
    """

    def __init__(self, path, text):
        self.path = path
        self.module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self._tree = parse(text)
        self._lines = text.split(b"\n")
        self._edits = set()  # (line, first byte, byte behind, replacement)
        self._kinds = defaultdict(list)
        for node in walk(self._tree):
            self._kinds[type(node)].append(node)
        self._names = defaultdict(list)  # variables: name -> nodes
        for node in self._all(ast.Name):
            self._names[node.id].append(node)
        # Names in nodes that do not tell where in the line they stand.
        self._placeless = {name for node in self._all(ast.Global, ast.Nonlocal) for name in node.names}
        self._placeless |= {node.name for node in self._all(ast.ExceptHandler)}
        self._placeless |= {alias.asname or alias.name for alias in self._all(ast.alias)}
        self.bound = Counter(_bound_names(self._tree))
        self.attributes = {node.attr for node in self._all(ast.Attribute)}
        self.keywords = {node.arg for node in self._all(ast.keyword)}
        self.asked_for = {alias.name for alias in self._all(ast.alias)}
        self.asked_for |= {node.value for node in self._all(ast.Constant) if isinstance(node.value, str)}
        self._literals = {}  # top-level names that are bound once, to a literal -> the statement
        for statement in self._tree.body:
            name = _literal_name(statement)
            if name and self.bound[name] == 1:
                self._literals[name] = statement
        taken = set(self._names) | self.attributes | set(self.bound)
        self._short_names = (name for name in short_names() if name not in taken)
        self.integers = {}
        for name, statement in self._literals.items():
            value = ast.literal_eval(_literal(statement))
            if name.isupper() and not is_private(name) and type(value) is int:
                self.integers[name] = value

    def refuse_shared_privacy(self, package):
        """Two files' classes with private names in one object: theirs would become the same."""
        imported = {}
        for node, alias, name in self._imports():
            if getattr(node, "module", None) in package:
                imported[name] = node.module, alias.name
        for node in self._all(ast.ClassDef):
            for base in node.bases:
                module, name = imported.get(getattr(base, "id", None), (None, None))
                if module and package[module].has_private_class(name):
                    raise ShrinkError(f"{self.path}: {node.name} inherits private names of {module}.{name}")

    def has_private_class(self, name):
        return any(any(map(is_private, _bound_names(node))) for node in self._all(ast.ClassDef) if node.name == name)

    def inline(self, package):
        """Put numbers in the place of other files' integer constants, and drop imports that were for these alone."""
        modules, numbers = {}, {}
        for node, alias, name in self._imports():
            source = alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"
            if self.bound[name] > 1:
                continue
            if source in package:
                modules[name] = package[source].integers
            elif isinstance(node, ast.ImportFrom):
                integers = package[node.module].integers if node.module in package else {}
                numbers.update({name: integers[alias.name]} if alias.name in integers else {})
        uses = {name: len(self._names[name]) for name in modules}
        self.attributes = set()
        for node in self._all(ast.Attribute):
            name = getattr(node.value, "id", None)
            if node.attr in modules.get(name, ()):
                self._replace(node, repr(modules[name][node.attr]))
                uses[name] -= 1
            else:
                self.attributes.add(node.attr)
        for name, number in numbers.items():
            for node in self._names[name]:
                self._replace(node, repr(number))
        needless = {name for name in uses if self._names[name] and not uses[name]} | set(numbers)
        for node in self._all(*_IMPORTS):
            # The compiler knows const() without an import.
            gone = {"const"} if getattr(node, "module", None) == "micropython" else needless
            kept = [alias for alias in node.names if (alias.asname or alias.name) not in gone]
            if len(kept) < len(node.names):
                self.asked_for -= {alias.name for alias in node.names if alias not in kept}
                self._import_only(node, kept)

    def work_out(self):
        """Put what it comes to in the place of `_NAME = b"..." * 16` and `_NAME = bytes(16)`: then it is folded too."""
        for statement in self._tree.body:
            name = _assigned_name(statement)
            if not name or self.bound[name] > 1 or not is_private(name) or not self._can_fold(name, statement):
                continue
            value = statement.value
            if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult):
                one, count = value.left, self._integer(value.right)
            elif isinstance(value, ast.Call) and getattr(value.func, "id", None) == "bytes" and len(value.args) == 1:
                one, count = ast.Constant(b"\0"), self._integer(value.args[0])
            else:
                continue
            if count is not None and isinstance(one, ast.Constant) and isinstance(one.value, bytes):
                self._replace(value, f"const({one.value * count!r})")
                for node in walk(value):
                    if isinstance(node, ast.Name):
                        self._names[node.id].remove(node)

    def _integer(self, node):
        """The number that an expression is: itself one, or a constant of this file; None for anything else."""
        if isinstance(node, ast.Name) and node.id in self._literals:
            node = _literal(self._literals[node.id])
        value = getattr(node, "value", None)
        return value if isinstance(node, ast.Constant) and type(value) is int else None

    def drop_origins(self):
        """Let classes not keep the names of their module and of themselves a second time."""
        for node in self._all(ast.ClassDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                self._insert(first.end_lineno, first.end_col_offset, "; del __module__, __qualname__")
            elif isinstance(first, ast.Assign):
                self._insert(first.lineno, first.col_offset, "del __module__, __qualname__; ")

    def fold(self, public):
        """Make const of private literals, and of public integers whose name is not in `public`."""
        for name, statement in self._literals.items():
            if is_private(name):
                new_name = name
            elif name in self.integers and name not in public:
                new_name = "_" + name
            else:
                continue
            if not self._can_fold(name, statement) or self.bound[new_name] > (new_name == name):
                continue
            if not isinstance(statement.value, ast.Call):
                self._insert(statement.value.lineno, statement.value.col_offset, "const(")
                self._insert(statement.value.end_lineno, statement.value.end_col_offset, ")")
            if new_name != name:
                for node in self._names[name]:
                    self._replace(node, new_name)
            self.bound[name] = 0

    def _can_fold(self, name, statement):
        """The compiler replaces only what follows, and only where no parentheses are about the value."""
        target, value = statement.targets[0], statement.value
        between = self._lines[target.end_lineno - 1][target.end_col_offset : value.col_offset]
        return (
            between.strip() == b"="
            and (value.end_lineno, value.end_col_offset) == (statement.end_lineno, statement.end_col_offset)
            and name not in self.asked_for
            and all(node is target or node.lineno > statement.lineno for node in self._names[name])
        )

    def rename_private(self, private):
        """Give short names to what is private here, but for names in `private`, which other files know."""
        table = {}
        for name, count in self.bound.items():
            if count and is_private(name) and name not in private and name not in self._placeless:
                table[name] = next(self._short_names)
        for name, short_name in table.items():
            for node in self._names[name]:
                self._replace(node, short_name)
        for node in self._all(ast.Attribute):
            if node.attr in table:
                start = node.end_col_offset - len(node.attr)
                self._edits.add((node.end_lineno, start, node.end_col_offset, table[node.attr]))
        for node in self._all(ast.arg, ast.keyword):
            self._rename_argument(node, table)
        for node in self._all(*_FUNCTIONS, ast.ClassDef):
            if node.name in table:
                line = self._lines[node.lineno - 1]
                start = re.compile(rb"(?:async +)?(?:def|class) +").match(line, node.col_offset).end()
                self._edits.add((node.lineno, start, start + len(node.name), table[node.name]))

    def rename_arguments(self, keywords):
        """Give short names to arguments, but for names in `keywords`."""
        arguments = {}  # the same name gets the same short one in all functions of the file
        for node in self._all(ast.arg):
            name = node.arg
            if name != "self" and not is_private(name) and name not in keywords and name not in self._placeless:
                arguments[name] = arguments.get(name) or next(self._short_names)
                self._rename_argument(node, arguments)
        for node in self._all(*_FUNCTIONS, ast.Lambda):
            own = {argument.arg for argument in walk(node.args) if isinstance(argument, ast.arg)}
            for part in node.body if isinstance(node.body, list) else [node.body]:
                for inner in walk(part):
                    if isinstance(inner, ast.Name) and inner.id in own and inner.id in arguments:
                        self._replace(inner, arguments[inner.id])

    def result(self):
        lines = list(self._lines)
        for number, start, end, text in sorted(self._edits, reverse=True):
            line = lines[number - 1]
            lines[number - 1] = line[:start] + text.encode() + line[end:]
        return b"\n".join(lines)

    def _all(self, *kinds):
        return itertools.chain.from_iterable(self._kinds[kind] for kind in kinds)

    def _imports(self):
        """Yield (statement, alias, name that it gets) of every import."""
        for node in self._all(*_IMPORTS):
            for alias in node.names:
                yield node, alias, alias.asname or alias.name

    def _rename_argument(self, node, table):
        if node.arg in table:
            end = node.col_offset + len(node.arg)
            self._edits.add((node.lineno, node.col_offset, end, table[node.arg]))

    def _replace(self, node, text):
        if node.lineno != node.end_lineno:
            raise ShrinkError(f"{self.path}, line {node.lineno}: write this on one line")
        self._edits.add((node.lineno, node.col_offset, node.end_col_offset, text))

    def _insert(self, line, column, text):
        self._edits.add((line, column, column, text))

    def _import_only(self, node, aliases):
        names = ", ".join(f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in aliases)
        start = f"from {node.module} import" if isinstance(node, ast.ImportFrom) else "import"
        text = f"{start} {names}" if names else "pass"
        for number in range(node.lineno, node.end_lineno + 1):
            first = node.col_offset if number == node.lineno else 0
            self._edits.add((number, first, len(self._lines[number - 1]), text))
            text = ""


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_"


def short_names():
    for size in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=size):
            yield "_" + "".join(letters)


def _bound_names(tree):
    """Names that get a value below a node, as a variable, argument, function, class or attribute."""
    for node in walk(tree):
        kind = type(node)
        if kind is ast.Name and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif kind is ast.Attribute and not isinstance(node.ctx, ast.Load):
            yield node.attr
        elif kind is ast.arg:
            yield node.arg
        elif kind in (*_FUNCTIONS, ast.ClassDef) or (kind is ast.ExceptHandler and node.name):
            yield node.name
        elif kind in (ast.Global, ast.Nonlocal):
            yield from node.names
        elif kind is ast.alias:
            yield node.asname or node.name.partition(".")[0]


def _assigned_name(statement):
    """The one name that a statement assigns to, or None."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return getattr(statement.targets[0], "id", None)
    return None


def _literal_name(statement):
    """The name that a statement gives to a literal, or None."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name) and _literal(statement) is not None:
            return target.id
    return None


def _literal(statement):
    """Node of the number, string, bytes, or tuple of these in `NAME = literal` or `NAME = const(literal)`, or None."""
    value = statement.value
    if isinstance(value, ast.Call) and getattr(value.func, "id", None) == "const":
        value = value.args[0]
    try:
        ast.literal_eval(value)
    except ValueError:
        return None
    return value if isinstance(value, (ast.Constant, ast.UnaryOp, ast.Tuple)) else None
