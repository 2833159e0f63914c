"""The world of a campaign: a backend with a ledger, projects in which `pipe` runs, and what happens to its processes."""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import oracle

HERE = pathlib.Path(__file__).resolve().parent
SERVER = HERE.parent / "fault_server" / "server.py"
JOURNALS = ("journal.db", "journal.db-wal")
# No process of a case may take longer; none takes a tenth of it on a slow machine.
PATIENCE_S = 120
CONCURRENCY = 8
JOURNAL_UNUSABLE = 5

PIPELINE = """\
version: 1
name: campaign
seed: 7
limits: {{ concurrency: {concurrency}, retries: {{ attempts: 6, within: 1h, backoff: 5ms..50ms }} }}
items: {{ path: rows.jsonl, id: id }}
backends: {{ ledger: {{ base_url: "{base}" }} }}
models: {{ it: {{ backend: ledger, model: fault-model }} }}
actors: {{ ada: {{ model: it, temperature: 0.9 }}, bob: {{ model: it }}, judge: {{ model: it, temperature: 0 }} }}
steps:
  talk: {{ dialogue: {{ actors: [ada, bob], opening: "[[{{{{ item.id }}}} talk]] {{{{ item.topic }}}}", stop: {{ rounds: 1 }} }} }}
  reply: {{ chat: {{ actor: ada, prompt: "[[{{{{ item.id }}}} reply]] Sum it up: {{{{ steps.talk.transcript }}}}" }} }}
  verdict: {{ judge: {{ actor: judge, question: "[[{{{{ item.id }}}} verdict]] Is this good? {{{{ steps.reply.text }}}}", choose: ["yes", "no"] }} }}
"""
CALLS_PER_ITEM = 4
# Bytes of an entry of the ledger, at most.
LONGEST_LINE = 1 << 20


class Backend:
    """The server, its ledger, and the part of the ledger that belongs to one case."""

    def __init__(self, folder, delay_ms=3):
        self.ledger = pathlib.Path(folder) / "ledger.jsonl"
        command = [sys.executable, str(SERVER), "--ledger", str(self.ledger), "--tied", "--delay-ms", str(delay_ms)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.numbers = itertools.count()

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)

    def place(self):
        """Returns how long the ledger is, in whole lines: what a case begins after.

        One write that goes over the end of a page is seen in two parts: half a line may stand at the end.
        """
        if not self.ledger.exists():
            return 0
        with self.ledger.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LONGEST_LINE))
            end = file.read(size - file.tell())
        return size - len(end) + end.rfind(b"\n") + 1

    def lines(self, start):
        """Returns the whole lines from a place on, and the place after them.

        The file is read to its end once: whoever goes over its lines one by one is given the half that stands at the
        end, and the other half as a line of its own when it has come.
        """
        with self.ledger.open("rb") as file:
            file.seek(start)
            data = file.read()
        whole = data[:data.rfind(b"\n") + 1]
        return whole.split(b"\n")[:-1], start + len(whole)

    def entries(self, case, start):
        """Returns the entries of a case."""
        needle = f"/case/{case}/"
        return [entry for entry in map(json.loads, self.lines(start)[0]) if needle in entry["path"]]

    def settled_entries(self, case, start):
        """Waits until every request of a case has its end in the ledger: answers of the dead come late."""
        ends = time.monotonic() + 10
        while True:
            entries = self.entries(case, start)
            asked = sum(entry["what"] == "request" for entry in entries)
            if asked * 2 == len(entries) or time.monotonic() > ends:
                return entries
            time.sleep(0.005)


@dataclasses.dataclass
class Shape:
    """What a case's run is made of."""

    items: int = 24
    concurrency: int = CONCURRENCY
    # Between the server's address and `/case/…`, as `tests/fault_server` reads it.
    faults: str = ""
    topic: str = "trams or buses, question {number}"

    @property
    def calls(self):
        return self.items * CALLS_PER_ITEM


class World:
    """What all cases of a campaign share: the binary, the backend, the rows of undisturbed runs."""

    def __init__(self, pipe, folder, seed):
        self.pipe = str(pathlib.Path(pipe).resolve())
        self.folder = pathlib.Path(folder)
        self.seed = seed
        self.backend = Backend(folder)
        self.calm = {}
        # How long a run takes by now, in seconds: on a machine that others use, this changes within minutes.
        self.pace = None
        self.lock = threading.Lock()

    def close(self):
        self.backend.close()

    def dice(self, *names):
        """Returns the random numbers of one case: the same for the same seed and names."""
        return random.Random(f"{self.seed} {' '.join(map(str, names))}")

    def undisturbed(self, shape):
        """Returns the rows and seconds of a run that nothing happens to."""
        key = (shape.items, shape.concurrency, shape.topic)
        with self.lock:
            if key not in self.calm:
                project = Project(self, dataclasses.replace(shape, faults=""))
                began = time.monotonic()
                calm = project.spawn_run().wait()
                seconds = time.monotonic() - began
                if calm.code != 0:
                    raise SystemExit(f"an undisturbed run ended with {calm.code}: {calm.talk}")
                # It is audited like any other, with every checksum verified; those of large texts would take minutes.
                found = project.verdict(expected=project.rows(), sums=len(shape.topic) < 1_000)
                if found:
                    raise SystemExit(f"an undisturbed run does not hold: {found[:8]}")
                self.calm[key] = (project.rows(), seconds)
                project.remove()
            return self.calm[key]


