#!/usr/bin/env python3
"""Holds `nvml.c`, the driver library of pipe's tests, against NVIDIA's own header and NVIDIA's own client.

    nvml_check.py PIPE        needs: cc, nvidia-ml-py (the client, `pynvml`), nvidia-nvml-dev-cu12 (the header)

1. The library compiles against NVIDIA's `nvml.h` without a warning: every function that it defines has the type that is
   declared there. Its own declarations lay structures out, and number constants, as that header does.
2. Whatever `pynvml` reads of a scene, `pipe gpu --json` and the samples of a run say, too: identity, memory, processes,
   power, the counter of energy at each moment, and every entry of the ring.
"""

import ctypes
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# The name under which the client asks for a library that is loaded already.
NAMED = "-Wl,-soname,libnvidia-ml.so.1"
CC = ["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
PIPELINE = """
version: 1
name: hello
limits: { concurrency: 1 }
actors: { anna: { max_tokens: 40 } }
items: { values: [ { n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }, { n: 5 } ] }
steps: { ask: { chat: { actor: anna, prompt: "Number {{ item.n }}." } } }
"""


def header():
    """The folder of NVIDIA's nvml.h, from the package that brings it."""
    import importlib.metadata as metadata

    files = metadata.files("nvidia-nvml-dev-cu12") or []
    found = [file.locate() for file in files if file.name == "nvml.h"]
    assert found, "nvidia-nvml-dev-cu12 brings nvml.h"
    return pathlib.Path(found[0]).parent


def layout(library):
    """The library's table of sizes, offsets and constants, to its end mark."""
    first = ctypes.c_uint.in_dll(ctypes.CDLL(str(library)), "pipe_nvml_layout")
    numbers = ctypes.cast(ctypes.pointer(first), ctypes.POINTER(ctypes.c_uint))
    return list(itertools.takewhile(lambda number: number != 0xFFFFFFFF, (numbers[place] for place in itertools.count())))


def build(folder):
    theirs, ours = folder / "theirs.so", folder / "libnvidia-ml.so.1"
    source = str(HERE / "nvml.c")
    subprocess.run([*CC, "-DNVIDIA_HEADER", "-isystem", str(header()), "-o", str(theirs), source], check=True)
    subprocess.run([*CC, NAMED, "-o", str(ours), source], check=True)
    assert layout(theirs) == layout(ours), f"{layout(theirs)}\n{layout(ours)}"
    print(f"header: {len(layout(ours))} sizes, offsets and constants are NVIDIA's, and every function's type")


class Counter(threading.Thread):
    """Reads the counter through NVIDIA's client, some hundred times a second."""

    def __init__(self, nvml, device):
        super().__init__(daemon=True)
        self.nvml, self.device, self.over, self.seen = nvml, device, threading.Event(), set()

    def run(self):
        while not self.over.wait(0.005):
            self.seen.add(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.device))


def pipe(binary, folder, *arguments, **more):
    """Runs pipe beside the library, and returns what it prints."""
    done = subprocess.run([binary, *arguments], cwd=folder, capture_output=True, text=True, env={**os.environ, **more})
    assert done.returncode == 0, f"pipe {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def compare_looks(nvml, binary, folder):
    """One look: what a device is, holds and is held by."""
    device = nvml.nvmlDeviceGetHandleByIndex(0)
    told = json.loads(pipe(binary, folder, "gpu", "--json"))
    mine = told["devices"][0]
    memory = nvml.nvmlDeviceGetMemoryInfo(device, version=nvml.nvmlMemory_v2)
    cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
    pairs = [
        (nvml.nvmlDeviceGetName(device), mine["name"]),
        (nvml.nvmlDeviceGetUUID(device), mine["id"]),
        (nvml.nvmlSystemGetDriverVersion(), told["driver"]),
        (f"{cuda // 1000}.{cuda % 1000 // 10}", told["cuda"]),
        (memory.total, mine["memory_total_bytes"]),
        (memory.used, mine["memory_bytes"]),
        (nvml.nvmlDeviceGetPowerUsage(device) / 1e3, mine["power_w"]),
        (nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU), mine["celsius"]),
        (
            nvml.nvmlDeviceGetCurrentClocksThrottleReasons(device) == nvml.nvmlClocksThrottleReasonSwPowerCap,
            mine["throttled"] == ["power"],
        ),
        (
            [process.usedGpuMemory for process in nvml.nvmlDeviceGetComputeRunningProcesses(device)],
            [process["bytes"] for process in mine["processes"]],
        ),
        ({0, 25}, {share.smUtil for share in nvml.nvmlDeviceGetProcessUtilization(device, 0)}),
    ]
    for theirs, ours in pairs:
        assert theirs == ours, f"NVIDIA's client reads {theirs}, pipe {ours}"
    print(f"look: {len(pairs)} readings of NVIDIA's client are pipe's")


def compare_runs(nvml, binary, folder):
    """A run: the counter and the ring."""
    (folder / "hello.yaml").write_text(PIPELINE)
    server = [sys.executable, str(HERE.parent / "fault_server/server.py"), "--tied", "--delay-ms", "700"]
    device = nvml.nvmlDeviceGetHandleByIndex(0)
    counter = Counter(nvml, device)
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as serving:
        url = serving.stdout.readline().strip()
        counter.start()
        began = time.time()
        pipe(binary, folder, "run", "hello.yaml", "--backend", f"{url}/v1", "--new", "--quiet")
        serving.stdin.close()
    counter.over.set()
    counter.join()
    value_type, ring = nvml.nvmlDeviceGetSamples(device, nvml.NVML_GPU_UTILIZATION_SAMPLES, int(began * 1e6))
    assert value_type == nvml.NVML_VALUE_TYPE_UNSIGNED_INT
    ring = {sample.timeStamp: sample.sampleValue.uiVal for sample in ring}
    query = "select at, energy, busy from gpu_samples order by at"
    rows = [json.loads(line) for line in pipe(binary, folder, "journal", "sql", "last", query, "--json").splitlines()]
    energy = [total for row in rows for _, total in json.loads(row["energy"] or "[]")]
    assert len(energy) > 25 and set(energy) <= counter.seen, f"{energy} of {sorted(counter.seen)}"
    entries = [(row["at"] + offset, percent) for row in rows for offset, percent in json.loads(row["busy"] or "[]")]
    assert len(entries) > 12, entries
    for at, percent in entries:
        # The journal's clock goes evenly from the run's start on; the driver's is the time of day.
        nearest = min(ring, key=lambda stamp: abs(stamp - at))
        assert abs(nearest - at) < 50_000, f"an entry {nearest - at} us from any of NVIDIA's client"
        assert ring[nearest] == percent, f"{at}: NVIDIA's client reads {ring[nearest]}, pipe {percent}"
    assert {percent for _, percent in entries} == {0, 100}
    print(f"run: {len(energy)} values of the counter and {len(entries)} entries of the ring are those of NVIDIA's client")


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "pipe.yaml").write_text("")
        build(folder)
        os.environ.update(LD_LIBRARY_PATH=name, NVML_SCENE="ordinary")
        # Loaded by its path and under the name that the client asks for.
        ctypes.CDLL(str(folder / "libnvidia-ml.so.1"), mode=ctypes.RTLD_GLOBAL)
        import pynvml as nvml

        nvml.nvmlInit()
        compare_looks(nvml, binary, folder)
        compare_runs(nvml, binary, folder)
        nvml.nvmlShutdown()


if __name__ == "__main__":
    main()
