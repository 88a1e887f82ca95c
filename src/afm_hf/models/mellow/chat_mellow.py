"""
Chat messages for Mellow: what of a conversation it can answer.

Mellow was trained on single questions about one or two clips. Of a conversation it is asked the last question, about
the clips that were given last; a system message goes in front of the question. Earlier questions and answers are
nothing that it could make use of: they are left out, and a warning says so.
"""

import base64
import binascii
import dataclasses
from dataclasses import dataclass
from typing import Any

from transformers.utils import logging

logger = logging.get_logger(__name__)

# The clips become placeholders in front of the prompt, wherever they stand in the message: so was the training.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content if part.type == 'text' %}"
    "{{ part.text }}{% if not loop.last %} {% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)

#: Roles of messages that tell how to answer; "developer" is a newer word of the same API.
SYSTEM_ROLES = ("system", "developer")

#: Options of transformers' chat templates that make no sense here.
NO_CHAT_OPTIONS = (
    *("tools", "documents", "return_assistant_tokens_mask", "load_audio_from_video", "sanitize_control_tokens"),
)


@dataclass
class ChatTurn:
    """
    The question of a conversation.

    Args:
        clips (`list`): One or two clips, as the feature extractor takes them.
        content (`list[dict]`): Texts of system messages and of the question, for a chat template.
        beginning (`str`, *optional*): What the answer begins with.
    """

    clips: list[Any]
    content: list[dict[str, Any]]
    beginning: str | None


def read_chat(messages: Any, continue_final_message: bool = False) -> ChatTurn:
    """
    The last question of a conversation, with the clips that it is about: its own, or else those that were given last.

    Args:
        messages (`list`): System messages, if there are some, then messages of user and assistant, as dictionaries or
            as objects of clients' libraries (dataclasses, pydantic's models). The last one is the user's or, with
            `continue_final_message`, the assistant's.
        continue_final_message (`bool`, *optional*, defaults to `False`): Whether the answer begins with the latter.

    Raises:
        ValueError: if Mellow cannot answer it; the message says why.
    """
    messages = [_as_dict(message) for message in messages]
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    _check_roles(roles, ["user", "assistant"] if continue_final_message else ["user"])
    contents = [_parts(message) for message in messages]
    for role, parts in zip(roles, contents, strict=True):
        if role != "user" and any(part["type"] == "audio" for part in parts):
            raise ValueError(f"The {role}'s message contains audio, but only the user's may.")
    beginning = " ".join(part["text"] for part in contents[-1]) if continue_final_message else None
    asked = [parts for role, parts in zip(roles, contents, strict=True) if role == "user"]
    system = [part for role, parts in zip(roles, contents, strict=True) if role in SYSTEM_ROLES for part in parts]
    clips = _last_clips(asked)
    question = [part for part in asked[-1] if part["type"] == "text"]
    if not any(part["text"].strip() for part in question):
        raise ValueError(
            'The user\'s last message has no text; Mellow needs a question: `{"type": "text", "text": ...}`.'
        )
    if len(asked) > 1:
        logger.warning_once(
            "Mellow answers one question at a time: of a conversation it is asked the last one, about the clips that "
            "were given last, without the questions and answers before."
        )
    return ChatTurn(clips, system + question, beginning)


def _check_roles(roles: list[Any], end: list[str]) -> None:
    """Raises a `ValueError` if the roles are not those of a conversation that ends with these."""
    spoken = roles[next((index for index, role in enumerate(roles) if role not in SYSTEM_ROLES), len(roles)) :]
    if spoken[-len(end) :] == end and set(spoken) <= {"user", "assistant"}:
        return
    advice = ""
    if spoken[-1:] == ["assistant"] and end == ["user"]:
        advice = (
            " To have the assistant's message continued, pass `continue_final_message=True`; to train, `text_target`."
        )
    raise ValueError(
        f"The messages have the roles {roles}; expected system messages, if any, then those of user and assistant, and "
        f"{' and '.join(end)} at the end.{advice}"
    )


def _last_clips(asked: list[list[dict[str, Any]]]) -> list[Any]:
    """The clips of the last of the user's messages that has any."""
    for parts in reversed(asked):
        clips = [_clip(part) for part in parts if part["type"] == "audio"]
        if len(clips) > 2:
            raise ValueError(f"A message of the user has {len(clips)} clips, but Mellow hears one or two.")
        if clips:
            return clips
    raise ValueError(
        "No message of the user has a clip, but Mellow hears one or two and answers nothing without. Give them as "
        '`{"type": "audio", "audio": path, URL or array}` in the message\'s `content`.'
    )


def _as_dict(given: Any) -> Any:
    """A message, or a part of one, as a dictionary of what is set; whatever is no such object as it is."""
    if isinstance(given, type):
        return given
    if callable(getattr(given, "model_dump", None)):  # pydantic
        given = given.model_dump()
    elif dataclasses.is_dataclass(given):
        given = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    else:
        return given
    return {name: value for name, value in given.items() if value is not None}


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The content of a message as a list of checked parts."""
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list | tuple):
        raise ValueError(f"The `content` of a message is {content!r}; expected a string or a list of parts.")
    parts = [_as_dict(part) for part in parts]
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("audio", "text"):
            raise ValueError(f"Mellow reads audio and text, but a message contains {kind or part!r}.")
        if kind == "text" and not isinstance(part.get("text"), str):
            raise ValueError(f"A text in a message is {part.get('text')!r}; expected a string under the key 'text'.")
    return list(parts)


def _clip(part: dict[str, Any]) -> Any:
    """What the feature extractor is to read; of a `data:` URL, which servers make of uploads, the bytes."""
    for name in ("audio", "url", "path"):
        clip = part.get(name)
        if clip is not None:
            return _decoded(clip) if isinstance(clip, str) and clip.startswith("data:") else clip
    raise ValueError(
        f"An audio part of a message has the keys {sorted(part)}, but no 'audio', 'url' or 'path' that says which clip."
    )


def _decoded(url: str) -> bytes:
    """The bytes in `data:audio/wav;base64,...`."""
    head, _, data = url.partition(",")
    if not head.endswith(";base64"):
        raise ValueError(f"A clip is given as {head[:60]!r}; expected `data:audio/...;base64,` and the file.")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError(f"What follows {head[:60]!r} is no base64: {error}.") from error


__all__ = ["CHAT_TEMPLATE", "NO_CHAT_OPTIONS", "ChatTurn", "read_chat"]
