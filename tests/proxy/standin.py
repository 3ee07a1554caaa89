"""An upstream that behaves like the real thing, faults included: ``python standin.py PORT``.

What it does stands in the last message: "[status 500]", "[delay 0.5]", "[break]" (the stream or the body ends early), "[length]",
"[tool]", "[refuse]", "[garbage]", "[hang]". Its answers count requests, so that two calls never give the same text.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

LOG: list[dict[str, Any]] = []
NUMBERS = count(1)


def last_text(body: dict[str, Any]) -> str:
    if "input" in body:
        given = body["input"]
        return given if isinstance(given, str) else last_text({"messages": given})
    content = body["messages"][-1].get("content")
    return content if isinstance(content, str) else " ".join(str(part.get("text", "")) for part in content or ())


async def orders(text: str) -> Response | None:
    if delay := re.search(r"\[delay ([\d.]+)\]", text):
        await asyncio.sleep(float(delay.group(1)))
    if "[hang]" in text:
        await asyncio.sleep(3600)
    if status := re.search(r"\[status (\d+)\]", text):
        error = {"error": {"message": f"ordered {status.group(1)}", "type": "stand_in", "param": None, "code": None}}
        return JSONResponse(error, status_code=int(status.group(1)))
    return Response(b"{garbage", media_type="application/json") if "[garbage]" in text else None


async def noted(request: Request) -> dict[str, Any]:
    body = await request.json()
    LOG.append({"path": request.url.path, "headers": dict(request.headers), "body": body})
    return body


async def chat(request: Request) -> Response:
    body = await noted(request)
    text = last_text(body)
    if (ordered := await orders(text)) is not None:
        return ordered
    number = next(NUMBERS)
    message: dict[str, Any] = {"role": "assistant", "content": f"Answer {number} to: {text}", "refusal": None}
    if (body.get("response_format") or {}).get("type") == "json_schema":
        message["content"] = json.dumps({"number": number})
    token = {"token": "Answer", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    logprobs = {"content": [token], "refusal": None} if body.get("logprobs") else None
    finish = "length" if "[length]" in text else "stop"
    if "[tool]" in text:
        call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        message, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    if "[refuse]" in text:
        message = {"role": "assistant", "content": None, "refusal": "I will not."}
    frame = {"id": f"chatcmpl-{number}", "created": 1_700_000_000, "model": body["model"], "system_fingerprint": "fp_1"}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "prompt_tokens_details": {"cached_tokens": 0}}
    if not body.get("stream"):
        choices = [
            {"index": place, "message": message, "logprobs": logprobs, "finish_reason": finish}
            for place in range(body.get("n") or 1)
        ]
        whole = {**frame, "object": "chat.completion", "choices": choices, "usage": usage}
        if "[break]" in text:
            data = json.dumps(whole).encode()
            return Response(data[:20], headers={"content-length": str(len(data)), "content-type": "application/json"})
        return JSONResponse(whole, headers={"x-request-id": f"req_{number}", "openai-processing-ms": "1"})
    wanted = (body.get("stream_options") or {}).get("include_usage")

    async def stream() -> AsyncIterator[str]:
        def event(delta: dict[str, Any], finish: str | None = None) -> str:
            one = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            extra = {"usage": None} if wanted else {}
            return f"data: {json.dumps({**frame, 'object': 'chat.completion.chunk', 'choices': [one], **extra})}\n\n"

        yield event({"role": "assistant", "content": "", "refusal": None})
        if "tool_calls" in message:
            yield event({"tool_calls": [{"index": 0, **message["tool_calls"][0]}]})
        for place, word in enumerate((message["content"] or "").split(" ")):
            if "[break]" in text and place == 2:
                raise RuntimeError("ordered to break")
            if "[slow]" in text:
                await asyncio.sleep(0.1)
            yield event({"content": word if place == 0 else " " + word})
        yield event({}, finish)
        if wanted:
            yield f"data: {json.dumps({**frame, 'object': 'chat.completion.chunk', 'choices': [], 'usage': usage})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


async def responses(request: Request) -> Response:
    body = await noted(request)
    text = last_text(body)
    if (ordered := await orders(text)) is not None:
        return ordered
    number = next(NUMBERS)
    part = {"type": "output_text", "text": f"Answer {number} to: {text}", "annotations": [], "logprobs": []}
    item = {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    usage = {
        "input_tokens": 5, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 11,
    }  # fmt: skip
    whole = {
        "id": f"resp_{number}", "object": "response", "created_at": 1_700_000_000, "status": "completed", "error": None, "incomplete_details": None,
        "instructions": body.get("instructions"), "metadata": {}, "model": body["model"], "output": [item], "parallel_tool_calls": True,
        "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": usage,
    }  # fmt: skip
    if not body.get("stream"):
        return JSONResponse(whole)

    async def stream() -> AsyncIterator[str]:
        numbers = count()

        def event(kind: str, **facts: Any) -> str:
            return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': next(numbers), **facts})}\n\n"

        begun = {**whole, "status": "in_progress", "output": [], "usage": None}
        at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        yield event("response.created", response=begun)
        yield event("response.in_progress", response=begun)
        yield event("response.output_item.added", output_index=0, item={**item, "content": [], "status": "in_progress"})
        yield event("response.content_part.added", **at, part={**part, "text": ""})
        yield event("response.output_text.delta", **at, delta=part["text"], logprobs=[])
        if "[break]" in text:
            raise RuntimeError("ordered to break")
        yield event("response.output_text.done", **at, text=part["text"], logprobs=[])
        yield event("response.content_part.done", **at, part=part)
        yield event("response.output_item.done", output_index=0, item=item)
        yield event("response.completed", response=whole)

    return StreamingResponse(stream(), media_type="text/event-stream")


async def embeddings(request: Request) -> Response:
    body = await noted(request)
    given = body["input"]
    texts = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    data = [
        {"object": "embedding", "index": place, "embedding": [float(len(str(text))), float(place), 1.0]}
        for place, text in enumerate(texts)
    ]
    return JSONResponse(
        {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    )


async def models(request: Request) -> Response:
    LOG.append({"path": request.url.path, "headers": dict(request.headers), "body": None})
    return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "stand-in"}]})


async def echo(request: Request) -> Response:
    body = await request.body()
    LOG.append({"path": request.url.path, "headers": dict(request.headers), "body": len(body)})
    return Response(body, media_type="application/octet-stream")


async def log(_: Request) -> Response:
    return JSONResponse(LOG)


APP = Starlette(
    routes=[
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/responses", responses, methods=["POST"]),
        Route("/v1/embeddings", embeddings, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/files", echo, methods=["POST"]),
        Route("/log", log),
    ]
)

if __name__ == "__main__":
    uvicorn.run(APP, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical", access_log=False)
