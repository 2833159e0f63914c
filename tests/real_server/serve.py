"""Serves a GGUF model with llama.cpp's own server: serve.py MODEL.gguf [SLOTS] [CONTEXT].

Prints "READY http://127.0.0.1:PORT/v1" and serves until killed. Needs the package xllamacpp. The context is split over
the slots. One thread unless PIPE_TEST_THREADS says otherwise: ggml spins at barriers, and tests share the machine.
"""
import os
import socket
import sys
import threading

import xllamacpp

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"] if not isinstance(params.hostnames, str) else "127.0.0.1"
params.port = port
params.n_parallel = int(sys.argv[2]) if len(sys.argv) > 2 else 2
params.n_ctx = int(sys.argv[3]) if len(sys.argv) > 3 else 4096
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(os.environ.get("PIPE_TEST_THREADS", "1"))
params.endpoint_slots = True
params.use_jinja = True
server = xllamacpp.Server(params)
print(f"READY http://127.0.0.1:{port}/v1", flush=True)
threading.Event().wait()
