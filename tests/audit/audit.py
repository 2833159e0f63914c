#!/usr/bin/env python3
"""Audits the journal of one run, knowing nothing of pipe but the public schema (src/journal/schema.sql).

    audit.py RUN_FOLDER_OR_JOURNAL [--sums]

Prints counts as JSON and exits with 0, or prints every violation on standard error and exits with 1. With --sums it
also verifies every checksum, by a BLAKE3 of its own (slow: some 500 kB/s).
Written apart from the product, so that the two can be compared: it reads plain rows, one pass, standard library only.
"""

import collections
import ctypes
import json
import pathlib
import sqlite3
import struct
import sys

sys.dont_write_bytecode = True  # caches stay out of the tree

import blake3

FORMAT = 4
SHOWN = 20  # violations printed; all are counted


def frame(packed, base):
    """Unpacks a frame of zstd, by the library that every Debian has."""
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_createDCtx.restype = ctypes.c_void_p
    library.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    library.ZSTD_decompress_usingDict.restype = ctypes.c_size_t
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    size = library.ZSTD_getFrameContentSize(packed, ctypes.c_size_t(len(packed)))
    if size > 1 << 31:
        raise ValueError("no packed text")
    text = ctypes.create_string_buffer(size + 1)
    context = ctypes.c_void_p(library.ZSTD_createDCtx())
    done = library.ZSTD_decompress_usingDict(
        context, text, ctypes.c_size_t(size), packed, ctypes.c_size_t(len(packed)), base, ctypes.c_size_t(len(base))
    )
    library.ZSTD_freeDCtx(context)
    if library.ZSTD_isError(done):
        raise ValueError("it cannot be unpacked")
    return text.raw[:done].decode()


