#!/usr/bin/env python3
"""Rows against a real llama.cpp server, with `kill -9` in between, and everything counted by four accounts.

    tests/real_server/batch.py --pipe target/release/pipe --python PYTHON --model MODEL.gguf [--rows 1000] [--kills 3]

The pipeline has the shape of pipelines/score_candidates.yaml, a note and a score for each application, with short
answers. The rows are generated. A proxy (ledger.py) counts what reaches the server; the journal is read by
tests/audit; `pipe show --json` and the file of results are the other two. PYTHON has the package xllamacpp. Exit code 1:
two of them differ, or what was settled was asked again. `--seconds` bounds the whole: too few rows by then fail.
"""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # caches stay out of the tree
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "audit"))

import audit  # noqa: E402

SLOTS, CONTEXT = 4, 4096
STEPS = ("note", "fit")
PIPELINE = """\
version: 1
name: score_rows
actors:
  reader: { system: "You read applications for a fire brigade.", temperature: 0, max_tokens: 8 }
  scorer: { system: "You read applications for a fire brigade.", temperature: 0, max_tokens: 24 }
items: { path: rows.jsonl, id: candidate }
steps:
  note:
    chat: { actor: reader, prompt: "{{ item.about }} Years: {{ item.years }}. In three words:" }
  fit:
    judge:
      actor: scorer
      question: "{{ item.about }} {{ steps.note.text }} Fit?"
      score: { min: 1, max: 5 }
"""
WORK = ["Drives a bus", "Runs a bakery", "Keeps accounts", "Repairs lifts", "Nurses at night", "Teaches maths", "Welds ships"]
THEN = ["led a crew", "changed jobs often", "trained apprentices", "lost two licences", "wrote the handbook", "kept records"]
# So long nothing may happen at all, on however slow a machine.
STILL_S = 300


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pipe", required=True, type=pathlib.Path)
    parser.add_argument("--python", default=os.environ.get("PIPE_TEST_PYTHON"), help="has xllamacpp")
    parser.add_argument("--model", required=True, type=pathlib.Path, help="a GGUF file")
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="at most so long")
    given = parser.parse_args()
    if given.python is None:
        parser.error("--python is needed: a Python that has xllamacpp")
    return given


