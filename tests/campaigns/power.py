"""C3 and C4: the power goes. C3 cuts a mounted file system off its disk; C4 takes what a recorded run had synced."""

import array
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import blocks
import oracle
from campaign import Impossible, Outcome
from kills import TRACED, judged
from world import Project, Shape

# --- C3: a file system that is shut down ------------------------------------------------------------------------------

SHAPE = Shape(items=16)
# Linux's FS_IOC_SHUTDOWN, and its way that keeps nothing back from the loss: not even the file system's own log is written.
SHUTDOWN, NO_LOG = 0x8004_587D, 2
# mkfs.xfs makes none below 300 MB; the file has holes.
SIZES = {"ext4": 64, "xfs": 320}
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
PANICS = (70, 101)


class Loop:
    """A file system of its own in a file."""

    def __init__(self, folder, kind):
        self.image, self.mount = pathlib.Path(f"{folder}.img"), pathlib.Path(folder)
        with self.image.open("wb") as file:
            file.truncate(SIZES[kind] << 20)
        command([*MAKE[kind], str(self.image)])
        self.mount.mkdir()
        command(["mount", "-o", "loop", str(self.image), str(self.mount)])

    def cut(self):
        """Cuts the file system off its disk: what is not there never will be."""
        folder = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, array.array("I", [NO_LOG]))
        finally:
            os.close(folder)

    def again(self):
        """Mounts it as after a start of the machine."""
        self.leave()
        command(["mount", "-o", "loop", str(self.image), str(self.mount)])

    def leave(self):
        # A file that was open a moment ago may still be let go of.
        ends = time.monotonic() + 10
        while subprocess.run(["umount", str(self.mount)], capture_output=True).returncode != 0:
            if time.monotonic() > ends:
                command(["umount", str(self.mount)])
            time.sleep(0.05)


def command(words):
    """Runs a command that only root may, naming what was refused."""
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Impossible(f"there is no {words[0]}: apt-get install e2fsprogs xfsprogs") from error
    if done.returncode != 0:
        raise Impossible(f"`{' '.join(words)}` is refused: {done.stderr.strip()}")


@contextlib.contextmanager
def loop(world, kind):
    disk = Loop(world.folder / f"disk{next(world.backend.numbers)}", kind)
    try:
        yield disk
    finally:
        disk.leave()
        disk.mount.rmdir()
        disk.image.unlink()


def mounts(world, count):
    """Tries what every case needs, and measures a run on each file system."""
    world.on_disk = {}
    for kind in SIZES:
        with loop(world, kind) as disk:
            project = Project(world, SHAPE, disk.mount)
            began = time.monotonic()
            run = project.spawn_run().wait()
            if run.code != 0:
                raise SystemExit(f"an undisturbed run on {kind} ended with {run.code}: {run.talk}")
            world.on_disk[kind] = time.monotonic() - began
            disk.cut()
            disk.again()
    return range(count)


def power_cut(world, number):
    """Cuts the power at a random time, a third of the times again in the resume; three of four on ext4, else on xfs."""
    dice = world.dice("C3", number)
    kind = "xfs" if number % 4 == 3 else "ext4"
    hits, violations = 0, []
    with loop(world, kind) as disk:
        project = Project(world, SHAPE, disk.mount)
        subprocess.run(["sync", "-f", str(disk.mount)], check=True)
        goes_on = True
        while goes_on and len(project.accounts.processes) < 3:
            run = project.spawn_next() if project.accounts.processes else project.spawn_run()
            # The last tenth hits what is complete: all of it is there, its rows too.
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.process.wait(dice.uniform(0, world.on_disk[kind] * 1.1))
            hits += 1
            # The program goes with the power, an instant before its disk: while ext4 is being shut down, a sync may return
            # without an error and keep nothing, and a program that went on would act on that.
            run.kill()
            disk.cut()
            run.process.wait()
            disk.again()
            run.wait()
            if run.code in PANICS:
                violations.append(f"panic: {run.code}: {run.talk.strip()[-300:]}")
            goes_on = run.code != 0 and dice.random() < 1 / 3
        outcome = judged(project)
        if violations or outcome.violations:
            keep(world, project)
    return Outcome([f"{violation} ({kind})" for violation in violations + outcome.violations], hits, outcome.repeats,
                   outcome.figures)


def keep(world, project):
    """Copies the project of a failed case off its disk, which goes."""
    with contextlib.suppress(OSError):
        shutil.copytree(project.folder, world.folder / f"{project.name}-failed")


