"""Each contender in a process of its own, that can crash or be killed."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from peers import CONTENDERS
from peers.contender import LIMIT, Contender
from peers.vocabularies import vocabulary
from ragkit.testing.conformance import Conformance, TextReport, check_text
from ragkit.testing.texts import pathological
from ragkit.text import resolve_tokenizer

START_SECONDS = 120
QUIET = os.environ | {"HAYSTACK_TELEMETRY_ENABLED": "False", "HF_HUB_OFFLINE": "1"}


def work(name: str, size: int) -> None:
    """The child process: asked for one cell after the other on standard input, it answers each with a line of JSON."""
    texts = pathological(size)
    contender = CONTENDERS[name]
    answers, sys.stdout = sys.stdout, sys.stderr  # what a peer prints is no answer
    held = {(tokenizer, overlap): contender.make(contender.kind, tokenizer, overlap) for tokenizer, overlap in contender.runs()}
    judges = {tokenizer: resolve_tokenizer(vocabulary(tokenizer)).count_batch for tokenizer in contender.tokenizers}
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        tokenizer, overlap, text = json.loads(line)
        report = check_text(
            held[tokenizer, overlap], judges[tokenizer], name=text, text=texts[text], limit=LIMIT, overlap=overlap
        ).to_dict()
        del report["broken"]
        print(json.dumps(report), file=answers, flush=True)


class Child:
    """A child process that can be asked with a time limit; after a crash or a hang the next question starts another."""

    def __init__(self, name: str, size: int) -> None:
        self._command = [
            sys.executable,
            str(Path(__file__).resolve().parent.parent / "conformance.py"),
            "--work",
            name,
            "--size",
            str(size),
        ]
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def ask(self, tokenizer: str, overlap: int, text: str, *, seconds: float) -> TextReport:
        process = self._process or self._start()
        begun = time.perf_counter()
        try:
            process.stdin.write(json.dumps([tokenizer, overlap, text]) + "\n")
            process.stdin.flush()
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            error = f"no answer in {seconds:.0f} seconds"
        except BrokenPipeError:
            error = "the process died"
        else:
            if line:
                return TextReport(**json.loads(line))
            error = f"the process died with {process.wait()}"
        self.stop()
        return TextReport(name=text, seconds=time.perf_counter() - begun, error=error)

    def _start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=QUIET)
        self._process, lines = process, queue.Queue()
        self._lines = lines

        def read() -> None:
            for line in process.stdout:
                lines.put(line)
            lines.put("")

        threading.Thread(target=read, daemon=True).start()
        if lines.get(timeout=START_SECONDS) != "ready\n":
            raise RuntimeError(f"{' '.join(self._command[1:])} did not start; run it by hand to see why.")
        return process

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def measure(contender: Contender, size: int, seconds: float) -> list[dict[str, Any]]:
    """All runs of one contender."""
    rows = []
    child = Child(contender.name, size)
    for tokenizer, overlap in contender.runs():
        cells = tuple(child.ask(tokenizer, overlap, text, seconds=seconds) for text in pathological(size))
        result = Conformance(limit=LIMIT, overlap=overlap, texts=cells)
        rows.append({"chunker": contender.name, "tokenizer": tokenizer} | result.to_dict())
        print(f"{contender.name}, {tokenizer}, overlap {overlap}: {result.clean} clean, {result.seconds:.1f} s", file=sys.stderr)
    child.stop()
    return rows
