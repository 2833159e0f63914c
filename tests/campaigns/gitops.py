"""C18: a branch that is followed while it is pushed to, forced elsewhere, broken, cut off; and its follower killed.

Each revision writes its number into the pipeline, into a prompt that this includes, and into the rows: whatever a run was
asked has to bear one number alone, that of the commit which the run says it is of.
"""

import dataclasses
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from campaign import Outcome
from gitops_oracle import ITEMS, Accounts, Run, violations

# No case takes a tenth of it on a slow machine.
PATIENCE_S = 90
PIPELINE = """\
version: 1
name: {name}
limits: {{ concurrency: 2 }}
items: {{ path: rows.jsonl, id: id }}
actors: {{ ada: {{ system: "This is rev-{number}-.", max_tokens: 8 }} }}
steps:
  say: {{ chat: {{ actor: ada, prompt: "file://prompts/say.md" }} }}
"""
PROJECT = """\
version: 1
pipelines:
  one: {{ file: one.yaml, backend: "{backend}" }}
  two: {{ file: two.yaml, backend: "{backend}" }}
"""
BROKEN = {
    "no YAML": ("one.yaml", "version: [1\n"),
    "no such step": ("two.yaml", PIPELINE.format(name="two", number=0).replace("chat:", "chatt:")),
    "no project": ("pipe.yaml", "version: 1\npipelines: 7\n"),
    "a prompt outside": ("one.yaml", PIPELINE.format(name="one", number=0).replace("prompts/say.md", "../../../status.json")),
}


