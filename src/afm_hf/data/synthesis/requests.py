"""
One request to a language model, and how its answer is read: as a JSON object, or as lines with labels.

Large models write JSON that fits a schema. Small ones seldom do; they continue lines such as `Question: ...` after a
few examples, above all when the first label is already written for them. Either way an item is checked against the
same schema.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .instructions import Instruction

FORMS = ("json", "lines")
_STRONG = re.compile(r"[*_`#>]+")


class WriterError(RuntimeError):
    """A language model, or the server that runs it, gives no answer; the message says why."""


class UnreadableError(ValueError):
    """An answer that is no item; `reason` is `"unparsed"` or `"schema"`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Request:
    """
    What is asked of a language model.

    Attributes:
        messages: The conversation, as chat templates take it: `role` and `content`.
        start: The beginning of the answer, which a writer that can writes for the model; empty in JSON.
        stop: Texts at which the answer ends.
        schema: Of the answer, where JSON is asked for; None for lines.
    """

    messages: list[dict[str, str]]
    start: str = ""
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = field(default=None, hash=False)


def request_of(instruction: Instruction, values: Mapping[str, str], form: str, with_examples: bool = True) -> Request:
    """
    The request for one item.

    Args:
        instruction: What is to be written.
        values: `caption`, or `caption1` and `caption2`; and `aspect`, the words for it.
        form: `"json"` or `"lines"`.
        with_examples: Whether the conversation begins with the instruction's examples.
    """
    messages = [{"role": "system", "content": f"{instruction.system} {_how(instruction, form)}"}]
    for example in instruction.examples if with_examples else ():
        shown = {**example, "aspect": instruction.aspects.get(example.get("aspect", ""), "")}
        messages.append({"role": "user", "content": instruction.task.format(**shown)})
        messages.append({"role": "assistant", "content": written(instruction, example["item"], form)})
    messages.append({"role": "user", "content": instruction.task.format(**values)})
    if form == "json":
        return Request(messages, schema=instruction.schema)
    return Request(messages, start=f"{next(iter(instruction.labels.values()))}:", stop=("\n\n",))


def written(instruction: Instruction, item: Mapping[str, Any], form: str) -> str:
    """An item as a model is to write it."""
    if form == "json":
        return json.dumps(item, ensure_ascii=False)
    lines = []
    for name, label in instruction.labels.items():
        several = item[name] if isinstance(item[name], list) else [item[name]]
        lines += [f"{label}: {text}" for text in several]
    return "\n".join(lines)


def read_item(instruction: Instruction, text: str, form: str) -> dict[str, Any]:
    """
    The item in an answer, with single blanks and without quotation marks around its texts.

    Raises:
        UnreadableError: if there is none, or it does not fit the schema.
    """
    item = _from_json(text) if form == "json" else _from_lines(instruction, text)
    item = {name: _clean(value) for name, value in item.items()}
    fault = next(iter(_validator(instruction).iter_errors(item)), None)
    if fault is not None:
        raise UnreadableError("schema", fault.message)
    return item


def check_schema_library() -> None:
    """
    Sees that answers can be checked, before any is asked for.

    Raises:
        ImportError: without the jsonschema library, with the way to install it.
    """
    try:
        import jsonschema  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Making data needs the `jsonschema` library ({error}). Install it with `pip install 'afm-hf[synthesis]'`."
        ) from error


def _how(instruction: Instruction, form: str) -> str:
    empty = {
        name: ["..."] * 3 if instruction.schema["properties"][name]["type"] == "array" else "..."
        for name in instruction.labels
    }
    shown = written(instruction, empty, form)
    if form == "json":
        return f"Answer with one JSON object and nothing else: {shown}"
    return f"Answer in this form and write nothing else:\n{shown}"


def _validator(instruction: Instruction) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(instruction.schema)


def _from_json(text: str) -> dict[str, Any]:
    """The first object in a text; models write words and fences around it."""
    decoder = json.JSONDecoder()
    for brace in re.finditer(r"\{", text):
        try:
            found, _ = decoder.raw_decode(text, brace.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    raise UnreadableError("unparsed", "there is no JSON object")


def _from_lines(instruction: Instruction, text: str) -> dict[str, Any]:
    """The first value of each label, or the first three of a label that stands three times."""
    names = {label.lower(): name for name, label in instruction.labels.items()}
    pattern = re.compile(rf"\s*({'|'.join(map(re.escape, names))})(?:\s+answer)?\s*[\d.)]*\s*:\s*(.*)", re.I)
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    current = ""
    for line in text.split("\n"):
        match = pattern.fullmatch(_STRONG.sub("", line))
        if match:
            current = names[match[1].lower()]
            found[current].append(match[2].strip())
        elif current and line.strip():
            found[current][-1] += f" {line.strip()}"
    item: dict[str, Any] = {}
    for name, texts in found.items():
        rule = instruction.schema["properties"][name]
        if not texts or not texts[0]:
            raise UnreadableError("unparsed", f"there is no line {instruction.labels[name]!r}")
        item[name] = texts[: rule["maxItems"]] if rule["type"] == "array" else texts[0]
    return item


def _clean(value: Any) -> Any:
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())
    quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


__all__ = ["FORMS", "Request", "UnreadableError", "WriterError", "check_schema_library", "read_item", "request_of"]
__all__ += ["written"]
