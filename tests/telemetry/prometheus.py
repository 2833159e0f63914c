#!/usr/bin/env python3
"""Checks everything in otel/ that names a metric, against a real Prometheus that scrapes a live run.

    python3 tests/telemetry/prometheus.py target/debug/pipe

Prometheus and promtool (Debian's `prometheus`) and PyYAML have to be there. The run asks the fault server, so that
there are failures, retries, streams and a budget to look at. Every query of every dashboard and alert has to parse, and
to give data or stand in EMPTY with a reason; every metric has to be looked at by one of them, or stand in UNSEEN.
Not checked, for want of the programs: that Grafana draws the dashboards, that Docker, Jaeger and the collector take
their files; of those the form, the pinned tags and what they refer to is.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OTEL = ROOT / "otel"
DEADLINE = 45
# Scrapes of the live run before anything is asked: a rate needs two, the first failures their time.
SCRAPES = 8

PIPELINE = """\
version: 1
name: watched
limits: { concurrency: 4, retries: { attempts: 6, backoff: 50ms..200ms }, timeouts: { first_token: 20s, total: 30s } }
backends: { faulty: { base_url: "%s" } }
models: { small: { backend: faulty, model: tested, price: { input: 1 USD/M, output: 2 USD/M } } }
defaults: { actors: { model: small } }
actors: { pro: {}, con: {}, referee: { temperature: 0 } }
items: { values: [{ id: tea, motion: Tea is better than coffee }, { id: cats, motion: Cats are better than dogs }] }
repeat: 500
steps:
  debate: { dialogue: { actors: [pro, con], opening: "{{ item.motion }}", stop: { rounds: 1 } } }
  verdict: { judge: { actor: referee, question: "Who won? {{ steps.debate.transcript }}", choose: [pro, con] } }
