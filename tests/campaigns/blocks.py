"""A disk of blocks, known from the system calls of a recorded run: what a power cut may leave of it.

Whatever a program has written and not synced is in the cache of the system: each block of it has reached the disk or
not, in any order, and the last one maybe in half. A name is on the disk when its folder was synced after it was made.
"""

import collections
import dataclasses
import pathlib
import re

SECTOR, BLOCK = 512, 4096
# Calls by which files, names and words come to be. `-xx` makes all strings hexadecimal, `-y` names what is written to.
CALLS = ("pwrite64,write,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,openat,mkdir,"
         "fallocate,copy_file_range,link,linkat,rmdir,truncate,pwritev,pwritev2,sendfile")
RECORD = ["strace", "-f", "-qq", "-y", "-ttt", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-e", "signal=none"]
LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
FILE = re.compile(r"(\w+)<((?:\\x[0-9a-f]{2})*)>")
# The index of the log lies in shared memory and is made anew by whoever opens it: nothing of it counts.
VOLATILE = "-shm"


def plain(text):
    return bytes.fromhex(text.replace("\\x", ""))


@dataclasses.dataclass
class Step:
    """One thing that happened, in the order in which it did."""

    time: float
    what: str
    path: str = ""
    offset: int | None = None
    data: bytes = b""
    size: int = 0
    pid: str = ""
    to: str = ""


def steps(trace, folder):
    """Reads what a trace tells of a folder, and the words on standard error."""
    root, unfinished, found = str(folder), {}, []
    for line in trace.splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        pid, time, call = match.group(1), float(match.group(2)), match.group(3)
        if call.startswith("<... "):
            name, begun = unfinished.pop(pid)
            result = call.rpartition(" = ")[2]
            if name.startswith("f") and "sync" in name:
                found.append(Step(time, "sync ends" if result.startswith("0") else "sync fails", pid=pid))
            elif not result.startswith("-1"):
                rest = call.partition("resumed>")[2]
                found += step(name, begun.removesuffix("<unfinished ...>").rstrip() + rest, result, time, pid, root)
            continue
        name = call.partition("(")[0]
        is_whole = not call.endswith("<unfinished ...>")
        if not is_whole:
            unfinished[pid] = (name, call)
        if name in ("fsync", "fdatasync"):
            path = FILE.search(call)
            found.append(Step(time, "sync begins", plain(path.group(2)).decode(), pid=pid))
            if is_whole:
                ended = "sync ends" if call.endswith("= 0") else "sync fails"
                found.append(Step(time, ended, pid=pid))
        elif is_whole and " = -1 " not in call:
            found += step(name, call, call.rpartition(" = ")[2], time, pid, root)
    return found


def step(name, call, result, time, pid, root):
    """Returns the step that a call was, when it is about the folder or says something."""
    named = [plain(text).decode(errors="replace") for _, text in FILE.findall(call)]
    strings = [plain(text) for text in STRING.findall(call)]
    tail = [int(number) for number in re.findall(r", (\d+)(?=[,)])", call)]
    if name in ("write", "writev") and call.startswith(f"{name}(2<"):
        return [Step(time, "told", data=b"".join(strings), pid=pid)]
    paths = [str(pathlib.PurePath(named[0] if named else "/", text.decode(errors="replace"))) for text in strings[:2]]
    where = paths[0] if name in ("openat", "mkdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "rmdir") else named[0]
    if not where.startswith(f"{root}/") or where.endswith(VOLATILE):
        return []
    if name == "pwrite64":
        return [Step(time, "write", where, tail[-1], strings[0][:int(result)], pid=pid)]
    if name in ("write", "writev"):
        return [Step(time, "write", where, None, b"".join(strings)[:int(result)], pid=pid)]
    if name == "ftruncate":
        return [Step(time, "cut", where, size=tail[-1], pid=pid)]
    if name == "openat":
        made = [Step(time, "made", where, pid=pid)] if "O_CREAT" in call else []
        return made + ([Step(time, "cut", where, size=0, pid=pid)] if "O_TRUNC" in call else [])
    if name == "mkdir":
        return [Step(time, "folder", where, pid=pid)]
    if name in ("unlink", "unlinkat", "rmdir"):
        return [Step(time, "gone", where, pid=pid)]
    if name.startswith("rename"):
        target = str(pathlib.PurePath(named[-1] if name != "rename" else "/", strings[1].decode()))
        return [Step(time, "renamed", where, to=target, pid=pid)]
    raise ValueError(f"{name} changes files and is not known here: {call[:200]}")


class File:
    """What a file holds, and what of it is on the disk."""

    def __init__(self, data=b""):
        self.now, self.kept = bytearray(data), bytes(data)
        # Since the last sync: (offset, bytes), or (None, size).
        self.waiting = []

    def write(self, offset, data):
        put(self.now, offset, data)
        self.waiting.append((offset, data))

    def cut(self, size):
        resize(self.now, size)
        self.waiting.append((None, size))

    def sync(self, count):
        """What was written before a sync began is on the disk when it ends."""
        kept = bytearray(self.kept)
        for offset, what in self.waiting[:count]:
            resize(kept, what) if offset is None else put(kept, offset, what)
        self.kept, self.waiting = bytes(kept), self.waiting[count:]

    def after_cut(self, luck):
        """Returns what a power cut leaves, as `luck` decides of each block."""
        left = bytearray(self.kept)
        for place, (offset, what) in enumerate(self.waiting):
            if offset is None:
                if luck.takes(place, len(self.waiting), None):
                    resize(left, what)
                continue
            start = 0
            while start < len(what):
                end = min(len(what), start + luck.piece - (offset + start) % luck.piece)
                if luck.takes(place, len(self.waiting), (offset + start) // luck.piece):
                    put(left, offset + start, what[start:end])
                start = end
        return bytes(left)


def put(data, offset, piece):
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset:offset + len(piece)] = piece


def resize(data, size):
    del data[size:]
    data.extend(bytes(size - len(data)))


class Luck:
    """Decides what of the unsynced reached the disk: nothing, all, what came first, or any blocks or sectors of it."""

    KINDS = ("nothing", "everything", "what came first", "any blocks", "any sectors")

    def __init__(self, kind, dice):
        self.kind, self.dice = kind, dice
        self.piece = SECTOR if kind in ("any sectors", "what came first") else BLOCK
        self.share = dice.choice([0.1, 0.5, 0.9])
        self.until = dice.random()

    def takes(self, place, count, _piece):
        if self.kind in ("nothing", "everything"):
            return self.kind == "everything"
        if self.kind == "what came first":
            # Of the one in which the power went, some sectors.
            last = int(self.until * count)
            return place < last or place == last and self.dice.random() < 0.5
        return self.dice.random() < self.share


class Disk:
    """The files below a folder while a run is told again, step by step."""

    def __init__(self, folder):
        self.root = str(folder)
        self.files = {}
        # Names as they are, as they are on the disk, and what happened to them since, by folder.
        self.now, self.kept, self.waiting = {}, {}, collections.defaultdict(list)
        self.begun = {}
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if not path.name.endswith(VOLATILE):
                entry = None if path.is_dir() else self.new(path.read_bytes())
                self.now[str(path)] = self.kept[str(path)] = entry

    def new(self, data=b""):
        self.files[len(self.files)] = File(data)
        return len(self.files) - 1

    def change(self, path, entry, gone=None):
        """Gives a name to a file or folder, and takes another one away with it."""
        if gone is not None:
            self.now.pop(gone, None)
        if entry != "gone":
            self.now[path] = entry
        self.waiting[str(pathlib.PurePath(path).parent)].append((path, entry, gone))

    def file(self, path):
        return self.files[self.now[path]]

    def take(self, step):
        """Lets one step happen."""
        path = step.path
        if step.what == "write":
            file = self.file(path)
            file.write(len(file.now) if step.offset is None else step.offset, step.data)
        elif step.what == "cut":
            self.file(path).cut(step.size)
        elif step.what == "made":
            if path not in self.now:
                self.change(path, self.new())
        elif step.what == "folder":
            self.change(path, None)
        elif step.what == "gone":
            self.change(path, "gone", gone=path)
        elif step.what == "renamed":
            if pathlib.PurePath(path).parent != pathlib.PurePath(step.to).parent:
                raise ValueError(f"a name moves between folders, which is not known here: {path}")
            self.change(step.to, self.now[path], gone=path)
        elif step.what == "sync begins":
            entry = self.now.get(path, "strange")
            count = len(self.files[entry].waiting) if isinstance(entry, int) else len(self.waiting[path])
            self.begun[step.pid] = (path, entry, count)
        elif step.what == "sync ends":
            self.synced(*self.begun.pop(step.pid))
        elif step.what == "sync fails":
            self.begun.pop(step.pid)

    def synced(self, path, entry, count):
        if isinstance(entry, int):
            self.files[entry].sync(count)
        else:
            self.rename(self.kept, self.waiting[path][:count])
            del self.waiting[path][:count]

    @staticmethod
    def rename(names, changes):
        for path, entry, gone in changes:
            if gone is not None:
                names.pop(gone, None)
            if entry != "gone":
                names[path] = entry

    def after_cut(self, luck):
        """Returns what is left, by path: bytes of files, none for folders. What lies in a folder that is lost is lost."""
        names = dict(self.kept)
        for _, changes in sorted(self.waiting.items()):
            count = {"nothing": 0, "everything": len(changes)}.get(luck.kind, luck.dice.randint(0, len(changes)))
            self.rename(names, changes[:count])
        left = {}
        for path in sorted(names):
            parent = str(pathlib.PurePath(path).parent)
            if parent == self.root or parent in left:
                entry = names[path]
                left[path] = None if entry is None else self.files[entry].after_cut(luck)
        return left

    def differs(self):
        """Names a file that is not what was recorded of it: then the trace was not understood."""
        for path, entry in self.now.items():
            if entry is not None and (not pathlib.Path(path).exists() or pathlib.Path(path).read_bytes() != bytes(self.files[entry].now)):
                return path
        return None
