"""Takes out of a module's text all that mentions certain names, and leaves everything else as it is written."""

import ast
import re
from collections.abc import Iterable, Sequence

Span = tuple[int, int]  # of bytes

_ENTRY = re.compile(r"(\s+)(\w+(?:, \w+)*)( \(|:| \[)")  # `    first, second (`int`): ...` of a docstring


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
    """Goes through a module's tree and notes which bytes go, each with what takes their place (of docstrings alone)."""

    def __init__(self, text: str, names: set[str]) -> None:
        self.names = names
        self.content = text.encode()
        lines = self.content.splitlines(keepends=True)
        self.lines = [0]  # where each begins
        for line in lines:
            self.lines.append(self.lines[-1] + len(line))
        self.removed: list[tuple[int, int, bytes]] = []

    def result(self) -> str:
        """The text without what goes."""
        parts, at = [], 0
        for start, end, instead in sorted(self.removed, key=lambda span: (span[0], -span[1])):
            if end > at:
                parts += [self.content[at : max(at, start)], instead]
                at = end
        return b"".join([*parts, self.content[at:]]).decode()

    def block(self, body: Sequence[ast.stmt]) -> bool:
        """Cuts a block of statements; returns whether nothing would be left, and leaves it then to who holds it."""
        outer = list(self.removed)
        gone = [self.statement(statement) for statement in body]
        if all(gone):
            self.removed = outer
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
        """Takes arguments out of calls, out of the innermost first: what is left then is why an outer one goes."""
        for node in nodes:
            for call in reversed(list(ast.walk(node))):
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
            if not all(goes[index:]):  # with the comma behind it
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