# --- C4: what a recorded run had synced -------------------------------------------------------------------------------

HERE = threading.local()
# As often a thread records anew: no two runs make the same calls in the same order.
RECORDED_FOR = 40


class Recorded:
    """A run of which every call that writes is known, to be cut off anywhere."""

    def __init__(self, world, is_resume, *more):
        self.world, self.project = world, Project(world, TRACED)
        project, self.trace = self.project, world.folder / f"{self.project.name}.trace"
        if is_resume:
            run = project.spawn_run()
            while len(world.backend.entries(project.name, project.start)) < TRACED.calls and run.process.poll() is None:
                time.sleep(0.001)
            run.kill()
            run.wait()
        self.former = len(project.accounts.processes)
        self.store = project.folder.with_name(f"{project.name}-before")
        shutil.copytree(project.folder, self.store)
        run = project.spawn_next(*more, prefix=[*blocks.RECORD, "-o", str(self.trace)]).wait()
        if run.code != 0:
            raise ValueError(f"a recorded run ended with {run.code}: {run.talk}")
        self.steps = blocks.steps(self.trace.read_text(), project.folder)
        self.trace.unlink()
        self.ledger = world.backend.settled_entries(project.name, project.start)
        self.check()

    def told_again(self, count):
        """Returns the disk as it was before a step."""
        after = self.project.folder
        aside = after.with_name(f"{after.name}-aside")
        after.rename(aside)
        shutil.copytree(self.store, after)
        disk = blocks.Disk(after)
        shutil.rmtree(after)
        aside.rename(after)
        for step in self.steps[:count]:
            disk.take(step)
        return disk

    def check(self):
        """The trace, told again, comes to the very files that the run has left, and to its log before that was folded."""
        if differing := self.told_again(len(self.steps)).differs():
            raise ValueError(f"the recorded calls do not come to {differing}")
        folded = max(place for place, step in enumerate(self.steps) if step.what == "cut" and step.path.endswith("-wal"))
        self.cut_at(folded, blocks.Luck("everything", self.world.dice("C4")))
        read = self.project.accounts.audits[-1]
        if read is None or read.kinds["run_ended"] != 1 or read.violations:
            raise ValueError(f"the recorded calls do not come to a log: {read and (read.kinds, read.violations)}")

    def cut_at(self, place, luck):
        """Leaves of the project what a power cut before this step does, and what was known by then."""
        project = self.project
        left = self.told_again(place).after_cut(luck)
        shutil.rmtree(project.folder)
        project.folder.mkdir()
        for path, data in left.items():
            pathlib.Path(path).mkdir(mode=0o700) if data is None else pathlib.Path(path).write_bytes(data)
        accounts = project.accounts
        del accounts.processes[self.former:], accounts.audits[self.former:]
        talk = b"".join(step.data for step in self.steps[:place] if step.what == "told").decode(errors="replace")
        accounts.processes.append(oracle.Process(talk, -signal.SIGKILL, killed=True))
        accounts.audits.append(project.journal())
        now = self.steps[place].time if place < len(self.steps) else float("inf")
        asked = {entry["number"] for entry in self.ledger if entry["what"] == "request" and entry["time"] < now}
        # Its answer is noted when it is sent, and may be known to pipe before that.
        return [entry for entry in self.ledger if entry["number"] in asked]


def recorded(world, number):
    """Returns this thread's recorded run: every other one is a resume."""
    uses = getattr(HERE, "uses", 0)
    if getattr(HERE, "world", None) is not world or uses >= RECORDED_FOR:
        HERE.world, HERE.one, uses = world, Recorded(world, number // RECORDED_FOR % 2 == 1), 0
    HERE.uses = uses + 1
    return HERE.one


def lost_writes(world, number):
    """Cuts the power before any step of a recorded run; each block that was not synced is there or not."""
    dice = world.dice("C4", number)
    one = recorded(world, number)
    luck = blocks.Luck(blocks.Luck.KINDS[number % len(blocks.Luck.KINDS)], dice)
    place = dice.randint(0, len(one.steps))
    project = one.project
    before = one.cut_at(place, luck)
    project.start = world.backend.place()
    done = project.finish()
    entries = before + world.backend.settled_entries(project.name, project.start)
    violations = [] if done.code == 0 else [f"no-way-on: {done.code}: {done.talk.strip()[-300:]}"]
    violations += project.verdict(ledger=entries)
    return Outcome([f"{violation} ({luck.kind}, before step {place} of {len(one.steps)})" for violation in violations], 1)
