"""Several modules of a package to one: what is wanted of them and all that it needs, in an order in which it can run.

Nothing is written anew: definitions are copied from the modules' texts with their comments. A name that is needed and
nowhere found, or that means two things, is an error, so that nobody is given code that is silently wrong.
"""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_EXAMPLE = re.compile(r"\n+ *Example:\s*\n\s*```.*?```(?:\n(?= *\n))*", re.DOTALL)
_ONE_LINE = re.compile(r'("""[^\n"]+)\n+ *"""\n')  # of a docstring nothing but the first line


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
