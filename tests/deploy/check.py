#!/usr/bin/env python3
"""Checks everything in deploy/, and the hooks for commits: by other people's schemas, and by doing what they say.

    python3 tests/deploy/check.py target/debug/pipe

check-jsonschema, kubernetes-validate, pre-commit and PyYAML have to be there (beside this interpreter), git and curl in
the path. The steps of both CI files are taken out of them and run with bash in clones of a real repository, with a real
`pipe` that asks tests/fault_server (without faults): request, plan, merge, apply, an edit, an assert beyond `tolerate`, its
end. Every command of every container is run with its own arguments and environment, its paths in a folder of this test.
Not checked, for want of the programs: that Docker builds the image, that a cluster and the two hosts take the files; of
those the form is, and what stands in for the hosts here is what they document.
"""

import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
TOOLS = pathlib.Path(sys.executable).parent

PIPE_YAML = "version: 1\npipelines:\n  talk: { file: pipelines/talk.yaml }\n"
TALK = """\
version: 1
name: talk
actors: { one: {} }
items: { values: [{ topic: tea }, { topic: rain }, { topic: chess }] }
steps:
  say: { chat: { actor: one, prompt: "Speak of {{ item.topic }}." } }
  sum: { chat: { actor: one, prompt: "Sum up {{ steps.say.text }}" } }
  said: { assert: { value: "{{ steps.sum.text }}", matches: "." } }
tolerate: 10%
"""


def fail(message):
    sys.exit(f"deploy: {message}")


def same(got, expected, what):
    if got != expected:
        fail(f"{what}: {got!r} instead of {expected!r}")


def holds(text, part, what):
    if part not in text:
        fail(f"{what}: there is no {part!r} in\n{text}")


def run(arguments, expected=0, **more):
    """Runs a program to its end and holds its exit code against what is expected; none takes any."""
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, **more)
    if expected is not None and done.returncode != expected:
        fail(f"{arguments} left with {done.returncode} instead of {expected}:\n{done.stdout}{done.stderr}")
    return done


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


class World:
    """A folder of this test, with `pipe` in the path and an identity for git."""

    def __init__(self, folder, pipe, models):
        self.folder, self.models = folder, models
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "pipe").symlink_to(pipe)
        self.home = folder / "home"
        self.home.mkdir()

    def environment(self, **more):
        git = {"GIT_CONFIG_NOSYSTEM": "1"}
        for who in ("AUTHOR", "COMMITTER"):
            git |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@example.org"}
        path = f"{self.bin}:{TOOLS}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(self.home), "LC_ALL": "C.UTF-8", **git, **more}

    def git(self, folder, *arguments, expected=0):
        return run(["git", "-C", str(folder), *arguments], expected, env=self.environment())


class Repository:
    """A repository as a host has it, and somebody's clone of it."""

    def __init__(self, world, name):
        self.world = world
        self.origin = world.folder / name / "origin.git"
        self.clone = world.folder / name / "clone"
        self.origin.parent.mkdir()
        run(["git", "init", "-q", "--bare", "-b", "main", str(self.origin)], env=world.environment())
        run(["git", "clone", "-q", str(self.origin), str(self.clone)], env=world.environment())
        self.world.git(self.clone, "checkout", "-q", "-B", "main")
        self.write({"pipe.yaml": PIPE_YAML, "pipelines/talk.yaml": TALK, ".gitignore": ".pipe\nplan.md\n"})

    def write(self, files):
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, message):
        """Commits everything to main and returns its id: what a request proposes, and what its merge gives."""
        self.world.git(self.clone, "add", "-A")
        self.world.git(self.clone, "commit", "-q", "-m", message)
        self.world.git(self.clone, "push", "-q", "origin", "HEAD:main")
        return self.world.git(self.clone, "rev-parse", "HEAD").stdout.strip()


