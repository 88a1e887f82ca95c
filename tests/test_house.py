"""Rules of the house that no linter knows."""

import ast
import doctest
import importlib
import sys
from pathlib import Path

import pytest

import afm_hf
from afm_hf.hub.code import ROOMS, flattened

ROOT = Path(__file__).parents[1]
SOURCE = Path(afm_hf.__file__).parent
TRAVELLING = sorted(file for room in ROOMS for file in (SOURCE / room).rglob("*.py"))
SHIPPED = sorted(
    path
    for folder in (SOURCE, ROOT / "examples", ROOT / "benchmarks", ROOT / "conversions")
    for path in folder.rglob("*.py")
)
# All that code in these rooms may import: its files are copied into the repositories of checkpoints.
ALLOWED = {
    "torch",
    "numpy",
    "transformers",
    "huggingface_hub",
    "safetensors",
    "soundfile",
    "soxr",
} | sys.stdlib_module_names


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def shown(path):
    return str(path.relative_to(SOURCE if path.is_relative_to(SOURCE) else ROOT))


def unguarded(node):
    """Imports that run when the module is imported: not inside a function, a `try` or `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Try):
            yield from unguarded(child)


@pytest.mark.parametrize("path", TRAVELLING, ids=shown)
def test_these_files_can_travel_to_a_hub_repository(path):
    siblings = {file.stem for file in TRAVELLING}
    for node in ast.walk(ast.parse(path.read_text() if path.stem == "__init__" else flattened(path.name))):
        if isinstance(node, ast.ImportFrom) and node.level:
            if path.stem != "__init__":
                assert node.level == 1 and node.module in siblings, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert "afm_hf" not in {name.partition(".")[0] for name in names}, ast.unparse(node)
            assert "__future__" not in names, "`annotations` turns `config: XConfig` into a string"
    for node in unguarded(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        assert {name.partition(".")[0] for name in names} <= ALLOWED, ast.unparse(node)


def test_no_two_files_that_travel_have_the_same_base_name():
    names = [path.stem for path in TRAVELLING if path.stem != "__init__"]
    assert sorted(set(names)) == sorted(names)


# Who may import whom: every room those below it, never those above. Rooms of one row know each other only where no
# circle comes of it; the metrics are leaves that training may use, too.
ROWS = [
    ["cli", "demo"],
    ["evaluation", "training"],
    ["evaluation.metrics", "retrieval", "hub", "conversion"],
    ["pipelines"],
    ["entailment", "adaptation", "data"],
    ["models"],
    ["audio"],
]
HEIGHT = {room: -row for row, rooms in enumerate(ROWS) for room in rooms}
HALL = {"__init__", "__main__", "moved", "registration"}  # the hall belongs to no room


def room_of(parts):
    """The room of a module, given as the parts of its dotted name below the package."""
    return ".".join(parts[:2]) if parts[:2] == ("evaluation", "metrics") else parts[0]


def imported(path):
    """The modules of this package that a file imports, wherever in it, as parts of dotted names; with the line."""
    place = path.relative_to(SOURCE).with_suffix("").parts
    package = place[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            parts = (*base, *(node.module.split(".") if node.module else ()))
            for name in [alias.name for alias in node.names]:
                deeper = SOURCE.joinpath(*parts, name)
                is_module = deeper.with_suffix(".py").is_file() or deeper.is_dir()
                yield (*parts, name) if is_module else parts, node.lineno


MODULES = [
    path for path in sorted(SOURCE.rglob("*.py")) if path.relative_to(SOURCE).parts[0].removesuffix(".py") not in HALL
]


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_imports_go_downwards(path):
    own = room_of(path.relative_to(SOURCE).with_suffix("").parts)
    for parts, line in imported(path):
        if parts and parts[0] not in HALL:
            assert HEIGHT[room_of(parts)] <= HEIGHT[own], f"line {line}: {own} imports {'.'.join(parts)}"


def edges(level):
    """Who imports whom, as a dictionary of sets: between folders (`level` parts of a name) or, without it, files."""
    graph = {}
    for path in MODULES:
        parts = path.relative_to(SOURCE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        for target, _ in imported(path):
            if target and target[0] not in HALL:
                here, there = (parts, target) if level is None else (folder(parts, level), folder(target, level))
                if here != there:
                    graph.setdefault(here, set()).add(there)
    return graph


def folder(parts, level):
    """`models` is looked at a folder deeper, for its models are rooms of their own."""
    if parts[0] == "models" and len(parts) > 1:
        return parts[:2]
    return tuple(room_of(parts).split("."))[: level + 1]


@pytest.mark.parametrize("level", [1, None], ids=["folders", "files"])
def test_nothing_imports_itself_by_a_detour(level):
    graph, done = edges(level), set()

    def walk(node, way):
        assert node not in way, " -> ".join(".".join(step) for step in [*way[way.index(node) :], node])
        if node not in done:
            for target in sorted(graph.get(node, ())):
                walk(target, [*way, node])
            done.add(node)

    for node in sorted(graph):
        walk(node, [])


def test_no_folder_is_too_full_to_be_read():
    for place in [SOURCE, *(path for path in SOURCE.rglob("*") if path.is_dir())]:
        assert len(list(place.glob("*.py"))) <= 24, shown(place)


def test_only_the_registration_registers():
    for path in SOURCE.rglob("*.py"):
        if path != SOURCE / "registration.py":
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.Attribute) and node.attr in ("register", "register_pipeline"):
                    assert not ast.unparse(node.value).startswith(("Auto", "PIPELINE")), shown(path)


@pytest.mark.parametrize("path", SHIPPED, ids=shown)
def test_no_file_can_run_code_from_data(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & {"pickle", "dill", "joblib", "shelve", "marshal"}
        if isinstance(node, ast.Call):
            called, keywords = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert called not in ("eval", "exec"), f"line {node.lineno}"
            if called == "torch.load":
                assert keywords.get("weights_only") == "True", f"line {node.lineno}"
            if called in ("np.load", "numpy.load"):
                assert keywords.get("allow_pickle", "False") == "False", f"line {node.lineno}"
            assert keywords.get("shell", "False") == "False", f"line {node.lineno}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=shown)
def test_no_asserts_for_users(path):
    """`python -O` drops them; what users get wrong is told by an exception."""
    assert not [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=shown)
def test_public_functions_are_annotated(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert not bare and node.returns is not None, f"{node.name}, line {node.lineno}: {bare}"


EXAMPLES = [path for path in sorted(SOURCE.rglob("*.py")) if ">>>" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", EXAMPLES, ids=shown)
def test_examples_in_docstrings_run(path, monkeypatch, capsys):
    module = importlib.import_module(".".join(["afm_hf", *path.relative_to(SOURCE).with_suffix("").parts]))
    bundled = (SOURCE / "assets" / "clap-small" / "config.json").is_file()
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__):
        if test.examples and (bundled or "bundled_model" not in test.docstring):
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            runner.run(test)
            assert runner.failures == 0, capsys.readouterr().out
