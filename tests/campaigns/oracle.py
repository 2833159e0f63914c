"""Compares the accounts that are kept of a run: the backend's ledger, what pipe said, the journal, the rows.

Every violation has a name; `test_planted.py` proves that each is caught. No account is made by the code of another: the
ledger is written by `tests/fault_server`, the journal is read by `tests/audit`.
"""

import collections
import dataclasses
import hashlib
import json
import pathlib
import re
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "audit"))

import audit  # noqa: E402

# `17 of 40  42.5 %` on standard error: so many cases are settled, says pipe.
TOLD = re.compile(r"^([\d,]+) of ([\d,]+)  ", re.MULTILINE)
# System calls by which a sync and what follows it are seen, and how a sync ends.
WATCHED = "pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg"
SYNCED = re.compile(r"(fdatasync|fsync)(\(\d+<[^>]*journal\.db-wal>\)| resumed>.*\)) += 0")
# Which step reads which: a request of the second is made only when the first is settled.
READS = {"reply": "talk", "verdict": "reply"}
# So much too short a wait may be by the steps of a clock.
SLACK_S = 0.01


@dataclasses.dataclass
class Process:
    """What one process of a run has left behind."""

    talk: str = ""
    code: int | None = None
    killed: bool = False
    # It was told not to wait for what was in flight.
    abandoned: bool = False


@dataclasses.dataclass
class Accounts:
    """Everything that is known of one run."""

    ledger: list = dataclasses.field(default_factory=list)
    processes: list = dataclasses.field(default_factory=list)
    # Journals as they stood after each process, the last one included.
    audits: list = dataclasses.field(default_factory=list)
    rows: bytes | None = None
    expected: bytes | None = None
    summary: dict | None = None
    # Files of the project, by their paths.
    files: list = dataclasses.field(default_factory=list)
    lock_is_free: bool = True
    # What was said to whoever took the run up again.
    at_the_lock: str = ""
    concurrency: int = 8
    # Another campaign's faults make more requests than there were kills.
    may_retry: bool = False


def answer_digest(text):
    """Returns how the ledger names an answer."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def by_mark(ledger, what):
    """Groups entries of one kind by (item, step)."""
    groups = collections.defaultdict(list)
    for entry in ledger:
        if entry["what"] == what and entry.get("mark"):
            groups[tuple(entry["mark"].split(" ", 1))].append(entry)
    return groups


def told(talk):
    """Returns the greatest count of settled cases that was spoken of."""
    return max((int(found.group(1).replace(",", "")) for found in TOLD.finditer(talk)), default=0)


def journal_violations(read, where):
    return [f"journal: {where}: {violation}" for violation in read.violations]


def ack_violations(accounts):
    """Whatever was told or acted upon before a process ended is in the journal that it left."""
    found = []
    for place, (process, read) in enumerate(zip(accounts.processes, accounts.audits)):
        if read is None:
            if told(process.talk):
                found.append(f"lost-ack: process {place} told of {told(process.talk)} cases and left no journal")
        elif told(process.talk) > len(read.settled):
            found.append(f"lost-ack: process {place} told of {told(process.talk)} cases, {len(read.settled)} are kept")
    for before, after in zip(accounts.audits, accounts.audits[1:]):
        if before is None or after is None:
            continue
        for case, status in before.settled.items():
            if after.settled.get(case) != status:
                found.append(f"lost-case: case {case} was {status}, then {after.settled.get(case)}")
        for call, text in before.answers.items():
            if after.answers.get(call) != text:
                found.append(f"lost-answer: call {call} has another answer after a resume")
    return found


def calls_by_mark(read):
    """Groups the journal's calls by (item, step): started attempts, and answers."""
    item_of = {case: item for (item, _), case in read.items.items()}
    started, answers = collections.Counter(), collections.defaultdict(list)
    for case, step, _, _ in read.started:
        started[item_of.get(case), step] += 1
    for (case, step, _), text in read.answers.items():
        answers[item_of.get(case), step].append(text)
    settled = {(item_of.get(case), step) for case, step in read.tasks}
    return started, answers, settled


def ledger_violations(ledger, read):
    """Record first, act second; and nothing is kept that was never answered."""
    found = []
    started, answers, settled = calls_by_mark(read)
    asked, answered = by_mark(ledger, "request"), by_mark(ledger, "answer")
    for mark, entries in asked.items():
        if len(entries) > started[mark]:
            found.append(f"unrecorded-request: {mark} was asked {len(entries)} times, {started[mark]} are recorded")
        item, step = mark
        if step in READS and (item, READS[step]) not in settled:
            found.append(f"lost-answer: {mark} was asked, and {READS[step]} before it is not settled")
        known = len({entry["digest"] for entry in entries})
        if known > len(answers[mark]) + 1:
            found.append(f"lost-answer: {known} questions of {mark} were asked, {len(answers[mark])} answers are kept")
    for mark, texts in answers.items():
        given = {entry.get("text") for entry in answered[mark]}
        for text in texts:
            if text is None or answer_digest(text) not in given:
                found.append(f"invented-answer: {mark} has an answer that the backend never gave")
    return found