class Builds:
    """What both hosts do alike: a clean checkout for each job, a cache that some of them save."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.repository = Repository(world, name)
        self.cache = world.folder / name / "cache"
        self.count = 0

    def checkout(self, commit):
        self.count += 1
        folder = self.world.folder / self.name / f"job-{self.count}"
        run(["git", "clone", "-q", str(self.repository.origin), str(folder)], env=self.world.environment())
        self.world.git(folder, "checkout", "-q", commit)
        return folder

    def restore(self, folder):
        if self.cache.exists():
            shutil.copytree(self.cache, folder / ".pipe", symlinks=True)

    def save(self, folder):
        if (folder / ".pipe").exists():
            shutil.rmtree(self.cache, ignore_errors=True)
            shutil.copytree(folder / ".pipe", self.cache, symlinks=True)

    def runs(self):
        """The runs that the cache holds, newest first."""
        out = run(["pipe", "runs", "--json"], env=self.world.environment(PIPE_HOME=str(self.cache))).stdout
        return [json.loads(line) for line in out.splitlines()]

    def requests(self):
        """How many requests the newest run sent."""
        out = run(["pipe", "show", "last", "--json"], env=self.world.environment(PIPE_HOME=str(self.cache))).stdout
        return json.loads(out)["answered"]


class GitHub(Builds):
    """The jobs of a workflow, step by step, as a runner takes them."""

    # What the expressions of the file stand for here. One that is not among them is a mistake.
    VALUES = {
        "vars.PIPE_IMAGE": "pipe:latest",
        "secrets.OPENAI_API_KEY || 'none'": "none",
        "github.run_id": "7",
        "github.run_attempt": "1",
    }
    EVENTS = {
        "github.event_name == 'pull_request'": lambda event: event == "pull_request",
        "github.event_name != 'pull_request'": lambda event: event != "pull_request",
    }

    def __init__(self, world):
        super().__init__(world, "github")
        self.values = self.VALUES | {"vars.PIPE_BASE_URL": world.models}
        self.workflow = yaml.safe_load((DEPLOY / "ci/github.yml").read_text())

    def filled(self, text):
        return re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda found: self.values[found[1]], str(text))

    def build(self, event, commit, expected):
        """Runs the jobs of an event; returns what they wrote and their summary."""
        # `on` is a truth value to YAML 1.1.
        if event not in self.workflow.get("on", self.workflow.get(True)):
            fail(f"the workflow does not listen to {event}")
        written, summaries = "", ""
        jobs = [job for job in self.workflow["jobs"].values() if self.EVENTS[job["if"]](event)]
        same(len(jobs), 1, f"jobs of {event}")
        for job in jobs:
            self.filled(job["container"]["image"])
            folder = self.checkout(commit)
            summary = folder.parent / f"summary-{self.count}.md"
            environment = {name: self.filled(value) for name, value in self.workflow["env"].items()}
            environment |= {"GITHUB_WORKSPACE": str(folder), "GITHUB_STEP_SUMMARY": str(summary), "CI": "true"}
            status = 0
            for step in job["steps"]:
                if status != 0 and step.get("if") != "always()":
                    continue
                code, text = self.step(step, folder, environment)
                status, written = status or code, written + text
            same(status, expected, f"the build of {event}, which wrote:\n{written}\n")
            summaries += summary.read_text() if summary.exists() else ""
        return written, summaries

    def step(self, step, folder, environment):
        action = step.get("uses", "").split("@")[0]
        for value in step.get("with", {}).values():
            self.filled(value)
        match action:
            case "actions/checkout":
                return 0, ""
            case "actions/cache/restore":
                same(step["with"]["path"], ".pipe", "what is restored")
                self.restore(folder)
                return 0, ""
            case "actions/cache/save":
                same(step["with"]["path"], ".pipe", "what is saved")
                self.save(folder)
                return 0, ""
            case "":
                script = ["bash", "-e", "-c", step["run"]]
                done = run(script, None, cwd=folder, env=self.world.environment(**environment))
                return done.returncode, done.stdout + done.stderr
            case other:
                fail(f"nobody says here what {other} does")


class GitLab(Builds):
    """The jobs of a pipeline, as a runner takes them."""

    RULES = {
        '$CI_PIPELINE_SOURCE == "merge_request_event"': lambda event: event == "merge_request_event",
        "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH": lambda event: event in ("push", "schedule"),
    }

    def __init__(self, world, notes):
        super().__init__(world, "gitlab")
        self.file = yaml.safe_load((DEPLOY / "ci/gitlab-ci.yml").read_text())
        self.notes = notes

    def build(self, event, commit, expected, **more):
        jobs = [job for job in self.file.values() if isinstance(job, dict) and "stage" in job]
        jobs = [job for job in jobs if any(self.RULES[rule["if"]](event) for rule in job["rules"])]
        same(len(jobs), 1, f"jobs of {event}")
        job = jobs[0]
        folder = self.checkout(commit)
        environment = {name: str(value) for name, value in self.file["variables"].items()}
        environment |= {"CI_PROJECT_DIR": str(folder), "CI": "true", "PIPE_BASE_URL": self.world.models}
        environment |= {"CI_API_V4_URL": self.notes.url, "CI_PROJECT_ID": "12", "CI_MERGE_REQUEST_IID": "34", **more}
        environment = self.world.environment(**environment)
        cache = job["cache"]
        same(cache["paths"], [".pipe/"], "what is kept")
        self.restore(folder)
        lines = [*self.file["default"]["before_script"], *job["script"]]
        done = run(["bash", "-eo", "pipefail", "-c", "\n".join(lines)], None, cwd=folder, env=environment)
        same(done.returncode, expected, f"the build of {event}, which wrote:\n{done.stdout}{done.stderr}\n")
        after = job.get("after_script", [])
        run(["bash", "-eo", "pipefail", "-c", "\n".join(after)], cwd=folder, env=environment)
        if cache.get("policy") != "pull" and (expected == 0 or cache.get("when") == "always"):
            self.save(folder)
        artifacts = [folder / path for path in job.get("artifacts", {}).get("paths", [])]
        return done.stdout + done.stderr, "".join(path.read_text() for path in artifacts if path.exists())


class Notes:
    """Takes comments on a merge request, and remembers them."""

    def __init__(self):
        notes = self
        self.taken = []

        class Turn(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                said = urllib.parse.parse_qs(body)["body"][0]
                notes.taken.append((self.path, self.headers["private-token"], said))
                self.send_response(201)
                self.end_headers()

            def log_message(self, *_):
                """Nobody reads along."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Turn)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/v4"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def cycle(builds, request, merge, timer):
    """A cycle of reviews: what each build says, what is asked, and what makes one fail."""
    repository = builds.repository
    first = repository.commit("An experiment")
    said, plan = builds.build(request, first, 0)
    for part in ("### Plan of", "1 new", "`talk`"):
        holds(plan, part, "the plan of a first request")
    same(builds.cache.exists(), False, "a request leaves runs")
    builds.build(merge, first, 0)
    same((len(builds.runs()), builds.requests()), (1, 6), "the runs of a merge, and what was asked")
    builds.build(timer, first, 0)
    same(len(builds.runs()), 1, "runs when nothing differs")

    shorter = TALK.replace("Sum up", "Sum up in a word:")
    repository.write({"pipelines/talk.yaml": shorter})
    edited = repository.commit("Shorter")
    _, plan = builds.build(request, edited, 0)
    for part in ("1 changed", "sum changed", "| 3 |"):
        holds(plan, part, "the plan of an edit")
    builds.build(merge, edited, 0)
    same((len(builds.runs()), builds.requests()), (2, 3), "only the edited step is asked")

    repository.write({"pipelines/talk.yaml": TALK.replace("actor: one", "actor: nobody", 1)})
    wrong = repository.commit("A mistake")
    said, _ = builds.build(request, wrong, 3)
    holds(said, "nobody", "what is wrong")

    # One of three rows is beyond 10 %.
    failing = shorter.replace('matches: "."', "expr: item.topic != 'rain'")
    repository.write({"pipelines/talk.yaml": failing})
    beyond = repository.commit("A claim that does not hold")
    builds.build(request, beyond, 0)
    builds.build(merge, beyond, 1)
    same((len(builds.runs()), builds.requests()), (3, 0), "an assert asks nothing, and its run is kept")
    builds.build(timer, beyond, 1)

    repository.write({"pipelines/talk.yaml": failing.replace("10%", "50%")})
    builds.build(merge, repository.commit("Some may fail"), 0)
    return wrong


