"""The files of integrations/serve name what there is: settings, flags, paths, ports."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from ragkit.cli.app import app
from ragkit.proxy import Settings, load

ROOT = Path(__file__).parents[2]
FILES = ROOT / "integrations" / "serve"


def flags() -> set[str]:
    command: Any = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {name for option in command.params for name in option.opts}


def known(names: set[str]) -> bool:
    return {name.removeprefix("RAGKIT_SERVE_").lower() for name in names} <= set(Settings.model_fields)


def test_the_settings_file_is_one() -> None:
    settings = load(file=FILES / "serve.toml")
    assert settings.upstream_for("llama-3") != settings.upstream_for("gpt-5")
    assert settings.admin_host == "127.0.0.1"


def test_the_compose_file() -> None:
    told = yaml.safe_load((FILES / "compose.yaml").read_text())
    replicas = [service for service in told["services"].values() if "build" in service]
    assert len(replicas) == 2
    for service in replicas:
        context = FILES / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).resolve() == FILES / "Containerfile"
        assert {word for word in service["command"] if word.startswith("--")} <= flags()
        assert known(set(service["environment"]))
        assert service["volumes"] == replicas[0]["volumes"]
        assert service["volumes"][0].split(":")[0] in told["volumes"]
        # Longer than answers that have begun may take.
        assert int(service["stop_grace_period"].removesuffix("s")) > Settings.model_fields["drain"].default
    admin = Settings.model_fields["admin_port"].default
    assert all(service["ports"][0].endswith(f":{admin}") for service in replicas)
    front = told["services"]["front"]["command"]
    assert {word for word in front if word.startswith("ragkit-")} == {f"ragkit-{one}:8080" for one in (1, 2)}


def test_the_container_file() -> None:
    text = (FILES / "Containerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
    assert known(set(re.findall(r"RAGKIT_SERVE_\w+", text)))
    (extras,) = re.findall(r"'\.\[(.+)\]'", text)
    assert all(f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text() for extra in extras.split(","))
    ports = {Settings.model_fields[name].default for name in ("port", "admin_port")}
    assert {int(port) for port in re.findall(r"^EXPOSE (.+)$", text, re.MULTILINE)[0].split()} == ports


def test_the_systemd_unit(tmp_path: Path) -> None:
    text = (FILES / "ragkit-serve.service").read_text()
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    service = unit["Service"]
    for line in (service["ExecStart"], service["ExecStartPre"]):
        assert line.split()[1] == "serve"
        assert {word for word in line.split() if word.startswith("--")} <= flags()
    assert int(service["TimeoutStopSec"]) > Settings.model_fields["drain"].default
    checker = shutil.which("systemd-analyze")
    if checker is None:
        pytest.skip("systemd-analyze is not here; the unit was read all the same")
    made = tmp_path / "ragkit-serve.service"
    made.write_text(text.replace("/usr/local/bin/ragkit", shutil.which("true") or "/bin/true"))
    done = subprocess.run([checker, "verify", "--man=no", str(made)], capture_output=True, text=True, check=False)
    assert "ragkit-serve" not in done.stderr, done.stderr
