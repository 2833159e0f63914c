"""C13: a backend that fails in every way, mixed by seed, with kills in between."""

import json
import time

import oracle
from campaign import Outcome
from world import Project, Shape

ATTEMPTS = 6
ITEMS = 16


def rows_by_item(data):
    return {row["id"]: row for row in map(json.loads, data.splitlines())}


def storm(world, number):
    """Runs through a storm; whatever succeeds is what an undisturbed run says, everything else is told as failed."""
    dice = world.dice("C13", number)
    percent = dice.choice([10, 30, 60])
    project = Project(world, Shape(items=ITEMS, faults=f"/storm/{world.seed + number}-{percent}"))
    expected = world.undisturbed(project.shape)[0]
    project.accounts.may_retry = True
    run = project.spawn_run()
    if number % 2:
        time.sleep(dice.uniform(0.05, 0.6))
        run.kill()
    run.wait()
    while run.code not in (0, 1):
        if len(project.accounts.processes) > 3:
            return Outcome([f"no-way-on: {run.code}: {run.talk.strip()[-300:]}"])
        run = project.spawn_next().wait()
    violations = project.verdict(expected=project.rows())
    calm, ours = rows_by_item(expected), rows_by_item(project.rows() or b"")
    if calm.keys() != ours.keys():
        violations.append(f"rows-differ: {len(ours)} items for {len(calm)}")
    told = 0
    for item, row in ours.items():
        for column in ("talk.transcript", "reply.text", "verdict.choice"):
            told += row.get(column) is not None
            # A turn that failed for good leaves a shorter talk, and what reads it is not asked.
            if row.get(column) not in (None, calm[item][column]):
                violations.append(f"rows-differ: {item}, {column}")
    kills = sum(process.killed for process in project.accounts.processes)
    faults = sum(entry["what"] == "request" and entry["fault"] is not None for entry in project.accounts.ledger)
    _, most = oracle.repeats(project.accounts.ledger)
    # Trials of a backend whose breaker is open are not charged to the call that makes them.
    final = project.accounts.audits[-1]
    trials = max(final.uncharged.values(), default=0) if final is not None else 0
    if most > ATTEMPTS + kills + trials:
        violations.append(f"retry-storm: one question was asked {most} times")
    if told == 0:
        violations.append("empty-storm: nothing succeeded")
    if not violations:
        project.remove()
    return Outcome(violations, int(faults > 0), figures={"requests for one question": most})
