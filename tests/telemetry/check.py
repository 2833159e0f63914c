#!/usr/bin/env python3
"""Runs pipelines and holds every span to account: `check.py PIPE`, PIPE being the program. One line a check.

Others read what it sends: `opentelemetry-proto` and `oteltap` decode, `pytest-genai-semconv` knows the conventions. Every check prints what it counted; the first that fails ends it all.
"""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # caches stay out of the tree
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules
from model import Model
from receiver import Receiver
from tap import Tap

PIPE = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
TLS = os.path.join(HERE, "..", "fault_server", "tls")
CANARY = "sk-canary-3f9a1c77"
THREE = """version: 1
name: three
backends: {{ mock: {{ base_url: {url}, api_key: "${{OPENAI_API_KEY}}" }} }}
actors: {{ one: {{ model: mock, system: Be brief., temperature: 0.5, max_tokens: 9 }} }}
items: {{ path: items.jsonl, id: n }}
limits: {{ concurrency: 16, retries: {{ backoff: 1ms..5ms }} }}
steps:
  first: {{ chat: {{ actor: one, prompt: "Item {{{{ item.n }}}}, first." }} }}
  second: {{ chat: {{ actor: one, prompt: "After {{{{ steps.first.text }}}}" }} }}
  third: {{ chat: {{ actor: one, prompt: "After {{{{ steps.second.text }}}}, {{{{ item.word }}}}" }} }}
"""


