"""Judges what a follower of a branch has left, from accounts alone: `violations` has a name for each thing that may be wrong."""

import dataclasses
import re

# Rows of each pipeline.
ITEMS = 6


@dataclasses.dataclass
class Run:
    """A run, as the program itself tells of it."""

    name: str
    # Where its pipeline was, and the commit that it says it is of; empty when it says neither.
    file: str = ""
    commit: str = ""
    status: str = ""
    # Every message of every request.
    asked: list = dataclasses.field(default_factory=list)
    rows: list = dataclasses.field(default_factory=list)
    # Why it cannot be read.
    trouble: str = ""


@dataclasses.dataclass
class Accounts:
    """All that is known at the end of a case."""

    # Commit → number of the revision; none for a broken one.
    pushed: dict
    last: str
    runs: list
    # The status whenever it was another one, and the processes that may have written it.
    statuses: list
    followers: list
    # Names of runs that were there at some time.
    known: set
    # How those ended that were started beside a follower.
    seconds: list
    # What went wrong with the follower itself.
    troubles: list


def status_violations(accounts):
    found, writers, had_good = [], [], False
    for status in accounts.statuses:
        for word in ("good", "applied", "applying"):
            commit = status.get(word)
            if commit and commit not in accounts.pushed:
                found.append(f"never-pushed: the status has {word} {commit}")
            elif commit and accounts.pushed[commit] is None:
                found.append(f"broken-applied: the status has {word} {commit}, which is wrong")
        if had_good and not status.get("good"):
            found.append(f"last-good-lost: the status has none while it is {status.get('state')}")
        had_good = had_good or bool(status.get("good"))
        if not writers or writers[-1] != status["pid"]:
            if status["pid"] in writers:
                found.append(f"two-reconcilers: {status['pid']} writes the status again after {writers[-1]} did")
            writers.append(status["pid"])
    found += [f"two-reconcilers: {pid} writes the status, and was not to follow"
              for pid in writers if pid not in accounts.followers]
    return found + [f"two-reconcilers: the second ended with {code}" for code in accounts.seconds if code != 2]


def run_violations(run, accounts):
    """One run: of one commit, that was pushed and is no broken one, and asked by its words alone, all of them."""
    if run.trouble:
        return [f"unreadable: {run.name}: {run.trouble}"]
    if not run.commit:
        return [f"no-commit: {run.name} is of none"]
    if run.commit not in accounts.pushed:
        return [f"never-pushed: {run.name} is of {run.commit}"]
    number = accounts.pushed[run.commit]
    if number is None:
        return [f"broken-applied: {run.name} is of a commit that is wrong"]
    found = []
    if f"/trees/{run.commit}/" not in run.file:
        found.append(f"half-tree: {run.name} was read from {run.file}")
    numbers = set(re.findall(r"rev-(\d+)-", "\n".join([*run.asked, *(row["rev"] for row in run.rows)])))
    if numbers - {str(number)}:
        found.append(f"mix: {run.name} is of rev-{number}- and asked of {sorted(numbers)}")
    whole = re.compile(r"This is rev-\d+-\.|Answer \d+ of rev-\d+- and rev-\d+-")
    found += [f"half-tree: {run.name} was asked {text!r}" for text in run.asked if not whole.fullmatch(text)][:1]
    if run.status == "complete" and len(run.rows) != ITEMS:
        found.append(f"half-tree: {run.name} has {len(run.rows)} rows of {ITEMS}")
    return found


def violations(accounts):
    """Compares everything at the end of a case; an empty list is a case that held."""
    found = [*accounts.troubles, *status_violations(accounts)]
    for run in accounts.runs:
        found += run_violations(run, accounts)
    gone = accounts.known - {run.name for run in accounts.runs}
    found += [f"run-lost: {name} was there" for name in sorted(gone)]
    of_last = [run for run in accounts.runs if run.commit == accounts.last and run.status == "complete"]
    complete = {run.name.split("-")[0] for run in of_last if all(row["status"] == "ok" for row in run.rows) and run.asked}
    if complete != {"one", "two"}:
        found.append(f"not-applied: of the last commit there is {sorted(complete)}")
    return found