def ci(world):
    hub = GitHub(world)
    wrong = cycle(hub, "pull_request", "push", "schedule")
    said, _ = hub.build("pull_request", wrong, 3)
    holds(said, "::error file=pipelines/talk.yaml,line=", "an annotation")
    _, summary = hub.build("workflow_dispatch", hub.world.git(hub.repository.clone, "rev-parse", "HEAD").stdout.strip(), 0)
    holds(summary, "### Runs", "the summary of a merge")

    notes = Notes()
    lab = GitLab(world, notes)
    cycle(lab, "merge_request_event", "push", "schedule")
    same(notes.taken, [], "comments without a token")
    head = lab.world.git(lab.repository.clone, "rev-parse", "HEAD").stdout.strip()
    _, plan = lab.build("merge_request_event", head, 0, PIPE_COMMENT_TOKEN="glpat-test")
    same(notes.taken, [("/api/v4/projects/12/merge_requests/34/notes", "glpat-test", plan)], "the comment")


BAD = TALK.replace("actor: one", "actor: nobody", 1)


def hooks(world):
    # The plain script: what is staged counts, not what lies there.
    plain = Repository(world, "plain")
    shutil.copy(DEPLOY / "ci/pre-commit", plain.clone / ".git/hooks/pre-commit")
    plain.commit("Good")
    plain.write({"pipelines/talk.yaml": BAD})
    plain.world.git(plain.clone, "add", "-A")
    plain.write({"pipelines/talk.yaml": TALK})
    refused = plain.world.git(plain.clone, "commit", "-q", "-m", "Bad", expected=1)
    holds(refused.stderr, "nobody", "what the hook says")
    plain.world.git(plain.clone, "add", "-A")
    plain.write({"pipelines/talk.yaml": BAD, "notes.txt": "hello"})
    plain.world.git(plain.clone, "add", "notes.txt")
    plain.world.git(plain.clone, "commit", "-q", "-m", "Only notes are staged")
    plain.write({"pipelines/talk.yaml": TALK, "pipe.yaml": PIPE_YAML.replace("talk.yaml", "gone.yaml")})
    plain.world.git(plain.clone, "add", "-A")
    refused = plain.world.git(plain.clone, "commit", "-q", "-m", "Bad", expected=1)
    holds(refused.stderr, "gone.yaml", "what the hook says of pipe.yaml")

    # The framework, from a repository that has the hooks as this one has.
    source = world.folder / "hooks"
    source.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", source)
    world.git(source, "init", "-q", "-b", "main")
    world.git(source, "add", "-A")
    world.git(source, "commit", "-q", "-m", "Hooks")
    revision = world.git(source, "rev-parse", "HEAD").stdout.strip()
    run([str(TOOLS / "pre-commit"), "validate-manifest", str(source / ".pre-commit-hooks.yaml")], env=world.environment())
    ids = [hook["id"] for hook in yaml.safe_load((source / ".pre-commit-hooks.yaml").read_text())]
    framed = Repository(world, "framed")
    uses = {"repos": [{"repo": str(source), "rev": revision, "hooks": [{"id": name} for name in ids]}]}
    framed.write({".pre-commit-config.yaml": yaml.safe_dump(uses)})
    run([str(TOOLS / "pre-commit"), "install"], cwd=framed.clone, env=world.environment())
    framed.commit("Good")
    framed.write({"pipelines/talk.yaml": BAD})
    framed.world.git(framed.clone, "add", "-A")
    refused = framed.world.git(framed.clone, "commit", "-q", "-m", "Bad", expected=1)
    said = refused.stdout + refused.stderr
    for part in ("pipe check", "Failed", "nobody", "pipelines/talk.yaml"):
        holds(said, part, "what the framework says")


