"""Who is measured: how each is started, and how its work is checked. A new peer is a class here and a file in peers/."""

import json
from pathlib import Path

from harness.check import require
from workload import Workload


class Pipe:
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
                texts.update(row[f"{step}.text"] for step in ("one", "two", "three"))
        require(count == workload.cases, f"{self.name}: {count} rows of results, not {workload.cases}")
        require(len(ids) == workload.cases, f"{self.name}: {len(ids)} different ids, not {workload.cases}")
        require(statuses == {"ok"}, f"{self.name}: statuses {sorted(statuses)}, not only ok")
        distinct = len(texts - {None})
        require(distinct == workload.calls, f"{self.name}: {distinct} different answers, not {workload.calls}")


class Reqwest:
    """peers/reqwest.rs: keeps nothing, so there is nothing to check beyond its exit code and the server's count."""

    name = "reqwest, by hand"

    def __init__(self, binary: Path):
        self.binary = binary.resolve()

    def command(self, workload: Workload, folder: Path) -> list:
        return [self.binary, workload.base_url, workload.items, workload.in_flight]

    def environment(self, folder: Path) -> dict:
        return {}

    def kept_bytes(self, folder: Path) -> int:
        return 0

    def check(self, workload: Workload, folder: Path):
        pass
