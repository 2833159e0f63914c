"""C9: several processes that want one run."""

import re
import signal
import time

from campaign import Outcome
from kills import judged
from world import Project, Shape

# Slow answers: whoever holds the run holds it long enough for all others to be refused.
SHAPE = Shape(items=8, faults="/delay/60")
HELD = re.compile(r"is held by (process (\d+)|another process)")
# A refusal comes within this time on a loaded machine; alone it takes 0.2 s.
REFUSED_S = 3.0


def begun(world):
    """Returns a project whose run has begun, and the process that holds it."""
    project = Project(world, SHAPE)
    run = project.spawn_run()
    while "8 slots" not in run.text(run.err) and run.process.poll() is None:
        time.sleep(0.005)
    while not world.backend.entries(project.name, project.start) and run.process.poll() is None:
        time.sleep(0.005)
    return project, run


def refused(project, holder, violations):
    """Starts another process, which has to be refused at once and told by whom."""
    began = time.monotonic()
    other = project.spawn("resume").wait(account=False)
    took = time.monotonic() - began
    named = HELD.search(other.talk)
    if other.code != 2 or not named:
        violations.append(f"two-writers: a second process ended with {other.code}: {other.talk.strip()[-300:]}")
    elif holder is not None and named.group(2) not in (None, str(holder)):
        violations.append(f"wrong-holder: {named.group(1)} is named, {holder} holds the run")
    if took > REFUSED_S:
        violations.append(f"slow-refusal: it took {took:.1f} s")
    return took


def many_starts(world, dice):
    """Kills a run and starts several resumes at once: one of them gets it."""
    project, run = begun(world)
    run.kill()
    run.wait()
    others = [project.spawn("resume") for _ in range(dice.randint(2, 8))]
    for other in others:
        other.wait(account=False)
    # What they have done together is one account: that of the winner.
    others.sort(key=lambda other: other.code != 0)
    others[0].wait()
    violations = [
        f"two-writers: one of {len(others)} ended with {other.code}: {other.talk.strip()[-300:]}"
        for other in others if not (other.code == 2 and HELD.search(other.talk) or other.code == 0)
    ]
    workers = [other for other in others if other.code == 0 and "resuming" in other.talk]
    if len(workers) != 1:
        violations.append(f"two-writers: {len(workers)} of {len(others)} worked on the run")
    return project, violations, {}


def stopped_holder(world, dice):
    """Stops a holder for a while: others are refused; woken, it goes on as if nothing had been."""
    project, run = begun(world)
    run.kill(signal.SIGSTOP)
    violations = []
    took = max(refused(project, run.process.pid, violations) for _ in range(dice.randint(1, 3)))
    run.kill(signal.SIGCONT)
    run.wait()
    if run.code != 0:
        violations.append(f"wrong-exit: the woken process ended with {run.code}: {run.talk.strip()[-300:]}")
    return project, violations, {"s to refuse": took}


def killed_holder(world, dice):
    """Kills a holder while it is stopped: the next one is let in at once."""
    project, run = begun(world)
    if dice.random() < 0.5:
        run.kill(signal.SIGSTOP)
    violations = []
    took = refused(project, run.process.pid, violations)
    run.kill()
    run.wait()
    return project, violations, {"s to refuse": took}


KINDS = (many_starts, stopped_holder, killed_holder)


def several(world, number):
    dice = world.dice("C9", number)
    project, violations, figures = KINDS[number % len(KINDS)](world, dice)
    outcome = judged(project, figures)
    return Outcome(violations + outcome.violations, 1, outcome.repeats, outcome.figures)
