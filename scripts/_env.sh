# Sourced, never run: the one environment that scripts/test, scripts/demo and .ci/run share.
#
#   ragkit_env      makes or reuses the environment, and puts it first on PATH
#
# RAGKIT_VENV        where the environment lives (default: .venv in the repository)
# RAGKIT_VENV_AS_IS  set to take that environment without asking whether it is up to date
# RAGKIT_PYTHON      the interpreter it is made with (default: the newest one from 3.11 on that is found)

ragkit_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

_ragkit_python() {
  local candidate
  for candidate in ${RAGKIT_PYTHON:+"$RAGKIT_PYTHON"} python3 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "ragkit needs Python 3.11 or newer with venv; none was found. Set RAGKIT_PYTHON to one." >&2
  return 1
}

# What an environment depends on; it is reused for as long as this does not change.
_ragkit_stamp() {
  "$1" - "$ragkit_root" <<'PYTHON'
import hashlib, pathlib, sys

root = pathlib.Path(sys.argv[1])
files = [root / "constraints.txt", root / "pyproject.toml", *sorted(root.glob("integrations/*/pyproject.toml"))]
print(hashlib.sha256(b"\0".join(file.read_bytes() for file in files) + sys.version.encode()).hexdigest())
PYTHON
}

_ragkit_install() {
  local venv=$1 package integrations=()
  for package in "$ragkit_root"/integrations/*/pyproject.toml; do
    [ -f "$package" ] && integrations+=(-e "$(dirname "$package")")
  done
  # Dependency groups need pip 25.1; the pip that comes with Python is often older. Twice quiet: errors only.
  "$venv/bin/python" -m pip install --quiet --quiet --upgrade "pip>=25.1"
  (cd "$ragkit_root" && "$venv/bin/python" -m pip install --quiet --quiet -c constraints.txt -e ".[all]" ${integrations[@]+"${integrations[@]}"} --group dev)
}

ragkit_env() {
  local venv=${RAGKIT_VENV:-$ragkit_root/.venv} python stamp
  python=$(_ragkit_python)
  stamp=$(_ragkit_stamp "$python")
  if [ -z "${RAGKIT_VENV_AS_IS:-}" ] && [ "$(cat "$venv/ragkit.stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "Making the environment in $venv (a few minutes the first time) ..." >&2
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    _ragkit_install "$venv"
    echo "$stamp" >"$venv/ragkit.stamp"
  fi
  # Sourced from here, the library is always the one of this tree, whatever the environment was made from.
  export PYTHONPATH="$ragkit_root${PYTHONPATH:+:$PYTHONPATH}"
  export PATH="$venv/bin:$PATH"
  export VIRTUAL_ENV=$venv
  # Offline: the weights and the tokenizer files lie inside installed packages.
  export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
  TIKTOKEN_CACHE_DIR=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/llama_index/core/_static/tiktoken_cache
  export TIKTOKEN_CACHE_DIR
}
