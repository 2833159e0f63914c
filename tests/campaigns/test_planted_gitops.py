#!/usr/bin/env python3
"""Plants the bugs that a reconciler could have: campaign C18 must catch each, by name.

    python3 tests/campaigns/test_planted_gitops.py PATH_OF_PIPE

Some are done for real in a copy of the home, by what a buggy reconciler would have done: `pipe apply` of a tree that is not
that of a commit, a lock that holds nobody out. The others are planted in the accounts of a case that held.
"""

import copy
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # caches stay out of the tree
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import gitops  # noqa: E402
import gitops_oracle  # noqa: E402
from world import World  # noqa: E402

PIPE = os.environ.get("PIPE", "pipe")
NEVER = "f" * 40


class Planted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pipe-planted-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.world = World(PIPE, cls.folder.name, 1)
        cls.addClassCleanup(cls.world.close)
        cls.case = gitops.begin(cls.world, "planted")
        cls.addClassCleanup(gitops.end, cls.case)
        cls.first = next(iter(cls.case.pushed))
        assert cls.case.settle(cls.first), cls.case.troubles
        cls.broken = cls.case.push(1, broken="no such step")
        while cls.case.status().get("state") != "refused":
            cls.case.watch(0.02)
        cls.case.follower.kill()
        cls.case.follower.wait()
        cls.case.follow()
        cls.last = cls.case.push(2)
        assert cls.case.settle(cls.last), cls.case.troubles
        gitops.leave(cls.case)
        cls.sound = cls.case.accounts(cls.last)

    def accounts(self):
        """Returns a copy of the accounts, to plant a bug in."""
        return copy.deepcopy(self.sound)

    def caught(self, name, accounts):
        found = gitops_oracle.violations(accounts)
        self.assertTrue(any(violation.startswith(name) for violation in found), f"{name} is not in {found}")

    def of(self, accounts, commit):
        return next(run for run in accounts.runs if run.commit == commit)

    def status(self, accounts, state):
        return next(status for status in accounts.statuses if status["state"] == state)

    # --- in the accounts ---

    def test_nothing_planted_is_nothing_caught(self):
        self.assertEqual(gitops_oracle.violations(self.sound), [])
        self.assertEqual(len(self.sound.runs), 4)
        states = {status["state"] for status in self.sound.statuses}
        self.assertTrue({"refused", "in_sync", "left"} <= states, states)
        self.assertEqual(len(self.sound.followers), 2)

    def test_two_revisions_in_one_run(self):
        accounts = self.accounts()
        run = self.of(accounts, self.last)
        run.asked[1] = run.asked[1].replace("rev-2-", "rev-0-")
        self.caught(f"mix: {run.name} is of rev-2-", accounts)
        accounts = self.accounts()
        self.of(accounts, self.first).rows[-1]["rev"] = "rev-2-"
        self.caught("mix: ", accounts)

    def test_commit_that_was_never_pushed(self):
        accounts = self.accounts()
        self.of(accounts, self.first).commit = NEVER
        self.caught("never-pushed", accounts)
        accounts = self.accounts()
        self.status(accounts, "in_sync")["applied"] = NEVER
        self.caught("never-pushed: the status has applied", accounts)

    def test_run_that_does_not_say_its_commit(self):
        accounts = self.accounts()
        self.of(accounts, self.first).commit = ""
        self.caught("no-commit", accounts)

    def test_broken_revision_applied(self):
        accounts = self.accounts()
        self.of(accounts, self.first).commit = self.broken
        self.caught("broken-applied: one-", accounts)
        accounts = self.accounts()
        self.status(accounts, "refused")["good"] = self.broken
        self.caught("broken-applied: the status has good", accounts)

    def test_last_good_not_kept(self):
        accounts = self.accounts()
        self.status(accounts, "refused")["good"] = None
        self.caught("last-good-lost: the status has none while it is refused", accounts)

    def test_runs_of_the_last_good_deleted(self):
        accounts = self.accounts()
        accounts.runs.remove(self.of(accounts, self.first))
        self.caught("run-lost", accounts)

    def test_two_reconcilers(self):
        accounts = self.accounts()
        accounts.statuses.append({**accounts.statuses[-1], "pid": accounts.followers[0]})
        self.caught("two-reconcilers: ", accounts)
        accounts = self.accounts()
        accounts.statuses.append({**accounts.statuses[-1], "pid": 1})
        self.caught("two-reconcilers: 1 writes the status, and was not to follow", accounts)
        accounts = self.accounts()
        accounts.seconds = [2, 0]
        self.caught("two-reconcilers: the second ended with 0", accounts)

    def test_half_a_tree(self):
        accounts = self.accounts()
        self.of(accounts, self.first).rows.pop()
        self.caught("half-tree", accounts)
        accounts = self.accounts()
        run = self.of(accounts, self.first)
        run.asked = [text.split(" and")[0] for text in run.asked]
        self.caught(f"half-tree: {run.name} was asked 'Answer", accounts)
        accounts = self.accounts()
        run = self.of(accounts, self.first)
        run.file = run.file.replace(self.first, ".part")
        self.caught(f"half-tree: {run.name} was read from", accounts)

    def test_last_commit_not_applied(self):
        accounts = self.accounts()
        self.of(accounts, self.last).status = "stopped"
        self.caught("not-applied", accounts)
        accounts = self.accounts()
        self.of(accounts, self.last).rows[0]["status"] = "failed"
        self.caught("not-applied", accounts)

    def test_run_that_cannot_be_read(self):
        accounts = self.accounts()
        accounts.runs[0].trouble = "error: the journal is damaged"
        self.caught("unreadable", accounts)

    # --- for real ---

    def applied(self, commit, change):
        """Returns the accounts after an apply of a tree like that of the last commit, changed, as one of a commit."""
        with tempfile.TemporaryDirectory(dir=self.folder.name) as folder:
            case = copy.copy(self.case)
            case.folder = pathlib.Path(folder)
            case.known = set()
            shutil.copytree(self.case.folder / "home", case.folder / "home")
            (trees,) = (case.folder / "home/gitops").glob("*/trees")
            tree = trees / commit
            for path in trees.rglob("*"):
                path.chmod(0o700 if path.is_dir() else 0o600)
            if commit != self.last:
                shutil.rmtree(tree, ignore_errors=True)
                shutil.copytree(trees / self.last, tree)
            change(tree)
            done = case.ask("apply", str(tree), "--commit", commit, "--repository", self.case.host.url, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            return case.accounts(self.last)

    def replace(self, name, old, new):
        def change(tree):
            text = (tree / name).read_text()
            self.assertIn(old, text)
            (tree / name).write_text(text.replace(old, new))
        return change

    def test_checkout_that_is_changed_under_a_plan(self):
        self.caught("mix: one-", self.applied(self.last, self.replace("prompts/say.md", "rev-2-", "rev-0-")))

    def test_checkout_of_what_nobody_pushed(self):
        self.caught("never-pushed", self.applied(NEVER, self.replace("one.yaml", "rev-2-", "rev-7-")))

    def test_checkout_of_a_broken_commit_with_files_of_another_one(self):
        self.caught("broken-applied", self.applied(self.broken, self.replace("one.yaml", "rev-2-", "rev-1-")))

    def test_checkout_that_was_half_written(self):
        def change(tree):
            rows = (tree / "rows.jsonl").read_text().splitlines(keepends=True)
            (tree / "rows.jsonl").write_text("".join(rows[: len(rows) // 2]))
        found = self.applied(self.last, change)
        self.caught("half-tree: one-", found)

    def test_lock_that_holds_nobody_out(self):
        case = gitops.begin(self.world, "planted-lock")
        try:
            commit = next(iter(case.pushed))
            self.assertTrue(case.settle(commit), case.troubles)
            (lock,) = (case.folder / "home/gitops").glob("*/lock")
            # Whoever comes now locks another file.
            lock.unlink()
            case.seconds.append(case.second())
            gitops.leave(case)
            accounts = case.accounts(commit)
            self.caught("two-reconcilers: the second ended with None", accounts)
            self.caught(f"two-reconcilers: {case.follower.pid} writes the status again", accounts)
        finally:
            gitops.end(case)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        PIPE = sys.argv.pop(1)
    unittest.main()
