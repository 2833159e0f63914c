#!/usr/bin/env python3
"""Plants every violation that the audit knows: each must be caught, by name. Run: python3 tests/audit/test_audit.py"""

import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # caches stay out of the tree

import blake3

HERE = pathlib.Path(__file__).resolve().parent
# Length → the first 128 bits.
VECTORS = {
    65: "de1e5fa0be70df6d2be8fffd0e99ceaa",
    1024: "42214739f095a406f3fc83deb889744a",
    1025: "d00278ae47eb27b34faecf67b4fe263f",
    5120: "9cadc15fed8b5d854562b26a9536d970",
}
SCHEMA = "".join((HERE.parent.parent / "src/journal" / name).read_text() for name in ("schema.sql", "views.sql"))


def name(text):
    """Stands for a digest: the audit compares, it does not hash."""
    return text.encode().hex().ljust(32, "0")[:32]


PARTS = {"case_admitted": 1, "task_settled": 1, "task_adopted": 1, "case_settled": 1, "attempt_started": 2, "attempt_ended": 2}
ATTEMPT = {"case": 0, "step": "talk", "call": "say", "attempt": 1}
TEXTS = {name("source"): "…", name("row"): "{}", name("hello"): "Hello.", name("yes"): "Yes."}
EVENTS = [
    ("run_started", {"source": name("source")}),
    ("case_admitted", {"case": 0, "item": "a", "repeat": 1, "row": name("row")}),
    ("attempt_started", {"id": ATTEMPT, "actor": "ada", "backend": "local"}),
    ("attempt_ended", {"id": ATTEMPT, "request": [["user", name("hello")]], "outcome": {"answered": {"text": name("yes")}}}),
    ("task_settled", {"case": 0, "step": "talk", "status": "ok", "output": {"chat": {"text": name("yes")}}}),
    ("case_settled", {"case": 0, "status": "ok"}),
    ("run_ended", {"outcome": "complete", "cases": {"admitted": 1, "ok": 1, "unscored": 0, "failed": 0}}),
]


