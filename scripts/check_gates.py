"""Gates that are known to bite: for each gate of .ci/run a fault is planted in a copy of the tree, and the gate must turn red.

    python scripts/check_gates.py            all of them
    python scripts/check_gates.py types      those whose gate or name has "types" in it

A copy without a fault must be green first, or a red gate would prove nothing. The environment that runs this is the one the
copies use; the library in a copy comes first on PYTHONPATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".demo", "dist", "build", "__pycache__", "*.egg-info", "*.lance", ".hypothesis", ".*_cache"
)


@dataclass(frozen=True)
class Fault:
    """A change to a copy of the tree, the command that must notice it, and a word of what it must say."""

    name: str
    gate: tuple[str, ...]
    plant: Callable[[Path], None]
    says: str


def edit(path: str, pattern: str, replacement: str) -> Callable[[Path], None]:
    """Replace the only match of a pattern in a file; a fault that no longer fits the code must not pass for a gate that bites."""

    def plant(root: Path) -> None:
        file = root / path
        text, count = re.subn(pattern, replacement, file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(
                f"The fault for {path} fits {count} places instead of one: /{pattern}/. Mend scripts/check_gates.py."
            )
        file.write_text(text, encoding="utf-8")

    return plant


def append(path: str, text: str) -> Callable[[Path], None]:
    """Add text to the end of a file; one that is not there is made."""

    def plant(root: Path) -> None:
        with (root / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return plant


def page(language: str, block: str) -> Callable[[Path], None]:
    """A page of documentation with one block."""
    return append("docs/planted.md", f"# Planted\n\n```{language}\n{block}\n```\n")


def ci(gate: str) -> tuple[str, ...]:
    """One gate of .ci/run, the same code that CI runs."""
    return (".ci/run", gate)


def tests(*arguments: str) -> tuple[str, ...]:
    """The tests gate on the part of the suite that a fault concerns: the whole takes minutes."""
    return ("scripts/test", "-q", "-p", "no:cacheprovider", *arguments)


IMPORTS = tests("tests/repo/test_import_cost.py")
DOCS = tests("tests/repo/test_docs.py")
LAWS = tests("tests/chunk/test_laws.py", "-k", "(every_law and function) or ids")
REQUIREMENTS = tests("tests/repo/test_requirements.py")
LATE = tests("tests/embed/test_late.py", "-k", "passes_cover or blend")
SITUATE = tests("tests/chunk/test_situate.py", "-k", "keep_the_limit")
NAMES = tests("tests/repo/test_public_names.py")
PAGE = tests("tests/repo/test_readme.py", "-k", "planted")

# Nothing here may look like the path it plants, or the gate that looks for such paths would find this file.
MACHINE_PATH = "/".join(["", "home", "someone", "ragkit"])

FAULTS = [
    Fault(
        "a failing test",
        tests("tests/repo/test_planted.py"),
        append("tests/repo/test_planted.py", "def test_planted():\n    assert 1 == 2\n"),
        "assert 1 == 2",
    ),
    Fault(
        "no test is found",
        tests("tests/repo/test_planted.py"),
        append("tests/repo/test_planted.py", "# no tests\n"),
        "no tests ran",
    ),
    Fault(
        "a test that reaches for the network",
        tests("tests/repo/test_planted.py"),
        append(
            "tests/repo/test_planted.py",
            'import socket\n\n\ndef test_planted():\n    socket.create_connection(("192.0.2.1", 80), timeout=1)\n',
        ),
        "SocketConnectBlockedError",
    ),
    Fault("a chunk's end off by one", LAWS, edit("ragkit/chunk/engine.py", r"^( +)end=done,$", r"\1end=done + 1,"), "FAILED"),
    Fault(
        "a changed chunk id",
        LAWS,
        edit("ragkit/chunk/engine.py", r"chunk_ids\(document\.id, self\.recipe\)", "chunk_ids(str(id(document)), self.recipe)"),
        "FAILED",
    ),
    Fault(
        "a token's vector from the wrong pass",
        LATE,
        edit("ragkit/embed/passes.py", r"firsts\[:-1\] \+ room \+ 1\) // 2", "firsts[:-1] + room + 5) // 2"),
        "test_passes_cover_every_token",
    ),
    Fault(
        "shares of a blend exchanged",
        LATE,
        edit("ragkit/vec/mixing.py", r"append\(\(1 - share,", "append((share,"),
        "test_a_blend_is",
    ),
    Fault(
        "a context that does not count against the limit",
        SITUATE,
        edit("ragkit/chunk/engine.py", r"reserve=self\._reserve \+ tokens", "reserve=self._reserve"),
        "test_context_and_text_together_keep_the_limit",
    ),
    Fault(
        "an answer from another scope",
        tests("tests/cache/test_semantic.py", "-k", "scope"),
        edit("ragkit/cache/questions.py", r'key=digest\(scope, "json"', 'key=digest("json"'),
        "FAILED",
    ),
    Fault(
        "tools that a cached answer need not match",
        tests("tests/proxy/test_requests.py"),
        edit("ragkit/proxy/requests.py", r"tools=_part\(body, _TOOLS\),", "tools=None,"),
        "test_everything_else_is_scope",
    ),
    Fault(
        "half a stream taken for an answer",
        tests("tests/proxy/test_recording.py"),
        edit("ragkit/proxy/recording.py", r"if self\._done and not self\.why else None", "or {}"),
        "test_what_is_not_whole_is_no_answer",
    ),
    Fault(
        "MaxSim without its gates",
        tests("tests/vec/test_maxsim.py"),
        edit(
            "ragkit/vec/maxsim.py",
            r"^    best = token_maxima\(queries, codes, counts\)$",
            "    best = token_maxima(queries, codes, counts)\n    gates = np.ones_like(gates)",
        ),
        "FAILED",
    ),
    Fault("torch imported with ragkit", IMPORTS, append("ragkit/weights.py", "\nimport torch\n"), "test_nothing_heavy_is_loaded"),
    Fault(
        "a slow import",
        IMPORTS,
        append("ragkit/types.py", "\nsum(i * i for i in range(10_000_000))\n"),
        "test_import_costs_less_than_twice_numpy",
    ),
    Fault(
        "the environment read at import",
        IMPORTS,
        append("ragkit/types.py", '\nimport os\n\n_ = os.environ.get("HOME")\n'),
        "test_import_opens_no_file",
    ),
    Fault("a public name gone", NAMES, edit("ragkit/chunk/__init__.py", r'^ +"FixedChunker",\n', ""), "FixedChunker"),
    Fault(
        "a public function without a docstring",
        NAMES,
        append("ragkit/vec/__init__.py", '\n\ndef planted() -> None:\n    return None\n\n\n__all__ += ["planted"]\n'),
        "test_documented",
    ),
    Fault("an import that no requirement brings", REQUIREMENTS, append("ragkit/vec/__init__.py", "\nimport yaml\n"), "yaml"),
    Fault("a core requirement not declared", REQUIREMENTS, edit("pyproject.toml", r'^  "rank-bm25.*\n', ""), "rank_bm25"),
    Fault(
        "a requirement that nothing uses",
        REQUIREMENTS,
        edit("pyproject.toml", r'^  "rank-bm25', '  "PyYAML>=6",\n  "rank-bm25'),
        "pyyaml",
    ),
    Fault("a requirement without a pin", REQUIREMENTS, edit("constraints.txt", r"^tiktoken==.*\n", ""), "tiktoken"),
    Fault("an open range of torch", REQUIREMENTS, edit("constraints.txt", r"^torch==.*", "torch>=2.13"), "torch"),
    Fault("a documented block that raises", PAGE, page("python", 'raise RuntimeError("it is planted")'), "it is planted"),
    Fault("a documented command that fails", PAGE, page("sh", "ragkit search --db nowhere.lance question"), "nowhere.lance"),
    Fault("a dead link", DOCS, append("ARCHITECTURE.md", "\n[gone](docs/gone.md)\n"), "docs/gone.md"),
    Fault("a dead anchor", DOCS, append("ARCHITECTURE.md", "\n[gone](CONTRIBUTING.md#gone)\n"), "CONTRIBUTING.md#gone"),
    Fault(
        "a path of one machine", DOCS, append("ragkit/types.py", f"\n# {MACHINE_PATH}/notes.txt\n"), "test_no_path_of_one_machine"
    ),
    Fault(
        "a version without a change log",
        DOCS,
        edit("ragkit/__init__.py", r'^__version__ = ".*"', '__version__ = "99.0.0"'),
        "99.0.0",
    ),
    Fault("a decision that is not listed", DOCS, edit("docs/adr/README.md", r"^.*0005-offline.*\n", ""), "0005-offline"),
    Fault("an unused import", ci("lint"), append("ragkit/types.py", "\nimport os\n"), "F401"),
    Fault("a print in the library", ci("lint"), append("ragkit/vec/__init__.py", "\nprint('planted')\n"), "T201"),
    Fault("bad formatting", ci("format"), append("ragkit/types.py", "\nx = { 'a':1 }\n"), "would be reformatted"),
    Fault("a wrong type", ci("types"), append("ragkit/types.py", "\nplanted: int = 'text'\n"), "Incompatible types"),
    Fault(
        "a function without types",
        ci("types"),
        append("ragkit/vec/__init__.py", "\n\ndef planted(x):\n    return x\n"),
        "no-untyped-def",
    ),
    Fault(
        "an import up the layers",
        ci("layers"),
        append("ragkit/text/__init__.py", "\nfrom ragkit.chunk import FixedChunker\n"),
        "Layers",
    ),
    Fault(
        "an import between siblings",
        ci("layers"),
        append("ragkit/chunk/__init__.py", "\nfrom ragkit.lexical import Analyzer\n"),
        "Layers",
    ),
    Fault(
        "torch in the chunkers",
        ci("layers"),
        append("ragkit/chunk/plain.py", "\n\ndef planted() -> None:\n    import torch\n"),
        "torch and transformers only in embed",
    ),
    Fault(
        "LangChain beyond its door",
        ci("layers"),
        append("ragkit/index/lines.py", "\nimport langchain_core\n"),
        "LangChain only at its door",
    ),
    Fault("a module without a layer", ci("layers"), append("ragkit/planted.py", '"""No layer."""\n'), "planted"),
    Fault(
        "a file missing in the wheel",
        ci("package"),
        edit(
            "pyproject.toml",
            r'(?<=targets\.wheel\]\n)packages = \["ragkit"\]$',
            'packages = ["ragkit"]\nexclude = ["ragkit/py.typed"]',
        ),
        "py.typed",
    ),
    Fault(
        "a stranger in the wheel",
        ci("package"),
        edit("pyproject.toml", r'(?<=targets\.wheel\]\n)packages = \["ragkit"\]$', 'packages = ["ragkit", "tests"]'),
        "should not hold",
    ),
    Fault("an extra that the core needs", ci("package"), append("ragkit/types.py", "\nimport torch\n"), "torch"),
    Fault(
        "a command line that does not start",
        ci("package"),
        edit("pyproject.toml", r'^ragkit = "ragkit\.cli:main"$', 'ragkit = "ragkit.cli:gone"'),
        "gone",
    ),
]


def run(root: Path, command: tuple[str, ...], caches: Path) -> tuple[int, str]:
    """Exit status and output of a command in a copy; what does not depend on the copy is kept in ``caches``."""
    environment = {
        **os.environ,
        "RAGKIT_VENV": sys.prefix,
        "RAGKIT_VENV_AS_IS": "1",
        "RAGKIT_CORE_VENV": str(caches / "core"),
        "RAGKIT_TEST_WORKERS": "0",
        "MYPY_CACHE_DIR": str(caches / "mypy"),
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # Outside data would only make the runs longer.
    environment.pop("RAGKIT_DATA", None)
    done = subprocess.run(
        [root / command[0], *command[1:]],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    return done.returncode, done.stdout + done.stderr


def copy(folder: Path) -> Path:
    """A copy of the tree: fast, because it is small."""
    return Path(shutil.copytree(ROOT, folder / "ragkit", ignore=LEFT_OUT))


def main(wanted: str) -> int:
    faults = [fault for fault in FAULTS if wanted in fault.name or wanted in " ".join(fault.gate)]
    if not faults:
        raise SystemExit(f"No fault has {wanted!r} in its name or gate.")
    bad = []
    with tempfile.TemporaryDirectory() as scratch:
        clean = copy(Path(scratch) / "clean")
        caches = Path(scratch) / "caches"
        caches.mkdir()
        # What the types gate has just learnt about the libraries holds for the copies too.
        if (ROOT / ".mypy_cache").is_dir():
            shutil.copytree(ROOT / ".mypy_cache", caches / "mypy")
        # What looks only at a planted file has nothing to look at without it.
        for gate in dict.fromkeys(fault.gate for fault in faults if "planted" not in fault.gate[-1]):
            begun = time.monotonic()
            status, output = run(clean, gate, caches)
            print(
                f"{'green' if status == 0 else 'RED':6} {time.monotonic() - begun:5.1f} s  without a fault: {' '.join(gate)}",
                flush=True,
            )
            if status:
                bad.append(" ".join(gate))
                print(output[-3000:])
        for number, fault in enumerate(faults):
            begun = time.monotonic()
            root = copy(Path(scratch) / str(number))
            fault.plant(root)
            status, output = run(root, fault.gate, caches)
            shutil.rmtree(root)
            bites = status != 0 and fault.says in output
            print(
                f"{'bites' if bites else 'BLIND':6} {time.monotonic() - begun:5.1f} s  {fault.name}: {' '.join(fault.gate)}",
                flush=True,
            )
            if not bites:
                bad.append(fault.name)
                print(f"exit status {status}, expected another than 0 and the words {fault.says!r}\n{output[-3000:]}")
    print(f"{len(faults)} faults planted, {len(bad)} problems" + "".join(f"\n  {name}" for name in bad))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