class Run:
    """One process of `pipe`, alive or not."""

    def __init__(self, project, arguments, prefix=(), env=None, **options):
        self.project = project
        self.err = tempfile.TemporaryFile()
        self.out = tempfile.TemporaryFile()
        self.killed = False
        self.process = subprocess.Popen(
            [*prefix, project.world.pipe, *arguments], cwd=project.folder, stdin=subprocess.DEVNULL, stdout=self.out,
            stderr=self.err, env={**os.environ, "NO_COLOR": "1", "RUST_BACKTRACE": "0", **(env or {})}, **options)

    def kill(self, number=signal.SIGKILL):
        self.killed = self.killed or number == signal.SIGKILL and self.process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def text(self, file):
        # The place in the file is shared with the process that writes it.
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")

    def wait(self, account=True):
        """Waits for the end and notes what the process has left: talk, exit code, journal."""
        if not self.err.closed:
            try:
                self.code = self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.code = "no end"
            self.talk, self.stdout = self.text(self.err), self.text(self.out)
            self.err.close()
            self.out.close()
        if account:
            killed = self.killed or self.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
            # A journal that cannot be written is a crash to whatever was in flight.
            crashed = self.code == JOURNAL_UNUSABLE
            self.project.accounts.processes.append(oracle.Process(self.talk, self.code, killed, crashed))
            self.project.accounts.audits.append(self.project.journal())
        return self


class Project:
    """The folder of one case: a pipeline, rows, and what `pipe` makes there."""

    def __init__(self, world, shape=None, folder=None):
        self.world, self.shape = world, shape or Shape()
        self.name = f"c{next(world.backend.numbers)}"
        self.folder = pathlib.Path(folder or world.folder) / self.name
        (self.folder / ".pipe").mkdir(parents=True)
        base = f"{world.backend.url}{self.shape.faults}/case/{self.name}/v1"
        self.write("campaign.yaml", PIPELINE.format(base=base, concurrency=self.shape.concurrency))
        rows = [{"id": f"i{number}", "topic": self.shape.topic.format(number=number)} for number in range(self.shape.items)]
        self.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        self.start = world.backend.place()
        self.accounts = oracle.Accounts(concurrency=self.shape.concurrency)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def spawn(self, *arguments, **options):
        return Run(self, arguments, **options)

    def spawn_run(self, *more, **options):
        return self.spawn("run", "campaign.yaml", "--out", "out.jsonl", *more, **options)

    def spawn_next(self, *more, **options):
        """Starts what a user would start: a resume of what has begun, else the run."""
        if self.accounts.audits and self.accounts.audits[-1] is not None:
            return self.spawn("resume", *more, **options)
        return self.spawn_run(*more, **options)

    def finish(self, *more):
        """Goes on to the end, undisturbed."""
        return self.spawn_next("--json", *more).wait()

    def run_folders(self):
        return sorted((self.folder / ".pipe" / "runs").glob("*")) if (self.folder / ".pipe" / "runs").is_dir() else []

    def journal(self, sums=False):
        """Reads the newest journal, from a copy: nothing that the reader does is seen by pipe."""
        for run in reversed(self.run_folders()):
            if not (run / "journal.db").exists():
                continue
            with tempfile.TemporaryDirectory(dir=self.world.folder) as copy:
                for name in JOURNALS:
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copyfile(run / name, pathlib.Path(copy) / name)
                read = oracle.read_journal(pathlib.Path(copy) / "journal.db", sums)
                if read is not None:
                    return read
        return None

    def rows(self):
        path = self.folder / "out.jsonl"
        return path.read_bytes() if path.exists() else None

    def verdict(self, expected=None, sums=False, **accounts):
        """Gathers all accounts and returns the violations."""
        known = self.accounts
        known.ledger = self.world.backend.settled_entries(self.name, self.start)
        known.expected = expected if expected is not None else self.world.undisturbed(self.shape)[0]
        known.rows = self.rows()
        if sums and known.audits:
            known.audits[-1] = self.journal(sums=True)
        known.files = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]
        # What is complete may be taken up again without harm, by nobody waiting for a lock.
        again = self.spawn("resume", "last").wait(account=False)
        known.lock_is_free = again.code == 0
        known.at_the_lock = again.talk.strip()[-300:]
        shown = self.spawn("show", "last", "--json").wait(account=False)
        known.summary = json.loads(shown.stdout) if shown.code == 0 else None
        for name, value in accounts.items():
            setattr(known, name, value)
        found = oracle.violations(known)
        if known.summary is None:
            found.append(f"totals-differ: pipe show ended with {shown.code}: {shown.talk.strip()}")
        return found

