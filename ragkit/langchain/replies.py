"""What a chat model answered, whatever its provider calls the parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from ragkit.chunk.verdict import Reply

#: What providers call it when their own limit or their own rules ended an answer.
_LENGTH = {"length", "max_tokens", "max_output_tokens"}
_REFUSAL = {"content_filter", "refusal", "safety", "prohibited_content", "blocklist", "recitation"}


def read_reply(answer: object) -> Reply:
    """The answer's text, why it stopped, and the tokens it cost. Raises TypeError for something that is no message."""
    if isinstance(answer, str):
        return Reply(text=answer)
    if not isinstance(answer, BaseMessage):
        raise TypeError(f"the model answered with a {type(answer).__name__}, not with a message")
    facts = answer.response_metadata
    ended = str(facts.get("finish_reason") or facts.get("stop_reason") or "").lower()
    refusal = answer.additional_kwargs.get("refusal")
    stopped = "refusal" if refusal or ended in _REFUSAL else "length" if ended in _LENGTH else ""
    usage: Mapping[str, Any] = (isinstance(answer, AIMessage) and answer.usage_metadata) or {}
    return Reply(
        text=str(answer.text) or str(refusal or ""),
        stopped=stopped,
        tokens_in=int(usage.get("input_tokens") or 0),
        tokens_cached=int((usage.get("input_token_details") or {}).get("cache_read") or 0),
        tokens_out=int(usage.get("output_tokens") or 0),
    )
