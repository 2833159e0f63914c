#!/usr/bin/env python3
"""Rows against a real llama.cpp server, with `kill -9` in between, and everything counted by four accounts.

    tests/real_server/batch.py --pipe target/release/pipe --python PYTHON --model MODEL.gguf [--rows 1000] [--kills 3]
    tests/real_server/batch.py --pipe target/release/pipe --sim [--rows 170000] [--kills 10]

The pipeline has the shape of pipelines/score_candidates.yaml, a note and a score for each application, with short
answers; with `--sim` it is that file, on the simulated backend. The rows are generated. A proxy (ledger.py) counts what
reaches the server; the journal is read by tests/audit; `pipe show --json` and the file of results are the other two.
PYTHON has the package xllamacpp. Exit code 1: two of them differ, or what was settled was asked again. `--seconds` bounds
the whole: a run that is not over by then fails.
"""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import re
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
SHIPPED = HERE.parents[1] / "pipelines" / "score_candidates.yaml"
TOLD = re.compile(rb"^([\d,]+) of [\d,]+  ", re.MULTILINE)
WORK = ["Drives a bus", "Runs a bakery", "Keeps accounts", "Repairs lifts", "Nurses at night", "Teaches maths", "Welds ships"]
THEN = ["led a crew", "changed jobs often", "trained apprentices", "lost two licences", "wrote the handbook", "kept records"]
# So long nothing may happen at all, on however slow a machine.
STILL_S = 300


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pipe", required=True, type=pathlib.Path)
    parser.add_argument("--python", default=os.environ.get("PIPE_TEST_PYTHON"), help="has xllamacpp")
    parser.add_argument("--model", type=pathlib.Path, help="a GGUF file")
    parser.add_argument("--sim", action="store_true", help="no server: the simulated backend")
    parser.add_argument("--rows", type=int, help="default 1000, with --sim 170000")
    parser.add_argument("--kills", type=int, help="default 3, with --sim 10")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="at most so long")
    given = parser.parse_args()
    given.pipe = given.pipe.resolve()
    given.rows = given.rows or (170_000 if given.sim else 1_000)
    given.kills = (10 if given.sim else 3) if given.kills is None else given.kills
    if not given.sim and (given.python is None or given.model is None):
        parser.error("--python, with xllamacpp, and --model are needed; or --sim")
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


def write_project(folder, given):
    """Writes the pipeline and the rows, and returns the name of the pipeline."""
    dice = random.Random(given.seed)
    (folder / "score.yaml").write_text(SHIPPED.read_text() if given.sim else PIPELINE)
    with (folder / ("candidates.jsonl" if given.sim else "rows.jsonl")).open("w") as file:
        for number in range(given.rows):
            about = f"{dice.choice(WORK)}, {dice.choice(THEN)}, case {number}."
            row = {"candidate": f"c{number:06}", "name": f"N. {number}", "about": about, "years": dice.randint(0, 40)}
            file.write(json.dumps(row) + "\n")


