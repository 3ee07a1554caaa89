"""What is never stored."""

from __future__ import annotations

from dataclasses import dataclass

#: Ways in which a model says that it was done.
_COMPLETE = frozenset({"stop", "end_turn", "stop_sequence", "eos", "complete", "completed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came back for a request, as far as storing it is concerned.

    ``finish`` is the model's own reason to stop, None where it gives none. ``status`` is an HTTP status where there was one.
    ``complete`` is False for a stream that broke off. ``temperature`` is the request's; None means that it was not set.
    """

    text: str
    finish: str | None = "stop"
    status: int = 200
    error: str = ""
    complete: bool = True
    tool_calls: int = 0
    refusal: bool = False
    temperature: float | None = None
    no_store: bool = False


def refuse_storing(outcome: Outcome, *, max_temperature: float = 1.0) -> str | None:
    """Why this outcome must not be stored, in one line; None where it may be.

    A finish reason that is not known to mean completion counts as incomplete. A temperature that was not set passes.
    """
    if outcome.no_store:
        return "no-store was asked for"
    if outcome.error:
        return f"an error: {outcome.error}"
    if not 200 <= outcome.status < 300:
        return f"status {outcome.status}"
    if outcome.tool_calls:
        return f"{outcome.tool_calls} tool calls: their effects cannot be replayed"
    if not outcome.complete:
        return "the stream broke off"
    if outcome.finish is not None and outcome.finish not in _COMPLETE:
        return f"finished by {outcome.finish!r}, which is not a complete answer"
    if outcome.refusal:
        return "the model refused"
    if not outcome.text.strip():
        return "the answer is empty"
    if outcome.temperature is not None and not outcome.temperature <= max_temperature:
        return f"temperature {outcome.temperature:g} is over {max_temperature:g}: another answer was wanted each time"
    return None
