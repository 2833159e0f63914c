"""What benchmarks need and a machine may lack: Debian's packages, and Python's in an environment of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# Those that the numbers in a report were taken with.
PYTHON_PACKAGES = ["aiohttp==3.14.5", "langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2"]


def debian(package: str, program: str) -> str:
    """Returns the path of a program, installing its package where it is missing, and saying so."""
    path = "/usr/local/sbin:/usr/sbin:/sbin:" + os.environ.get("PATH", "")
    found = shutil.which(program, path=path)
    if found:
        return found
    print(f"installing {package}", flush=True)
    root = [] if os.geteuid() == 0 else ["sudo"]
    # A run level that is known keeps packages from starting services.
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    settings = [f"{name}={value}" for name, value in quiet.items()]
    subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
    command = [*root, "env", *settings, "apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = shutil.which(program, path=path)
    if not found:
        raise SystemExit(f"{package} was installed, but there is no {program} in {path}")
    return found


def python(tools: Path) -> Path:
    """Returns an interpreter that has the peers' packages, making its environment below `tools` once."""
    environment = tools / "peers-venv"
    interpreter = environment / "bin" / "python"
    done = environment / "installed.txt"
    wanted = "\n".join(PYTHON_PACKAGES)
    if not done.is_file() or done.read_text() != wanted:
        print(f"installing {', '.join(PYTHON_PACKAGES)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES], check=True)
        done.write_text(wanted)
    return interpreter
