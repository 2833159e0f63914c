"""The commit path: chains of calls on a server without latency, by pipe and by others, in the same run.

Start it with `tests/bench/run`; README.md says how to read it.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import workload
from contenders import Aiohttp, LangGraph, Pipe, Reqwest, Told, Wrk
from harness import child, install, machine, syncs, table
from harness.check import require
from harness.server import ANSWER, MODEL, Server
from workload import Workload

# A contender slower than this is taken for hung.
LEAST_CALLS_PER_SECOND = 20
HEADER = [
    *["", "calls/s", "CPU us/call", "peak MB", "kept MB", "server us/call", "sent B/call", "connections"],
    *["x calls/s", "x CPU"],
]


@dataclass
class Measure:
    """One contender in one round, or the median of several rounds."""

    calls_per_second: float
    cpu_us: float
    peak_bytes: float
    kept_bytes: float
    server_us: float
    sent_bytes: float
    connections: float
    # The round's own, against the last contender: drift of the machine between rounds cancels out.
    rate_ratio: float = 1.0
    cpu_ratio: float = 1.0

    def row(self, name: str) -> list:
        return [
            *[name, f"{self.calls_per_second:,.0f}", f"{self.cpu_us:.1f}", f"{self.peak_bytes / 1e6:.1f}"],
            *[f"{self.kept_bytes / 1e6:.1f}", f"{self.server_us:.1f}", f"{self.sent_bytes:.0f}"],
            *[f"{self.connections:.0f}", f"{self.rate_ratio:.3f}", f"{self.cpu_ratio:.2f}"],
        ]


def main():
    arguments = read_arguments()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.folder)).resolve()
    try:
        with Server(folder / "server") as server:
            for chain in arguments.chains:
                compare(chain, contenders(chain, arguments), arguments, server, folder / f"chain-{chain}")
    except BaseException:
        print(f"what there is is kept in {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)


def contenders(chain: int, arguments: argparse.Namespace) -> list:
    """Returns who takes part; the last one is what the others are compared with."""
    found = [Pipe(arguments.pipe, []), Pipe(arguments.pipe, ["--durability", "process"])]
    if arguments.spans:
        found.append(Told(arguments.pipe, arguments.collector))
    if arguments.peers:
        python = install.python(arguments.tools)
        found += [Aiohttp(python), LangGraph(python)]
        if chain == 1:
            install.debian("wrk", "wrk")
            found.append(Wrk())
    return [*found, Reqwest(arguments.peer)]


def compare(chain: int, taking_part: list, arguments: argparse.Namespace, server: Server, folder: Path):
    """Runs all contenders for all rounds and prints what they took."""
    folder.mkdir()

    def work(cases: int) -> Workload:
        name = f"items-{cases}"
        return workload.write(folder, name, cases, chain, arguments.in_flight, server.base_url, MODEL)

    shares = {one.name: work(min(arguments.cases, one.most_cases or arguments.cases)) for one in taking_part}
    calls = "one call" if chain == 1 else f"a chain of {chain} calls"
    print(
        f"commit path: {arguments.cases:,} cases, {calls} each, {arguments.in_flight} in flight\n"
        f"on {machine.describe(folder)}\n"
        "whole processes, from start to exit; nothing is subtracted"
    )
    for one in taking_part:
        if shares[one.name].cases < arguments.cases:
            print(f"{one.name} gets {shares[one.name].cases:,} of the cases")
    rounds = []
    for number in range(arguments.rounds):
        measured = one_round(number, taking_part, shares, server, folder)
        rounds.append(measured)
        show(f"round {number + 1} of {arguments.rounds}", measured)
    if len(rounds) > 1:
        show(f"median of {len(rounds)} rounds", {name: median([one[name] for one in rounds]) for name in rounds[0]})
    count_syncs(taking_part, shares, server, folder / "syncs")
    watch_syncs(taking_part[0], work(1), server, folder / "watched")


def count_syncs(taking_part: list, shares: dict, server: Server, folder: Path):
    """Prints how often each contender syncs, in a run of its own that is not timed: tracing takes time."""
    rows = []
    for contender in taking_part:
        own = folder / contender.name.replace(" ", "-")
        own.mkdir(parents=True)
        work = shares[contender.name]
        limit = 60 + work.calls / LEAST_CALLS_PER_SECOND
        count = syncs.count(contender.command(work, own), own, contender.environment(own), limit)
        made = server.take_calls().total
        per_sync = f"{made / count:,.1f}" if count else "none"
        rows.append([contender.name, f"{count:,}", f"{count / made:.4f}", per_sync])
    print(f"\nsyncs of one run, counted by strace\n{table.text(['', 'syncs', 'syncs/call', 'calls/sync'], rows)}", flush=True)


def watch_syncs(pipe: Pipe, one: Workload, server: Server, folder: Path):
    """Demands that no request is sent, and no case told to be done, before what led to it is synced."""
    folder.mkdir()
    command = [part for part in pipe.command(one, folder) if part != "--quiet"]
    found = syncs.unsynced([*command, "--set", "limits.concurrency=1"], folder, pipe.environment(folder), 60)
    made = server.take_calls().total
    require(made == one.calls, f"the watched run made {made} calls, not {one.calls}")
    require(not found, f"{pipe.name} acts or tells before a sync: {found}")
    print(f"under strace, one case: each of {made} requests, and the word that the case is done, follow a sync of their own")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__.partition("\n")[0])
    parser.add_argument("pipe", type=Path, metavar="PIPE", help="a release build of pipe")
    parser.add_argument("--cases", type=int, default=5000, help="chains (default 5000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is run (default 3)")
    parser.add_argument("--in-flight", type=int, default=64, help="calls at once (default 64)")
    parser.add_argument("--chains", type=int, nargs="+", default=[3], help="calls of a case, 1 to 3 (default 3)")
    parser.add_argument("--peers", action="store_true", help="also aiohttp, LangGraph and wrk, installing them")
    parser.add_argument("--spans", action="store_true", help="also with every span sent to a slow collector")
    parser.add_argument("--folder", type=Path, help="on which disk it works (default: the build folder)")
    parser.add_argument("--peer", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--collector", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in ("cases", "rounds", "in_flight"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if not all(1 <= chain <= workload.LONGEST_CHAIN for chain in arguments.chains):
        parser.error(f"--chains takes numbers from 1 to {workload.LONGEST_CHAIN}")
    if not arguments.pipe.is_file():
        parser.error(f"there is no pipe at {arguments.pipe}: build it with `cargo build --release`")
    return arguments


def one_round(number: int, contenders: list, shares: dict, server: Server, folder: Path) -> dict:
    """Runs every contender once. The order moves on by one each round, so that none is always first."""
    place = number % len(contenders)
    measured = {}
    for contender in contenders[place:] + contenders[:place]:
        own = folder / f"round-{number + 1}" / contender.name.replace(" ", "-")
        own.mkdir(parents=True)
        measured[contender.name] = measure(contender, shares[contender.name], server, own)
    baseline = measured[contenders[-1].name]
    for one in measured.values():
        one.rate_ratio = one.calls_per_second / baseline.calls_per_second
        one.cpu_ratio = one.cpu_us / baseline.cpu_us
    return {contender.name: measured[contender.name] for contender in contenders}


def measure(contender, work: Workload, server: Server, own: Path) -> Measure:
    """Runs one contender, and fails unless all of its work was done."""
    limit = 60 + work.calls / LEAST_CALLS_PER_SECOND
    server_before = server.cpu_seconds()
    command, environment = contender.command(work, own), contender.environment(own)
    account = child.run(command, own / "output.txt", environment, limit)
    server_seconds = server.cpu_seconds() - server_before
    calls = server.take_calls()
    counted = dict(calls.statuses)
    expected = contender.calls(work)
    if expected is not None:
        require(counted == {"200": expected}, f"{contender.name}: served {counted}, not {expected} times 200")
        least = work.least_bytes(ANSWER)
        require(calls.body_bytes >= least, f"{contender.name}: sent {calls.body_bytes} bytes; the chains have {least}")
    require(set(counted) == {"200"}, f"{contender.name}: served {counted}, not only 200")
    made = calls.total
    contender.check(work, own)
    return Measure(
        calls_per_second=made / account.seconds,
        cpu_us=account.cpu_seconds / made * 1e6,
        peak_bytes=account.peak_bytes,
        kept_bytes=contender.kept_bytes(own),
        server_us=server_seconds / made * 1e6,
        sent_bytes=calls.body_bytes / made,
        connections=calls.connections,
    )


def median(measures: list) -> Measure:
    return Measure(**{name: statistics.median(vars(one)[name] for one in measures) for name in vars(measures[0])})


def show(title: str, measures: dict):
    print(f"\n{title}")
    print(table.text(HEADER, [one.row(name) for name, one in measures.items()]), flush=True)


if __name__ == "__main__":
    main()
