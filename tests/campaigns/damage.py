"""C5 and C6: files of a journal that are damaged between two processes."""

import contextlib
import dataclasses
import shutil
import threading

import oracle
from campaign import Outcome
from world import Project, Shape

SHAPE = Shape(items=10)
FRAME_HEADER = 24
WAL_HEADER = 32
# Damage is a matter of its own, and told with what can be done about it.
TOLD = ("is damaged", "is not a journal", "holds no run", "does not exist", "has format", "has no text")

HERE = threading.local()


class Kept:
    """A project whose run was killed in the middle, or is complete, to be damaged again and again."""

    def __init__(self, world, name, calls, shape=SHAPE):
        # Answers take long enough for the kill to hit, however fast pipe is.
        self.project = Project(world, shape if calls is None else dataclasses.replace(shape, faults="/delay/10"))
        self.store = self.project.folder.with_name(f"{self.project.name}-kept")
        run = self.project.spawn_run()
        if calls is not None:
            while self.answers() < calls and run.process.poll() is None:
                pass
            run.kill()
        run.wait()
        if run.killed != (calls is not None):
            raise ValueError(f"the run ended with {run.code} before it was killed")
        self.name, self.run = name, self.project.run_folders()[-1]
        shutil.copytree(self.project.folder, self.store)
        self.before = self.project.accounts.audits[-1]

    def answers(self):
        return sum(entry["what"] == "answer" for entry in self.project.world.backend.entries(self.project.name, self.project.start))

    def restore(self):
        """Puts everything back as it was; what was noted since is forgotten."""
        shutil.rmtree(self.project.folder)
        shutil.copytree(self.store, self.project.folder)
        del self.project.accounts.processes[1:], self.project.accounts.audits[1:]
        return self.project

    def file(self, name):
        return self.run / name


def kept(world, name, calls):
    """Returns this thread's own kept project, made when it is first wanted."""
    known = getattr(HERE, "known", None)
    if known is None or HERE.world is not world:
        HERE.world, HERE.known = world, {}
    if name not in HERE.known:
        HERE.known[name] = Kept(world, name, calls)
    return HERE.known[name]


