#!/usr/bin/env python3
"""Makes a recording of graphics devices that never were, for PIPE_GPU_SOURCE=replay:FILE.

    python3 tests/gpu/recording.py > /tmp/gpu.jsonl

A device computes in bursts of 300 ms, every second, some of which a look once a second misses; then it is quiet, then hot
and held down. A second process joins in for a while. After 60 s it starts over. The format stands in src/gpu/replay.rs.
"""
import json
import sys

SECONDS = 60
IDLE_W, BUSY_W = 17.0, 69.0


def busy(ms):
    """Percent of the 100 ms before."""
    second, part = divmod(ms, 1_000)
    if second % 20 >= 14:
        return 0
    return 100 if 350 <= part < 650 or second % 20 >= 10 else 0


def main():
    out = [{"replay": 1, "driver": "550.54.15", "loop_ms": SECONDS * 1_000},
           {"gpu": 0, "id": "GPU-5f3c0d1e", "name": "NVIDIA L4", "memory_mib": 23_034}]
    energy = 7_000_000.0
    for ms in range(0, SECONDS * 1_000, 50):
        line = {"ms": ms, "gpu": 0}
        if ms % 100 == 0:
            line["energy_mj"] = round(energy)
            line["busy"] = busy(ms)
            energy += 100 * (BUSY_W if busy(ms + 100) else IDLE_W)
        if ms % 1_000 == 0:
            hot = 10 <= ms // 1_000 % 20 < 14
            line |= {"power_mw": round(1e3 * (BUSY_W if hot else IDLE_W)), "celsius": 78 if hot else 51,
                     "memory_mib": 9_312, "throttled": ["power"] if hot else [],
                     "users": [[4242, 9_000, 93 if hot else 21]] + ([[77, 300, 4]] if ms >= 40_000 else [])}
        if len(line) > 2:
            out.append(line)
    sys.stdout.writelines(json.dumps(line) + "\n" for line in out)


if __name__ == "__main__":
    main()
