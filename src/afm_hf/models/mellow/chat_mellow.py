"""
Chat messages for Mellow: what of a conversation it can answer.

Mellow was trained on single questions about one or two clips. A conversation of several turns, or a system message, is
nothing that it has seen; it is refused rather than answered as if only its last question had been asked.
"""

from dataclasses import dataclass
from typing import Any

# The clips become placeholders in front of the prompt, wherever they stand in the message: so was the training.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content if part.type == 'text' %}"
    "{{ part.text }}{% if not loop.last %} {% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)

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
        content (`list[dict]`): Content of the user's message without its audio, for a chat template.
        beginning (`str`, *optional*): What the answer begins with.
    """

    clips: list[Any]
    content: list[dict[str, Any]]
    beginning: str | None


def read_chat(messages: Any, continue_final_message: bool = False) -> ChatTurn:
    """
    The question in a list of messages.

    Args:
        messages (`list[dict]`): One message of the user and, with `continue_final_message`, one of the assistant.
        continue_final_message (`bool`, *optional*, defaults to `False`): Whether the answer begins with the latter.

    Raises:
        ValueError: if Mellow cannot answer it; the message says why.
    """
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    wanted = ["user", "assistant"] if continue_final_message else ["user"]
    if roles != wanted:
        raise ValueError(
            f"Mellow answers one question at a time, but the messages have the roles {roles}; expected {wanted}. "
            + ("" if continue_final_message else _advice(roles))
        )
    parts = _parts(messages[0])
    clips = [_clip(part) for part in parts if part["type"] == "audio"]
    if len(clips) not in (1, 2):
        raise ValueError(
            f"The user's message has {len(clips)} clips, but Mellow hears one or two. Give them as "
            '`{"type": "audio", "audio": path, URL or array}` in the message\'s `content`.'
        )
    texts = [part for part in parts if part["type"] == "text"]
    if not any(part["text"].strip() for part in texts):
        raise ValueError('The user\'s message has no text; Mellow needs a question: `{"type": "text", "text": ...}`.')
    beginning = _joined(messages[1]) if continue_final_message else None
    return ChatTurn(clips, texts, beginning)


def _advice(roles: list[Any]) -> str:
    if "system" in roles:
        return "It knows no system message: write everything into the question."
    if roles[-1:] == ["assistant"]:
        return "To have the assistant's message continued, pass `continue_final_message=True`; to train, `text_target`."
    return "Ask each question by itself, with its clips."


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The content of a message as a list of checked parts."""
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list | tuple):
        raise ValueError(f"The `content` of a message is {content!r}; expected a string or a list of parts.")
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("audio", "text"):
            raise ValueError(f"Mellow reads audio and text, but a message contains {kind or part!r}.")
        if kind == "text" and not isinstance(part.get("text"), str):
            raise ValueError(f"A text in a message is {part.get('text')!r}; expected a string under the key 'text'.")
    return list(parts)


def _clip(part: dict[str, Any]) -> Any:
    for name in ("audio", "url", "path"):
        if part.get(name) is not None:
            return part[name]
    raise ValueError(
        f"An audio part of a message has the keys {sorted(part)}, but no 'audio', 'url' or 'path' that says which clip."
    )


def _joined(message: dict[str, Any]) -> str:
    """The text of the assistant's message."""
    parts = _parts(message)
    if any(part["type"] == "audio" for part in parts):
        raise ValueError("The assistant's message contains audio, but Mellow answers in text.")
    return " ".join(part["text"] for part in parts)


__all__ = ["CHAT_TEMPLATE", "NO_CHAT_OPTIONS", "ChatTurn", "read_chat"]