@contextlib.contextmanager
def served(*command):
    """Starts a server that says READY and its address."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield next(line.split()[1] for line in process.stdout if line.startswith("READY"))
    finally:
        process.kill()
        process.wait()


class Ledger:
    """What reached the server: every question and every answer, read as the file grows."""

    def __init__(self, path):
        self.path, self.place = path, 0
        self.asked, self.answered = collections.Counter(), collections.Counter()

    def read(self):
        with self.path.open("rb") as file:
            file.seek(self.place)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.place += len(line)
                entry = json.loads(line)
                (self.asked if entry["at"] == "asked" else self.answered)[entry["digest"]] += 1
        return self.answered.total()


def write_project(folder, rows, seed):
    dice = random.Random(seed)
    (folder / "score_rows.yaml").write_text(PIPELINE)
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(rows):
            about = f"{dice.choice(WORK)}, {dice.choice(THEN)}, case {number}."
            file.write(json.dumps({"candidate": f"c{number:05}", "about": about, "years": dice.randint(0, 40)}) + "\n")


def go(given, folder, url, ledger):
    """Runs, kills and resumes; returns how often it was killed and the last exit code."""
    began, killed, code = time.monotonic(), 0, None
    calls = given.rows * len(STEPS)
    dice = random.Random(f"kills {given.seed}")
    due = sorted(dice.randint(calls // 20, calls * 9 // 10) for _ in range(given.kills))
    command = ["run", "score_rows.yaml", "--backend", url, "--out", "results.jsonl", "--quiet"]
    while code is None:
        process = subprocess.Popen([given.pipe.resolve(), *command], cwd=folder, stdin=subprocess.DEVNULL,
                                   env={**os.environ, "NO_PROXY": "127.0.0.1"})
        seen, moved = ledger.read(), time.monotonic()
        while process.poll() is None:
            time.sleep(0.2)
            now = ledger.read()
            seen, moved = (now, time.monotonic()) if now > seen else (seen, moved)
            if due and now >= due[0]:
                del due[0]
                process.kill()
                killed += 1
            elif given.seconds is not None and time.monotonic() - began > given.seconds:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
            elif time.monotonic() - moved > STILL_S:
                process.kill()
                sys.exit(f"nothing has happened for {STILL_S} s, after {now} of {calls} answers")
        if process.wait() != -signal.SIGKILL:
            code = process.returncode
        command = ["resume", "--quiet"]
    return killed, code, time.monotonic() - began


def compare(given, folder, ledger, killed):
    """Returns the figures, and where accounts differ."""
    (run,) = (folder / ".pipe" / "runs").iterdir()
    read = audit.audited(run / "journal.db", sums=given.rows <= 200)
    counts, found = read.counts(), [f"journal: {violation}" for violation in read.violations]
    shown = subprocess.run([given.pipe.resolve(), "show", "last", "--json"], cwd=folder, capture_output=True, text=True, check=True)
    summary = json.loads(shown.stdout)
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    statuses = collections.Counter(row["status"] for row in rows)
    asked, distinct = ledger.asked.total(), len(ledger.asked)
    again = asked - distinct

    def same(what, **accounts):
        if len(set(accounts.values())) != 1:
            found.append(f"{what} differ: {accounts}")

    same("cases", wanted=given.rows, results=len(rows), ids=len({row["candidate"] for row in rows}),
         journal=counts["cases"]["admitted"], show=summary["cases"]["admitted"])
    for status in ("ok", "unscored", "failed"):
        same(f"cases {status}", results=statuses[status], journal=counts["cases"][status], show=summary["cases"][status])
    same("answers", journal=counts["attempts"]["answered"], show=summary["answered"])
    same("output tokens", journal=counts["tokens"].get("output", 0), show=summary["tokens"]["output"])
    # Each question that the server saw has its one answer in the journal; a repair asks other words.
    same("questions", server=distinct, journal=len(read.answers))
    if asked > counts["attempts"]["started"]:
        found.append(f"unrecorded: the server was asked {asked} times, {counts['attempts']['started']} are recorded")
    if again > killed * 2 * SLOTS:
        found.append(f"asked again: {again} questions after {killed} kills")
    if most := [digest for digest, times in ledger.asked.items() if times > 1 + killed]:
        found.append(f"asked again: {most[0]} more often than there were kills")
    figures = {"rows": len(rows), "ok": statuses["ok"], "unscored": statuses["unscored"], "failed": statuses["failed"],
               "kills": killed, "asked": asked, "answered by the server": ledger.answered.total(), "repeated": again,
               "recorded answers": counts["attempts"]["answered"], "output tokens": counts["tokens"].get("output", 0)}
    return figures, found


def main():
    given = arguments()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pipe-real-"))
    ledger = Ledger(folder / "ledger.jsonl")
    ledger.path.touch()
    (folder / ".pipe").mkdir()
    write_project(folder, given.rows, given.seed)
    with served(given.python, HERE / "serve.py", given.model, SLOTS, CONTEXT) as upstream, \
            served(sys.executable, HERE / "ledger.py", upstream, ledger.path) as url:
        killed, code, seconds = go(given, folder, url, ledger)
        time.sleep(1)  # answers of the dead are noted late, or never
        ledger.read()
    if code != 0 and not (folder / "results.jsonl").exists():
        sys.exit(f"ended with {code} after {seconds:.0f} s, {ledger.answered.total()} answers and {killed} kills; kept in {folder}")
    figures, found = compare(given, folder, ledger, killed)
    print(f"a real llama.cpp server, {given.model.name}, seed {given.seed}, {seconds:.0f} s")
    for name, value in figures.items():
        print(f"  {name:<24}{value:>10,}")
    if killed < given.kills:
        found.append(f"only {killed} of {given.kills} kills hit")
    for violation in found[:12]:
        print(f"  {violation}", file=sys.stderr)
    if found:
        sys.exit(f"{len(found)} accounts differ; kept in {folder}")
    print("  every account agrees")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
