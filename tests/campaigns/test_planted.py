#!/usr/bin/env python3
"""Plants the bugs that a durable runner could have: each must be caught, by name.

    python3 tests/campaigns/test_planted.py PATH_OF_PIPE

Some are real: a switch of pipe, or a system call that does nothing, has the effect of the bug. The others are planted
in the accounts of a run that was killed and resumed, as the bug would have left them.
"""

import contextlib
import copy
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True  # caches stay out of the tree
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import blocks  # noqa: E402
import kills  # noqa: E402
import oracle  # noqa: E402
import power  # noqa: E402
from world import Backend, Project, Shape, World  # noqa: E402

PIPE = os.environ.get("PIPE", "pipe")
ONE = Shape(items=1, concurrency=1)


class Ledger(unittest.TestCase):
    def test_a_case_never_begins_in_the_middle_of_a_line(self):
        with tempfile.TemporaryDirectory() as folder:
            backend = object.__new__(Backend)
            backend.ledger = pathlib.Path(folder) / "ledger.jsonl"
            self.assertEqual(backend.place(), 0)
            for written, place in ((b"", 0), (b'{"pa', 0), (b'{"path": "/case/1/"}\n', 21), (b'{"path": "/case/1/"}\n12, "b', 21)):
                backend.ledger.write_bytes(written)
                self.assertEqual(backend.place(), place, written)
            with backend.ledger.open("ab") as file:
                file.write(b'": 1}\n')
            self.assertRaises(ValueError, backend.entries, "1", 30)

    def test_a_line_that_comes_in_two_parts_is_one_line(self):
        with tempfile.TemporaryDirectory() as folder:
            backend = object.__new__(Backend)
            backend.ledger = pathlib.Path(folder) / "ledger.jsonl"
            line = json.dumps({"path": "/case/1/", "pad": "x" * 900}).encode() + b"\n"
            seen, place = 0, 0

            def write():
                with backend.ledger.open("ab", buffering=0) as file:
                    for _ in range(20_000):
                        file.write(line[:300])
                        file.write(line[300:])

            backend.ledger.touch()
            writer = threading.Thread(target=write)
            writer.start()
            while writer.is_alive():
                lines, place = backend.lines(place)
                self.assertEqual(set(lines) - {line[:-1]}, set())
                seen += len(lines)
            lines, place = backend.lines(place)
            self.assertEqual(seen + len(lines), 20_000)
            self.assertEqual(len(backend.entries("1", 0)), 20_000)


