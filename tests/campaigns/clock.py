"""C11: a wall clock that jumps. Only times of day may change by it."""

import pathlib
import time

from campaign import Outcome
from kills import judged
from world import Project, Shape

HOUR, DAY = 3_600, 86_400
JUMPS = (HOUR, -HOUR, DAY, -DAY, 3_650 * DAY, -3_650 * DAY)
# Answers that take a while, and a server that makes everybody wait: 1.5 s at the first three requests.
SHAPE = Shape(items=12, faults="/delay/20")
WAITS = Shape(items=12, faults="/fault/throttled-ms/first/3")
# A run with such waits, on a loaded machine; a wait measured by a clock that went back would last an hour.
LONGEST_S = 40.0
LIBRARY = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1")


def library():
    found = [path for pattern in LIBRARY for path in pathlib.Path("/").glob(pattern.lstrip("/"))]
    if not found:
        raise SystemExit("C11 needs libfaketime: apt-get install libfaketime")
    return str(found[0])


def environment(project):
    """Returns the variables by which a file of the project decides what time it is."""
    return {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(project.folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def set_clock(project, seconds, speed=1):
    """Moves the clock; put in place at once, so that nobody reads half of it."""
    file = project.folder / "clock.new"
    file.write_text(f"{seconds:+d}{f' x{speed}' if speed != 1 else ''}\n")
    file.rename(project.folder / "clock")


def negative_durations(read):
    """Looks for times that go back in the journal, which only a clock could have brought there."""
    query = "select count(*) from events as one join events as next on next.seq = one.seq + 1 where next.at < one.at"
    back = read.database.execute(query).fetchone()[0]
    query = """select count(*) from events where kind = 'attempt_ended' and (
        json_extract(body, '$.timings.total_us') not between 0 and 60e6
        or json_extract(body, '$.timings.queued_us') not between 0 and 60e6)"""
    odd = read.database.execute(query).fetchone()[0]
    return ([f"time-goes-back: {back} times"] if back else []) + ([f"odd-duration: {odd} attempts"] if odd else [])


def jump(world, number):
    dice = world.dice("C11", number)
    waits = number % 2 == 1
    project = Project(world, WAITS if waits else SHAPE)
    project.accounts.may_retry = waits
    seconds = JUMPS[number % len(JUMPS)]
    kills = number // len(JUMPS) % 2 == 1
    speed = 10 if number % 5 == 4 else 1
    set_clock(project, 0)
    run = project.spawn_run(env=environment(project))
    began = time.monotonic()
    time.sleep(dice.uniform(0.02, 0.25))
    set_clock(project, seconds, speed)
    if kills:
        # The clock stays wrong until the resume, and is put right in the midst of that.
        time.sleep(dice.uniform(0.0, 0.1))
        run.kill()
    run.wait()
    if run.code != 0:
        run = project.spawn_next(env=environment(project))
        time.sleep(dice.uniform(0.0, 0.1))
        set_clock(project, 0)
        run.wait()
    took = time.monotonic() - began
    violations = [] if took < LONGEST_S else [f"clock-waited: the run took {took:.0f} s"]
    if run.code != 0:
        violations.append(f"wrong-exit: {run.code}: {run.talk.strip()[-300:]}")
    requests = sum(entry["what"] == "request" for entry in world.backend.settled_entries(project.name, project.start))
    most = SHAPE.calls + (3 if waits else 0)
    if not kills and requests != most:
        violations.append(f"call-count: {requests} requests, not {most}")
    if (final := project.accounts.audits[-1]) is not None:
        violations += negative_durations(final)
    outcome = judged(project)
    # Across processes a wait is known by the time of day alone: one that a wrong clock wrote down ends when it may.
    kept = [each for each in outcome.violations if not (kills and each.startswith("early-retry"))]
    return Outcome(violations + kept, 1, outcome.repeats, {"s": took})
