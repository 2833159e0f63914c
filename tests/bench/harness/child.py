"""Running a program to its end and accounting for it."""

import os
import resource
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# How often a child's peak memory is looked at, in milliseconds. Only matters for children smaller than this script.
LOOK_MS = 50
SHOWN_OF_ERRORS = 4000
# The server is on this machine, whatever stands between this machine and the world.
NO_PROXY = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@dataclass
class Account:
    """What a program took, from its start to its end."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    # Looks at the processor time while it ran: seconds since the epoch, and what it had used by then.
    looks: list

    def cpu_by(self, moment: float) -> float:
        """Returns the processor time that it had used at a moment, as of the look before it."""
        return max((used for at, used in self.looks if at <= moment), default=0.0)


def run(command: list, log: Path, environment: dict, limit_seconds: float) -> Account:
    """Runs a program; its output goes to `log`. A program that fails or does not end fails the benchmark."""
    with log.open("wb") as output:
        start = time.monotonic()
        child = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | NO_PROXY | environment,
        )
        looks = []
        peak = watch(child.pid, start + limit_seconds, looks)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
    code = child.returncode = os.waitstatus_to_exitcode(status)
    if code != 0:
        said = log.read_text(errors="replace")[-SHOWN_OF_ERRORS:]
        why = f"was killed after {limit_seconds:.0f} s" if seconds >= limit_seconds else f"ended with {code}"
        raise SystemExit(f"{' '.join(map(str, command))}\n{why}:\n{said}")
    # The kernel counts into a child's peak what its parent held when it started it. Above that it is exact.
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    exact = usage.ru_maxrss * 1024
    return Account(seconds, usage.ru_utime + usage.ru_stime, exact if exact > floor else peak, looks)


def watch(pid: int, deadline: float, looks: list) -> int:
    """Waits for the end of a child and returns the peak of its memory as last seen; past the deadline, kills it.

    Adds each look at its processor time to `looks`.
    """
    peak = 0
    ended = select.poll()
    descriptor = os.pidfd_open(pid)
    try:
        ended.register(descriptor, select.POLLIN)
        while not ended.poll(LOOK_MS):
            peak = max(peak, peak_of(pid))
            looks.append((time.time(), cpu_of(pid)))
            if time.monotonic() > deadline:
                os.kill(pid, 9)
                break
    finally:
        os.close(descriptor)
    return peak


def cpu_of(pid: int) -> float:
    """Returns the processor time of a process in seconds, in the kernel's ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_of(pid: int) -> int:
    """Returns the most memory that a process has held at once; 0 once it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
