#!/usr/bin/env python3
"""Holds what `pipe gpu` says against what others measure. Needs a machine with an NVIDIA GPU, nvidia-smi and torch with CUDA.

    python3 tests/gpu/validate.py target/release/pipe

A model of random weights is served on the first device (serve.py), `pipe` asks it the same calls alone and eight at once,
and nvidia-smi looks on: once a second as people do, and every 20 ms for its power. Printed side by side, and checked:

- the energy of a run, by the counter, is within 10 % of the power that nvidia-smi read, integrated;
- a call's energy among eight is within 30 % of the same call's alone;
- sampling takes at most 1 % of a core.

Without a GPU it says so and exits with 2: nothing is shown then. `--rehearse` goes through everything without one, on a
made-up device, and shows only that the script itself works.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
CALLS, TOKENS = 24, 256

PIPELINE = """\
version: 1
name: validate
limits: {{ concurrency: {concurrency} }}
backends: {{ here: {{ base_url: "{url}" }} }}
models: {{ random: {{ backend: here }} }}
actors: {{ one: {{ model: random, max_tokens: {tokens} }} }}
items: {{ values: [{{ id: only, text: "{text}" }}] }}
repeat: {calls}
steps: {{ say: {{ chat: {{ actor: one, prompt: "{{{{ item.text }}}}" }} }} }}
"""


class Watched:
    """nvidia-smi beside a run: pairs of seconds and numbers."""

    def __init__(self, field, every_ms):
        command = ["nvidia-smi", "-i", "0", f"--query-gpu={field}", "--format=csv,noheader,nounits", f"-lms={every_ms}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.read = []
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def follow(self):
        for line in self.process.stdout:
            try:
                self.read.append((time.time(), float(line)))
            except ValueError:
                pass

    def stop(self):
        self.process.terminate()
        self.thread.join()
        return self.read


class Pretended(Watched):
    """What nvidia-smi would say of the made-up device."""

    def __init__(self, field, every_ms):
        self.value, self.every, self.began = (60.0 if "power" in field else 90.0), every_ms / 1e3, time.time()

    def stop(self):
        count = int((time.time() - self.began) / self.every)
        return [(self.began + number * self.every, self.value) for number in range(count)]


def integral(read, begin, end):
    """Joules of power readings between two moments."""
    joules = 0.0
    for (at, _), (then, watts) in zip(read, read[1:]):
        joules += watts * max(0.0, min(then, end) - max(at, begin))
    return joules


def cpu_of_sampling(pid):
    """Seconds that the sampling thread has computed so far."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            if (task / "comm").read_text().strip() == "gpu":
                fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return None


def asked(pipe, folder, url, concurrency, watch):
    """Runs the calls so many at once; returns what pipe says and what nvidia-smi said."""
    text = " ".join(["tea"] * 64)
    spec = PIPELINE.format(concurrency=concurrency, url=url, tokens=TOKENS, calls=CALLS, text=text)
    (folder / "validate.yaml").write_text(spec)
    power, polls = watch("power.draw.instant", 20), watch("utilization.gpu", 1_000)
    begin = time.time()
    run = subprocess.Popen([pipe, "run", "validate.yaml", "--new", "--quiet"], cwd=folder, stdout=subprocess.DEVNULL)
    sampling = None
    while run.poll() is None:
        sampling = cpu_of_sampling(run.pid) or sampling
        time.sleep(0.2)
    end = time.time()
    power, polls = power.stop(), polls.stop()
    if run.returncode != 0:
        raise SystemExit(f"the run failed with {run.returncode}")
    told = json.loads(subprocess.run([pipe, "gpu", "last", "--json"], cwd=folder, capture_output=True, check=True).stdout)
    calls = subprocess.run([pipe, "gpu", "last", "--calls"], cwd=folder, capture_output=True, check=True, text=True).stdout
    calls = [json.loads(line) for line in calls.splitlines()]
    return told, calls, power, polls, (begin, end), sampling


