#!/usr/bin/env python3
"""How long `pipe plan DIR` takes with many pipelines and many finished runs in the store.

usage: plan.py PIPE [--pipelines 200] [--runs 10000]

Makes the pipelines, applies them once on the simulated backend, and copies their runs under older times until there are
as many as wanted: journals of real runs, of which only the names differ. Then it plans three times as they are, three
times after every pipeline was edited, and tells the median, the slowest, and the peak memory.
"""

import argparse
import datetime
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

PIPELINE = """version: 1
name: p{number:03}
backends: {{ b: {{ base_url: sim }} }}
actors: {{ one: {{ max_tokens: 40 }} }}
items: {{ values: [{rows}] }}
steps:
  say: {{ chat: {{ actor: one, prompt: "Speak of {{{{ item.topic }}}}{word}." }} }}
  judge: {{ judge: {{ actor: one, question: "Was it good? {{{{ steps.say.text }}}}", choose: [good, bad] }} }}
"""


def write(folder: pathlib.Path, count: int, word: str) -> None:
    rows = ", ".join(f"{{ topic: t{row} }}" for row in range(5))
    for number in range(count):
        (folder / f"p{number:03}.yaml").write_text(PIPELINE.format(number=number, rows=rows, word=word))


def copies(runs: pathlib.Path, wanted: int) -> int:
    """Copies runs under times before their own until there are as many as wanted."""
    first = sorted(path for path in runs.iterdir() if path.is_dir())
    have, back = len(first), 1
    while have < wanted:
        for path in first[: wanted - have]:
            name, day, clock, short = path.name.rsplit("-", 3)
            when = datetime.datetime.strptime(day + clock, "%Y%m%d%H%M%S") - datetime.timedelta(hours=back)
            shutil.copytree(path, runs / f"{name}-{when:%Y%m%d-%H%M%S}-{short}")
            have += 1
        back += 1
    return have


def timed(pipe: str, folder: pathlib.Path) -> tuple[float, int, dict]:
    """Seconds, peak memory in KiB of all planning so far, and what the plan says."""
    start = time.monotonic()
    done = subprocess.run([pipe, "plan", str(folder), "--json"], check=True, capture_output=True, text=True)
    seconds = time.monotonic() - start
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pipe", type=os.path.abspath)
    parser.add_argument("--pipelines", type=int, default=200)
    parser.add_argument("--runs", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pipe-plan-") as root:
        folder = pathlib.Path(root) / "experiments"
        folder.mkdir()
        (folder / ".git").mkdir()
        write(folder, given.pipelines, "")
        subprocess.run([given.pipe, "apply", str(folder), "--quiet", "--gpu", "off"], check=True, capture_output=True)
        have = copies(folder / ".pipe" / "runs", given.runs)
        for state, word in (("unchanged", ""), ("changed", " again")):
            write(folder, given.pipelines, word)
            took = []
            for _ in range(3):
                seconds, peak, plan = timed(given.pipe, folder)
                states = {entry["state"] for entry in plan["entries"]}
                assert states == {state} and len(plan["entries"]) == given.pipelines, states
                took.append(seconds)
            print(
                f"{given.pipelines} pipelines, {have:,} runs, all {state}: {statistics.median(took):.2f} s"
                f" (slowest {max(took):.2f} s), peak {peak / 1024:.0f} MB"
            )


if __name__ == "__main__":
    main()