def in_the_middle(world):
    return kept(world, "killed", SHAPE.calls // 2)


def goes_on(kept_one, may_refuse, must_keep):
    """Resumes what is damaged: it is refused by name, or ends as if nothing had been.

    Returns the violations, and whether it was refused.
    """
    project = kept_one.project
    run = project.spawn("resume").wait(account=False)
    if run.code == 0:
        run.wait()
    else:
        told = run.code == 5 and any(words in run.talk for words in TOLD)
        if told and may_refuse:
            return [], True
        # Nothing is left of the run: the user starts it again.
        if run.code == 2 or told and "holds no run" in run.talk:
            return refusal(run, must_keep), True
        return [f"wrong-exit: {run.code}: {run.talk.strip()[-300:]}"], True
    found = []
    if project.rows() != project.world.undisturbed(SHAPE)[0]:
        found.append("rows-differ: after damage")
    final = project.accounts.audits[-1]
    if final is None:
        return [*found, "no-journal: after damage"], False
    found += oracle.journal_violations(final, "after damage")
    if must_keep:
        found += oracle.ack_violations(project.accounts)
    return found, False


def refusal(run, must_keep):
    return [f"lost-run: {run.talk.strip()[-300:]}"] if must_keep else []


# --- C5: the tail -----------------------------------------------------------------------------------------------------

def tail_cases(world, count):
    """Every kind of damage at so many places of the write-ahead log's tail."""
    kinds = ("garbage", "zeros", "half a frame", "last frame again", "cut")
    return [(kinds[number % len(kinds)], number) for number in range(count)]


def damaged_tail(world, case):
    kind, number = case
    one = in_the_middle(world)
    one.restore()
    dice = world.dice("C5", number)
    log = one.file("journal.db-wal")
    data = log.read_bytes()
    page = int.from_bytes(data[8:12], "big")
    frame = FRAME_HEADER + page
    frames = (len(data) - WAL_HEADER) // frame
    last = data[WAL_HEADER + (frames - 1) * frame:WAL_HEADER + frames * frame]
    if kind == "garbage":
        data += dice.randbytes(dice.randint(1, 3 * frame))
    elif kind == "zeros":
        data += bytes(dice.randint(1, 3 * frame))
    elif kind == "half a frame":
        data += last[:dice.randint(1, frame - 1)]
    elif kind == "last frame again":
        data += last * dice.randint(1, 3)
    else:
        # As if the last writes had never reached the disk: what was told of them is lost, and nothing else.
        data = data[:len(data) - dice.randint(1, min(64 << 10, len(data)))]
    log.write_bytes(data)
    with contextlib.suppress(FileNotFoundError):
        one.file("journal.db-shm").unlink()
    violations, refused = goes_on(one, may_refuse=False, must_keep=kind != "cut")
    return Outcome(violations, 1, figures={"refused": int(refused)})


# --- C6: the middle ---------------------------------------------------------------------------------------------------

def damaged_middle(world, number):
    """Flips a bit of a run that was killed or is complete; takes a file away, or puts an older or a strange one."""
    dice = world.dice("C6", number)
    kind = "flip" if number % 5 else dice.choice(["older log", "no log", "no file", "strange file", "strange log", "swapped pages"])
    one = kept(world, "complete", None) if dice.random() < 0.5 else in_the_middle(world)
    one.restore()
    other = kept(world, "strange", SHAPE.calls // 3)
    file, log = one.file("journal.db"), one.file("journal.db-wal")
    if kind == "flip":
        target = dice.choice([path for path in (file, log) if path.exists() and path.stat().st_size])
        data = bytearray(target.read_bytes())
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        target.write_bytes(data)
    elif kind == "older log" and log.exists():
        data = log.read_bytes()
        log.write_bytes(data[:len(data) // 2])
    elif kind == "no log":
        log.unlink(missing_ok=True)
    elif kind == "no file":
        file.unlink()
    elif kind == "strange file":
        shutil.copyfile(other.store / other.run.relative_to(other.project.folder) / "journal.db", file)
    elif kind == "strange log":
        shutil.copyfile(other.store / other.run.relative_to(other.project.folder) / "journal.db-wal", log)
    elif kind == "swapped pages":
        swap_pages(file if file.stat().st_size > 32 << 10 else log, dice)
    one.file("journal.db-shm").unlink(missing_ok=True)
    if kind.startswith("strange"):
        violations, refused = one_of_both(one)
    elif one.name == "complete":
        violations, refused = read_only(one)
    else:
        violations, refused = goes_on(one, may_refuse=True, must_keep=False)
    return Outcome([f"{violation} ({kind}, {one.name})" for violation in violations], 1, figures={"refused": int(refused)})


def swap_pages(path, dice):
    """Exchanges two pages: each is whole, and not where it belongs."""
    data = bytearray(path.read_bytes())
    page = 8192
    one, other = dice.sample(range(len(data) // page), 2)
    one, other = slice(one * page, one * page + page), slice(other * page, other * page + page)
    data[one], data[other] = data[other], data[one]
    path.write_bytes(data)


def one_of_both(one):
    """Reads what has files of two runs: it is refused, or is one of them as a whole.

    Files of another run that fit together are that other run, as in a folder that was copied: no damage to tell.
    """
    shown = one.project.spawn("results", "last").wait(account=False)
    if shown.code != 0:
        return named(shown), True
    expected = set(one.project.world.undisturbed(SHAPE)[0].decode().splitlines())
    found = [] if set(shown.stdout.splitlines()) <= expected else ["damage-as-data: rows were read that no run had"]
    return found + oracle.journal_violations(one.project.journal(), "of two runs"), False


def named(shown):
    """Demands that a refusal says what is damaged."""
    told = shown.code == 5 and any(words in shown.talk for words in TOLD) or shown.code == 2
    return [] if told else [f"wrong-exit: {shown.code}: {shown.talk.strip()[-300:]}"]


def read_only(one):
    """Reads the rows of a complete run that is damaged: they are right, or refused by name."""
    shown = one.project.spawn("results", "last").wait(account=False)
    if shown.code == 0:
        expected = one.project.world.undisturbed(SHAPE)[0].decode()
        return (["damage-as-data: rows were read that the run never had"] if shown.stdout != expected else []), False
    return named(shown), True