class Audit:
    """What one pass over the events has seen."""

    def __init__(self, database):
        self.database = database
        self.violations = []
        self.kinds = collections.Counter()
        self.admitted = {}  # case -> seq
        self.items = {}  # (item, repeat) -> case
        self.settled = {}  # case -> status
        self.tasks = {}  # (case, step) -> seq
        self.started = {}  # attempt -> seq
        self.ended = {}  # attempt -> outcome
        self.uncharged = collections.Counter()  # call -> attempts that count against no bound
        self.answered = {}  # call -> attempt number
        self.answers = {}  # call -> what was answered
        self.tokens = collections.Counter()
        self.adopted = 0
        self.last = None
        self.bases = {}  # long texts that others are packed against

    def violation(self, seq, text):
        self.violations.append(f"event {seq}: {text}")

    def text(self, seq, digest, what, case=-1):
        """Demands a text, of a case or of the run, and returns its body."""
        body = self.body(case, bytes.fromhex(digest))
        if body is None:
            self.violation(seq, f"text {digest} ({what}) is missing")
        return body

    def body(self, case, digest):
        query = "select body from texts where case_no in (?, -1, -2) and digest = ?"
        row = self.database.execute(query, (case, digest)).fetchone()
        return None if row is None else self.unpacked(case, row[0])

    def unpacked(self, case, body):
        """Returns the text of a body: a packed one is a byte, the digest of what it is packed against, and a frame."""
        if isinstance(body, str):
            return body
        if body[0] == 0:
            return frame(body[1:], b"")
        base = self.bases.get(body[1:17])
        if base is None:
            base = self.body(case, body[1:17])
            if base is None:
                return None
            base = base.encode()
            if len(base) > 100_000:
                self.bases[body[1:17]] = base
        return frame(body[17:], base)

    def once(self, seen, key, value, seq, what):
        if key in seen:
            self.violation(seq, f"{what} twice: {key}")
        seen[key] = value

    def event(self, seq, case, kind, body):
        self.kinds[kind] += 1
        handle = getattr(self, f"on_{kind}", None)
        if handle is not None:
            handle(seq, body)
        named = body.get("case", body.get("id", body.get("now", {})).get("case"))
        if named != case:
            self.violation(seq, f"column case_no is {case}, the body says {named}")
        self.last = (kind, body)

    def on_run_started(self, seq, body):
        if seq != 1:
            self.violation(seq, "the run began a second time")
        self.text(seq, body["source"], "pipeline file")

    def on_case_admitted(self, seq, body):
        if body["case"] != len(self.admitted):
            self.violation(seq, f"case {body['case']} admitted after {len(self.admitted)} cases")
        self.once(self.admitted, body["case"], seq, seq, "case admitted")
        self.once(self.items, (body["item"], body["repeat"]), body["case"], seq, "item and repeat admitted")
        self.text(seq, body["row"], "row", body["case"])

    def attempt(self, seq, body):
        name = body["id"]
        key = (name["case"], name["step"], name["call"], name["attempt"])
        if name["case"] not in self.admitted:
            self.violation(seq, f"attempt {key} of a case that was not admitted")
        return key

    def on_attempt_started(self, seq, body):
        key = self.attempt(seq, body)
        self.once(self.started, key, seq, seq, "attempt started")
        if key[:3] in self.answered:
            self.violation(seq, f"call {key[:3]} asked again after its answer")
        if key[:2] in self.tasks:
            self.violation(seq, f"task {key[:2]} asked again after it was settled")

    def on_attempt_ended(self, seq, body):
        key = self.attempt(seq, body)
        outcome = next(iter(body["outcome"]))
        if key not in self.started:
            self.violation(seq, f"attempt ended that never started: {key}")
        self.once(self.ended, key, outcome, seq, "attempt ended")
        self.uncharged[key[:3]] += not body.get("charged", True)
        if outcome == "answered":
            self.once(self.answered, key[:3], key[3], seq, "call answered")
            self.answers[key[:3]] = self.text(seq, body["outcome"]["answered"]["text"], "answer", key[0])
            if "thought" in body["outcome"]["answered"]:
                self.text(seq, body["outcome"]["answered"]["thought"], "thought", key[0])
        self.tokens.update(body.get("usage") or {})
        # What the server did not report is estimated, and counts in the totals.
        self.tokens.update(body.get("estimated") or {})
        for _, digest in body.get("request", []):
            self.text(seq, digest, "message of a request", key[0])

    def on_task_settled(self, seq, body):
        key = (body["case"], body["step"])
        self.once(self.tasks, key, seq, seq, "task settled")
        if body["case"] in self.settled:
            self.violation(seq, f"task {key} settled after its case")
        output = body.get("output") or {}
        if "chat" in output:
            self.text(seq, output["chat"]["text"], "output", key[0])
        for turn in output.get("dialogue", {}).get("turns", []):
            self.text(seq, turn["text"], "turn", key[0])
        for vote in output.get("judge", {}).get("votes", []):
            self.text(seq, vote["reason"], "reason of a vote", key[0])

    def on_case_reopened(self, seq, body):
        case = body["now"]["case"]
        if self.settled.pop(case, None) != body["was"]:
            self.violation(seq, f"case {case} goes on that had not ended {body['was']}")
        for task in body["former"]:
            if self.tasks.pop((case, task["step"]), None) is None:
                self.violation(seq, f"task {task['step']} of case {case} is taken back and was not settled")
        for asked in body["now"].get("asked", []):
            self.answered.pop((case, asked["step"], asked["call"]), None)

    def on_task_adopted(self, seq, body):
        if not body.get("from_run"):
            self.violation(seq, "a task adopted from no run")
        if body["case"] not in self.admitted:
            self.violation(seq, f"task adopted for case {body['case']}, which was not admitted")
        if body["status"] not in ("ok", "unscored"):
            self.violation(seq, f"a {body['status']} task was adopted")
        self.adopted += 1
        self.on_task_settled(seq, body)

    def on_run_tuned(self, seq, body):
        self.text(seq, body["source"], "pipeline file")

    def on_case_settled(self, seq, body):
        if body["case"] not in self.admitted:
            self.violation(seq, f"case {body['case']} settled and never admitted")
        self.once(self.settled, body["case"], body["status"], seq, "case settled")

    def sum(self, place, stored, *parts):
        """Compares a stored sum with the one of what it is about; numbers are fields of eight bytes."""
        parts = [struct.pack("<q", part) if isinstance(part, int) else part.encode() for part in parts]
        if struct.unpack("<q", blake3.fields(*parts)[:8])[0] != stored:
            self.violations.append(f"{place}: its checksum does not fit")

    def sums(self):
        """Verifies every checksum of the file."""
        for seq, at, kind, body, stored in self.database.execute("select seq, at, kind, body, sum from events"):
            self.sum(f"event {seq}", stored, "event", seq, at, kind, body)
        for seq, body, stored in self.database.execute("select seq, body, sum from checkpoints"):
            self.sum(f"checkpoint {seq}", stored, "checkpoint", seq, body)
        for case, digest, body in self.database.execute("select case_no, digest, body from texts"):
            body = self.unpacked(case, body)
            if body is None or blake3.blake3(body.encode())[:16] != digest:
                self.violations.append(f"text {digest.hex()}: its checksum does not fit")

    def run(self):
        meta = dict(self.database.execute("select key, value from meta"))
        if meta.get("format") != str(FORMAT):
            self.violations.append(f"format {meta.get('format')}: this audit knows {FORMAT}")
        expected = 1
        rows = self.database.execute("select seq, case_no, kind, body from events order by seq")
        for seq, case, kind, body in rows:
            if seq != expected:
                self.violation(expected, f"missing, the next is {seq}")
            expected = seq + 1
            self.event(seq, case, kind, json.loads(body))
        self.at_the_end(expected - 1)

    def at_the_end(self, last_seq):
        if last_seq and self.kinds["run_started"] != 1:
            self.violations.append(f"run_started is there {self.kinds['run_started']} times")
        newest = self.database.execute("select max(seq) from checkpoints").fetchone()[0]
        if newest is not None and newest > last_seq:
            self.violations.append(f"a checkpoint stands after event {newest}, the last event is {last_seq}")
        complete = self.last is not None and self.last[0] == "run_ended" and self.last[1]["outcome"] == "complete"
        if complete:
            for case in sorted(set(self.admitted) - set(self.settled)):
                self.violations.append(f"the run is complete and case {case} is not settled")
        if self.last is not None and self.last[0] == "run_ended":
            told, counted = self.last[1]["cases"], self.counts()["cases"]
            if told != counted:
                self.violations.append(f"run_ended tells of {told}, the events come to {counted}")
        for view, expected in [("cases", len(self.admitted)), ("calls", len(self.started))]:
            found = self.database.execute(f"select count(*) from {view}").fetchone()[0]
            if found != expected:
                self.violations.append(f"view {view} has {found} rows for {expected}")

    def counts(self):
        by_status = collections.Counter(self.settled.values())
        outcomes = collections.Counter(self.ended.values())
        return {
            "events": sum(self.kinds.values()),
            "kinds": dict(sorted(self.kinds.items())),
            "cases": {"admitted": len(self.admitted), **{name: by_status[name] for name in ("ok", "unscored", "failed")}},
            "tokens": dict(sorted(self.tokens.items())),
            "tasks_settled": len(self.tasks),
            "tasks_adopted": self.adopted,
            "attempts": {
                "started": len(self.started),
                "answered": outcomes["answered"],
                "failed": outcomes["failed"],
                "open": len(self.started.keys() - self.ended.keys()),
            },
            "texts": self.database.execute("select count(*) from texts").fetchone()[0],
        }


def audited(path, sums=False):
    """Audits a journal by its path."""
    database = sqlite3.connect(f"{pathlib.Path(path).absolute().as_uri()}?mode=ro", uri=True)
    # One snapshot for the whole audit, so that a live run cannot move under it.
    database.isolation_level = None
    database.execute("begin")
    audit = Audit(database)
    audit.run()
    if sums:
        audit.sums()
    database.execute("end")
    return audit


def main(arguments):
    names = [argument for argument in arguments[1:] if argument != "--sums"]
    if len(names) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    path = pathlib.Path(names[0])
    path = path / "journal.db" if path.is_dir() else path
    if not path.is_file():
        print(f"{path} is not there", file=sys.stderr)
        return 2
    audit = audited(path, sums="--sums" in arguments)
    print(json.dumps(audit.counts(), indent=1))
    for violation in audit.violations[:SHOWN]:
        print(violation, file=sys.stderr)
    if len(audit.violations) > SHOWN:
        print(f"and {len(audit.violations) - SHOWN} more", file=sys.stderr)
    return 1 if audit.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