def go(given, folder, backend, ledger):
    """Runs, kills and resumes; returns how often it was killed, what the last process ended with, and the seconds."""
    began, killed, code, told = time.monotonic(), 0, None, 0
    dice = random.Random(f"kills {given.seed}")
    due = sorted(dice.randint(given.rows // 20, given.rows * 9 // 10) for _ in range(given.kills))
    command = ["run", "score.yaml", "--backend", backend, "--out", "results.jsonl"]
    while code is None:
        with (folder / "said.txt").open("wb") as said:
            process = subprocess.Popen([given.pipe, *command], cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                                       env={**os.environ, "NO_PROXY": "127.0.0.1"})
        moved = time.monotonic()
        while process.poll() is None:
            time.sleep(0.05)
            now = max((int(count.replace(b",", b"")) for count in TOLD.findall((folder / "said.txt").read_bytes())), default=0)
            ledger.read()
            told, moved = (now, time.monotonic()) if now > told else (told, moved)
            if due and now >= due[0]:
                del due[0]
                process.kill()
                killed += 1
                break
            if given.seconds is not None and time.monotonic() - began > given.seconds:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
            elif now < given.rows and time.monotonic() - moved > STILL_S:
                process.kill()
                sys.exit(f"nothing has happened for {STILL_S} s, after {now} of {given.rows} cases")
        if process.wait() != -signal.SIGKILL:
            code = process.returncode
        command = ["resume"]
    return killed, code, time.monotonic() - began


def compare(given, folder, ledger, killed):
    """Returns the figures, and where accounts differ."""
    (run,) = (folder / ".pipe" / "runs").iterdir()
    read = audit.audited(run / "journal.db", sums=given.rows <= 200)
    counts, found = read.counts(), [f"journal: {violation}" for violation in read.violations]
    shown = subprocess.run([given.pipe, "show", "last", "--json"], cwd=folder, capture_output=True, text=True, check=True)
    summary = json.loads(shown.stdout)
    with (folder / "results.jsonl").open() as lines:
        rows = [json.loads(line) for line in lines]
    statuses = collections.Counter(row["status"] for row in rows)

    def same(what, **accounts):
        if len(set(accounts.values())) != 1:
            found.append(f"{what} differ: {accounts}")

    same("cases", wanted=given.rows, results=len(rows), ids=len({row["candidate"] for row in rows}),
         journal=counts["cases"]["admitted"], show=summary["cases"]["admitted"])
    for status in ("ok", "unscored", "failed"):
        same(f"cases {status}", results=statuses[status], journal=counts["cases"][status], show=summary["cases"][status])
    same("answers", journal=counts["attempts"]["answered"], show=summary["answered"])
    same("output tokens", journal=counts["tokens"].get("output", 0), show=summary["tokens"]["output"])
    figures = {"rows": len(rows), "ok": statuses["ok"], "unscored": statuses["unscored"], "failed": statuses["failed"],
               "kills": killed, "recorded answers": counts["attempts"]["answered"],
               "recorded, never answered": counts["attempts"]["open"], "output tokens": counts["tokens"].get("output", 0),
               "bytes of journal a case": (run / "journal.db").stat().st_size // given.rows}
    if given.sim:
        return figures, found
    asked, distinct = ledger.asked.total(), len(ledger.asked)
    again = asked - distinct
    # Each question that the server saw has its one answer in the journal; a repair asks other words.
    same("questions", server=distinct, journal=len(read.answers))
    if asked > counts["attempts"]["started"]:
        found.append(f"unrecorded: the server was asked {asked} times, {counts['attempts']['started']} are recorded")
    if again > killed * 2 * SLOTS:
        found.append(f"asked again: {again} questions after {killed} kills")
    if most := [digest for digest, times in ledger.asked.items() if times > 1 + killed]:
        found.append(f"asked again: {most[0]} more often than there were kills")
    return {**figures, "asked": asked, "answered by the server": ledger.answered.total(), "repeated": again}, found


def main():
    given = arguments()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pipe-real-"))
    ledger = Ledger(folder / "ledger.jsonl")
    ledger.path.touch()
    (folder / ".pipe").mkdir()
    write_project(folder, given)
    if given.sim:
        killed, code, seconds = go(given, folder, "sim", ledger)
    else:
        with served(given.python, HERE / "serve.py", given.model, SLOTS, CONTEXT) as upstream, \
                served(sys.executable, HERE / "ledger.py", upstream, ledger.path) as url:
            killed, code, seconds = go(given, folder, url, ledger)
            time.sleep(1)  # answers of the dead are noted late, or never
            ledger.read()
    if code != 0 and not (folder / "results.jsonl").exists():
        said = (folder / "said.txt").read_text()[-300:]
        sys.exit(f"ended with {code} after {seconds:.0f} s and {killed} kills; kept in {folder}: {said}")
    figures, found = compare(given, folder, ledger, killed)
    on = "the simulated backend" if given.sim else f"a real llama.cpp server, {given.model.name}"
    print(f"{on}, seed {given.seed}, {seconds:.0f} s")
    for name, value in figures.items():
        print(f"  {name:<26}{value:>12,}")
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