def repeats(ledger):
    """Counts requests beyond the first with the same words."""
    counts = collections.Counter((entry["path"], entry["digest"]) for entry in ledger if entry["what"] == "request")
    return sum(count - 1 for count in counts.values()), max(counts.values(), default=0)


def repeat_violations(accounts):
    """At most what was in flight, and as many started ahead, is asked again after a kill."""
    if accounts.may_retry:
        return []
    # What is given up on demand is asked again as well.
    kills = sum(process.killed or process.abandoned for process in accounts.processes)
    again, most = repeats(accounts.ledger)
    found = []
    if most > 1 + kills:
        found.append(f"asked-again: one question was asked {most} times in a run with {kills} kills")
    if again > kills * 2 * accounts.concurrency:
        found.append(f"asked-again: {again} requests were repeated after {kills} kills")
    return found


def wait_violations(ledger):
    """A client that was told to wait has waited, at least with the same words."""
    found, until = [], {}
    for entry in ledger:
        if entry["what"] == "answer" and entry.get("until"):
            until[entry["digest"]] = entry["until"]
        elif entry["what"] == "request" and entry["time"] < until.get(entry["digest"], 0) - SLACK_S:
            early = until[entry["digest"]] - entry["time"]
            found.append(f"early-retry: request {entry['number']} came {early:.2f} s before its time")
    return found


def sync_violations(trace):
    """Of a run of one case, traced: every request, and the word that the case is done, follow a sync of their own.

    `trace` is what strace tells with `-f -y` of WATCHED calls. The run makes one call after the other, so that the k-th
    request must have k synced commits before it; a sync that was not made counts for nothing.
    """
    found, synced, requests, is_dirty = [], 0, 0, False
    for line in trace.splitlines():
        if "pwrite64(" in line and "journal.db-wal>" in line:
            is_dirty = True
        elif SYNCED.search(line) and "INJECTED" not in line:
            synced, is_dirty = synced + is_dirty, False
        elif '"POST /' in line:
            requests += 1
            if synced < requests:
                found.append(f"unsynced-act: request {requests} was sent after {synced} synced commits")
        elif '"1 of 1  ' in line and synced < requests + 1:
            found.append(f"unsynced-ack: the case was told to be done after {synced} synced commits")
    if requests == 0:
        found.append("unsynced-act: no request was seen, so nothing is proven")
    return found


def total_violations(summary, read):
    """What the summary says is what the events come to."""
    counts = read.counts()
    expected = {
        "cases": counts["cases"],
        "answered": counts["attempts"]["answered"],
        "input tokens": counts["tokens"].get("input", 0),
        "output tokens": counts["tokens"].get("output", 0),
    }
    tokens = summary.get("tokens") or {}
    said = {
        "cases": {name: summary["cases"][name] for name in expected["cases"]},
        "answered": summary["answered"],
        "input tokens": tokens.get("input"),
        "output tokens": tokens.get("output"),
    }
    return [f"totals-differ: {name}: the summary says {said[name]}, the events come to {value}"
            for name, value in expected.items() if said[name] != value]


def row_violations(accounts):
    if accounts.rows == accounts.expected:
        return []
    if accounts.rows is None:
        return ["rows-differ: there are none"]
    ours, theirs = accounts.rows.splitlines(), accounts.expected.splitlines()
    first = next((place for place, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1]), min(len(ours), len(theirs)))
    return [f"rows-differ: {len(ours)} rows for {len(theirs)}, the first other one is number {first + 1}"]


def file_violations(accounts):
    stray = [path for path in accounts.files if path.endswith((".part", ".tmp"))]
    found = [f"stray-file: {path}" for path in stray]
    if not accounts.lock_is_free:
        found.append(f"lock-left: the run cannot be taken up: {accounts.at_the_lock}")
    return found


def violations(accounts):
    """Compares everything at the end of a case; an empty list is a case that held."""
    final = accounts.audits[-1] if accounts.audits else None
    found = ack_violations(accounts) + wait_violations(accounts.ledger)
    if final is None:
        return [*found, "no-journal: the run left none"]
    found += journal_violations(final, "at the end") + ledger_violations(accounts.ledger, final)
    found += repeat_violations(accounts) + row_violations(accounts) + file_violations(accounts)
    if final.kinds["run_ended"] == 0 or final.last[1].get("outcome") != "complete":
        found.append(f"not-complete: the last event is {final.last}")
    if accounts.summary is not None:
        found += total_violations(accounts.summary, final)
    return found


def read_journal(path, sums=False):
    """Audits a journal; none when there is no file, or one in which no run has begun."""
    if not pathlib.Path(path).is_file():
        return None
    try:
        read = audit.audited(path, sums)
    except sqlite3.OperationalError as error:
        # The layout itself is one transaction: killed before it, a file is empty.
        if "no such table" in str(error):
            return None
        raise
    except sqlite3.DatabaseError as error:
        # The power went while its first page was written. Had anything been told of it, that is now lost.
        if "not a database" in str(error):
            return None
        raise
    return read if read.kinds else None


def load_ledger(lines):
    return [json.loads(line) for line in lines]
