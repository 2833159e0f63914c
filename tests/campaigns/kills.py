"""C1, C2 and C10: processes that end in the middle, by SIGKILL or in order."""

import signal
import subprocess
import time

import oracle
from campaign import Outcome
from world import Project, Shape

# `strace` slows a process down; fewer calls keep a case short and still pass every kind of write.
TRACED = Shape(items=10)
SHAPE = Shape(items=24)
# A campaign of system calls: those by which a journal or a file of results comes to be.
WRITES = "fdatasync,fsync,pwrite64,rename,renameat,renameat2,unlink,unlinkat,ftruncate,mkdir,link,linkat"


def strace(*inject, trace=None, out="/dev/null"):
    """Returns the command that runs another one with faults in its system calls."""
    names = ",".join(sorted({each.split(":")[0] for each in inject})) or trace
    return ["strace", "-f", "-qq", "-o", out, "-e", f"trace={trace or names}", "-e", "signal=none",
            *[part for each in inject for part in ("-e", f"inject={each}")]]


def judged(project, figures=None):
    """Goes on to the end and compares the accounts."""
    kills = sum(process.killed for process in project.accounts.processes)
    last = project.accounts.processes[-1]
    if last.code != 0:
        done = project.finish()
        if done.code != 0:
            violations = [f"no-way-on: the resume ended with {done.code}: {done.talk.strip()[-400:]}"]
            return Outcome(violations + project.verdict(), hits=kills)
    found = project.verdict()
    again, _ = oracle.repeats(project.accounts.ledger)
    if not found:
        project.remove()
    per_kill = again / kills if kills else 0
    return Outcome(found, hits=kills, repeats=again, figures={"repeats per kill": per_kill, **(figures or {})})


# --- C1: SIGKILL at the k-th system call that writes ------------------------------------------------------------------

CALLS = ("fdatasync", "pwrite64", "fsync", "rename", "unlink", "ftruncate")


def count_calls(world):
    """Counts the system calls of an undisturbed run, by name."""
    project = Project(world, TRACED)
    out = project.folder / "trace"
    project.spawn_run(prefix=strace(trace=WRITES, out=str(out))).wait()
    counts = {name: 0 for name in WRITES.split(",")}
    for line in out.read_text().splitlines():
        name = line.split(None, 1)[-1].split("(")[0]
        if name in counts and "resumed>" not in line:
            counts[name] += 1
    project.remove()
    return counts


def each_call(world, count):
    """Names every k of every call; `count` bounds them, spread evenly over each call's range."""
    every = [(name, k) for name, calls in sorted(count_calls(world).items()) for k in range(1, calls + 1)]
    if count is None or count >= len(every):
        return every
    # Rare calls are taken whole: they are where files begin and end.
    counts = {}
    for name, _ in every:
        counts[name] = counts.get(name, 0) + 1
    rare = [case for case in every if counts[case[0]] <= 8]
    common = [case for case in every if counts[case[0]] > 8]
    room = max(count - len(rare), len(common) and 1)
    return rare + [common[place * len(common) // room] for place in range(min(room, len(common)))]


def kill_at_call(world, case):
    name, k = case
    project = Project(world, TRACED)
    project.spawn_run(prefix=strace(f"{name}:signal=KILL:when={k}")).wait()
    # The resume is killed at the same place: what mends a journal has to bear it too.
    if project.accounts.processes[-1].killed and k % 3 == 0:
        project.spawn_next(prefix=strace(f"{name}:signal=KILL:when={k // 3}")).wait()
    return judged(project)


# --- C2: SIGKILL at a random time -------------------------------------------------------------------------------------

def wait_at_random(world, process, dice):
    """Waits for a random part of the time that a run takes at present; false when it was over before that."""
    seconds = world.undisturbed(SHAPE)[1]
    world.pace = world.pace or seconds
    began = time.monotonic()
    try:
        process.process.wait(dice.uniform(0, world.pace * 1.05))
    except subprocess.TimeoutExpired:
        world.pace = min(world.pace * 1.03, seconds * 3)
        return True
    # The machine has become faster since a run was last measured.
    world.pace = (world.pace + time.monotonic() - began) / 2
    return False


def kill_at_random(world, number):
    dice = world.dice("C2", number)
    project = Project(world, SHAPE)
    goes_on = True
    while goes_on and len(project.accounts.processes) < 4:
        process = project.spawn_next() if project.accounts.processes else project.spawn_run()
        if wait_at_random(world, process, dice):
            process.kill()
        process.wait()
        # A third of the kills hit the resume as well, a third of those the resume's resume.
        goes_on = process.code != 0 and dice.random() < 1 / 3
    return judged(project)


# --- C10: SIGTERM and SIGINT at random times --------------------------------------------------------------------------

EXITS = {signal.SIGTERM: 143, signal.SIGINT: 130}
# From the signal to the end of the process, beyond its grace: what a loaded machine may take.
PROMPT_S = 3.0


def leave_in_order(world, number):
    dice = world.dice("C10", number)
    grace = dice.choice([0, 2, 30])
    project = Project(world, SHAPE)
    violations, hits, slowest = [], 0, 0.0
    for _ in range(1 + (dice.random() < 1 / 3)):
        name = dice.choice(list(EXITS))
        process = project.spawn_next("--grace", f"{grace}s")
        if not wait_at_random(world, process, dice):
            process.wait()
            if process.code != 0:
                violations.append(f"wrong-exit: {process.code} without a signal: {process.talk.strip()[-300:]}")
            break
        began = time.monotonic()
        process.kill(name)
        twice = dice.random() < 1 / 3
        if twice:
            time.sleep(dice.uniform(0, 0.05))
            process.kill(name)
        process.wait()
        project.accounts.processes[-1].abandoned = twice or grace == 0
        took = time.monotonic() - began
        # Before its signals are heard it ends as any program does; the journal is as after a kill then.
        if process.code == -name:
            hits += 1
            project.accounts.processes[-1].killed = True
        elif process.code == EXITS[name]:
            hits += 1
            slowest = max(slowest, took)
            if took > grace + PROMPT_S:
                violations.append(f"slow-leave: {took:.1f} s after signal {name} with a grace of {grace} s")
        elif process.code != 0:
            violations.append(f"wrong-exit: {process.code} after signal {name}: {process.talk.strip()[-300:]}")
        if process.code == 0:
            break
    outcome = judged(project, {"s to leave": slowest})
    return Outcome(violations + outcome.violations, hits, outcome.repeats, outcome.figures)
