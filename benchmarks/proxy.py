"""The server beside the upstream alone: latency it adds, requests a core, streams at once, memory over time.

    python benchmarks/proxy.py [--seconds 8] [--streams 500] [--memory-requests 100000] [--json FILE]

Needs wrk (Debian: ``apt-get install wrk``). The upstream answers at once, so times are the server's own. "miss" asks a new prompt
each time with policy "exact", so nothing is embedded; the answer is stored. "hit" repeats one prompt. Each figure is taken
upstream, server, upstream, server ... in turn, and the median of the rounds is printed. wrk corrects percentiles for what a stall
kept from being sent (coordinated omission): one stall of 60 ms in six seconds is a p99 of its own. So look at the upstream's p99 first: above a
millisecond it is the machine that stalls. "miss" also says how much processor time
the server took for one: unlike a latency that does not depend on what else the machine is doing. Memory is the process's resident
set while 500 prompts are asked again and again over 16 connections; its slope is fitted to what came after the first tenth.
About four minutes on two cores that are free; ``--memory-seconds`` ends the last part where they are not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

HERE = Path(__file__).parent
LUA = """
local count = 0
local seed = os.time() * 1000 + math.random(1000000)
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer sk-benchmark"
request = function()
  count = count + 1
  local text = %s
  return wrk.format(nil, nil, nil, '{"model":"m","messages":[{"role":"user","content":"' .. text .. '"}]}')
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
NEW, SAME = '"what is number " .. seed .. " " .. count', '"what is the same question again"'
#: Few enough that all are stored after a moment.
SEVERAL = '"what is question number " .. (count % 500)'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, url: str) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _ in range(600):
            try:
                httpx2.get(url, trust_env=False)
                break
            except httpx2.HTTPError:
                if running.poll() is not None:
                    raise SystemExit(
                        f"{' '.join(command)} ended: {running.stderr.read().decode() if running.stderr else ''}"
                    ) from None
                time.sleep(0.1)
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)


