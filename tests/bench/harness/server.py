"""A server without latency: nginx answering chat completions, each with a text of its own."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import install

PACKAGE = "nginx-light"
MODEL = "bench"
# Seconds that nginx may take to start and to reopen its log; both take milliseconds.
PATIENCE = 10

# 600 bytes, of which the text is about half. `$request_id` is new with every request, so no two texts are equal and
# nothing that stores texts by their content can store one of them twice for free.
COMPLETION = (
    '{"id":"chatcmpl-$request_id","object":"chat.completion","created":1700000000,"model":"bench","choices":['
    '{"index":0,"message":{"role":"assistant","content":"Note $request_id: the delivery came a day late because the '
    "northern road was closed, the driver called ahead at noon, and the customer, who had planned around the first "
    'date, asks that the second half is sent by rail and billed next month."},"logprobs":null,'
    '"finish_reason":"stop"}],"usage":{"prompt_tokens":42,"completion_tokens":58,"total_tokens":100,'
    '"prompt_tokens_details":{"cached_tokens":0}}}'
)
ANSWER = json.loads(COMPLETION.replace("$request_id", "0" * 32))["choices"][0]["message"]["content"]

# One process, so that its processor time is one number and reopening the log is one step. Connections live for ever:
# a peer that reuses them never has to open a second set.
CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    log_format call '$status $connection $content_length $msec $request_time';
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /v1/chat/completions {{
            access_log {root}/calls.log call buffer=64k;
            return 200 '{completion}';
        }}
        location = /v1/models {{
            return 200 '{{"object":"list","data":[{{"id":"{model}","object":"model","owned_by":"bench"}}]}}';
        }}
        location / {{ return 404 '{{"error":{{"message":"no such route"}}}}'; }}
    }}
}}
"""


@dataclass
class Calls:
    """What reached the server between two looks."""

    statuses: Counter
    connections: int
    # Of the bodies, as their Content-Length says; a body without one counts nothing.
    body_bytes: int
    # When the first of them began to be read, in seconds since the epoch; the server's clock has milliseconds.
    first: float

    @property
    def total(self):
        return sum(self.statuses.values())


class Server:
    """nginx in a folder of its own, on a free port. Use it in a `with`."""

    def __init__(self, root: Path):
        self.root = root
        self.log = root / "calls.log"
        root.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self.configuration = root / "nginx.conf"
        text = CONFIGURATION.format(root=root, port=self.port, completion=COMPLETION, model=MODEL)
        self.configuration.write_text(text)

    def __enter__(self):
        command = [find(), "-e", self.root / "error.log", "-p", self.root, "-c", self.configuration]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                errors = (self.root / "error.log").read_text(errors="replace")
                raise SystemExit(f"nginx does not answer at {self.base_url}:\n{errors}")
            time.sleep(0.01)
        return self

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/v1/models")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def cpu_seconds(self) -> float:
        """Processor time so far, in the kernel's ticks of 10 ms."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def take_calls(self) -> Calls:
        """Returns the calls since the last look.

        On SIGUSR1 nginx writes out what it holds back and only then opens a new log, so once there is a new one
        the old one is whole.
        """
        taken = self.root / "calls.taken"
        self.log.rename(taken)
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + PATIENCE
        while not self.log.exists():
            if time.monotonic() > deadline:
                raise SystemExit("nginx did not reopen its log")
            time.sleep(0.001)
        statuses, connections, body_bytes, first = Counter(), set(), 0, float("inf")
        with taken.open() as lines:
            for line in lines:
                status, connection, length, ended, took = line.split()
                statuses[status] += 1
                connections.add(connection)
                body_bytes += 0 if length == "-" else int(length)
                first = min(first, float(ended) - float(took))
        taken.unlink()
        return Calls(statuses, len(connections), body_bytes, first)


def find() -> str:
    """Returns the path of nginx, installing it where it is missing."""
    return install.debian(PACKAGE, "nginx")