class Planted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pipe-planted-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.world = World(PIPE, cls.folder.name, 1)
        cls.addClassCleanup(cls.world.close)
        cls.project = Project(cls.world, Shape(items=12, faults="/delay/30"))
        # In the middle: some cases are settled, some are not.
        run = cls.project.spawn_run()
        while oracle.told(run.text(run.err)) < 3 and run.process.poll() is None:
            time.sleep(0.002)
        run.kill()
        run.wait()
        assert cls.project.finish().code == 0
        cls.sound = cls.project.verdict(sums=True)

    def accounts(self):
        """Returns a copy of the accounts, to plant a bug in."""
        known = self.project.accounts
        audits = []
        for read in known.audits:
            read = copy.copy(read)
            for name in ("settled", "answers", "tasks", "items", "started", "ended"):
                setattr(read, name, dict(getattr(read, name)))
            audits.append(read)
        processes = [dataclasses.replace(process) for process in known.processes]
        ledger = [dict(entry) for entry in known.ledger]
        summary = copy.deepcopy(known.summary)
        return dataclasses.replace(known, audits=audits, processes=processes, ledger=ledger, summary=summary,
                                   files=list(known.files))

    def caught(self, name, accounts):
        found = oracle.violations(accounts)
        self.assertTrue(any(violation.startswith(name) for violation in found), f"{name} is not in {found}")

    def journal(self, statement):
        """Returns what the reader says of the journal after a statement of SQL."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "journal.db"
            shutil.copyfile(self.project.run_folders()[-1] / "journal.db", path)
            database = sqlite3.connect(path)
            database.executescript(statement)
            database.commit()
            database.close()
            accounts = self.accounts()
            accounts.audits[-1] = oracle.read_journal(path, sums=True)
            return accounts

    # --- in the accounts ---

    def test_nothing_planted_is_nothing_caught(self):
        self.assertEqual(self.sound, [])
        settled = len(self.project.accounts.audits[0].settled)
        self.assertTrue(0 < settled < 12, f"the kill came too early or too late: {settled} of 12")

    def test_early_ack(self):
        accounts = self.accounts()
        accounts.processes[0].talk += "12 of 12  100.0 %\n"
        self.caught("lost-ack: process 0 told of 12 cases", accounts)

    def test_early_ack_of_a_journal_that_is_gone(self):
        accounts = self.accounts()
        accounts.processes[0].talk += "1 of 12  8.3 %\n"
        accounts.audits[0] = None
        self.caught("lost-ack: process 0 told of", accounts)

    def test_act_before_the_record(self):
        accounts = self.accounts()
        request = next(entry for entry in accounts.ledger if entry["what"] == "request")
        accounts.ledger.append({**request, "digest": "another"})
        self.caught("unrecorded-request", accounts)

    def test_step_asked_before_its_input_is_kept(self):
        accounts = self.accounts()
        case = next(iter(accounts.audits[-1].settled))
        del accounts.audits[-1].tasks[case, "talk"]
        self.caught("lost-answer", accounts)

    def test_resume_loses_a_settled_case(self):
        accounts = self.accounts()
        case = next(iter(accounts.audits[0].settled))
        del accounts.audits[-1].settled[case]
        self.caught(f"lost-case: case {case}", accounts)

    def test_resume_replaces_an_answer(self):
        accounts = self.accounts()
        call = next(iter(accounts.audits[0].answers))
        accounts.audits[-1].answers[call] = "Something else."
        self.caught("lost-answer: call", accounts)

    def test_answer_that_nobody_gave(self):
        accounts = self.accounts()
        call = list(accounts.audits[-1].answers)[-1]
        accounts.audits[-1].answers[call] = "Half an ans"
        self.caught("invented-answer", accounts)

    def test_resume_asks_everything_again(self):
        accounts = self.accounts()
        again = [{**entry, "number": entry["number"] + 9_000} for entry in accounts.ledger]
        accounts.ledger += again + again
        self.caught("asked-again", accounts)

    def test_retry_ignores_retry_after(self):
        accounts = self.accounts()
        place, request = next(
            (place, entry) for place, entry in enumerate(accounts.ledger) if entry["what"] == "request")
        refusal = {**request, "what": "answer", "status": 429, "until": request["time"] + 2}
        accounts.ledger.insert(place, refusal)
        self.caught("early-retry", accounts)

    def test_totals_count_the_calls_of_the_dead_twice(self):
        accounts = self.accounts()
        accounts.summary["answered"] += 3
        self.caught("totals-differ: answered", accounts)
        accounts = self.accounts()
        accounts.summary["tokens"]["output"] += 1
        self.caught("totals-differ: output tokens", accounts)
        accounts = self.accounts()
        accounts.summary["cases"]["ok"] += 1
        self.caught("totals-differ: cases", accounts)

    def test_rows(self):
        rows = self.project.accounts.rows.splitlines(keepends=True)
        for planted in (rows[:-1], rows + rows[:1], rows[1:2] + rows[:1] + rows[2:]):
            accounts = self.accounts()
            accounts.rows = b"".join(planted)
            self.caught("rows-differ", accounts)

    def test_temporary_file_left(self):
        accounts = self.accounts()
        accounts.files.append(".out.jsonl.campaign.part")
        self.caught("stray-file", accounts)

    def test_journal_missing(self):
        accounts = self.accounts()
        accounts.audits[-1] = None
        self.caught("no-journal", accounts)

    # --- in the journal itself ---

    def test_second_commit_on_resume(self):
        copied = "insert into events (at, kind, part, case_no, body, sum) select at, kind, part, case_no, body, sum from events"
        for kind, name in [("case_settled", "case settled twice"), ("task_settled", "task settled twice"),
                           ("attempt_ended", "attempt ended twice"), ("case_admitted", "case admitted twice")]:
            accounts = self.journal(f"{copied} where kind = '{kind}' limit 1")
            found = oracle.violations(accounts)
            self.assertTrue(any(name in violation for violation in found), f"{name} is not in {found}")

    def test_skipped_checksum(self):
        for statement, name in [
            ("update events set body = replace(body, 'ok', 'no') where kind = 'case_settled' and case_no = 1", "event"),
            ("update events set at = at + 1 where seq = 9", "event 9"),
            ("update texts set body = body || ' ' where id = 5", "text"),
            ("update checkpoints set body = replace(body, '1', '2')", "checkpoint"),
        ]:
            found = oracle.violations(self.journal(statement))
            sums = [violation for violation in found if "its checksum does not fit" in violation]
            self.assertTrue(any(name in violation for violation in sums), f"{name} is not in {found}")

    def test_events_lost_in_the_middle(self):
        self.caught("journal: at the end: event 7: missing", self.journal("delete from events where seq = 7"))

    def test_end_not_recorded(self):
        self.caught("not-complete", self.journal("delete from events where kind = 'run_ended'"))

    # --- for real ---

    def traced(self, *more, inject=()):
        project = Project(self.world, ONE)
        out = project.folder / "trace"
        prefix = kills.strace(*inject, trace=oracle.WATCHED, out=str(out))
        done = project.spawn_run(*more, prefix=[*prefix, "-y"]).wait()
        self.assertEqual(done.code, 0, done.talk)
        return oracle.sync_violations(out.read_text())

    def test_sync_before_every_act(self):
        self.assertEqual(self.traced(), [])

    def test_missing_sync(self):
        found = self.traced("--durability", "process")
        self.assertTrue(any(violation.startswith("unsynced-act: request 4") for violation in found), found)
        self.assertTrue(any(violation.startswith("unsynced-ack") for violation in found), found)

    def test_sync_that_does_nothing(self):
        found = self.traced(inject=["fsync,fdatasync:retval=0"])
        self.assertTrue(any(violation.startswith("unsynced-act") for violation in found), found)

    def after_power_cut(self, one):
        """Returns what a recorded run violates when the power goes right after its last case was told to be done."""
        told = max(place for place, step in enumerate(one.steps) if step.what == "told" and b"100.0 %" in step.data)
        one.cut_at(told + 1, blocks.Luck("nothing", self.world.dice("planted")))
        return oracle.ack_violations(one.project.accounts)

    def test_power_cut(self):
        self.assertEqual(self.after_power_cut(power.Recorded(self.world, False)), [])

    def test_power_cut_without_syncs(self):
        found = self.after_power_cut(power.Recorded(self.world, False, "--durability", "process"))
        self.assertTrue(any(violation.startswith("lost-ack") for violation in found), found)

    def test_folder_that_was_not_synced(self):
        one = power.Recorded(self.world, False)
        folders = {step.path for step in one.steps if step.what == "folder"}
        lost = {place for place, step in enumerate(one.steps) if step.what == "sync begins" and step.path in folders}
        self.assertTrue(lost)
        # Its end is what comes next of the same thread.
        lost |= {next(later for later in range(place, len(one.steps)) if one.steps[later].what == "sync ends" and
                      one.steps[later].pid == one.steps[place].pid) for place in lost}
        one.steps = [step for place, step in enumerate(one.steps) if place not in lost]
        found = self.after_power_cut(one)
        self.assertTrue(any("left no journal" in violation for violation in found), found)

    def test_lock_left(self):
        project = Project(self.world, ONE)
        self.assertEqual(project.spawn_run().wait().code, 0)
        with (project.run_folders()[-1] / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = project.verdict()
        self.assertTrue(any(violation.startswith("lock-left") for violation in found), found)

    def test_damage_that_is_read_as_data(self):
        """The bug that C6 looks for: a journal altered behind pipe's back, here well enough for SQLite itself."""
        project = Project(self.world, ONE)
        self.assertEqual(project.spawn_run().wait().code, 0)
        database = sqlite3.connect(project.run_folders()[-1] / "journal.db")
        with contextlib.closing(database):
            database.execute("update texts set body = body || '!' where id > 2")
            database.commit()
        shown = project.spawn("results", "last").wait(account=False)
        self.assertEqual(shown.code, 5, shown.talk)
        self.assertIn("is damaged at text", shown.talk)

    def test_ledger_is_a_pure_function(self):
        texts = {}
        for entry in self.project.accounts.ledger:
            if entry["what"] == "answer":
                self.assertEqual(texts.setdefault(entry["digest"], entry["text"]), entry["text"])
        self.assertEqual(len(texts), 12 * 4, json.dumps(sorted(texts))[:200])


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        PIPE = sys.argv.pop(1)
    unittest.main()
