"""C6r: a journal damaged in its middle is repaired, and the resume ends with the rows of a run that was never damaged."""

import contextlib
import json
import sqlite3
import threading

import oracle
from campaign import Outcome
from damage import Kept, named
from world import Shape

HERE = threading.local()
SHAPE = Shape(items=16)
# Every so many cases the other reader verifies every checksum of what was repaired; it takes half a second.
SUMS_EVERY = 10
PAGE = 8192
# What a repair says when the very beginning is gone: then nothing was changed.
HOPELESS = ("is lost: nothing can be kept without it", "not a database", "malformed", "is damaged", "has format",
            "is not a journal", "holds no run")


def kept(world, name, calls):
    """Returns this thread's own run, all of it in one file."""
    if getattr(HERE, "world", None) is not world:
        HERE.world, HERE.known = world, {}
    if name not in HERE.known:
        one = HERE.known[name] = Kept(world, name, calls, SHAPE)
        # What a killed run has in its log is folded into the file, where damage is damage.
        with contextlib.closing(sqlite3.connect(one.store / one.run.relative_to(one.project.folder) / "journal.db")) as store:
            store.execute("pragma wal_checkpoint(truncate)")
    return HERE.known[name]


def flips(path, dice):
    """Flips bits in some places."""
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice([1, 3, 20])):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def noise(path, dice):
    """Fills a page with noise, or with nothing."""
    data = bytearray(path.read_bytes())
    page = dice.randrange(len(data) // PAGE) * PAGE
    data[page:page + PAGE] = dice.choice([bytes(PAGE), dice.randbytes(PAGE)])
    path.write_bytes(data)


def swapped(path, dice):
    """Exchanges two pages."""
    data = bytearray(path.read_bytes())
    one, other = (place * PAGE for place in dice.sample(range(1, len(data) // PAGE), 2))
    data[one:one + PAGE], data[other:other + PAGE] = data[other:other + PAGE], data[one:one + PAGE]
    path.write_bytes(data)


def cut(path, dice):
    """Cuts the file off."""
    data = path.read_bytes()
    path.write_bytes(data[:dice.randrange(len(data) // 2, len(data))])


def rows(path, dice):
    """Takes events, texts or checkpoints away, well enough for SQLite itself."""
    table = dice.choice(["events", "texts", "checkpoints"])
    with contextlib.closing(sqlite3.connect(path)) as store:
        (last,) = store.execute(f"select max(rowid) from {table}").fetchone()
        first = dice.randint(2, max(last or 2, 2))
        store.execute(f"delete from {table} where rowid between ? and ?", (first, first + dice.choice([0, 5, 50])))
        store.commit()


KINDS = (flips, noise, swapped, cut, rows)


def repaired(world, number):
    dice = world.dice("C6r", number)
    one = kept(world, "complete", None) if dice.random() < 0.5 else kept(world, "killed", SHAPE.calls // 2)
    project = one.restore()
    project.start = world.backend.place()
    kind = KINDS[number % len(KINDS)]
    path = one.file("journal.db")
    kind(path, dice)
    found, hits, figures = mended(one, path.read_bytes(), path, number % SUMS_EVERY == 0)
    return Outcome([f"{violation} ({kind.__name__}, {one.name})" for violation in found], hits, figures=figures)


def mended(one, damaged, path, sums):
    """Repairs and resumes; what cannot be repaired is told, and left as it is."""
    project = one.project
    repair = project.spawn("journal", "repair", "last", "--yes", "--json").wait(account=False)
    if repair.code != 0:
        told = repair.code == 5 and any(words in repair.talk for words in HOPELESS)
        violations = [] if told else named(repair)
        if path.read_bytes() != damaged:
            violations.append("changed-in-vain: what cannot be repaired was changed")
        return violations, 0, {"refused": 1}
    said = json.loads(repair.stdout.splitlines()[0])
    check = project.spawn("journal", "check", "last").wait(account=False)
    if check.code != 0:
        return [f"still-damaged: check ended with {check.code}: {(check.stdout + check.talk).strip()[-300:]}"], 0, {}
    between = project.journal(sums)
    violations = oracle.journal_violations(between, "after the repair")
    resume = project.spawn("resume").wait()
    if resume.code != 0:
        return [*violations, f"no-way-on: {resume.code}: {resume.talk.strip()[-300:]}"], 0, {}
    final = project.accounts.audits[-1]
    violations += oracle.journal_violations(final, "after the resume")
    expected = project.world.undisturbed(SHAPE)[0]
    if project.rows() != expected:
        violations.append("rows-differ: after a repair and a resume")
    # Whatever was kept as settled is not asked again.
    item_of = {case: item for (item, _), case in between.items.items()}
    settled = {item_of[case] for case in between.settled if case in item_of}
    asked = oracle.by_mark(project.world.backend.settled_entries(project.name, project.start), "request")
    for item in sorted({item for item, _ in asked} & settled):
        violations.append(f"asked-again: {item} is settled in what was repaired")
    return violations, int(said["repaired"]), {"items asked again": len({item for item, _ in asked})}
