"""How often a program syncs, and whether it does so before it acts and before it says that something is done."""

import sys
from pathlib import Path

from . import child, install

CALLS = "fsync,fdatasync,msync,sync_file_range,syncfs,sync"

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "campaigns"))

import oracle  # noqa: E402


def strace() -> str:
    return install.debian("strace", "strace")


def count(command: list, folder: Path, environment: dict, limit_seconds: float) -> int:
    """Runs a program and returns how often it, and whatever it starts, asked for a sync.

    The kernel stops it at these calls alone, so that commits are grouped about as they are without.
    """
    table = folder / "syncs.txt"
    traced = [strace(), "-f", "--seccomp-bpf", "-qq", "-c", "-o", table, "-e", f"trace={CALLS}", *command]
    child.run(traced, folder / "traced.txt", environment, limit_seconds)
    names = set(CALLS.split(","))
    # Columns: share, seconds, microseconds a call, calls, maybe errors, name. Nothing at all when there was none.
    rows = [line.split() for line in table.read_text().splitlines()]
    return sum(int(row[3]) for row in rows if row and row[-1] in names)


def unsynced(command: list, folder: Path, environment: dict, limit_seconds: float) -> list:
    """Runs one case, one call after the other, and returns every request and every word that no sync stood before."""
    trace = folder / "trace.txt"
    traced = [strace(), "-f", "-y", "-qq", "-o", trace, "-e", f"trace={oracle.WATCHED}", "-e", "signal=none", *command]
    child.run(traced, folder / "watched.txt", environment, limit_seconds)
    return oracle.sync_violations(trace.read_text())
