"""Several modules of a package to one: what is wanted of them and all that it needs, in an order in which it can run.

Nothing is written anew. A module's text is *cut* (statements, arguments and documented parameters that mention certain
names are taken out of it), *rewritten* where a table of expressions says so, and then parsed; definitions are copied
from it with their comments. Every entry of both tables must meet something: where the sources have changed so that it
does not, it is an error, and nobody is given code that is silently wrong.
"""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Span = tuple[int, int]  # of bytes

_ENTRY = re.compile(r"(\s+)(\w+(?:, \w+)*)( \(|:| \[)")  # `    first, second (`int`): ...` of a docstring
_EXAMPLE = re.compile(r"\n+ *Example:\s*\n\s*```.*?```(?:\n(?= *\n))*", re.DOTALL)
_ONE_LINE = re.compile(r'("""[^\n"]+)\n+ *"""\n')  # of a docstring nothing but the first line


# ---------------------------------------------------------------------------------------------------------------------
# Cutting
# ---------------------------------------------------------------------------------------------------------------------


def cut(text: str, names: Iterable[str]) -> str:
    """A module's text without what mentions any of the names.

    Of a call and of a function's parameters only the argument goes, of a class the base. Else it is the smallest
    statement, a compound one if its head mentions the name or if nothing is left in it; and the entry of a docstring.

    Raises:
        ValueError: a name is mentioned nowhere, or still is.
    """
    names = set(names)
    cutter = _Cutter(text, names)
    cutter.block(ast.parse(text).body)
    if unmet := sorted(names - _mentioned(ast.parse(text))):
        raise ValueError(f"Nothing mentions {', '.join(unmet)} any longer: the recipe of what to cut is out of date.")
    result = cutter.result()
    if left := sorted(names & _mentioned(ast.parse(result))):
        raise ValueError(f"{', '.join(left)} could not be cut out.")
    return result


def _mentioned(tree: ast.AST) -> set[str]:
    """All names in a tree, but those of imports."""
    attributes = ("id", "attr", "arg", "name")
    nodes = (node for node in ast.walk(tree) if not isinstance(node, ast.alias))
    return {str(getattr(node, attribute)) for node in nodes for attribute in attributes if hasattr(node, attribute)}


