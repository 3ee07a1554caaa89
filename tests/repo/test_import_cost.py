"""``import ragkit`` is cheap and has no side effects."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = [
    "torch",
    "transformers",
    "sentence_transformers",
    "lancedb",
    "pyarrow",
    "langchain_core",
    "tokenizers",
    "tiktoken",
    "openai",
    "rich",
]


def run(code: str, *options: str) -> str:
    """The standard output of a new interpreter that runs ``code``."""
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cost(module: str) -> float:
    """Processor seconds of one cold import: the same whatever else the machine does."""
    return float(run(f"import time; begin = time.process_time(); import {module}; print(time.process_time() - begin)"))


def test_import_costs_less_than_twice_numpy():
    """The fastest of several, because anything slower is the machine's noise."""
    rounds = [(cost("numpy"), cost("ragkit")) for _ in range(5)]
    numpy, ragkit = (min(times) for times in zip(*rounds, strict=True))
    assert ragkit < 2 * numpy, f"import ragkit takes {ragkit:.3f} s, import numpy {numpy:.3f} s"


@pytest.mark.parametrize("module", ["ragkit", "ragkit.chunk", "ragkit.embed", "ragkit.index", "ragkit.testing"])
def test_nothing_heavy_is_loaded(module: str):
    loaded = json.loads(run(f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"))
    assert not set(HEAVY) & set(loaded)


def test_no_warnings():
    run("import ragkit", "-W", "error")


SIDE_EFFECTS = """
import json, os, re, sys, threading
import importlib.metadata, numpy, regex

seen = []

def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "urllib.", "ctypes.dlopen")):
        seen.append(event)
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc", ".so", ".pyd")):
        seen.append(f"open {arguments[0]}")

def from_ragkit():
    frame = sys._getframe(2)
    while frame is not None:
        if f"{os.sep}ragkit{os.sep}" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False

read = type(os.environ).__getitem__

def recorded(environ, key):
    if from_ragkit():
        seen.append(f"environ {key}")
    return read(environ, key)

type(os.environ).__getitem__ = recorded
sys.addaudithook(hook)
import ragkit
seen += [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
print(json.dumps(seen))
"""


def test_import_opens_no_file_socket_thread_or_environment():
    assert json.loads(run(SIDE_EFFECTS)) == []