stop: { budget: { tokens: 1M, cost: 10 USD, time: 1h } }
"""

# Queries that may give nothing here, by what they name, and why.
EMPTY = {
    "usage_cache_read": "this server tells of no cache",
    "usage_reasoning": "this server tells of no reasoning",
}
# Metrics that no query looks at, and why.
UNSEEN = {
    "target_info": "what the SDK says of itself",
    "gen_ai_client_inference_operation_input_tokens": "looked at by its buckets",
}


def fail(message):
    raise SystemExit(f"tests/telemetry/prometheus.py: {message}")


def told(*command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def check(holds, message):
    if not holds:
        fail(message)


# --- files that no program here takes ---------------------------------------------------------------------------

def check_files():
    """YAML and what refers to what: Docker, Jaeger and the collector are not here to say so themselves."""
    compose = yaml.safe_load((OTEL / "compose.yaml").read_text())
    for name, service in compose["services"].items():
        check(re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"]), f"{name}: {service['image']} is not pinned")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = (OTEL / source).exists() if source.startswith(".") else source in compose["volumes"]
            check(known, f"{name} mounts {source}, which is not there")
        for port in service.get("ports", []):
            check(port.startswith("127.0.0.1:"), f"{name} opens {port} to the network")
        for other in service.get("depends_on", []):
            check(other in compose["services"], f"{name} depends on {other}, which is not there")
    for file in ("collector.yaml", "jaeger.yaml"):
        config = yaml.safe_load((OTEL / file).read_text())
        for extension in config["service"]["extensions"]:
            check(extension in config["extensions"], f"{file} names the extension {extension}, which is not there")
        for name, pipeline in config["service"]["pipelines"].items():
            for part in ("receivers", "processors", "exporters"):
                for one in pipeline[part]:
                    check(one in config[part], f"{file}: {name} names {one}, which is not among {part}")
    sources = yaml.safe_load((OTEL / "grafana/provisioning/datasources/datasources.yaml").read_text())
    for source in sources["datasources"]:
        host = urllib.parse.urlparse(source["url"]).hostname
        check(host in compose["services"], f"Grafana asks {host}, which is no service")
    return len(compose["services"])


# --- queries -----------------------------------------------------------------------------------------------------

def queries():
    """Every query in otel/: where it stands, and what it asks."""
    found = []
    for file in sorted((OTEL / "grafana/dashboards").glob("*.json")):
        board = json.loads(file.read_text())
        ids = [panel["id"] for panel in board["panels"]]
        check(len(ids) == len(set(ids)), f"{file.name}: two panels have one id")
        variable = next(one for one in board["templating"]["list"] if one["name"] == "run")
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
        found.append((f"{file.name}: run", f"count by ({label}) ({metric})", False))
        for panel in board["panels"]:
            for target in panel["targets"]:
                found.append((f"{file.name}: {panel['title']}", target["expr"], False))
    for group in yaml.safe_load((OTEL / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            found.append((f"alerts.yaml: {rule['alert']}", rule["expr"], True))
    return found


def filled(query):
    """A query as Grafana asks it: of all runs, over so long as has been scraped."""
    query = query.replace("$run", ".*").replace("$__rate_interval", "10s").replace("$__range", "1m")
    check("$" not in query, f"a variable that nobody fills in: {query}")
    return query


class Prometheus:
    def __init__(self, folder, target):
        self.port = free_port()
        config = yaml.safe_load((OTEL / "prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(OTEL / "alerts.yaml")]
        (folder / "targets.yaml").write_text(yaml.safe_dump([{"targets": [target]}]))
        config["scrape_configs"][0]["file_sd_configs"] = [{"files": [str(folder / "targets.yaml")]}]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.log = open(folder / "prometheus.log", "w")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=self.log)

    def get(self, path, **query):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            # It starts: its answers are none yet.
            if error.code == 503:
                raise
            return json.load(error)

    def ask(self, query):
        answer = self.get("/api/v1/query", query=query)
        check(answer["status"] == "success", f"{query}\n{answer.get('error')}")
        return answer["data"]["result"]

    def until(self, query, process):
        begun = time.monotonic()
        while time.monotonic() - begun < DEADLINE:
            check(process.poll() is None, "the run ended before it was looked at")
            try:
                if self.ask(query):
                    return
            except OSError:
                pass
            time.sleep(0.2)
        fail(f"this never gives anything: {query}")


def free_port():
    import socket
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def check_live(pipe, folder):
    server = subprocess.Popen(
        [sys.executable, ROOT / "tests/fault_server/server.py", "--ledger", folder / "ledger.jsonl", "--delay-ms", "60",
         "--model", "tested", "--tied"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    processes = [server]
    try:
        base = server.stdout.readline().strip()
        storm = base.rstrip("/").removesuffix("/v1") + "/storm/7-30/v1"
        (folder / "watched.yaml").write_text(PIPELINE % storm)
        target = f"127.0.0.1:{free_port()}"
        recording = folder / "devices.jsonl"
        recording.write_text(told(sys.executable, ROOT / "tests/gpu/recording.py"))
        run = subprocess.Popen(
            [pipe, "run", "watched.yaml", "--quiet", "--new", "--metrics-addr", target], cwd=folder,
            env=os.environ | {"PIPE_GPU_SOURCE": f"replay:{recording}"},
            stdout=subprocess.DEVNULL, stderr=open(folder / "run.log", "w"))
        processes.append(run)
        prometheus = Prometheus(folder, target)
        processes.append(prometheus.process)
        look(prometheus, run, target)
    except SystemExit:
        for log in ("run.log", "prometheus.log"):
            if (folder / log).exists():
                print(f"--- {log}\n{(folder / log).read_text()[-2000:]}", file=sys.stderr)
        raise
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=20)


def look(prometheus, run, target):
    # Long enough for a rate, with failures in it and cases that are over.
    seen = f'count_over_time(pipe_run_state{{pipe_run_state="running"}}[1m]) >= {SCRAPES}'
    failed = 'sum(increase(gen_ai_client_inference_duration_seconds_count{error_type!=""}[10s])) > 0'
    over = "sum(rate(pipe_case_settled_total[10s])) > 0"
    retried = "sum(rate(pipe_call_retries_total[10s])) > 0"
    for enough in (seen, failed, over, retried):
        prometheus.until(enough, run)
    scraped = urllib.request.urlopen(f"http://{target}/metrics", timeout=10).read()
    linted = subprocess.run(["promtool", "check", "metrics"], input=scraped, capture_output=True)
    check(linted.returncode == 0, f"promtool check metrics: {linted.stdout.decode()}{linted.stderr.decode()}")
    families = set(re.findall(r"^# TYPE (\S+)", scraped.decode(), re.M))

    asked, empty = queries(), []
    for place, query, is_alert in asked:
        result = prometheus.ask(filled(query))
        reason = next((why for part, why in EMPTY.items() if part in query), None)
        if is_alert:
            # An alert that is silent gives nothing; what it looks at must be there.
            for selector in re.findall(r"\b((?:pipe|gen_ai|hw)_\w+(?:\{[^}]*\})?)(?!\w|\()", without_labels(query)):
                check(reason or prometheus.ask(f"count({selector})"), f"{place}: there is no {selector}")
        elif not result:
            check(reason, f"{place} gives nothing: {query}")
            empty.append(f"{place}: {reason}")
        for value in (sample["value"][1] for sample in result):
            check(value != "NaN" or reason or "histogram_quantile" in query, f"{place} gives NaN: {query}")
    rules = prometheus.get("/api/v1/rules")["data"]["groups"][0]["rules"]
    for rule in rules:
        check(rule["health"] == "ok", f"alert {rule['name']}: {rule.get('lastError')}")

    words = " ".join(query for _, query, _ in asked)
    for family in sorted(families):
        check(family in words or family in UNSEEN, f"nobody looks at {family}")
    for name in set(re.findall(r"\b(?:pipe|gen_ai|hw)_\w+", without_labels(re.sub(r"\{[^}]*\}", "", words)))):
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        known = name in families or family in families or any(part in name for part in EMPTY)
        check(known, f"{name} is asked for and told by nobody")
    print(f"{len(asked)} queries of {len(families)} metrics, {len(rules)} alerts; without data, with reason: {len(empty)}")
    for one in empty:
        print(f"  {one}")


def without_labels(query):
    """A query without the names of labels in `by (…)` and `on (…)`."""
    return re.sub(r"\b(by|on) \([^)]*\)", "", query)


def main():
    pipe = pathlib.Path(sys.argv[1]).resolve()
    services = check_files()
    told("promtool", "check", "config", OTEL / "prometheus.yaml")
    told("promtool", "check", "rules", OTEL / "alerts.yaml")
    told("promtool", "test", "rules", ROOT / "tests/telemetry/alerts.yaml")
    print(f"files: {services} services, configuration and rules hold, alerts speak when they should")
    with tempfile.TemporaryDirectory() as folder:
        check_live(pipe, pathlib.Path(folder))


if __name__ == "__main__":
    main()
