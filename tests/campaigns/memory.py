"""C12: too little memory, and large items."""

import contextlib
import pathlib
import resource
import signal
import time

from campaign import Outcome
from kills import judged
from world import Project, Shape

MIB = 1 << 20
# An item's text, in bytes; `limits` of pipelines take more.
SIZES = (64 << 10, 256 << 10, 1 << 20)
# What an undisturbed run of them needs, about, in MiB.
PEAKS = {64 << 10: 40, 256 << 10: 50, 1 << 20: 90}
ITEMS = 8


def shape(size):
    words = "trams and buses "
    return Shape(items=ITEMS, topic="{number} " + words * (size // len(words)))


def killed_above(run, limit):
    """Kills a process when it holds more than so many bytes, as the kernel does with the greatest when memory ends.

    A memory group would throttle its writes for minutes before that; where a process is hit is the same.
    """
    while run.process.poll() is None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = int(pathlib.Path(f"/proc/{run.process.pid}/statm").read_text().split()[1])
            if pages * resource.getpagesize() > limit:
                run.kill()
        time.sleep(0.002)


def capped(world, number):
    """Starts a run with too little memory, and takes it up again with enough."""
    dice = world.dice("C12", number)
    size = SIZES[number // 2 % len(SIZES)]
    project = Project(world, shape(size))
    most = PEAKS[size]
    violations = []
    if number % 2 == 0:
        run = project.spawn_run()
        killed_above(run, dice.randint(most // 3, most) * MIB)
        run.wait()
    else:
        # Allocations fail.
        limit = dice.randint(12, most * 2 // 3) * MIB
        run = project.spawn_run(prefix=["prlimit", f"--data={limit}", "--"]).wait()
    last = project.accounts.processes[-1]
    last.killed = last.killed or run.code in (-signal.SIGABRT, -signal.SIGSEGV)
    last.abandoned = run.code != 0
    if run.code == "no end":
        violations.append("no-end: the process neither went on nor ended")
    # Rust's own runtime panics where the system has no thread, or no stack for one; nothing is lost by that.
    starved = any(words in run.talk for words in ("Resource temporarily unavailable", "Cannot allocate memory"))
    if ("panicked" in run.talk or run.code in (70, 101)) and not starved:
        violations.append(f"panic: {run.code}: {run.talk.strip()[-300:]}")
    outcome = judged(project)
    return Outcome(violations + outcome.violations, int(run.code != 0), outcome.repeats, outcome.figures)
