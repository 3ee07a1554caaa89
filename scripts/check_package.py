"""Are the wheel and the source archive complete? Every file of the package that git knows must be in both.

python scripts/check_package.py dist/*.whl dist/*.tar.gz
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WANTED_BESIDE = {"README.md", "CHANGELOG.md", "ARCHITECTURE.md", "LICENSE", "pyproject.toml", "constraints.txt"}


def missing(wheel: Path, sdist: Path) -> list[str]:
    """One line for each file that an archive lacks, and for each that it should not hold."""
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ragkit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    code = {name for name in in_wheel if ".dist-info/" not in name}
    lines = [f"{wheel.name} lacks {name}" for name in sorted(package - in_wheel)]
    lines += [f"{wheel.name} should not hold {name}" for name in sorted(code - package)]
    lines += [f"{sdist.name} lacks {name}" for name in sorted((package | WANTED_BESIDE) - in_sdist)]
    if "ragkit/py.typed" not in in_wheel:
        lines.append(f"{wheel.name} lacks ragkit/py.typed")
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in in_wheel):
        lines.append(f"{wheel.name} lacks the licence")
    return lines


if __name__ == "__main__":
    problems = missing(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join(problems) or "wheel and source archive are complete")
    sys.exit(bool(problems))