class Planted(unittest.TestCase):
    def audit(self, events=None, texts=None, statement="", sums=False):
        with tempfile.TemporaryDirectory() as folder:
            database = sqlite3.connect(pathlib.Path(folder) / "journal.db")
            database.executescript("pragma synchronous = off;" + SCHEMA)
            database.execute("insert into meta values ('format', '4')")
            for digest, body in (TEXTS if texts is None else texts).items():
                database.execute("insert into texts (case_no, digest, body) values (-1, ?, ?)", (bytes.fromhex(digest), body))
            for kind, body in EVENTS if events is None else events:
                case = body.get("case", body.get("id", {}).get("case"))
                part = PARTS.get(kind, 0)
                database.execute(
                    "insert into events (at, kind, part, case_no, body, sum) values (1, ?, ?, ?, ?, 0)",
                    (kind, part, case, json.dumps(body)),
                )
            database.executescript(statement)
            database.commit()
            database.close()
            command = [sys.executable, str(HERE / "audit.py"), folder, *(["--sums"] if sums else [])]
            return subprocess.run(command, capture_output=True, text=True, check=False)

    def caught(self, words, **plan):
        done = self.audit(**plan)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(words, done.stderr)

    def with_event(self, place, event):
        return EVENTS[:place] + [event] + EVENTS[place:]

    def test_a_sound_journal_passes(self):
        done = self.audit()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        counts = json.loads(done.stdout)
        self.assertEqual(counts["cases"], {"admitted": 1, "ok": 1, "unscored": 0, "failed": 0})
        self.assertEqual(counts["attempts"], {"started": 1, "answered": 1, "failed": 0, "open": 0})

    def test_every_prefix_passes(self):
        for length in range(len(EVENTS)):
            done = self.audit(events=EVENTS[:length])
            self.assertEqual((done.returncode, done.stderr), (0, ""), f"{length} events")

    def test_gaps(self):
        self.caught("event 4: missing, the next is 5", statement="delete from events where seq = 4")

    def test_settled_twice(self):
        self.caught("case settled twice: 0", events=self.with_event(6, EVENTS[5]))
        self.caught("task settled twice: (0, 'talk')", events=self.with_event(5, EVENTS[4]))
        self.caught("task (0, 'talk') settled after its case", events=self.with_event(6, EVENTS[4]))

    def test_admitted_twice(self):
        self.caught("case admitted twice: 0", events=self.with_event(2, EVENTS[1]))
        again = ("case_admitted", {**EVENTS[1][1], "case": 1})
        self.caught("item and repeat admitted twice: ('a', 1)", events=self.with_event(2, again))

    def test_not_settled(self):
        without = [event for event in EVENTS if event[0] != "case_settled"]
        self.caught("the run is complete and case 0 is not settled", events=without)

    def test_totals(self):
        told = ("run_ended", {"outcome": "complete", "cases": {"admitted": 1, "ok": 0, "unscored": 0, "failed": 1}})
        self.caught("run_ended tells of", events=EVENTS[:6] + [told])

    def test_attempts(self):
        without = [event for event in EVENTS if event[0] != "attempt_started"]
        self.caught("attempt ended that never started", events=without)
        self.caught("attempt started twice", events=self.with_event(3, EVENTS[2]))
        self.caught("attempt ended twice", events=self.with_event(4, EVENTS[3]))
        second = {**ATTEMPT, "attempt": 2}
        started, ended = ("attempt_started", {**EVENTS[2][1], "id": second}), ("attempt_ended", {**EVENTS[3][1], "id": second})
        self.caught("call answered twice: (0, 'talk', 'say')", events=EVENTS[:3] + [started, EVENTS[3], ended] + EVENTS[4:])
        self.caught("asked again after its answer", events=self.with_event(4, started))
        self.caught("asked again after it was settled", events=self.with_event(5, started))
        elsewhere = ("attempt_started", {**EVENTS[2][1], "id": {**ATTEMPT, "case": 7}})
        self.caught("of a case that was not admitted", events=self.with_event(3, elsewhere))

    def test_texts(self):
        for digest, what in [("source", "pipeline file"), ("row", "row"), ("yes", "answer")]:
            texts = {key: body for key, body in TEXTS.items() if key != name(digest)}
            self.caught(f"text {name(digest)} ({what}) is missing", texts=texts)
        texts = {key: body for key, body in TEXTS.items() if key != name("hello")}
        self.caught("(message of a request) is missing", texts=texts)
        outputs = [
            ("output", {"chat": {"text": name("gone")}}),
            ("turn", {"dialogue": {"turns": [{"actor": "ada", "text": name("gone")}]}}),
            ("reason of a vote", {"judge": {"votes": [{"reason": name("gone")}]}}),
        ]
        for what, output in outputs:
            settled = ("task_settled", {**EVENTS[4][1], "output": output})
            self.caught(f"({what}) is missing", events=EVENTS[:4] + [settled] + EVENTS[5:])

    def test_adopted(self):
        settled = EVENTS[4][1]
        adopted = ("task_adopted", {**settled, "from_run": "debate-1", "from_case": 3})
        asked_not = [event for event in EVENTS[:4] if not event[0].startswith("attempt")]
        done = self.audit(events=asked_not + [adopted] + EVENTS[5:])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["tasks_adopted"], 1)
        self.caught("asked again after it was settled", events=EVENTS[:2] + [adopted] + EVENTS[2:4] + EVENTS[5:])
        self.caught("a failed task was adopted", events=self.with_event(4, ("task_adopted", {**adopted[1], "status": "failed"})))
        self.caught("task settled twice", events=self.with_event(5, adopted))
        self.caught("adopted from no run", events=self.with_event(4, ("task_adopted", settled)))
        elsewhere = ("task_adopted", {**adopted[1], "case": 7})
        self.caught("which was not admitted", events=self.with_event(4, elsewhere))

    def test_blake3(self):
        known = [(b"", "af1349b9f5f9a1a6a0404dea36dcc949"), (b"abc", "6437b3ac38465133ffb63b75273a8db5")]
        for data, digest in known:
            self.assertEqual(blake3.blake3(data)[:16].hex(), digest)
        # The test vectors of the specification: bytes that count to 250; here over one block, one chunk, many chunks.
        pattern = bytes(place % 251 for place in range(5120))
        for length, digest in VECTORS.items():
            self.assertEqual(blake3.blake3(pattern[:length])[:16].hex(), digest, f"{length} bytes")

    def test_sums(self):
        self.caught("event 3: its checksum does not fit", sums=True)
        self.caught("text " + name("yes") + ": its checksum does not fit", sums=True)

    def test_columns(self):
        self.caught("column case_no is 3, the body says 0", statement="update events set case_no = 3 where seq = 5")
        self.caught("a checkpoint stands after event 9", statement="insert into checkpoints values (9, '{}', 0)")
        self.caught("format 7: this audit knows 4", statement="update meta set value = '7'")


if __name__ == "__main__":
    unittest.main()