def pods(path):
    """The pods of a manifest, each with the name of what makes it."""
    for one in documents(path):
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield one["metadata"]["name"], spec["template"]["spec"]


def secured(name, pod):
    """What every one of ours has to have."""
    same(pod["securityContext"]["runAsNonRoot"], True, f"{name} as root")
    for container in pod["containers"]:
        context, resources = container["securityContext"], container["resources"]
        same((context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]), (True, False), name)
        same(context["capabilities"], {"drop": ["ALL"]}, name)
        if not resources.get("requests") or "memory" not in resources.get("limits", {}):
            fail(f"{name} says not what it needs")


class Node:
    """Lays out volumes as a kubelet does, and runs a container's arguments against them."""

    def __init__(self, world, maps):
        self.world, self.maps = world, maps
        self.claims = world.folder / "claims"

    def mounts(self, pod, container, environment):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "configMap" in volume:
                place = self.config_map(volume["configMap"]["name"])
            elif "emptyDir" in volume:
                place = pathlib.Path(tempfile.mkdtemp(dir=self.world.folder))
            else:
                place = self.claims / volume["persistentVolumeClaim"]["claimName"]
                place /= self.expanded(mount.get("subPathExpr", ""), environment)
                place.mkdir(parents=True, exist_ok=True)
            yield mount["mountPath"], place

    def config_map(self, name):
        """The files of a ConfigMap are links into a folder that is replaced as a whole."""
        place = pathlib.Path(tempfile.mkdtemp(dir=self.world.folder))
        (place / "..2026_11_22").mkdir()
        (place / "..data").symlink_to("..2026_11_22")
        for file, text in self.maps[name].items():
            (place / "..2026_11_22" / file).write_text(text)
            (place / file).symlink_to(f"..data/{file}")
        return place

    @staticmethod
    def expanded(text, environment):
        return re.sub(r"\$\(([A-Z_]+)\)", lambda found: environment[found[1]], text)

    def start(self, pod, fields):
        """Runs the only container of a pod to its end; `fields` are its own, such as the index of its Job."""
        arguments, environment, mounts = self.prepared(pod, fields)
        run(["pipe", *arguments], env=environment)
        return mounts

    def prepared(self, pod, fields):
        """The arguments and the environment of a pod's only container, with the places of its volumes."""
        (container,) = pod["containers"]
        environment = {}
        for variable in container["env"]:
            source = variable.get("valueFrom", {})
            if "fieldRef" in source:
                environment[variable["name"]] = fields[source["fieldRef"]["fieldPath"]]
            elif "value" in variable:
                environment[variable["name"]] = self.expanded(variable["value"], environment)
            elif not source["secretKeyRef"]["optional"]:
                fail(f"{variable['name']} has no value")
        mounts = dict(self.mounts(pod, container, environment))

        def here(text):
            text = self.expanded(text, environment)
            for path, place in mounts.items():
                if text == path or text.startswith(path + "/"):
                    return str(place) + text[len(path):]
            return text

        arguments = [here(argument) for argument in container["args"]]
        environment = {name: here(value) for name, value in environment.items()}
        same(environment["PIPE_BASE_URL"], "http://model:11434/v1", "where models answer")
        return arguments, self.world.environment(**environment | {"PIPE_BASE_URL": self.world.models}), mounts


