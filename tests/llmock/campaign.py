#!/usr/bin/env python3
"""Runs `pipe` against llmock, which breaks answers on demand and grades the client: no error and no warning is allowed.

    python3 tests/llmock/campaign.py target/debug/pipe

Nobody here wrote llmock (pip install llmock), so it may see what our own fault server was never taught. Each scenario
is one run of a dialogue, a chat and a judge over a few items, streamed and not. A campaign in which too few requests
were made or too few faults were met fails as well: an empty one proves nothing.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from llmock.ratelimit import LimitSettings, RateLimiter
from llmock.scenarios import Delay, Fail, Match, SlowFirstToken, StreamFault
from llmock.testing import LLMockServer

PIPELINE = """\
version: 1
name: graded
limits: { concurrency: 4, retries: { attempts: 5, backoff: 500ms..20s }, timeouts: { %s } }
backends: { mock: { base_url: "%s" } }
actors: { pro: {}, con: {}, referee: { temperature: 0 } }
items:
  values: [{ id: trams, motion: Trams are better than buses }, { id: tea, motion: Tea is better than coffee },
           { id: cats, motion: Cats are better than dogs }]
steps:
  debate: { dialogue: { actors: [pro, con], opening: "{{ item.motion }}", stop: { rounds: 1 } } }
  remark: { chat: { actor: pro, prompt: "One word about this: {{ item.motion }}" } }
  verdict: { judge: { actor: referee, question: "Who won? {{ steps.debate.transcript }}", choose: [pro, con] } }
"""
# Calls of one undisturbed run: three items of two turns, a remark and a judge.
CALLS = 12
# Beside them it lists the models and asks what kind of server this is; llmock counts those too.
OTHERS = 8
CHAT = "*/chat/completions"
HERE = Match(path=CHAT)
STREAMED = Match(path=CHAT, stream=True)
WHOLE, STREAM = "total: 30s", "first_token: 20s, idle: 2s, total: 60s"


def fail(status, **more):
    return Fail(status, match=HERE, **more)


def stream(kind, **more):
    return StreamFault(kind, match=STREAMED, **more)


# name, behaviours, faults that must be met, exit code, limits of time
BOTH = [
    ("undisturbed", [], 0, 0),
    ("throttled, with Retry-After", [fail(429, retry_after=1.5, times=3)], 3, 0),
    ("throttled", [fail(429, times=3)], 3, 0),
    ("unavailable", [fail(503, times=3)], 3, 0),
    ("unavailable, with Retry-After", [fail(503, retry_after=1, times=2)], 2, 0),
    ("a broken gateway", [fail(502), fail(504), fail(500), fail(529)], 4, 0),
    ("late and in conflict", [fail(408), fail(409)], 2, 0),
    ("a short outage", [fail(503, times=12)], 12, 0),
    ("a bad request", [fail(400)], 1, 1),
    ("an unreadable request", [fail(422)], 1, 1),
    ("a wrong path", [fail(404)], 1, None),
    ("a refused key", [fail(401)], 1, 4),
    ("a forbidden call", [fail(403)], 1, 1),
    ("slow", [Delay(2, times=3, match=HERE)], 0, 0),
]
ONLY_STREAMED = [
    ("connections that drop", [stream("disconnect", times=3)], 3, 0),
    ("streams that end early", [stream("truncate", times=3, after_chunks=2)], 3, 0),
    ("streams that end at once", [stream("truncate", times=2, after_chunks=0)], 2, 0),
    ("chunks that cannot be read", [stream("malformed", times=2)], 2, 0),
    ("streams that stand still", [stream("stall", times=2, after_chunks=4, stall_seconds=6)], 2, 0),
    ("a slow first token", [SlowFirstToken(3, times=2)], 0, 0),
]


# Between two chunks of a stream, in milliseconds. Without a pause a short stream may be written whole before the server sees
# that the client has closed the connection; llmock then holds the client to have read to the end.
PACE = 100


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def run(pipe, times, behaviours, quota=None, pace=0):
    """Makes one run and returns its exit code, its talk and llmock's verdict on it."""
    with LLMockServer() as server, tempfile.TemporaryDirectory() as folder:
        server.state.scenarios.add(*behaviours)
        server.state.stream_chaos = dataclasses.replace(server.state.stream_chaos, chunk_delay_ms=pace)
        if quota:
            server.state.limiter = RateLimiter(LimitSettings(rpm=quota))
        (pathlib.Path(folder) / "graded.yaml").write_text(PIPELINE % (times, server.base_url("openai")))
        command = [pipe, "run", "graded.yaml", "--out", "rows.jsonl"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stderr, get(server.url + "/_llmock/verdict")


def main():
    pipe = str(pathlib.Path(sys.argv[1]).resolve())
    cases = [(f"{name}, {how}", behaviours, faults, code, times, None)
             for name, behaviours, faults, code in BOTH for how, times in (("whole", WHOLE), ("streamed", STREAM))]
    cases += [(name, behaviours, faults, code, STREAM, None) for name, behaviours, faults, code in ONLY_STREAMED]
    cases += [("a quota by the minute, " + how, [], 1, 0, times, 15)
              for how, times in (("whole", WHOLE), ("streamed", STREAM))]
    wrong, attempts, met = [], 0, 0
    for name, behaviours, faults, expected, times, quota in cases:
        code, talk, verdict = run(pipe, times, behaviours, quota, PACE if "cannot be read" in name else 0)
        attempts, met = attempts + verdict["attempts"], met + verdict["faults_injected"]
        problems = [f"{finding['severity']} {finding['code']}: {finding['title']}" for finding in verdict["findings"]]
        if expected is not None and code != expected:
            problems.append(f"exit code {code}, not {expected}: {talk}")
        if code == 0 and verdict["attempts"] < CALLS + OTHERS + faults:
            problems.append(f"only {verdict['attempts']} requests were made")
        if verdict["faults_injected"] < faults:
            problems.append(f"only {verdict['faults_injected']} of {faults} faults were met")
        print(f"{'ok  ' if not problems else 'BAD '} {name}: exit {code}, {verdict['attempts']} requests, "
              f"{verdict['faults_injected']} faults", flush=True)
        wrong += [f"{name}: {problem}" for problem in problems]
    if attempts < 25 * CALLS or met < 70:
        wrong.append(f"{attempts} requests and {met} faults are too few to prove anything")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
