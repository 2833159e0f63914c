"""C7 and C8: a disk that is full, fails or is slow."""

import contextlib
import os
import subprocess

from campaign import Outcome
from kills import TRACED, each_call, judged, strace
from world import Project

# A finished run of TRACED, its rows included, is smaller than this.
LARGEST_KIB = 320
SMALLEST_KIB = 8
# Journal unusable, which is resumable; results that could not be written, the run being complete.
EXITS = (1, 5)


def one_message(run, words):
    """A run that stops tells why in one message, with the remedy, and breaks nothing."""
    if run.code == 0:
        return []
    errors = [line for line in run.talk.splitlines() if line.startswith("error")]
    if run.code not in EXITS:
        return [f"wrong-exit: {run.code}: {run.talk.strip()[-300:]}"]
    if len(errors) != 1 or not any(word in errors[0] for word in words):
        return [f"unclear-message: {errors or run.talk.strip()[-300:]}"]
    return []


@contextlib.contextmanager
def small_disk(folder, kib):
    """Mounts a file system of so many KiB."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=0755", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


FULL = ("disk is full", "No space left")


def full_disk(world, number, count):
    """Runs on a disk of growing size, for everything, for the journal alone or for the results alone; then frees it."""
    project = Project(world, TRACED)
    place = (".pipe", ".pipe", "results")[number % 3]
    most = LARGEST_KIB if place == ".pipe" else 24
    kib = SMALLEST_KIB + (most - SMALLEST_KIB) * number // count
    kib -= kib % 4
    with small_disk(project.folder / place, max(kib, 4)) as free:
        out = ("--out", "results/out.jsonl") if place == "results" else ()
        run = project.spawn("run", "campaign.yaml", *(out or ("--out", "out.jsonl"))).wait()
        violations = one_message(run, FULL)
        free()
        again = project.finish()
        if again.code != 0:
            violations.append(f"no-way-on: {again.code} after space was freed: {again.talk.strip()[-300:]}")
        if out:
            rows = project.folder / "results" / "out.jsonl"
            if rows.exists():
                (project.folder / "out.jsonl").write_bytes(rows.read_bytes())
        outcome = judged(project)
    return Outcome(violations + outcome.violations, int(run.code != 0), outcome.repeats)


def no_space(world, case):
    """Lets every write from the k-th on fail for want of space."""
    name, k = case
    project = Project(world, TRACED)
    run = project.spawn_run(prefix=strace(f"{name}:error=ENOSPC:when={k}+")).wait()
    violations = one_message(run, FULL)
    outcome = judged(project)
    return Outcome(violations + outcome.violations, int(run.code != 0), outcome.repeats)


def full_cases(world, count):
    """Half of the cases on small disks where one may be mounted, the rest by failing system calls."""
    mounts = (count or 1_000) // 2 if os.geteuid() == 0 else 0
    calls = [case for case in each_call(world, None) if case[0] in ("pwrite64", "ftruncate")]
    rest = (count or 1_000) - mounts
    return [("disk", number, mounts) for number in range(mounts)] + spread(calls, rest)


def spread(cases, count):
    """Takes so many, evenly."""
    return cases if len(cases) <= count else [cases[place * len(cases) // count] for place in range(count)]


def full(world, case):
    return full_disk(world, *case[1:]) if case[0] == "disk" else no_space(world, case)


FAILED = ("cannot", "I/O", "disk")


def failing_cases(world, count):
    calls = [case for case in each_call(world, None) if case[0] in ("pwrite64", "fsync", "fdatasync", "ftruncate")]
    slow = [("slow", milliseconds) for milliseconds in (100, 300)]
    return slow + spread(calls, (count or len(calls) + 2) - len(slow))


def failing(world, case):
    """Lets the k-th write or sync fail with EIO, once; or lets every sync take long."""
    name, k = case
    project = Project(world, TRACED)
    if name == "slow":
        prefix = strace(f"fsync:delay_exit={k * 1000}", f"fdatasync:delay_exit={k * 1000}")
    else:
        prefix = strace(f"{name}:error=EIO:when={k}")
    run = project.spawn_run(prefix=prefix).wait()
    violations = one_message(run, FAILED)
    if name == "slow" and run.code != 0:
        violations.append(f"wrong-exit: a slow disk ended the run with {run.code}")
    outcome = judged(project)
    return Outcome(violations + outcome.violations, int(run.code != 0 or name == "slow"), outcome.repeats)
