"""What the code imports, what pyproject.toml asks for and what constraints.txt pins agree."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(lines: list) -> list[Requirement]:
    return [Requirement(line) for line in lines if isinstance(line, str) and not line.startswith("ragkit-middleware")]


def declared(project: dict) -> set[str]:
    """Distributions that the library may use: the core requirements and every extra."""
    lines = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
    ]
    return {canonicalize_name(requirement.name) for requirement in requirements(lines)}


def imported(root: Path) -> set[str]:
    """Top-level modules that the library imports anywhere, lazily or not, beyond Python's own."""
    found: set[str] = set()
    for path in (root / "ragkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"ragkit"}


def test_every_import_is_declared_and_every_requirement_used(root: Path, project: dict):
    providers = packages_distributions()
    used = {module: {canonicalize_name(name) for name in providers.get(module, [module])} for module in imported(root)}
    undeclared = {module for module, names in used.items() if not names & declared(project)}
    assert not undeclared
    unused = declared(project) - set().union(*used.values())
    assert not unused


def test_constraints_pin_every_requirement(root: Path, project: dict):
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(re.fullmatch(r"(\S+)==(\S+)", line).groups() for line in lines if line and not line.startswith("#"))
    pins = {canonicalize_name(name): Version(version) for name, version in pins.items()}
    groups = [*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()]
    wanted = requirements([*project["project"]["dependencies"], *(line for group in groups for line in group)])
    assert not [str(item) for item in wanted if pins.get(canonicalize_name(item.name)) not in item.specifier]


def test_torch_is_never_an_open_range(root: Path):
    """One release of torch, by hand: the newest would bring several GB of GPU libraries."""
    assert re.findall(r"^torch\b.*$", (root / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE) == ["torch==2.13.0"]
