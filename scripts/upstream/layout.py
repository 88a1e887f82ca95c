"""Writes CLAP as a folder of transformers: the model's files, its tests, its page, and a patch of the Auto classes."""

import difflib
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import transformers

from upstream import recipe
from upstream.cutting import cut
from upstream.merging import (
    Definition,
    File,
    Merger,
    lines_of_imports,
    module_texts,
    with_members,
    without_examples,
)

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src" / "afm_hf"
TEMPLATES = HERE / "templates"
LINE_LENGTH = 119
LICENCE = """\
# Copyright 2026 The HuggingFace Inc. team. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""
# transformers' own settings of ruff, as far as they shape text.
RUFF = """\
target-version = "py310"
line-length = 119
[lint]
select = ["C", "E", "F", "I", "W", "UP"]
ignore = ["C901", "E501", "E741", "F402", "F823", "UP031"]
[lint.per-file-ignores]
"__init__.py" = ["F401", "F403", "F405"]
[lint.isort]
lines-after-imports = 2
known-first-party = ["transformers"]
"""


def lay_out(folder: Path) -> list[Path]:
    """
    Writes all files below a folder, as they lie in a checkout of transformers.

    Returns:
        The files, relative to the folder.

    Raises:
        ValueError: the sources have changed so that the recipe no longer fits them.
    """
    texts = {f"src/transformers/models/{recipe.NAME}/{name}": text for name, text in model_files().items()}
    for template in sorted(TEMPLATES.rglob("*")):
        if template.is_file() and template.suffix in (".py", ".md"):
            said = template.read_text(encoding="utf-8")
            licence = f"{LICENCE}\n" if template.suffix == ".py" and said else ""
            texts[template.relative_to(TEMPLATES).as_posix()] = licence + said
    texts["auto_mappings.patch"] = auto_patch()
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    tidy(folder, [folder / name for name in texts if name.endswith(".py")])
    return [Path(name) for name in texts]


def model_files() -> dict[str, str]:
    """Texts of the files of `src/transformers/models/msclap`, by their names."""
    merger = Merger(prepared(), recipe.FILES, recipe.KNOWN)
    files = {f"{file.name}.py": renamed(text_of(file, merger)) for file in recipe.FILES}
    modules = "\n".join(f"    from .{file.name} import *" for file in sorted(recipe.FILES, key=lambda file: file.name))
    return {"__init__.py": LICENCE + LAZY.format(modules=modules), **files}


LAZY = """\
from typing import TYPE_CHECKING

from ...utils import _LazyModule
from ...utils.import_utils import define_import_structure


if TYPE_CHECKING:
{modules}
else:
    import sys

    _file = globals()["__file__"]
    sys.modules[__name__] = _LazyModule(__name__, _file, define_import_structure(_file), module_spec=__spec__)
"""


def prepared() -> dict[str, str]:
    """Texts of the modules that take part, rewritten and cut."""
    texts = module_texts(SOURCE, recipe.CUT)
    for module, rewritings in recipe.REWRITTEN.items():
        for pattern, instead in rewritings:
            texts[module], count = re.subn(pattern, instead, texts[module])
            if not count:
                raise ValueError(f"{module}.py has nothing like {pattern!r} any longer: the recipe is out of date.")
    arrays = (HERE / "arrays_only.py").read_text(encoding="utf-8")
    texts["feature_extraction_afm"] = with_members(texts["feature_extraction_afm"], arrays)
    return {module: without_examples(cut(text, recipe.CUT[module]), "bundled_model") for module, text in texts.items()}


def text_of(file: File, merger: Merger) -> str:
    """A file before names are changed."""
    merged = merger.merged(file)
    lines = lines_of_imports(merged.imports, recipe.PACKAGE)
    lines += [f"from .{earlier} import {', '.join(sorted(names))}" for earlier, names in merged.earlier.items()]
    wanted = sorted(renamed(name.rpartition(".")[2]) for name in file.wanted)
    head = f'{LICENCE}"""{file.about}"""\n\n' + "\n".join(lines)
    return f"{head}{_bodies(merged.definitions)}\n\n\n__all__ = {json.dumps(wanted)}\n"


def _bodies(definitions: list[Definition]) -> str:
    """Texts of definitions, the logger in front, and constants close together."""
    text, before = "", ""
    for definition in sorted(definitions, key=lambda each: each.name != "logger"):
        is_constant = not re.search("^(@|class |def )", definition.text, re.MULTILINE)
        text += ("\n" if is_constant and before == "constant" else "\n\n\n") + definition.text
        before = "constant" if is_constant else ""
    return text


def renamed(text: str) -> str:
    """A text of ours in transformers' names."""
    for pattern, name in recipe.RENAMED.items():
        text = re.sub(pattern, name, text)
    return text


def auto_patch() -> str:
    """A patch of transformers' tables of Auto classes, against the installed version."""
    models = Path(transformers.__file__).parent / "models"
    patch = []
    changed = {f"auto/{name}": _with_entries(models / "auto" / name, tables) for name, tables in recipe.AUTO.items()}
    before = (models / "__init__.py").read_text(encoding="utf-8").splitlines(keepends=True)
    line = f"    from .{recipe.NAME} import *\n"
    place = next(i for i, other in enumerate(before) if other.startswith("    from .") and other > line)
    changed["__init__.py"] = (before, [*before[:place], line, *before[place:]])
    for name, (old, new) in changed.items():
        path = f"src/transformers/models/{name}"
        patch += difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")
    return "".join(patch)


def _with_entries(file: Path, tables: dict[str, dict[str, str]]) -> tuple[list[str], list[str]]:
    """Lines of a file of tables, without and with the new entries, each before the first that sorts behind it."""
    before = file.read_text(encoding="utf-8").splitlines(keepends=True)
    lines = list(before)
    for table, entries in tables.items():
        start = next((i for i, line in enumerate(lines) if re.match(rf"{table}\b.*= OrderedDict", line)), None)
        if start is None:
            raise ValueError(f"{file.name} of transformers {transformers.__version__} has no table {table}.")
        for key, value in entries.items():
            lines.insert(_place(lines, start, key), f'        ("{key}", "{value}"),\n')
    return before, lines


def _place(lines: list[str], start: int, key: str) -> int:
    """The line of the first entry of a table that sorts behind a key."""
    for number in range(start + 1, len(lines)):
        entry = re.match(r'        \(\s*"([^"]+)"', "".join(lines[number : number + 2]))
        if lines[number].startswith("    ]") or (entry and entry[1] > key):
            return number
    raise ValueError(f"The table in line {start + 1} has no end.")


def tidy(folder: Path, files: list[Path]) -> None:
    """Formats files as transformers does, where ruff is installed."""
    if find_spec("ruff") is None:
        print("ruff is not installed: the files are not formatted.", file=sys.stderr)
        return
    settings = folder / ".ruff.toml"
    settings.write_text(RUFF, encoding="utf-8")
    try:
        ruff = [sys.executable, "-m", "ruff"]
        options = ["--config", str(settings), "--no-cache", "--quiet"]
        subprocess.run([*ruff, "check", "--fix", *options, *map(str, files)], check=True)
        subprocess.run([*ruff, "format", *options, *map(str, files)], check=True)
    finally:
        settings.unlink()