class World:
    """A folder with a pipeline of three calls a case, and a model server."""

    def __init__(self, items, **model):
        self.folder = tempfile.mkdtemp(prefix="pipe-telemetry-")
        os.mkdir(os.path.join(self.folder, ".pipe"))
        self.model = Model(**model)
        self.write("three.yaml", THREE.format(url=self.model.url))
        rows = (json.dumps({"n": f"i{n}", "word": "tea"}) for n in range(items))
        self.write("items.jsonl", "\n".join(rows) + "\n")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def environment(self, more):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "TRACE"))}
        return {**kept, "OPENAI_API_KEY": CANARY, **more}

    def start(self, *args, **more):
        return subprocess.Popen([PIPE, *args], cwd=self.folder, env=self.environment(more), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def pipe(self, *args, expect=0, **more):
        process = self.start(*args, **more)
        out, err = process.communicate(timeout=300)
        assert process.returncode == expect, f"pipe {args}: {process.returncode}\n{err[-3000:]}"
        return out, err

    def exported(self):
        path = os.path.join(self.folder, "spans.otlp")
        self.pipe("trace", "export", "--format", "otlp", "--out", path, "--force")
        with open(path, "rb") as file:
            return list(rules.spans_of(file.read()))

    def close(self):
        self.model.close()
        shutil.rmtree(self.folder)


def made(err):
    """What the last line about spans says: made, acked, rejected, pending."""
    line = next(line for line in reversed(err.splitlines()) if " made, " in line)
    return [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:made|acked|rejected|pending)", line)]


def once_each():
    """1,000 items x 3 calls, some asked again; each span once, each request's header its span's id."""
    world, receiver = World(1000, fail_every=97), Receiver()
    _, err = world.pipe("run", "three.yaml", "-q", "--trace-to", receiver.url)
    out, _ = world.pipe("trace", "send", "--to", receiver.url)
    count, acked, rejected, pending = made(out)
    spans = receiver.spans()
    for span in spans:
        rules.check(span)
    assert rules.tree(spans) == 1001, "one root a case, and the run's"
    assert (count, acked, rejected, pending) == (len(spans), len(spans), 0, 0), (out, len(spans))
    assert receiver.received == len(spans), "a span came twice"
    chats = {f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for span in spans if span.name.startswith("chat ")}
    assert chats == set(world.model.asked), "a header names no span"
    assert len(chats) == len(world.model.asked), "two requests bear one header"
    answered = world.model.answered
    children(world.model, spans)
    told = {rules.identity(span): span.SerializeToString(deterministic=True) for span in world.exported()}
    assert told == receiver.stored, "told later, a span has other bytes"
    secrets(world, receiver)
    world.close()
    receiver.close()
    return f"made {count:,}, stored {len(spans):,}, once each; {len(chats):,} requests, {answered:,} answered"


def children(model, spans):
    """What a server tells under the header that it got hangs below the request."""
    known = {rules.identity(span) for span in spans}
    for traceparent, began, ended in model.spans:
        _, trace, parent, flags = traceparent.split("-")
        assert (trace, parent) in known and flags == "01" and began <= ended


def secrets(world, receiver):
    """The key is in no span, no file of the run, and not in what is printed."""
    for span in receiver.stored.values():
        assert CANARY.encode() not in span
    for path in glob.glob(os.path.join(world.folder, ".pipe", "runs", "*", "*")):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                assert CANARY.encode() not in file.read(), path
    world.write("leaky.yaml", THREE.format(url=world.model.url).replace("item.word", f"'my key is {CANARY}'"))
    leaky = Receiver()
    _, err = world.pipe("run", "leaky.yaml", "--limit", "2", "--trace-to", leaky.url,
                        OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{CANARY}")
    assert leaky.stored and CANARY not in err
    for span in leaky.stored.values():
        assert CANARY.encode() not in span and b"my key is ***" in b"".join(leaky.stored.values())
    leaky.close()


def troubled():
    """A collector that is busy, then dead, then takes little at once, in the end has all."""
    began = time.monotonic()

    def script(receiver, body):
        age = time.monotonic() - began
        if age < 3:
            return 503, {"retry-after": "1"}
        if age < 6:
            return None
        return 413 if len(body) > 40_000 else 200

    world, receiver = World(300), Receiver(script)
    world.pipe("run", "three.yaml", "-q", "--trace-to", receiver.url)
    out, _ = world.pipe("trace", "send", "--to", receiver.url)
    count, acked, rejected, pending = made(out)
    assert (acked, rejected, pending) == (count, 0, 0) and len(receiver.stored) == count, out
    world.close()
    receiver.close()
    return f"made {count:,}, stored {len(receiver.stored):,}, in {receiver.requests} requests"


def refusing():
    """What can never be taken is told in one error; what cannot be read is kept aside."""
    world = World(20)
    world.pipe("run", "three.yaml", "-q")
    denying = Receiver(lambda *_: 401)
    _, err = world.pipe("trace", "send", "--to", denying.url, expect=4)
    assert err.count("error:") == 1 and "401" in err and denying.requests == 1, err
    unreading = Receiver(lambda receiver, _: 400 if receiver.requests == 1 else 200)
    out, _ = world.pipe("trace", "send", "--to", unreading.url)
    count, acked, rejected, pending = made(out)
    [aside] = glob.glob(os.path.join(world.folder, ".pipe", "runs", "*", "spans-refused.otlp"))
    with open(aside, "rb") as file:
        kept = len(list(rules.spans_of(file.read())))
    assert (acked + rejected, kept, pending) == (count, rejected, 0), out
    world.close()
    denying.close()
    unreading.close()
    return f"one error for 401; of {count} spans {kept} were unreadable, and kept"


def killed():
    """Killed in the middle and gone on with: the spans of a run that was not, and those cut off."""
    world, receiver = World(300, delay=0.004), Receiver()
    process = world.start("run", "three.yaml", "-q", "--trace-to", receiver.url)
    while world.model.answered < 300:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    world.pipe("resume", "-q", "--trace-to", receiver.url)
    spans = receiver.spans()
    for span in spans:
        rules.check(span)
    rules.tree(spans)
    assert receiver.differing == 0, "equal ids, other bytes"
    told = {rules.identity(span): span.SerializeToString(deterministic=True) for span in world.exported()}
    assert told == receiver.stored, f"{len(told)} told later, {len(receiver.stored)} stored"
    cut_off, whole = 0, set()
    for span in spans:
        said = rules.attributes(span.attributes)
        if said.get("error.type") == "cancelled":
            cut_off += span.name.startswith("chat ")
        elif "pipe.item.id" in said and span.name != "pipe.backoff":
            whole.add((said["pipe.item.id"], said.get("pipe.step"), said.get("pipe.call")))
    expected = {(f"i{n}", None, None) for n in range(300)}
    for step in ("first", "second", "third"):
        expected |= {(f"i{n}", step, call) for n in range(300) for call in (None, "say")}
    assert whole == expected
    assert 0 < cut_off <= 32, f"{cut_off} requests were cut off"
    world.close()
    receiver.close()
    return f"stored {len(spans):,}: all of an uninterrupted run, and {cut_off} cut off; told again in the same bytes"


def down_for_a_third():
    """Dead for the middle third: `trace send` brings the rest."""
    third = 1.5
    began = time.monotonic()
    world = World(400, delay=0.05)
    receiver = Receiver(lambda *_: None if third < time.monotonic() - began < 2 * third else 200)
    world.pipe("run", "three.yaml", "-q", "--trace-to", receiver.url)
    out, _ = world.pipe("trace", "send", "--to", receiver.url)
    count, acked, _, pending = made(out)
    assert acked == count == len(receiver.stored) and pending == 0, out
    assert len(world.exported()) == count
    world.close()
    receiver.close()
    return f"made {count:,}, stored {len(receiver.stored):,}"


def flat():
    """12,000 requests with nobody there: no more memory than without spans, and nothing lost."""
    world = World(4000)

    def peak(*more):
        args = [PIPE, "run", "three.yaml", "-q", "--new", "--backend", "sim", "--out", "rows.jsonl", "--force", *more]
        process = subprocess.Popen(args, cwd=world.folder, env=world.environment({}), stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        return usage.ru_maxrss / 1024

    without = peak()
    stop = threading.Event()
    receiver = Receiver(lambda *_: 200 if stop.is_set() else 503)
    threading.Timer(8, stop.set).start()
    with_it = peak("--trace-to", receiver.url)
    stop.set()
    out, _ = world.pipe("trace", "send", "--to", receiver.url)
    count, acked, _, pending = made(out)
    assert (acked, pending) == (count, 0) and len(receiver.stored) == count, out
    assert with_it < without + 40, f"{with_it:.0f} MiB with nobody there, {without:.0f} MiB without spans"
    world.close()
    receiver.close()
    return f"{without:.0f} MiB without spans, {with_it:.0f} MiB with nobody there; then {count:,} spans stored"


def shipped():
    """Every span of every shipped pipeline, simulated."""
    world, spans, pipelines = World(1), 0, 0
    shutil.copytree(os.path.join(HERE, "..", "..", "pipelines"), os.path.join(world.folder, "pipelines"))
    for path in sorted(glob.glob(os.path.join(world.folder, "pipelines", "*.yaml"))):
        world.pipe("run", path, "--backend", "sim", "-q", "--new")
        found = world.exported()
        for span in found:
            rules.check(span)
        rules.tree(found)
        assert len({rules.identity(span) for span in found}) == len(found), path
        spans, pipelines = spans + len(found), pipelines + 1
    assert pipelines >= 10
    world.close()
    return f"{spans:,} spans of {pipelines} pipelines: name, kind, operation, attributes, words, status"


def tapped():
    """The same run at a receiver that shares no code with ours or with the decoder above."""
    world, tap = World(400, fail_every=97), Tap()
    # It does not unpack: for it a packed request is unreadable.
    plain = {"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    world.pipe("run", "three.yaml", "-q", "--trace-to", tap.url, **plain)
    out, _ = world.pipe("trace", "send", "--to", tap.url, **plain)
    count, acked, rejected, pending = made(out)
    received = tap.wait(tap.spans, count)
    identities = {rules.identity(span) for span in tap.spans}
    assert (received, acked, rejected, pending) == (count, count, 0, 0), (out, received)
    assert len(identities) == count, "a span came twice"
    told = {rules.identity(span): span.SerializeToString(deterministic=True) for span in world.exported()}
    assert told == {rules.identity(span): span.SerializeToString(deterministic=True) for span in tap.spans}
    world.close()
    tap.close()
    return f"made {count:,}, oteltap received {received:,}, once each"


def graded(world):
    """A pipeline whose every answer is judged."""
    return THREE.format(url=world.model.url).split("steps:")[0] + """steps:
  answer: { chat: { actor: one, prompt: "{{ item.n }}?" } }
  grade: { judge: { actor: one, question: "Is {{ steps.answer.text }} right?", choose: [right, wrong] } }
"""


def judged():
    """Judgements as log records: each once, in the context of the answer judged, again in the same bytes; and over TLS."""
    world, tap = World(200), Tap()
    world.write("judged.yaml", graded(world))
    plain = {"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_LOGS_EXPORTER": "otlp"}
    down = Receiver(lambda *_: 503)
    # While the run goes nobody takes them; later somebody else does.
    down_too = {**plain, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{down.url}/v1/logs"}
    process = world.start("run", "judged.yaml", "--backend", "sim", "--trace-to", tap.url, **down_too)
    for line in process.stderr:
        if "waiting up to" in line:
            process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    out, _ = world.pipe("trace", "send", "--json", "--to", tap.url, **plain)
    said = json.loads(out)
    assert said["judgements"]["acked"] == said["judgements"]["made"] == 200 == tap.wait(tap.logs, 200), said
    out, _ = world.pipe("trace", "send", "--json", "--again", "--to", tap.url, **plain)
    assert tap.wait(tap.logs, 400) == 400, "each again"
    first, again = ([record.SerializeToString(deterministic=True) for record in half]
                    for half in (tap.logs[:200], tap.logs[200:]))
    assert sorted(first) == sorted(again) and len(set(first)) == 200, "sent again, a record has other bytes"
    spans = {rules.identity(span): span for span in world.exported()}
    for record in tap.logs:
        said = rules.attributes(record.attributes)
        assert record.event_name == "gen_ai.evaluation.result" and record.time_unix_nano > 0
        assert said["gen_ai.evaluation.name"] == "grade" and said["gen_ai.evaluation.score.label"] in ("right", "wrong")
        about = rules.attributes(spans[rules.identity(record)].attributes)
        assert (about["pipe.step"], about["pipe.item.id"]) == ("answer", said["pipe.item.id"])
    world.close()
    down.close()
    tap.close()
    return "200 records, once each, beside the answers judged; nobody took them during the run; again in the same bytes"


def judged_and_killed():
    """Judgements told while a run goes on, which is killed in the middle and gone on with."""
    world, tap = World(150), Tap()
    world.write("judged.yaml", graded(world))
    plain = {"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_LOGS_EXPORTER": "otlp"}
    process = world.start("run", "judged.yaml", "-q", "--backend", "sim:2", "--trace-to", tap.url, **plain)
    early = tap.wait(tap.logs, 20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 20 <= early < 150, f"{early} were there before the kill"
    world.pipe("resume", "-q", "--trace-to", tap.url, **plain)
    tap.wait(tap.logs, 150)
    by_bytes = {record.SerializeToString(deterministic=True) for record in tap.logs}
    by_item = {rules.attributes(record.attributes)["pipe.item.id"] for record in tap.logs}
    assert len(by_bytes) == len(by_item) == 150, f"{len(by_bytes)} records of {len(by_item)} items"
    repeated = len(tap.logs) - 150
    world.close()
    tap.close()
    return f"{early} of 150 there when it was killed, then all; {repeated} came again, in the same bytes"


def private():
    """A collector behind a certificate of its own authority, which a file names."""
    world, receiver = World(3), Receiver(tls=True)
    world.pipe("run", "three.yaml", "-q")
    authority = os.path.join(TLS, "authority.pem")
    out, _ = world.pipe("trace", "send", "--to", receiver.url, OTEL_EXPORTER_OTLP_CERTIFICATE=authority)
    count, acked, _, _ = made(out)
    assert acked == count == len(receiver.stored), out
    _, err = world.pipe("trace", "send", "--again", "--patience", "0", "--to", receiver.url, expect=4)
    assert "did not take all spans" in err, err
    _, err = world.pipe("trace", "send", "--to", receiver.url, expect=2, OTEL_EXPORTER_OTLP_CERTIFICATE="none.pem")
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE names none.pem" in err, err
    out, _ = world.pipe("doctor", "--json", "--trace-to", receiver.url, expect=4, PIPE_BASE_URL=world.model.url)
    assert "certificate" in json.loads(out)["traced"]["problem"], out
    world.close()
    receiver.close()
    return f"{count} spans over TLS; without the authority, refused"


def called():
    """Started inside of somebody's trace: its spans hang there, and every request carries its `tracestate`."""
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    caller = {"TRACEPARENT": f"00-{trace}-{span}-01", "TRACESTATE": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}
    world, receiver = World(5), Receiver()
    world.pipe("run", "three.yaml", "-q", "--trace-to", receiver.url, **caller)
    roots = [told for told in receiver.spans() if told.parent_span_id.hex() == span]
    assert len(roots) == 1 and {told.trace_id.hex() for told in receiver.spans()} == {trace}
    assert len(world.model.asked) == 15 and all(trace in asked for asked in world.model.asked)
    assert world.model.states == {caller["TRACESTATE"]}, world.model.states
    world.model.states.clear()
    world.pipe("run", "three.yaml", "-q", "--new", **{**caller, "TRACESTATE": "no state"})
    world.pipe("run", "three.yaml", "-q", "--new", TRACESTATE=caller["TRACESTATE"])
    assert world.model.states == {None}, "what is none, or belongs to no trace, is not handed on"
    world.close()
    receiver.close()
    return "15 requests in the caller's trace, each with its tracestate"


def measured():
    """Metrics pushed to oteltap: each family, cumulative, with the run; a collector that is away costs nothing."""
    world, tap = World(100, fail_every=20), Tap()
    pushing = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{tap.url}/v1/metrics", "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
               "OTEL_METRIC_EXPORT_INTERVAL": "100"}
    _, err = world.pipe("run", "three.yaml", **pushing)
    assert f"metrics    pushed to {tap.url}" in err, err[-500:]
    families = lambda: {metric.name for metric in tap.metrics}
    until = time.monotonic() + 30
    while "pipe.run.state" not in families() and time.monotonic() < until:
        time.sleep(0.05)
    tap.wait(tap.metrics, len(tap.metrics) + 1, seconds=2)
    latest = {metric.name: metric for metric in tap.metrics}
    durations = latest["gen_ai.client.inference.duration"].histogram
    assert durations.aggregation_temporality == 2 and durations.data_points[0].explicit_bounds
    count = sum(point.count for point in durations.data_points)
    assert count == len(world.model.asked), (count, len(world.model.asked))
    for point in durations.data_points:
        assert point.count == sum(point.bucket_counts) and point.start_time_unix_nano < point.time_unix_nano
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
        assert rules.attributes(point.attributes)["gen_ai.operation.name"] == "chat"
    settled = {rules.attributes(point.attributes)["pipe.case.status"]: point.as_int
               for point in latest["pipe.case.settled"].sum.data_points}
    assert settled == {"ok": 100} and latest["pipe.case.settled"].sum.is_monotonic, settled
    state = {rules.attributes(point.attributes)["pipe.run.state"]: point.as_int
             for point in latest["pipe.run.state"].gauge.data_points}
    assert state == {"running": 0, "paused": 0, "stopping": 0, "over": 1}, state
    # Nobody listens there.
    away = {**pushing, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1/v1/metrics"}
    _, err = world.pipe("run", "three.yaml", "--new", **away)
    assert "did not take the last of them" in err, err[-500:]
    world.close()
    tap.close()
    return f"{len(latest)} families, {count} requests counted; away, the run ends as ever"


def process():
    """What the process itself does: its command, connecting, checkpoints, and what it logs in them."""
    world, receiver = World(2500), Receiver()
    to = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}
    world.pipe("run", "three.yaml", "-q", "--backend", "sim", "--out", "rows.jsonl", **to)
    own = {}
    for span in receiver.spans():
        if span.name in ("pipe.command", "pipe.connect", "pipe.checkpoint"):
            rules.conventions(span)
            own.setdefault(span.name, []).append(span)
    [command], [connect], checkpoints = own["pipe.command"], own["pipe.connect"], own["pipe.checkpoint"]
    said = rules.attributes(command.attributes)
    assert said["pipe.command"] == "run" and said["pipe.run.id"].startswith("three-"), said
    assert connect.parent_span_id == command.span_id
    for checkpoint in checkpoints:
        assert checkpoint.trace_id == command.trace_id and rules.attributes(checkpoint.attributes)["events"] >= 20_000
    world.pipe("run", "three.yaml", "-q", "--new", "--backend", "http://127.0.0.1:1/v1", expect=4, **to)
    failed = [span for span in receiver.spans() if span.name == "pipe.connect" and span.events]
    [event] = failed[0].events
    rules.conventions(failed[0])
    said = rules.attributes(event.attributes)
    assert (event.name, said["level"]) == ("log", "ERROR") and "connection refused" in said["exception.message"], said
    world.close()
    receiver.close()
    return f"a command, a connect and {len(checkpoints)} checkpoints; an error logged where it happened"


def doctor():
    """One traced request: the collector takes it, and the span that the server tells by its header hangs below it."""
    receiver = Receiver()

    def tell(traceparent, began, ended):
        _, trace, parent, _ = traceparent.split("-")
        span = rules.Span(trace_id=bytes.fromhex(trace), parent_span_id=bytes.fromhex(parent), span_id=b"vllm-llm",
                          name="llm_request", start_time_unix_nano=began, end_time_unix_nano=ended)
        receiver.post(rules.request_of([span]))

    world = World(1, tell=tell)
    out, _ = world.pipe("doctor", "--json", "--trace-to", receiver.url, "--query", receiver.url,
                        PIPE_BASE_URL=world.model.url)
    said = json.loads(out)["traced"]
    assert said["taken"] and said["joined"]["state"] == "yes", said
    [span] = said["joined"]["spans"]
    assert span["name"] == "llm_request" and span["below_request"], said
    spans = {span.name: span for span in receiver.spans()}
    assert spans["llm_request"].parent_span_id == spans["chat mock"].span_id
    assert spans["chat mock"].parent_span_id == spans["pipe.doctor"].span_id
    rules.conventions(spans["chat mock"])
    assert {span.trace_id.hex() for span in spans.values()} == {said["trace"]}
    out, _ = world.pipe("doctor", "--json", "--trace-to", world.model.url, expect=4, PIPE_BASE_URL=world.model.url)
    said = json.loads(out)["traced"]
    assert not said["taken"] and said["problem"] and said["help"], said
    world.close()
    receiver.close()
    return f"{len(spans)} spans, llm_request below the request; a place that is no collector is told"


def as_told():
    """`telemetry:` of a file: digests or nothing for texts, a share of the cases, one trace or one a case; the environment above it."""
    world = World(400, fail_every=40)
    plain = THREE.format(url=world.model.url)
    ask = [b"After ", b"Item i", b"Say "]

    def told(keys, cases, **more):
        world.write("told.yaml", plain + keys)
        receiver = Receiver()
        world.pipe("run", "told.yaml", "-q", "--new", "--limit", str(cases), "--trace-to", receiver.url, **more)
        spans = receiver.spans()
        for span in spans:
            rules.check(span)
        receiver.close()
        return spans

    def texts(spans):
        return any(words in span.SerializeToString() for span in spans for words in ask)

    def cases(spans):
        return {value for span in spans for value in [rules.attributes(span.attributes).get("pipe.item.id")] if value}

    def traces(spans):
        return {span.trace_id for span in spans}

    full, hashed, none = (told(f"telemetry: {{ content: {word} }}\n", 4) for word in ("full", "hash", "none"))
    assert texts(full) and not texts(hashed) and not texts(none), "content"
    answered = [span for span in hashed if span.name.startswith("chat ") and not span.status.code]
    assert len(answered) == 12 and all(b"pipe.response.digest" in span.SerializeToString() for span in answered), "hash"
    assert not any(b".digest" in span.SerializeToString() for span in none), "none"
    assert not texts(told("", 4, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="false")), "the environment"
    assert len(traces(full)) == 1 and len(traces(told("telemetry: { shape: item }\n", 4))) == 5, "shape"
    some = told("telemetry: { sample: { ratio: 25%, keep: [retried] } }\n", 400)
    retried = {rules.attributes(span.attributes)["pipe.item.id"] for span in some if span.status.code == 2}
    kept = cases(some)
    assert retried and retried <= kept and 80 <= len(kept) <= 160, (len(kept), len(retried))
    rules.tree(some)
    world.close()
    return f"texts in {len(full)} spans, in none of {len(hashed)} and {len(none)}; {len(kept)} of 400 cases kept, {len(retried)} because asked again"


CHECKS = [shipped, as_told, once_each, tapped, judged, judged_and_killed, private, called, measured, process, doctor, troubled, refusing, killed, down_for_a_third, flat]


def main():
    wanted = sys.argv[2:]
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        began = time.monotonic()
        said = check()
        print(f"{check.__name__.replace('_', ' '):16} {said} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