class _Cutter:
    def __init__(self, text: str, names: set[str]) -> None:
        self.names = names
        self.content = text.encode()
        lines = self.content.splitlines(keepends=True)
        self.lines = [0]  # where each begins
        for line in lines:
            self.lines.append(self.lines[-1] + len(line))
        self.removed: list[tuple[int, int, bytes]] = []

    def result(self) -> str:
        parts, at = [], 0
        for start, end, instead in sorted(self.removed, key=lambda span: (span[0], -span[1])):
            if end > at:
                parts += [self.content[at : max(at, start)], instead]
                at = end
        return b"".join([*parts, self.content[at:]]).decode()

    def block(self, body: Sequence[ast.stmt]) -> bool:
        """Cuts a block of statements; returns whether nothing is left in it."""
        outer = list(self.removed)
        gone = [self.statement(statement) for statement in body]
        if all(gone):
            self.removed = outer  # who holds it takes it out as a whole
        return all(gone)

    def statement(self, node: ast.stmt) -> bool:
        """Cuts in a statement; returns whether it goes as a whole."""
        before = list(self.removed)
        if self._goes(node):
            self.removed = [*before, (*self._whole_lines(node), b"")]
            return True
        return False

    def _goes(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            return self._definition_goes(node)
        blocks = [getattr(node, name) for name in ("body", "orelse", "finalbody") if getattr(node, name, None)]
        inside = {id(statement) for block in blocks for statement in block}
        head = [child for child in ast.iter_child_nodes(node) if id(child) not in inside]
        self._calls(head)
        if any(self._mentions(child) for child in head):
            return True
        gone = [self.block(block) for block in blocks]
        if any(gone) and not all(gone):
            raise ValueError(f"A branch of the statement in line {node.lineno} would be empty; rewrite it instead.")
        return bool(blocks) and all(gone)

    def _definition_goes(self, node: ast.FunctionDef | ast.ClassDef) -> bool:
        if self._meets(node.name):
            return True
        for decorator in node.decorator_list:
            if self._mentions(decorator):
                self.removed.append((*self._whole_lines(decorator), b""))
        if isinstance(node, ast.ClassDef):
            self._among(node.bases, [self._mentions(base) for base in node.bases])
        else:
            self._parameters(node.args)
        self._docstring(node)
        documented = ast.get_docstring(node) is not None
        return self.block(node.body[documented:]) and len(node.body) > documented

    def _parameters(self, arguments: ast.arguments) -> None:
        named = arguments.posonlyargs + arguments.args
        defaults = [None] * (len(named) - len(arguments.defaults)) + list(arguments.defaults)
        pairs = [*zip(named, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
        pairs += [(extra, None) for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
        spans = [(self._span(each)[0], self._span(default or each)[1]) for each, default in pairs]
        self._spans(spans, [self._meets(each.arg) for each, _ in pairs])

    def _calls(self, nodes: Iterable[ast.AST]) -> None:
        """Takes arguments out of calls."""
        for node in nodes:
            for call in ast.walk(node):
                if isinstance(call, ast.Call):
                    arguments: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
                    self._among(arguments, [self._argument_goes(argument) for argument in arguments])

    def _argument_goes(self, node: ast.expr | ast.keyword) -> bool:
        if isinstance(node, ast.keyword):
            return (node.arg is not None and self._meets(node.arg)) or self._mentions(node.value)
        return isinstance(node, ast.Name) and self._meets(node.id)

    def _among(self, nodes: Sequence[ast.expr | ast.keyword], goes: list[bool]) -> None:
        self._spans([self._span(node) for node in nodes], goes)

    def _spans(self, spans: list[Span], goes: list[bool]) -> None:
        """Takes some elements out of a list with commas."""
        for index, (start, end) in enumerate(spans):
            if not goes[index]:
                continue
            if not all(goes[index:]):
                end = spans[index + 1][0]
                while self.content[end - 1 : end] == b"*":
                    end -= 1
            elif index:  # the last ones go: with the comma before them
                start = spans[index - 1][1]
            self.removed.append((start, end, b""))

    def _mentions(self, node: ast.AST) -> bool:
        """Whether anything of it that stays has one of the names."""
        found = False
        for child in ast.walk(node):
            place = self._span(child)[0] if hasattr(child, "lineno") else None
            if place is not None and any(start <= place < end for start, end, _ in self.removed):
                continue
            for attribute in ("id", "attr", "arg"):
                found |= self._meets(getattr(child, attribute, None))
        return found

    def _meets(self, name: object) -> bool:
        return name in self.names

    def _docstring(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        text = ast.get_docstring(node, clean=False)
        if text is None:
            return
        start, end = self._span(node.body[0])
        said = self.content[start:end].decode()
        kept = self.documented(said)
        if kept != said:
            self.removed.append((start, end, kept.encode()))

    def documented(self, said: str) -> str:
        """A docstring without the entries of parameters that are cut."""
        kept: list[str] = []
        deeper: int | None = None  # the indentation of an entry that goes
        for line in said.split("\n"):
            indentation = len(line) - len(line.lstrip())
            if deeper is not None and line.strip() and indentation > deeper:
                continue
            deeper = None
            if entry := _ENTRY.match(line):
                names = entry[2].split(", ")
                left = [name for name in names if not self._meets(name)]
                if not left:
                    deeper = indentation
                    continue
                line = line.replace(entry[2], ", ".join(left), 1)
            kept.append(line)
        return re.sub(r"\n +Args:\n(?= *\n| *\"\"\")", "\n", "\n".join(kept))

    def _span(self, node: ast.AST) -> Span:
        begin = self.lines[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return begin, self.lines[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def _whole_lines(self, node: ast.AST) -> Span:
        """From the comment above a statement, or its first decorator, to the end of its last line."""
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])  # type: ignore[attr-defined]
        while self.content[self.lines[first - 2] : self.lines[first - 1]].strip().startswith(b"#"):
            first -= 1
        return self.lines[first - 1], self.lines[node.end_lineno]  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------------------------------
# Modules
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Imported:
    """`from module import name`, or `import module` where there is no name; a relative module keeps its dots."""

    module: str
    name: str | None
    local: str


@dataclass
class Definition:
    """A class, function or constant of a module: its text, its line, and the names that it needs."""

    name: str
    module: str
    line: int
    text: str
    needs: set[str]


@dataclass
class Module:
    """A module's definitions and imports by their local names, and the modules beside it that it imports, in order."""

    name: str
    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, Imported] = field(default_factory=dict)

    @classmethod
    def parsed(cls, name: str, text: str) -> "Module":
        module, lines = cls(name), text.splitlines()
        for node in ast.parse(text).body:
            for imported in _imported(node):
                module.imports[imported.local] = imported
            for defined in _defined(node):
                needs = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)} - {defined}
                first = _first_line(node, lines)
                said = "\n".join(lines[first : node.end_lineno])
                module.definitions[defined] = Definition(defined, name, node.lineno, said, needs)
        return module

    def siblings(self) -> list[str]:
        """Base names of the modules of the package that it imports from."""
        relative = (imported.module for imported in self.imports.values() if imported.module.startswith("."))
        return list(dict.fromkeys(module.rpartition(".")[2] for module in relative))


def _imported(node: ast.stmt) -> Iterator[Imported]:
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield Imported("." * node.level + (node.module or ""), alias.name, alias.asname or alias.name)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            yield Imported(alias.name, None, alias.asname or alias.name)


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def _first_line(node: ast.stmt, lines: list[str]) -> int:
    """Counted from 0: that of the comment above it, but not of a heading over several definitions."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]) - 1
    while first and lines[first - 1].startswith("#") and not lines[first - 1].startswith("# ---"):
        first -= 1
    return first


# ---------------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """
    A file to make.

    Attributes:
        name: Its base name.
        about: Its docstring.
        wanted: The names that it is made for, as `module.name`; they become its `__all__`.
        modules: Beginnings of the names of modules whose definitions belong here; the last file takes those of all.
    """

    name: str
    about: str
    wanted: tuple[str, ...]
    modules: tuple[str, ...] = ("",)


@dataclass
class Merged:
    """The definitions of a file in their order, what it imports from elsewhere, and from the files before it."""

    definitions: list[Definition]
    imports: set[Imported]
    earlier: dict[str, set[str]]


class Merger:
    """
    Puts definitions of a package's modules together.

    Args:
        texts: Texts of the modules by their base names, cut and rewritten.
        files: The files to make; each may import from those before it.
        known: Names that a rewriting has brought in, and where they are imported from.
    """

    def __init__(self, texts: dict[str, str], files: Sequence[File], known: dict[str, Imported]) -> None:
        self.modules = {name: Module.parsed(name, text) for name, text in texts.items()}
        self.files, self.known = files, known

    def merged(self, file: File) -> Merged:
        """What a file holds.

        Raises:
            ValueError: a name is nowhere defined or means two things.
        """
        found: dict[tuple[str, str], Definition] = {}
        result = Merged([], set(), {})
        left = [tuple(wanted.split(".")) for wanted in file.wanted]
        left += [(name, module) for name, module in self._asked_by_later(file)]
        while left:
            module, name = left.pop()
            if (module, name) in found:
                continue
            definition = self.modules[module].definitions.get(name)
            if definition is None:
                raise ValueError(f"{module}.py defines no {name}: the recipe is out of date.")
            found[module, name] = definition
            for need in sorted(definition.needs):
                place = self._place(module, need)
                if isinstance(place, Imported):
                    result.imports.add(place)
                elif place is not None and (owner := self._owner(place[0], file)) is not file:
                    result.earlier.setdefault(owner.name, set()).add(place[1])
                elif place is not None:
                    left.append(place)
        result.definitions = self._in_order(found.values())
        return result

    def _asked_by_later(self, file: File) -> set[tuple[str, str]]:
        """What the files behind this one import from it."""
        asked: set[tuple[str, str]] = set()
        for later in self.files[self.files.index(file) + 1 :]:
            names = self.merged(later).earlier.get(file.name, set())
            modules = [name for name in self.modules if self._owner(name, later) is file]
            asked |= {(module, name) for module in modules for name in names & self.modules[module].definitions.keys()}
        return asked

    def _owner(self, module: str, file: File) -> File:
        """The file that the definitions of a module belong to, seen from one file."""
        before = self.files[: self.files.index(file)]
        return next((each for each in before if module.startswith(each.modules)), file)

    def _place(self, module: str, name: str) -> Imported | tuple[str, str] | None:
        """Where a name of a module comes from; None of those that are local or built in."""
        if name in self.modules[module].definitions:
            return module, name
        imported = self.modules[module].imports.get(name) or self.known.get(name)
        if imported is None or not imported.module.startswith("."):
            return imported
        return self._defining(imported.module.rpartition(".")[2], imported.name or name)

    def _defining(self, module: str, name: str) -> tuple[str, str]:
        """The module that defines a name, which others may pass on."""
        if module not in self.modules:
            raise ValueError(f"{name} of {module}.py is needed, which is no part of what is laid out: cut it.")
        place = self._place(module, name)
        if not isinstance(place, tuple):
            raise ValueError(f"{module}.py defines no {name}.")
        return place

    def _in_order(self, definitions: Iterable[Definition]) -> list[Definition]:
        """As they stand in the modules, a module behind those that it imports."""
        order: list[str] = []

        def visit(module: str) -> None:
            if module in self.modules and module not in order:
                for sibling in self.modules[module].siblings():
                    visit(sibling)
                order.append(module)

        for module in sorted(self.modules):
            visit(module)
        kept: dict[str, Definition] = {}
        for definition in sorted(definitions, key=lambda each: (order.index(each.module), each.line)):
            known = kept.setdefault(definition.name, definition)
            if known.text != definition.text:
                raise ValueError(
                    f"{definition.name} means two things: in {known.module}.py, in {definition.module}.py."
                )
        return list(kept.values())


def lines_of_imports(imports: Iterable[Imported], package: str) -> list[str]:
    """Lines of imports; what comes from the same package as `package` is named by the module that defines it.

    Args:
        imports: What is imported.
        package: Where the file will be, as `"transformers.models.msclap"`.
    """
    lines = set()
    for each in imports:
        alias = f" as {each.local}" if each.local not in (each.name, each.module) else ""
        if each.name is None:
            lines.add(f"import {each.module}{alias}")
            continue
        lines.add(f"from {_relative(each, package)} import {each.name}{alias}")
    return sorted(lines)


def _relative(imported: Imported, package: str) -> str:
    root = package.split(".")
    if imported.module.split(".")[0] != root[0]:
        return imported.module
    module = imported.module
    value = getattr(importlib.import_module(module), str(imported.name), None)
    if module == root[0] and isinstance(value, type):
        module = value.__module__
    parts = module.split(".")
    shared = next((i for i, (a, b) in enumerate(zip(parts, root, strict=False)) if a != b), min(len(parts), len(root)))
    return "." * (len(root) - shared + 1) + ".".join(parts[shared:])


def without_examples(text: str, mentioning: str) -> str:
    """A module's text without the examples of docstrings that mention something."""
    left = _EXAMPLE.sub(lambda found: "" if mentioning in found[0] else found[0], text)
    return _ONE_LINE.sub(r'\1"""\n', left)


def with_members(text: str, other: str) -> str:
    """A module's text in which methods and functions of another text take the place of their namesakes.

    Those that have none are added: methods at the end of their class, functions at the end of the module.
    """
    for node in ast.parse(other).body:
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.Assign):
                    text = _put(text, node.name, other, member)
        elif isinstance(node, ast.FunctionDef):
            text = _put(text, None, other, node)
    return text


def _put(text: str, owner: str | None, other: str, member: ast.stmt) -> str:
    lines, given = text.splitlines(), other.splitlines()
    said = given[_first_line(member, given) : member.end_lineno]
    body = ast.parse(text).body
    if owner is not None:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == owner)
    names = _defined(member)
    same = next((node for node in body if names and _defined(node) == names), None)
    if same is not None:
        lines[_first_line(same, lines) : same.end_lineno] = [] if isinstance(member, ast.Assign) else said
    if isinstance(member, ast.Assign):
        place = body[0].end_lineno or 0  # behind the docstring
        lines[place:place] = ["", *said]
    elif same is None:
        place = body[-1].end_lineno or 0
        lines[place:place] = ["", *([""] if owner is None else []), *said]
    return "\n".join(lines) + "\n"


def module_texts(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Texts of the modules below a folder, by their base names."""
    files = {file.stem: file for file in root.rglob("*.py")}
    return {name: files[name].read_text(encoding="utf-8") for name in names}
