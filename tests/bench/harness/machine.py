"""What a number depends on besides the programs: the machine, and what a sync costs on its disk."""

import os
import platform
import statistics
import time
from pathlib import Path

SYNCS = 50


def describe(folder: Path) -> str:
    """Returns one line about this machine and the disk below `folder`."""
    return (
        f"{os.cpu_count()} cores ({processor()}), Linux {platform.release()}, {file_system(folder)}, "
        f"one 4 KiB write + fdatasync alone: {sync_seconds(folder) * 1e3:.2f} ms (median of {SYNCS})"
    )


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def file_system(folder: Path) -> str:
    """Returns the type of the file system that holds `folder`: on tmpfs a sync costs nothing and proves nothing."""
    best = ("", "unknown file system")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, kind, *_ = line.split()
        inside = folder.resolve().is_relative_to(mounted)
        if inside and len(mounted) >= len(best[0]):
            best = (mounted, kind)
    return best[1]


def sync_seconds(folder: Path) -> float:
    probe = folder / "sync-probe"
    times = []
    with probe.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            start = time.monotonic()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.monotonic() - start)
    probe.unlink()
    return statistics.median(times)
