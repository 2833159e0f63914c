#!/usr/bin/env python3
"""A model of random weights on a GPU behind OpenAI's API: what it says means nothing, what it costs is real.

    python3 tests/gpu/serve.py            prints its URL and serves until stdin ends

Requests in flight take turns: each gets a word by a pass of its own through a stack of random matrices. Servers of real
models put them into one batch, which makes each cheaper; here a request costs the same alone and among others, so that what
it is told among others can be held against what it used alone. A prompt is read in one pass of all its words. Needs torch
with CUDA; `--device none` computes nothing and is for trying this file alone.
"""
import argparse
import json
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Rows of a pass: enough to keep a device busy for some hundred microseconds.
ROWS = 64
WORDS = ["tea", "sea", "tree", "stone", "cloud", "road", "bread", "light"]


class Nothing:
    """No device at all."""

    def run(self, rows):
        time.sleep(0.002)


class Stack:
    """A few layers of random weights."""

    def __init__(self, device, width, layers):
        import torch
        self.torch = torch
        self.width, self.device = width, device
        self.layers = [torch.randn(width, width, device=device, dtype=torch.float16) / width ** 0.5 for _ in range(layers)]

    def run(self, rows):
        with self.torch.inference_mode():
            batch = self.torch.randn(rows, self.width, device=self.device, dtype=self.torch.float16)
            for layer in self.layers:
                batch = self.torch.tanh(batch @ layer)
            # Whoever counts steps waits for them.
            return float(batch.sum())


class Request:
    def __init__(self, prompt, most):
        self.prompt, self.left, self.words = prompt, most, queue.Queue()


class Engine:
    """One thread that decodes for all requests in flight."""

    def __init__(self, model):
        self.model, self.arrived, self.active = model, queue.Queue(), []
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            if not self.active:
                self.admit(self.arrived.get())
            while not self.arrived.empty():
                self.admit(self.arrived.get())
            for one in self.active:
                self.model.run(ROWS)
                one.left -= 1
                one.words.put(WORDS[one.left % len(WORDS)])
                if one.left == 0:
                    one.words.put(None)
            self.active = [one for one in self.active if one.left > 0]

    def admit(self, request):
        self.model.run(max(1, request.prompt))
        self.active.append(request)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine = None

    def log_message(self, *_):
        pass

    def answer(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(json.dumps({"object": "list", "data": [{"id": "random", "object": "model"}]}).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = sum(len(str(message["content"]).split()) for message in asked["messages"])
        most = asked.get("max_tokens") or asked.get("max_completion_tokens") or 64
        request = Request(prompt, most)
        self.engine.arrived.put(request)
        usage = {"prompt_tokens": prompt, "completion_tokens": most, "total_tokens": prompt + most}
        if not asked.get("stream"):
            text = " ".join(iter(request.words.get, None))
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
            self.answer(json.dumps({"id": "r", "object": "chat.completion", "created": 0, "model": "random",
                                    "choices": [choice], "usage": usage}).encode())
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for word in iter(request.words.get, None):
            self.chunk({"choices": [{"index": 0, "delta": {"content": word + " "}, "finish_reason": None}]})
        self.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
        self.chunk({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def chunk(self, body):
        body = {"id": "r", "object": "chat.completion.chunk", "created": 0, "model": "random"} | body
        self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())
        self.wfile.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=int, default=8192)
    parser.add_argument("--layers", type=int, default=16)
    args = parser.parse_args()
    model = Nothing() if args.device == "none" else Stack(args.device, args.width, args.layers)
    Handler.engine = Engine(model)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
