"""C14: what a resume costs when nearly everything is done."""

import os
import signal
import time

import oracle
from campaign import Outcome
from world import CALLS_PER_ITEM, Project, Shape

# The first new request comes within this time of the start, and the resume needs no more memory than this.
FIRST_S, PEAK_MIB = 10.0, 300
LEFT = 600


def nearly_done(world, items):
    """Leaves a run in order at 99.9 %, with nothing in flight, and resumes it: nothing is asked twice."""
    project = Project(world, Shape(items=items, concurrency=32))
    run = project.spawn_run("--quiet")
    # What is in flight ends before the process does; so many calls are gone between the sign and its effect.
    due = items * CALLS_PER_ITEM - max(items * CALLS_PER_ITEM // 1_000, LEFT)
    place, answered = project.start, 0
    while answered < due and run.process.poll() is None:
        lines, place = world.backend.lines(place)
        answered += sum(b'"what": "answer"' in line for line in lines)
        time.sleep(0.005)
    run.kill(signal.SIGTERM)
    run.process.wait(600)
    run.wait()
    if run.code != 143:
        return Outcome([f"wrong-exit: {run.code} at {answered} of {due} answers: {run.talk.strip()[-300:]}"])
    left = items - len(project.accounts.audits[-1].settled)
    before = len(world.backend.settled_entries(project.name, project.start))
    began = time.time()
    resume = project.spawn("resume", "--quiet")
    _, status, usage = os.wait4(resume.process.pid, 0)
    resume.process.returncode = os.waitstatus_to_exitcode(status)
    resume.wait()
    entries = world.backend.settled_entries(project.name, project.start)
    first = entries[before]["time"] - began if len(entries) > before else None
    peak = usage.ru_maxrss / 1024
    again, _ = oracle.repeats(entries)
    violations = []
    if resume.code != 0:
        violations.append(f"wrong-exit: {resume.code}: {resume.talk.strip()[-300:]}")
    if again:
        violations.append(f"asked-again: {again} requests, though none was in flight")
    if first is None or first > FIRST_S:
        violations.append(f"slow-resume: the first new request came after {first} s")
    if peak > PEAK_MIB:
        violations.append(f"memory: the resume needed {peak:.0f} MiB")
    # Every row is that of its case: what was done before the resume and what came after is the same pure function.
    rows = (project.rows() or b"").count(b"\n")
    if rows != items:
        violations.append(f"rows-differ: {rows} rows for {items}")
    violations += oracle.journal_violations(project.accounts.audits[-1], "at the end")
    size = (project.run_folders()[-1] / "journal.db").stat().st_size / items
    if not violations:
        project.remove()
    figures = {"cases": items, "left": left, "s to first request": first or 0, "MiB": peak, "bytes a case": size}
    return Outcome(violations, int(left > 0), again, figures)


def sizes(_, count):
    """One journal of so many cases."""
    return [count]
