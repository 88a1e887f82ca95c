"""Writes `docs/command_line.md` from the commands themselves.

python scripts/command_line_page.py           # writes the page
python scripts/command_line_page.py --check   # exit code 1 if the page is stale, as tests/test_command_line_page.py
"""

import argparse
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from afm_hf.cli import app

PAGE = Path(__file__).resolve().parent.parent / "docs" / "command_line.md"
HEAD = """# Command line

Every command of `afm-hf`, with its arguments. This page is written by `python scripts/command_line_page.py` from the
commands, as `afm-hf COMMAND --help` shows them; `python -m afm_hf` is the same as `afm-hf`.

* Where a command takes a model, that is the name of a [bundled one](bundled.md) (`clap-small`, `pengi-small`,
  `mellow-small`, `adiff-small`), a folder or a Hub id.
* Files that cannot be used are named on stderr and skipped. Exit codes and the forms of results:
  [In production](production.md#commands-in-scripts).

"""
TASKS = {
    "Labels and search": ("classify", "embed", "search", "adapt", "calibrate", "templates"),
    "Words": ("caption", "ask", "difference", "entail"),
    "Quality": ("quality", "score"),
    "Measure": ("evaluate", "suite", "compare", "report", "paper"),
    "Models": ("models", "convert", "export"),
    "Data": ("make-data", "make-shards"),
    "Web page and server": ("demo", "serve"),
}


@dataclass
class Parameter:
    """An argument or option of a command, as its function declares it."""

    names: list[str]
    about: Any  # typer's ArgumentInfo or OptionInfo
    kind: Any
    default: Any

    @property
    def is_argument(self) -> bool:
        return isinstance(self.about, ArgumentInfo)


def commands() -> dict[str, Callable[..., Any]]:
    """The functions of the commands by name; that of a group's command begins with the group's."""
    found = {
        (command.name or command.callback.__name__).replace("_", "-"): command.callback
        for command in app.registered_commands
    }
    for group in app.registered_groups:
        inner = group.typer_instance
        found |= {f"{inner.info.name} {command.name}": command.callback for command in inner.registered_commands}
    return found


def page() -> str:
    """The page as it should be."""
    there = commands()
    sorted_in = [name for names in TASKS.values() for name in names]
    groups = tuple(name for name in there if " " in name)
    tasks = {**TASKS, "Experiments": groups, "More": tuple(sorted(set(there) - set(sorted_in) - set(groups)))}
    parts = [HEAD]
    for title, names in tasks.items():
        known = [name for name in names if name in there]
        if known:
            parts += [f"## {title}\n\n", *(section(name, there[name]) for name in known)]
    return "".join(parts).rstrip() + "\n"


def section(name: str, function: Callable[..., Any]) -> str:
    """One command: what it does, how it is called, what it takes."""
    what, _, more = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
    parameters = parameters_of(function)
    places = [written for parameter in parameters if parameter.is_argument for written in parameter.names]
    lines = [
        f"### {name}",
        "",
        joined(what),
        "",
        "```text",
        " ".join(["afm-hf", name, *places, "[OPTIONS]"]),
        "```",
        "",
    ]
    lines += [joined(more), ""] if more else []
    lines += ["| | | default |", "|---|---|---|"]
    for parameter in sorted(parameters, key=lambda parameter: not parameter.is_argument):
        lines.append(f"| {names_of(parameter)} | {cell(parameter.about.help)} | {default_of(parameter)} |")
    return "\n".join([*lines, "", ""])


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """What the command takes, in the order of the function's signature."""
    hints = get_type_hints(function, include_extras=True)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind, *more = get_args(hints[name])
        about = next(info for info in more if isinstance(info, ArgumentInfo | OptionInfo))
        declared = (about.default, *(about.param_decls or ()))  # inside `Annotated` the first name is in `default`
        names = [name for name in declared if isinstance(name, str)]
        if isinstance(about, ArgumentInfo):
            names = [about.metavar or name.upper() + ("..." if get_origin(kind) is list else "")]
        elif not names:
            option = "--" + name.replace("_", "-")
            names = [f"{option}/--no-{option[2:]}" if kind is bool else option]
        found.append(Parameter(names, about, kind, parameter.default))
    return found


def names_of(parameter: Parameter) -> str:
    """Its names, the choices if there are some, and whether it may be given several times."""
    names = cell(", ".join(f"`{name}`" for name in parameter.names))
    kinds = [parameter.kind, *get_args(parameter.kind)]
    if enums := [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)]:
        names += ": " + ", ".join(f"`{choice.value}`" for choice in enums[0])
    lists = any(get_origin(kind) is list for kind in kinds)
    return names + (" (repeatable)" if lists and not parameter.is_argument else "")


def default_of(parameter: Parameter) -> str:
    """What holds if it is not given."""
    value = getattr(parameter.default, "value", parameter.default)
    if value is inspect.Parameter.empty or value is ...:
        return "" if parameter.is_argument else "required"
    if isinstance(parameter.about.show_default, str):
        return cell(parameter.about.show_default)
    return "" if value is None or value is False else "on" if value is True else f"`{value}`"


def joined(text: str) -> str:
    """Paragraphs in one line each."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def cell(text: str | None) -> str:
    """Text for a cell of a table."""
    return " ".join((text or "").split()).replace("|", "\\|").replace("*", "\\*")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit(PAGE.read_text(encoding="utf-8") != page() and f"{PAGE.name} is stale: run {Path(__file__).name}.")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