def wrk(url: str, text: str, *, connections: int, seconds: float) -> dict[str, float]:
    """Requests a second, percentiles in milliseconds, and errors."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA % text)
        script.flush()
        out = subprocess.run(
            [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{int(max(seconds, 1))}s",
                "--latency",
                "--timeout",
                "30s",
                "-s",
                script.name,
                url,
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", out)
    if found is None:
        raise SystemExit(f"wrk printed no result:\n{out}")
    requests, duration, p50, p99, errors = map(int, found.groups())
    return {"rps": requests / (duration / 1e6), "p50": p50 / 1000, "p99": p99 / 1000, "errors": errors, "requests": requests}


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def resident_mb(pid: int) -> float:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024  # type: ignore[union-attr]


async def streams(url: str, count: int) -> dict[str, float]:
    """So many streams at once; an error is anything but a whole stream."""
    limits = httpx2.Limits(max_connections=count, max_keepalive_connections=count)

    async def one(client: httpx2.AsyncClient, number: int) -> tuple[bool, float]:
        begun = time.perf_counter()
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"stream number {number} of many"}]}
        first, data = 0.0, b""
        try:
            async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
                async for part in response.aiter_raw():
                    first = first or time.perf_counter() - begun
                    data += part
        except httpx2.HTTPError:
            return False, first
        return data.endswith(b"data: [DONE]\n\n"), first

    async with httpx2.AsyncClient(limits=limits, timeout=120, trust_env=False) as client:
        begun = time.perf_counter()
        told = await asyncio.gather(*(one(client, number) for number in range(count)))
    return {
        "streams": count,
        "errors": sum(not good for good, _ in told),
        "first_byte_p99_ms": 1000 * sorted(first for _, first in told)[int(0.99 * count)],
        "seconds": time.perf_counter() - begun,
    }


def remember(server: str, pid: int, requests: int, seconds: float) -> dict[str, Any]:
    """Resident megabytes by requests answered, and their slope per 100,000."""
    wrk(server, SEVERAL, connections=16, seconds=2)
    done, until = 0, time.monotonic() + seconds
    seen = [(0, resident_mb(pid))]
    while done < requests and time.monotonic() < until:
        done += int(wrk(server, SEVERAL, connections=16, seconds=3)["requests"])
        seen.append((done, resident_mb(pid)))
    later = [row for row in seen if row[0] >= done / 10]
    slope = statistics.linear_regression(*zip(*later, strict=True)).slope if len(later) > 2 else float("nan")
    return {"requests": done, "megabytes": seen, "slope_mb": 100_000 * slope}


def measure(seconds: float, rounds: int, count: int, requests: int, memory_seconds: float) -> dict[str, Any]:
    upstream_port, port = free_port(), free_port()
    upstream, server = f"http://127.0.0.1:{upstream_port}", f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        serve = ["-m", "ragkit", "serve", "--upstream", f"{upstream}/v1", "--cache", f"{folder}/cache.lance", "--policy", "exact"]
        with (
            process(str(HERE / "upstream.py"), str(upstream_port), url=upstream),
            process(*serve, "--port", str(port), "--admin-port", str(free_port()), url=f"{server}/healthz") as running,
        ):

            def costed(text: str, connections: int) -> dict[str, float]:
                before = processor_seconds(running.pid)
                found = wrk(server, text, connections=connections, seconds=seconds)
                return {**found, "processor": (processor_seconds(running.pid) - before) / found["requests"]}

            wrk(server, NEW, connections=2, seconds=2)
            alone, through, hits = [], [], []
            for _ in range(rounds):
                alone.append(wrk(upstream, NEW, connections=1, seconds=seconds))
                through.append(costed(NEW, 1))
                wrk(server, SAME, connections=1, seconds=1)
                hits.append(costed(SAME, 16))
            told_streams = asyncio.run(streams(server, count))
            memory = remember(server, running.pid, requests, memory_seconds)

    def middle(rows: list[dict[str, float]], name: str) -> float:
        return statistics.median(row[name] for row in rows)

    return {
        "added_p50_ms": middle(through, "p50") - middle(alone, "p50"),
        "added_p99_ms": middle(through, "p99") - middle(alone, "p99"),
        "upstream_p50_ms": middle(alone, "p50"),
        "upstream_p99_ms": middle(alone, "p99"),
        "miss_p50_ms": middle(through, "p50"),
        "miss_processor_ms": 1000 * middle(through, "processor"),
        "hits_per_second": middle(hits, "rps"),
        "hits_per_core_second": 1 / middle(hits, "processor"),
        "errors": sum(int(row["errors"]) for row in [*alone, *through, *hits]),
        "streams": told_streams,
        "memory": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--memory-requests", type=int, default=100_000)
    parser.add_argument("--memory-seconds", type=float, default=150)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing; install it (Debian: apt-get install wrk).")
    found = measure(arguments.seconds, arguments.rounds, arguments.streams, arguments.memory_requests, arguments.memory_seconds)
    print(f"added on a miss without embedding: p50 {found['added_p50_ms']:.2f} ms, p99 {found['added_p99_ms']:.2f} ms")
    print(f"    of it the server's processor time, storing included: {found['miss_processor_ms']:.2f} ms")
    print(f"    the upstream alone: p50 {found['upstream_p50_ms']:.2f} ms, p99 {found['upstream_p99_ms']:.2f} ms")
    print(f"exact hits: {found['hits_per_second']:.0f} a second, {found['hits_per_core_second']:.0f} a second of processor time")
    stream, memory = found["streams"], found["memory"]
    print(f"{stream['streams']} streams at once: {stream['errors']} errors, first byte p99 {stream['first_byte_p99_ms']:.0f} ms")
    first, last = memory["megabytes"][0][1], memory["megabytes"][-1][1]
    print(f"memory over {memory['requests']} requests: {first:.1f} MB to {last:.1f} MB, {memory['slope_mb']:+.1f} MB per 100,000")
    print(f"errors: {found['errors']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
