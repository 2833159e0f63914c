"""C18: a branch that is followed while it is pushed to, forced elsewhere, broken, cut off; and its follower killed.

Each revision writes its number into the pipeline, into a prompt that this includes, and into the rows: whatever a run was
asked has to bear one number alone, that of the commit which the run says it is of.
"""

import dataclasses
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from campaign import Outcome

# No case takes a tenth of it on a slow machine.
PATIENCE_S = 90
ITEMS = 6
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
    violations: list = dataclasses.field(default_factory=list)

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

    def follow(self):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PIPE_HOME": str(self.folder / "home")}
        arguments = ["gitops", "--repo", self.host.url, "--allow-protocol", "http", "--interval", "1s", "--json"]
        talk = (self.folder / "talk").open("a")
        return subprocess.Popen([self.pipe, *arguments], cwd=self.folder, env=environment, stdout=talk, stderr=talk)

    def status(self):
        """Reads the status, which is whole at any time."""
        for path in (self.folder / "home").glob("gitops/*/status.json"):
            try:
                return json.loads(path.read_text())
            except ValueError as error:
                self.violations.append(f"torn-status: {error}")
        return {}

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
            time.sleep(self.dice.uniform(0.2, 1.5))
            self.host.mood = "serves"
        elif what == "kill":
            self.follower.kill()
            self.follower.wait(PATIENCE_S)
            self.follower = self.follow()
        elif what == "second":
            second = self.follow()
            code = second.wait(PATIENCE_S)
            if code != 2:
                self.violations.append(f"two-reconcilers: the second ended with {code}")
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
            self.follower = self.follow()
        return what != "push"

    def settle(self, commit):
        """Waits until the runs are those of a commit."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            status = self.status()
            if status.get("state") == "in_sync" and status.get("applied") == commit:
                return True
            if self.follower.poll() is not None:
                self.violations.append(f"died: the follower ended with {self.follower.returncode}")
                return False
            time.sleep(0.05)
        self.violations.append(f"no-end: {json.dumps(self.status())[:600]}")
        return False

    def ask(self, *arguments):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PIPE_HOME": str(self.folder / "home")}
        return subprocess.run([self.pipe, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True,
                              check=False)

    def audit(self, last):
        """Reads every run: of one commit, that was pushed and is no broken one, and asked by its words alone."""
        complete = set()
        for run in sorted((self.folder / "home/runs").iterdir()):
            shown = self.ask("show", run.name, "--provenance", "--json")
            if shown.returncode != 0:
                # Killed before its first event was there.
                if (run / "journal.db").exists() and "no events" not in shown.stderr:
                    self.violations.append(f"unreadable: {run.name}: {shown.stderr.strip()[:200]}")
                continue
            commits = set(re.findall(r"\b[0-9a-f]{40}\b", shown.stdout)) & set(self.pushed)
            numbers = set(re.findall(r"rev-(\d+)-", self.ask("export", run.name).stdout))
            if len(commits) != 1:
                self.violations.append(f"no-commit: {run.name} is of {sorted(commits)}")
                continue
            commit = commits.pop()
            number = self.pushed[commit]
            if number is None:
                self.violations.append(f"broken-applied: {run.name} is of a commit that is wrong")
            elif numbers - {str(number)}:
                self.violations.append(f"mix: {run.name} is of rev-{number}- and asked of {sorted(numbers)}")
            if commit == last:
                if numbers != {str(number)}:
                    self.violations.append(f"not-asked: {run.name} was asked of {sorted(numbers)}")
                rows = [json.loads(line) for line in self.ask("results", run.name).stdout.splitlines()]
                if len(rows) == ITEMS and all(row["rev"] == f"rev-{number}-" and row["status"] == "ok" for row in rows):
                    complete.add(run.name.split("-")[0])
        if complete != {"one", "two"}:
            self.violations.append(f"not-applied: of the last commit there is {sorted(complete)}")


def followed(world, number):
    folder = pathlib.Path(tempfile.mkdtemp(dir=world.folder, prefix=f"gitops-{number}-"))
    (folder / "hosted").mkdir()
    for arguments in (["--bare", "hosted/project.git"], ["copy"]):
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", *arguments], cwd=folder, check=True)
    case = Case(folder, world.pipe, Host(folder / "hosted"), world.dice("C18", number), {})
    try:
        case.push(0)
        case.follower = case.follow()
        for at in range(1, case.dice.randint(3, 6)):
            time.sleep(case.dice.uniform(0, 1.2))
            case.hits += case.disturb(at)
        last = case.push(99)
        if case.settle(last):
            case.follower.send_signal(signal.SIGTERM)
            if (code := case.follower.wait(PATIENCE_S)) != 143:
                case.violations.append(f"left-with: {code}")
            case.audit(last)
    finally:
        if case.follower and case.follower.poll() is None:
            case.follower.kill()
            case.follower.wait(PATIENCE_S)
        case.host.close()
    if not case.violations:
        shutil.rmtree(folder)
    return Outcome(case.violations, hits=case.hits)
