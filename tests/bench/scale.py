"""Batches of a million: memory, what a resume costs, what the journal takes on disk, and the start of a run.

Start it with `tests/bench/run scale PIPE …`; README.md says how to read it.
"""

import argparse
import hashlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import workload
from harness import child, install, machine, table
from harness.check import require
from harness.server import MODEL, Server
from workload import Workload

# nginx says so of every answer.
TOKENS_PER_CALL = 100
IN_FLIGHT = 64
# Left to the resume, unless a thousandth of the cases is more: those in flight at the stop are still finished.
LEAST_LEFT = 3 * IN_FLIGHT
LEAST_CASES_PER_SECOND = 100
STARTS = 15
# Bytes of text in an item of the benchmark of the disk.
NOTE_BYTES = 3_000
ALLOWED_PER_CALL = 400

# Targets: a resume makes its first new call within so many seconds, or so many counts of the events, whichever is more; peaks
# in MB; and how much the peak may grow from one size to the next, where all caches are full.
FIRST_CALL_S, FIRST_CALL_COUNTS, PEAK_MB, FLAT_FROM, GROWTH = 3.0, 5, 150, 100_000, 0.1

BUDGET = "stop: {{ budget: {{ tokens: {tokens} }} }}\n"


def main():
    arguments = read_arguments()
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=arguments.folder)).resolve()
    try:
        with Server(folder / "server") as server:
            print(f"on {machine.describe(folder)}", flush=True)
            if not arguments.only_cases:
                start(arguments, server, folder)
                disk(arguments, server, folder)
            memory(arguments, server, folder)
    except BaseException:
        print(f"what there is is kept in {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run scale", description=__doc__.partition("\n")[0])
    parser.add_argument("pipe", type=Path, metavar="PIPE", help="a release build of pipe")
    parser.add_argument("--cases", type=int, nargs="+", default=[2_000, 20_000], help="sizes (default 2000 20000)")
    parser.add_argument("--folder", type=Path, help="on which disk it works (default: the build folder)")
    parser.add_argument("--only-cases", action="store_true", help="memory and resume alone: no start, no disk")
    parser.add_argument("--first", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.pipe = arguments.pipe.resolve()
    if not arguments.pipe.is_file():
        parser.error(f"there is no pipe at {arguments.pipe}: build it with `cargo build --release`")
    return arguments


def make(folder: Path, server: Server, cases: int) -> Workload:
    folder.mkdir(parents=True)
    return workload.write(folder, "items", cases, 1, IN_FLIGHT, server.base_url, MODEL)


def pipe(arguments: argparse.Namespace, folder: Path, *command, cases: int) -> child.Account:
    environment = {"PIPE_HOME": str(folder / "home")}
    limit = 60 + cases / LEAST_CASES_PER_SECOND
    return child.run([arguments.pipe, *command], folder / f"{command[0]}.txt", environment, limit)


def journal(folder: Path) -> Path:
    (found,) = (folder / "home").rglob("journal.db")
    return found


def memory(arguments: argparse.Namespace, server: Server, folder: Path):
    """Stops runs of growing size when nearly all is done, takes them up again, and prints what both took."""
    rows, peaks, verdicts = [], {}, []
    for cases in arguments.cases:
        own = folder / f"cases-{cases}"
        work = make(own, server, cases)
        left = max(cases // 1_000, LEAST_LEFT)
        stop_at = (cases - left) * TOKENS_PER_CALL
        with work.pipeline.open("a") as file:
            file.write(BUDGET.format(tokens=stop_at))
        out = own / "results.jsonl"
        first = run_until_stopped(arguments, own, work, out)
        done = server.take_calls().total
        require(cases - left <= done < cases, f"{done} of {cases} calls before the stop")

        counted = count_events(journal(own))
        began = time.time()
        resumed = pipe(arguments, own, "resume", "--set", f"stop.budget.tokens={cases * TOKENS_PER_CALL * 2}", cases=cases)
        calls = server.take_calls()
        require(done + calls.total == cases, f"{done} + {calls.total} calls for {cases} cases")
        with out.open() as lines:
            count = sum(json.loads(line)["status"] == "ok" for line in lines)
        require(count == cases, f"{count} rows are ok, not {cases}")
        size = journal(own).stat().st_size
        rows.append(
            [
                f"{cases:,}",
                f"{first.peak_bytes / 1e6:.1f}",
                f"{resumed.peak_bytes / 1e6:.1f}",
                f"{(calls.first - began):.2f}",
                f"{resumed.cpu_by(calls.first):.2f}",
                f"{counted:.2f}",
                f"{(calls.first - began) / counted:.1f}",
                "0",
                f"{cases / first.seconds:,.0f}",
                f"{size / cases:,.0f}",
            ]
        )
        peaks[cases] = first.peak_bytes
        waited, allowed = calls.first - began, max(FIRST_CALL_S, FIRST_CALL_COUNTS * counted)
        verdicts.append(verdict(f"{cases:,} cases: first new call", f"{waited:.2f} s", f"{allowed:.2f} s", waited <= allowed))
        most = max(first.peak_bytes, resumed.peak_bytes)
        verdicts.append(verdict(f"{cases:,} cases: peak", f"{most / 1e6:.0f} MB", f"{PEAK_MB} MB", most <= PEAK_MB * 1e6))
        shutil.rmtree(own)
    for (few, less), (many, more) in zip(peaks.items(), list(peaks.items())[1:]):
        if few >= FLAT_FROM:
            grown = more / less - 1
            verdicts.append(verdict(f"peak from {few:,} to {many:,} cases", f"{grown:+.0%}", f"+{GROWTH:.0%}", grown <= GROWTH))
    header = [
        *["cases", "peak MB", "peak MB of the resume", "first new call after s", "CPU s by then", "count(*) s", "ratio"],
        *["calls repeated", "cases/s", "journal B/case"],
    ]
    print(f"\nruns stopped when all but a thousandth (at least {LEAST_LEFT}) of the cases were done, and taken up again\n{table.text(header, rows)}")
    print("\n".join(verdicts), flush=True)


def verdict(what: str, found: str, target: str, is_met: bool) -> str:
    return f"{what} {found}, target {target}: {'met' if is_met else 'MISSED'}"


def run_until_stopped(arguments: argparse.Namespace, own: Path, work: Workload, out: Path) -> child.Account:
    """Runs to the end of the budget, which ends with exit code 6."""
    shell = '"$@"; test $? -eq 6'
    environment = {"PIPE_HOME": str(own / "home")}
    command = ["sh", "-c", shell, "sh", arguments.pipe, "run", work.pipeline, "--quiet", "--new", "--out", out]
    return child.run(command, own / "run.txt", environment, 60 + work.cases / LEAST_CASES_PER_SECOND)


def count_events(database: Path) -> float:
    """Returns how long a fresh process takes to count the events, in seconds, without the start of Python."""
    script = (
        "import sqlite3, sys, time; start = time.monotonic(); "
        "sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True).execute('select count(*) from events').fetchone(); "
        "print(time.monotonic() - start)"
    )
    return float(subprocess.check_output([sys.executable, "-c", script, str(database)], text=True))


def start(arguments: argparse.Namespace, server: Server, folder: Path):
    """Compares the time from start to first request with that of a program that commits once and asks once."""
    own = folder / "start"
    work = make(own, server, 1)
    # The home of the project is made once, not for every run.
    home = {"PIPE_HOME": str(own / "home")}
    pipe(arguments, own, "run", work.pipeline, "--quiet", "--new", "--out", own / "warm.jsonl", cases=1)
    server.take_calls()
    times = {"pipe": [], "by hand": []}
    for number in range(STARTS):
        for name in times:
            fresh = own / f"{name.replace(' ', '-')}-{number}"
            fresh.mkdir()
            if name == "pipe":
                command = [arguments.pipe, "run", work.pipeline, "--quiet", "--new", "--out", fresh / "r.jsonl"]
            else:
                command = [arguments.first, f"127.0.0.1:{server.port}", fresh / "one.sqlite"]
            began = time.time()
            child.run(command, fresh / "said.txt", home, 60)
            calls = server.take_calls()
            require(calls.total == 1, f"{name} made {calls.total} calls, not 1")
            times[name].append(calls.first - began)
    medians = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    rows = [[name, f"{median * 1e3:.1f}", f"{median / medians['by hand']:.2f}"] for name, median in medians.items()]
    print(f"\nfrom start to first request, median of {STARTS}\n{table.text(['', 'ms', 'x by hand'], rows)}", flush=True)


def disk(arguments: argparse.Namespace, server: Server, folder: Path):
    """Compares the journal with the same texts packed by zstd: notes of distinct English, a chain of three calls."""
    install.debian("zstd", "zstd")
    cases = 1_000
    own = folder / "disk"
    own.mkdir()
    work = workload.write(own, "items", cases, 3, IN_FLIGHT, server.base_url, MODEL)
    words = vocabulary()
    with work.items.open("w") as items:
        for number in range(cases):
            items.write(json.dumps({"id": f"note-{number:07}", "text": english(words, number)}) + "\n")
    out = own / "results.jsonl"
    pipe(arguments, own, "run", work.pipeline, "--quiet", "--new", "--out", out, cases=cases * 30)
    require(server.take_calls().total == work.calls, "not every call was made")
    texts = own / "texts"
    with texts.open("wb") as file:
        for text in said(work, out):
            file.write(text.encode())
    packed = int(subprocess.check_output(["sh", "-c", 'zstd -3 -q -c "$1" | wc -c', "sh", texts]))
    size = sum(file.stat().st_size for file in (own / "home").rglob("*") if file.is_file())
    allowed = packed * 1.3 + ALLOWED_PER_CALL * work.calls
    rows = [
        ["the texts, each once", f"{texts.stat().st_size / work.calls:,.0f}", ""],
        ["packed by zstd -3 as one file", f"{packed / work.calls:,.0f}", ""],
        [f"1.3 times that, and {ALLOWED_PER_CALL}", f"{allowed / work.calls:,.0f}", "1.00"],
        ["pipe's journal and all beside it", f"{size / work.calls:,.0f}", f"{size / allowed:.2f}"],
    ]
    print(f"\non disk after {cases:,} chains of 3 over notes of {NOTE_BYTES:,} bytes\n{table.text(['', 'B/call', 'ratio'], rows)}", flush=True)
    shutil.rmtree(own)


def said(work: Workload, out: Path):
    """Yields every text of the run once: rows, prompts, answers."""
    seen = set()
    with work.items.open() as items, out.open() as results:
        for row, result in zip(items, results):
            row, result = row.strip(), json.loads(result)
            answers = [result[f"{step}.text"] for step in ("one", "two", "three")]
            inputs = [json.loads(row)["text"], *answers]
            prompts = [f"{prompt}\n{text}" for (_, prompt, _), text in zip(workload.STEPS, inputs)]
            for text in [row, *prompts, *answers]:
                digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
                if digest not in seen:
                    seen.add(digest)
                    yield text


def vocabulary() -> list:
    """Returns the words of the licences that every Debian has, in their order: English, and never the same twice."""
    words = []
    for path in sorted(Path("/usr/share/common-licenses").iterdir()):
        words += path.read_text(errors="replace").split()
    require(len(words) > 5_000, "there are no licences in /usr/share/common-licenses to take words from")
    return words


def english(words: list, number: int) -> str:
    """Returns a text of its own: each word follows the one before it somewhere in the source (a chain of order 1)."""
    follows = FOLLOWS or fill(words)
    chooser = random.Random(number)
    text, word = [], chooser.choice(words)
    length = 0
    while length < NOTE_BYTES:
        text.append(word)
        length += len(word) + 1
        word = chooser.choice(follows[word])
    return " ".join(text)


FOLLOWS: dict = {}


def fill(words: list) -> dict:
    for word, after in zip(words, words[1:] + words[:1]):
        FOLLOWS.setdefault(word, []).append(after)
    return FOLLOWS


if __name__ == "__main__":
    main()