def shown(concurrency, measured):
    told, calls, power, polls, (begin, end), sampling = measured
    device = told["devices"][0]
    counted = (device["millijoules"] or 0.0) / 1e3
    integrated = integral(power, begin, begin + device["seconds"])
    busy = device["busy_s"] / device["known_s"] if device["known_s"] else float("nan")
    looks = [value for at, value in polls if begin <= at <= end]
    print(f"\n{concurrency} at once: {len(calls)} calls in {end - begin:.1f} s")
    print(f"  pipe        busy {busy:6.1%} of the time, {device['hidden_bursts']} bursts between looks, counter {counted:.1f} J")
    if looks:
        idle = sum(value == 0 for value in looks) / len(looks)
        print(f"  nvidia-smi  busy {sum(looks) / len(looks):5.1f} % in the mean of {len(looks)} looks, {idle:.0%} of them at 0; power integrated {integrated:.1f} J")
    if sampling is not None:
        print(f"  sampling    {sampling / (end - begin):.2%} of a core")
    energy = sum(call["energy_j"] for call in calls) / len(calls)
    print(f"  a call      {energy:.2f} J in the mean, coverage {min(call['coverage'] for call in calls):.0%} and more")
    return counted, integrated, energy, (sampling or 0.0) / (end - begin)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pipe", type=pathlib.Path)
    parser.add_argument("--rehearse", action="store_true")
    args = parser.parse_args()
    watch = Pretended if args.rehearse else Watched
    if not args.rehearse:
        if shutil.which("nvidia-smi") is None or subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode:
            print("there is no NVIDIA GPU here (nvidia-smi does not list one): nothing was measured", file=sys.stderr)
            sys.exit(2)
        try:
            import torch
            if not torch.cuda.is_available():
                raise ImportError("torch sees no CUDA device")
        except ImportError as error:
            print(f"torch with CUDA is needed to serve a model: {error}; nothing was measured", file=sys.stderr)
            sys.exit(2)
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if args.rehearse:
            lines = [{"replay": 1, "loop_ms": 1_000}, {"gpu": 0, "id": "GPU-made-up", "name": "made up"}]
            lines += [{"ms": ms, "gpu": 0, "energy_mj": ms * 60, "busy": 90} for ms in range(0, 1_001, 100)]
            (folder / "made_up.jsonl").write_text("\n".join(map(json.dumps, lines)))
            os.environ["PIPE_GPU_SOURCE"] = f"replay:{folder / 'made_up.jsonl'}"
        device = "none" if args.rehearse else "cuda"
        server = subprocess.Popen([sys.executable, HERE / "serve.py", "--device", device], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        try:
            url = server.stdout.readline().strip()
            pipe = args.pipe.resolve()
            one = shown(1, asked(pipe, folder, url, 1, watch))
            eight = shown(8, asked(pipe, folder, url, 8, watch))
        finally:
            server.stdin.close()
            server.wait(timeout=20)
    print()
    for name, (counted, integrated, _, sampling) in (("alone", one), ("eight at once", eight)):
        apart = abs(counted - integrated) / integrated if integrated else float("inf")
        print(f"{name}: counter and integrated power are {apart:.1%} apart (at most 10 %)")
        if apart > 0.10:
            wrong.append(f"{name}: energy")
        if sampling > 0.01:
            wrong.append(f"{name}: sampling took {sampling:.2%} of a core")
    apart = abs(eight[2] - one[2]) / one[2] if one[2] else float("inf")
    print(f"a call among eight and alone: {apart:.1%} apart (at most 30 %)")
    if apart > 0.30 and not args.rehearse:
        wrong.append("a call among eight")
    if args.rehearse:
        print("rehearsed on a made-up device: none of these figures is a measurement")
    if wrong:
        raise SystemExit("out of bounds: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