class Host(http.server.ThreadingHTTPServer):
    """Serves real repositories by `git http-backend`; may be away, or cut its answers off."""

    daemon_threads = True

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), Cgi)
        self.root = root
        self.mood = "serves"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/project.git"

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that was killed is no failure of the host."""


class Cgi(http.server.BaseHTTPRequestHandler):
    """A bridge to `git http-backend`."""

    def log_message(self, *_):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.server.mood == "away":
            self.send_error(503)
            return
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("content-type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("git-protocol", ""), "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(rest)))
        self.end_headers()
        if self.server.mood == "cut" and path.endswith("git-upload-pack"):
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    do_GET = do_POST = answer


@dataclasses.dataclass
class Case:
    """A host, what was pushed to it, and who follows."""

    folder: pathlib.Path
    pipe: str
    host: Host
    # Random numbers of its own.
    dice: object
    # Commit → number of the revision; none for a broken one.
    pushed: dict
    follower: subprocess.Popen = None
    hits: int = 0
    statuses: list = dataclasses.field(default_factory=list)
    followers: list = dataclasses.field(default_factory=list)
    known: set = dataclasses.field(default_factory=set)
    seconds: list = dataclasses.field(default_factory=list)
    troubles: list = dataclasses.field(default_factory=list)

    def git(self, *arguments):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        for who in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{who}_NAME": "Ann", f"GIT_{who}_EMAIL": "ann@example.org"}
        done = subprocess.run(["git", *arguments], cwd=self.folder / "copy", env=environment, capture_output=True,
                              text=True, check=True)
        return done.stdout.strip()

    def write(self, number, backend):
        copy = self.folder / "copy"
        (copy / "prompts").mkdir(exist_ok=True)
        (copy / "prompts/say.md").write_text(f"Answer {{{{ item.id }}}} of rev-{number}- and {{{{ item.rev }}}}\n")
        (copy / "rows.jsonl").write_text(
            "".join(json.dumps({"id": at, "rev": f"rev-{number}-"}) + "\n" for at in range(ITEMS)))
        for name in ("one", "two"):
            (copy / f"{name}.yaml").write_text(PIPELINE.format(name=name, number=number))
        (copy / "pipe.yaml").write_text(PROJECT.format(backend=backend))

    def push(self, number, force=False, broken=None):
        """Pushes a revision; one that is forced has nothing in common with what was there."""
        if force:
            self.git("checkout", "--quiet", "--orphan", f"other-{len(self.pushed)}")
        self.write(number, self.dice.choice(["sim", "sim", "sim:4"]))
        if broken:
            name, text = BROKEN[broken]
            (self.folder / "copy" / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")
        commit = self.git("rev-parse", "HEAD")
        self.pushed[commit] = None if broken else number
        self.git("push", "--quiet", "--force", str(self.folder / "hosted/project.git"), "HEAD:refs/heads/main")
        if force:
            bare = self.folder / "hosted/project.git"
            subprocess.run(["git", "-C", str(bare), "gc", "--quiet", "--prune=now"], check=True, capture_output=True)
        return commit

    def start(self):
        """Starts one that follows, whatever others do."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PIPE_HOME": str(self.folder / "home")}
        arguments = ["gitops", "--repo", self.host.url, "--allow-protocol", "http", "--interval", "1s", "--json"]
        talk = (self.folder / "talk").open("a")
        return subprocess.Popen([self.pipe, *arguments], cwd=self.folder, env=environment, stdout=talk, stderr=talk)

    def follow(self):
        """Starts the one that is to follow from now on."""
        self.follower = self.start()
        self.followers.append(self.follower.pid)

    def status(self):
        """Reads the status, which is whole at any time, and keeps it with the names of the runs."""
        self.known |= {path.parent.name for path in (self.folder / "home").glob("runs/*/journal.db")}
        for path in (self.folder / "home").glob("gitops/*/status.json"):
            try:
                status = json.loads(path.read_text())
            except ValueError as error:
                self.troubles.append(f"torn-status: {error}")
                continue
            if not self.statuses or self.statuses[-1] != status:
                self.statuses.append(status)
            return status
        return {}

    def watch(self, seconds):
        """Waits, and looks at what there is."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.status()
            time.sleep(0.02)

    def disturb(self, number):
        """Does one thing that may happen to a branch, a host or a follower; returns whether it is one that hurts."""
        what = self.dice.choice(["push", "force", "broken", "away", "cut", "kill", "second", "damage"])
        if what == "push":
            self.push(number)
        elif what == "force":
            self.push(number, force=True)
        elif what == "broken":
            self.push(number, broken=self.dice.choice(sorted(BROKEN)))
        elif what in ("away", "cut"):
            self.host.mood = what
            self.push(number)
            self.watch(self.dice.uniform(0.2, 1.5))
            self.host.mood = "serves"
        elif what == "kill":
            self.follower.kill()
            self.follower.wait(PATIENCE_S)
            self.follow()
        elif what == "second":
            self.seconds.append(self.second())
        elif what == "damage":
            # As a process or a disk leaves it that dies: only while nobody works on it.
            self.follower.kill()
            self.follower.wait(PATIENCE_S)
            for mirror in (self.folder / "home").glob("gitops/*/mirror.git"):
                files = sorted(path for path in mirror.rglob("*") if path.is_file())
                path = self.dice.choice(files)
                path.chmod(0o600)
                path.write_bytes(self.dice.choice([b"", path.read_bytes()[: path.stat().st_size // 2], b"\0" * 64]))
            self.push(number)
            self.follow()
        return what != "push"

    def second(self):
        """Starts another one beside the follower; returns how it ended, none when it stays."""
        second = self.start()
        ends = time.monotonic() + PATIENCE_S
        while second.poll() is None and time.monotonic() < ends and not self.is_shared():
            self.status()
            time.sleep(0.02)
        if second.poll() is None:
            second.kill()
            second.wait(PATIENCE_S)
            return None
        return second.returncode

    def is_shared(self):
        """Tells whether a process wrote the status again after another one did."""
        writers = [status["pid"] for status in self.statuses]
        changes = [one for one, before in zip(writers, [None, *writers]) if one != before]
        return len(changes) != len(set(changes))

    def settle(self, commit):
        """Waits until the runs are those of a commit."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            status = self.status()
            if status.get("state") == "in_sync" and status.get("applied") == commit:
                return True
            if self.follower.poll() is not None:
                self.troubles.append(f"died: the follower ended with {self.follower.returncode}")
                return False
            time.sleep(0.05)
        self.troubles.append(f"no-end: {json.dumps(self.status())[:600]}")
        return False

    def ask(self, *arguments):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PIPE_HOME": str(self.folder / "home")}
        return subprocess.run([self.pipe, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True,
                              check=False)

    def accounts(self, last):
        """Reads every run."""
        listed = [json.loads(line) for line in self.ask("runs", "--json").stdout.splitlines()]
        statuses = {run["run"]: run["status"] for run in listed}
        runs = []
        for folder in sorted((self.folder / "home/runs").iterdir()):
            shown = self.ask("show", folder.name, "--provenance", "--json")
            if shown.returncode != 0:
                # Killed before its first event was there.
                if (folder / "journal.db").exists() and "no events" not in shown.stderr:
                    runs.append(Run(folder.name, trouble=shown.stderr.strip()[:200]))
                else:
                    self.known.discard(folder.name)
                continue
            told = json.loads(shown.stdout)
            requests = [json.loads(line) for line in self.ask("export", folder.name).stdout.splitlines()]
            asked = [message["content"] for request in requests for message in request["body"]["messages"]]
            rows = [json.loads(line) for line in self.ask("results", folder.name).stdout.splitlines()]
            commit = (told.get("provenance") or {}).get("commit") or {}
            runs.append(Run(folder.name, told["file"], commit.get("id", ""), statuses.get(folder.name, ""), asked, rows))
        return Accounts(self.pushed, last, runs, self.statuses, self.followers, self.known, self.seconds, self.troubles)


def begin(world, number):
    """A host with its first revision, and a follower of it."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=world.folder, prefix=f"gitops-{number}-"))
    (folder / "hosted").mkdir()
    for arguments in (["--bare", "hosted/project.git"], ["copy"]):
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", *arguments], cwd=folder, check=True)
    case = Case(folder, world.pipe, Host(folder / "hosted"), world.dice("C18", number), {})
    case.push(0)
    case.follow()
    return case


def end(case):
    """Leaves nothing running."""
    if case.follower and case.follower.poll() is None:
        case.follower.kill()
        case.follower.wait(PATIENCE_S)
    case.host.close()


def leave(case):
    """Asks the follower to leave in order."""
    case.follower.send_signal(signal.SIGTERM)
    if (code := case.follower.wait(PATIENCE_S)) != 143:
        case.troubles.append(f"left-with: {code}")
    case.status()


def followed(world, number):
    case = begin(world, number)
    try:
        for at in range(1, case.dice.randint(3, 6)):
            case.watch(case.dice.uniform(0, 1.2))
            case.hits += case.disturb(at)
        last = case.push(99)
        if case.settle(last):
            leave(case)
            found = violations(case.accounts(last))
        else:
            found = case.troubles
    finally:
        end(case)
    if not found:
        shutil.rmtree(case.folder)
    return Outcome(found, hits=case.hits)