def until(what, holds_now):
    """Waits for what a program does on its own."""
    late = time.monotonic() + 60
    while not (value := holds_now()):
        if time.monotonic() > late:
            fail(f"after a minute there is not yet {what}")
        time.sleep(0.05)
    return value


def answered(url):
    """What a page says; none while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return page.read().decode()
    except OSError:
        return None


def reconciles(world, name, arguments, environment, page):
    """Starts `pipe gitops` as a file has it, but for the repository and the port: it follows a branch until it is told to go."""
    repository = Repository(world, name)
    repository.commit("An experiment")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    values = dict(zip(arguments, arguments[1:], strict=False))
    for option in ("--repo", "--branch", "--listen", "--pass-env"):
        if option not in values:
            fail(f"{name} has no {option}")
    same((values["--branch"], values["--pass-env"]), ("main", "PIPE_BASE_URL"), name)
    there = {values["--repo"]: f"file://{repository.origin}", values["--listen"]: address}
    arguments = [there.get(argument, argument) for argument in arguments]
    told = open(world.folder / f"{name}.log", "w")
    more = ["--allow-protocol", "file", "--interval", "1s"]
    process = subprocess.Popen(["pipe", *arguments, *more], env=environment, stdout=told, stderr=told)
    try:
        until(f"an answer of {page}", lambda: answered(f"http://{address}{page}"))

        def runs(count):
            lines = run(["pipe", "runs", "--json"], None, env=environment).stdout.splitlines()
            complete = [line for line in lines if json.loads(line).get("status") == "complete"]
            return len(complete) == count

        until("a run", lambda: runs(1))
        repository.write({"pipelines/talk.yaml": TALK.replace("Sum up", "Sum up in a word:")})
        repository.commit("Shorter")
        until("a run of the edit", lambda: runs(2))
    finally:
        process.terminate()
        left = process.wait(60)
        told.close()
    same(left, 143, f"how {name} leaves:\n{(world.folder / f'{name}.log').read_text()}\n")


def compose(world):
    file = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = dict(file["services"])
    for included in file["include"]:
        services |= yaml.safe_load((DEPLOY / included).read_text())["services"]
    for name, service in file["services"].items():
        for other in service.get("depends_on", []):
            if other not in services:
                fail(f"{name} waits for {other}, which is not there")
    pipe = file["services"]["pipe"]
    same((DEPLOY / pipe["build"]["context"] / pipe["build"]["dockerfile"]).resolve(), DEPLOY / "Dockerfile", "the image")
    values = {"REPO": "https://git.example.org/team/experiments.git"}

    def filled(text):
        given = lambda found: values.get(found[1], (found[2] or "")[2:])
        return re.sub(r"\$\{([A-Z_]+)(:[-?][^}]*)?\}", given, str(text))

    environment = {name: filled(value) for name, value in pipe["environment"].items()}
    for name in ("PIPE_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        address = urllib.parse.urlsplit(environment[name])
        ports = [str(port) for port in services[address.hostname]["ports"]]
        same(any(port.endswith(f":{address.port}") for port in ports), True, f"{name} is a port of a service")
    # Nobody collects here.
    del environment["OTEL_EXPORTER_OTLP_ENDPOINT"]
    environment |= {"PIPE_BASE_URL": world.models, "PIPE_HOME": str(world.folder / "compose-home")}
    arguments = [filled(argument) for argument in pipe["command"]]
    environment = world.environment(**environment)
    reconciles(world, "compose", arguments, environment, "/status")
    overlay = yaml.safe_load((DEPLOY / "compose.gpu.yaml").read_text())["services"]
    same(set(overlay) - set(services), set(), "services of compose.gpu.yaml that are not there")


def kubernetes(world):
    folder = DEPLOY / "kubernetes"
    files = sorted(path for path in folder.glob("*.yaml") if path.name != "kustomization.yaml")
    told = run([str(TOOLS / "kubernetes-validate"), "--strict", *map(str, files)])
    same(told.stdout.count("WARN") + told.stderr.count("WARN"), 0, f"warnings:\n{told.stdout}{told.stderr}")
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for name in kustomization["resources"]:
        if not (folder / name).exists():
            fail(f"kustomization.yaml names {name}, which is not there")
    alone = {path.name for path in files} - set(kustomization["resources"])
    same(alone, {"job-sharded.yaml", "gitops.yaml"}, "manifests that nothing names")
    for path in files:
        for name, pod in pods(path):
            secured(name, pod)

    maps = {one["metadata"]["name"]: one["data"] for one in documents(folder / "configmap.yaml")}
    node = Node(world, maps)
    ((_, cron),) = pods(folder / "cronjob.yaml")
    mounts = node.start(cron, {})
    place = mounts["/project"]
    run(["pipe", "check", *map(str, sorted(place.glob("[a-z]*s.yaml"))), str(place / "shard.yaml")], env=world.environment())
    home = world.environment(PIPE_HOME=str(mounts["/state"] / "home"))
    same(len(run(["pipe", "runs", "--json"], env=home).stdout.splitlines()), 1, "runs of the CronJob")
    node.start(cron, {})
    same(len(run(["pipe", "runs", "--json"], env=home).stdout.splitlines()), 1, "runs of the second night")

    ((_, sharded),) = pods(folder / "job-sharded.yaml")
    (job,) = documents(folder / "job-sharded.yaml")
    field = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    countries = []
    for index in range(job["spec"]["completions"]):
        for _ in range(2):  # the second time as a pod that is begun again
            mounts = node.start(sharded, {field: str(index)})
        rows = (mounts["/state"] / "results.jsonl").read_text().splitlines()
        same(len(rows), 2, f"rows of part {index}")
        countries += [json.loads(row)["country"] for row in rows]
    listed = [line.split(",")[1] for line in maps["experiments"]["countries.csv"].splitlines()[1:]]
    same(sorted(countries), sorted(listed), "all parts together")

    ((_, gitops),) = pods(folder / "gitops.yaml")
    probe = gitops["containers"][0]["readinessProbe"]["httpGet"]["path"]
    arguments, environment, _ = node.prepared(gitops, {})
    # A home of its own: the CronJob's is another way to the same.
    environment["PIPE_HOME"] += "-gitops"
    reconciles(world, "gitops", arguments, environment, probe)

    device = [pod for _, pod in pods(folder / "model.yaml")][0]["containers"][0]["resources"]["limits"]
    same(device.get("nvidia.com/gpu"), "1", "the device of the model server")


def image():
    """The Dockerfile copies what the build needs, and nothing that is not there."""
    text = (DEPLOY / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M)
    names = [name for line in copied for name in line.split()]
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    same(sorted(names), sorted(kept), "what is sent to the build, and what it copies")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (pathlib.Path(folder) / name).symlink_to(ROOT / name)
        metadata = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1", "--manifest-path"]
        told = json.loads(run([*metadata, str(pathlib.Path(folder) / "Cargo.toml")]).stdout)
    programs = [target["name"] for target in told["packages"][0]["targets"] if "bin" in target["kind"]]
    same("pipe" in programs and "--bin pipe" in text, True, "the program that is built")
    least = tuple(map(int, told["packages"][0]["rust_version"].split(".")[:2]))
    have = tuple(map(int, re.search(r"^FROM rust:(\d+)\.(\d+)", text, re.M).groups()))
    if have < least:
        fail(f"the image builds with Rust {have}, the program needs {least}")


def schemas():
    check = str(TOOLS / "check-jsonschema")
    run([check, "--builtin-schema", "vendor.github-workflows", str(DEPLOY / "ci/github.yml")])
    gitlab = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    run([check, *gitlab, str(DEPLOY / "ci/gitlab-ci.yml")])
    for path in [*sorted(DEPLOY.glob("compose*.yaml")), ROOT / "otel/compose.yaml"]:
        run([check, "--builtin-schema", "vendor.compose-spec", str(path)])


def main():
    pipe = pathlib.Path(sys.argv[1]).resolve()
    server = [sys.executable, str(ROOT / "tests/fault_server/server.py"), "--tied"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(server, text=True, **pipes) as models:
        world = World(pathlib.Path(folder), pipe, models.stdout.readline().strip() + "/v1")
        schemas()
        image()
        hooks(world)
        ci(world)
        kubernetes(world)
        compose(world)
        models.stdin.close()
    print("deploy: every file fits its schema, and does what it says")


if __name__ == "__main__":
    main()
