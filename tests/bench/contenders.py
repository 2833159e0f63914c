"""Who is measured: how each is started, and how its work is checked. A new peer is a class here and a file in peers/."""

import atexit
import json
import os
import re
import sqlite3
import subprocess
from pathlib import Path

from harness.check import require
from workload import Workload

PEERS = Path(__file__).resolve().parent / "peers"
# Seconds that wrk asks for: it counts time, not calls.
WRK_SECONDS = 5


class Contender:
    """What they have in common: how much of the work is theirs, and that nothing is left to check."""

    # Cases that a slow one gets: the rest of the work would only take time. Rates and costs are per call.
    most_cases = None

    def environment(self, folder: Path) -> dict:
        return {}

    def kept_bytes(self, folder: Path) -> int:
        return 0

    def calls(self, workload: Workload):
        """Returns how many calls it makes; none when it makes as many as it can."""
        return workload.calls

    def check(self, workload: Workload, folder: Path):
        pass


class Pipe(Contender):
    """`pipe run`: journal on, resumable, results written."""

    def __init__(self, binary: Path, options: list):
        self.binary = binary.resolve()
        self.options = options
        self.name = " ".join(["pipe", *options])

    def command(self, workload: Workload, folder: Path) -> list:
        results = folder / "results.jsonl"
        return [self.binary, "run", workload.pipeline, "--quiet", "--new", "--out", results, *self.options]

    def environment(self, folder: Path) -> dict:
        return {"PIPE_HOME": str(folder / "home")}

    def kept_bytes(self, folder: Path) -> int:
        """Returns the size of the journal, with all that lies beside it."""
        return sum(file.stat().st_size for file in (folder / "home").rglob("*") if file.is_file())

    def check(self, workload: Workload, folder: Path):
        """Every case is there once and whole, and no answer stands in two places."""
        ids, texts, statuses = set(), set(), set()
        count = 0
        with (folder / "results.jsonl").open() as rows:
            for row in map(json.loads, rows):
                count += 1
                ids.add(row["id"])
                statuses.add(row["status"])
                texts.update(row[f"{step}.text"] for step in ("one", "two", "three")[: workload.chain])
        require(count == workload.cases, f"{self.name}: {count} rows of results, not {workload.cases}")
        require(len(ids) == workload.cases, f"{self.name}: {len(ids)} different ids, not {workload.cases}")
        require(statuses == {"ok"}, f"{self.name}: statuses {sorted(statuses)}, not only ok")
        distinct = len(texts - {None})
        require(distinct == workload.calls, f"{self.name}: {distinct} different answers, not {workload.calls}")


class Told(Pipe):
    """`pipe run --trace-to`: all of it, and each request and step as a span, to a collector that takes its time."""

    # What the collector takes to answer, in milliseconds.
    wait_ms = 20

    def __init__(self, binary: Path, collector: Path):
        super().__init__(binary, [])
        self.name = "pipe --trace-to"
        self.collector = subprocess.Popen(
            [collector.resolve(), str(self.wait_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.options = ["--trace-to", self.collector.stdout.readline().strip()]
        atexit.register(self.collector.communicate)

    def check(self, workload: Workload, folder: Path):
        """Nothing is left to send: two spans a call and one a case at the least, all of them taken."""
        super().check(workload, folder)
        sent = subprocess.run(
            [self.binary, "trace", "send", "last", "--to", self.options[1]],
            env=os.environ | self.environment(folder), capture_output=True, text=True, check=True,
        )
        said = re.search(r"([\d,]+) made, ([\d,]+) acked, 0 rejected, 0 pending", sent.stdout + sent.stderr)
        require(said, f"{self.name}: {sent.stdout}{sent.stderr}")
        made, taken = (int(number.replace(",", "")) for number in said.groups())
        require(made == taken >= 2 * workload.calls, f"{self.name}: {made:,} spans made, {taken:,} taken")


class Reqwest(Contender):
    """peers/reqwest.rs: keeps nothing, so there is nothing to check beyond its exit code and the server's count."""

    name = "reqwest, by hand"

    def __init__(self, binary: Path):
        self.binary = binary.resolve()

    def command(self, workload: Workload, folder: Path) -> list:
        return [self.binary, workload.base_url, workload.items, workload.in_flight, workload.chain]


class Aiohttp(Contender):
    """peers/aiohttp_script.py: what a script in Python does; keeps nothing."""

    name = "aiohttp script"

    def __init__(self, python: Path):
        self.python = python

    def command(self, workload: Workload, folder: Path) -> list:
        script = PEERS / "aiohttp_script.py"
        return [self.python, script, workload.base_url, workload.items, workload.in_flight, workload.chain]


class LangGraph(Contender):
    """peers/langgraph_chain.py: the peer that keeps everything and can be resumed."""

    name = "LangGraph + SQLite"
    most_cases = 400

    def __init__(self, python: Path):
        self.python = python

    def command(self, workload: Workload, folder: Path) -> list:
        script, database = PEERS / "langgraph_chain.py", folder / "checkpoints.sqlite"
        return [self.python, script, workload.base_url, workload.items, workload.in_flight, workload.chain, database]

    def environment(self, folder: Path) -> dict:
        # It reports to a service unless told otherwise.
        return {"LANGSMITH_TRACING": "false"}

    def kept_bytes(self, folder: Path) -> int:
        return sum(file.stat().st_size for file in folder.glob("checkpoints.sqlite*"))

    def check(self, workload: Workload, folder: Path):
        with sqlite3.connect(folder / "checkpoints.sqlite") as database:
            (threads,) = database.execute("select count(distinct thread_id) from checkpoints").fetchone()
        require(threads == workload.cases, f"{self.name}: {threads} threads are kept, not {workload.cases}")


class Wrk(Contender):
    """wrk: the most that the server gives, to a client that reads no answer. Only for single calls."""

    name = "wrk"

    def command(self, workload: Workload, folder: Path) -> list:
        with workload.items.open() as lines:
            prompt = "Summarise this note in one sentence.\n" + json.loads(next(lines))["text"]
        body = {"messages": [{"role": "user", "content": prompt}], "model": "bench", "max_tokens": 64, "seed": 7}
        script = folder / "post.lua"
        # JSON's escapes of a text without control characters but line ends are Lua's too.
        script.write_text(
            'wrk.method = "POST"\n'
            'wrk.headers["Content-Type"] = "application/json"\n'
            f"wrk.body = {json.dumps(json.dumps(body))}\n"
        )
        # No thread for the last core: the server is on it.
        threads = max(1, (os.cpu_count() or 2) - 1)
        url = f"{workload.base_url}/chat/completions"
        return ["wrk", f"-t{threads}", f"-c{workload.in_flight}", f"-d{WRK_SECONDS}s", "-s", script, url]

    def calls(self, workload: Workload):
        return None
