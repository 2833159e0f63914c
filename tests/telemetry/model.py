"""A model server that notes the span of each request, fails some on purpose, and tells spans of its own as vLLM does."""

import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """Says nothing of a client that was killed and so has hung up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Model:
    """`tell` is called with the header of each answered request and when it was begun and over, as vLLM tells a span."""

    def __init__(self, fail_every=0, delay=0.0, tell=None):
        self.fail_every, self.delay, self.tell = fail_every, delay, tell
        self.asked, self.states, self.answered, self.spans = [], set(), 0, []
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                is_list = self.path == "/v1/models"
                self.answer(200 if is_list else 404, {"object": "list", "data": [{"id": "mock", "object": "model"}]})

            def do_POST(self):
                began = time.time_ns()
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path != "/v1/chat/completions":
                    return self.answer(404, {"error": {"message": f"no {self.path} here"}})
                outer.states.add(self.headers.get("tracestate"))
                status, answer = outer.chat(body, self.headers.get("traceparent"), began)
                self.answer(status, answer)

            def answer(self, status, answer):
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                try:
                    self.end_headers()
                    self.wfile.write(text)
                except BrokenPipeError:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def chat(self, body, traceparent, began):
        if self.delay:
            threading.Event().wait(self.delay)
        with self.lock:
            self.asked.append(traceparent)
            number = len(self.asked)
        digest = hashlib.sha256(body).hexdigest()
        if self.fail_every and number % self.fail_every == 0:
            return 503, {"error": {"message": "busy", "type": "server_error"}}
        with self.lock:
            self.answered += 1
            self.spans.append((traceparent, began, time.time_ns()))
        if self.tell:
            self.tell(*self.spans[-1])
        return 200, {
            "id": f"chatcmpl-{digest[:24]}",
            "object": "chat.completion",
            "model": "mock",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"Say {digest[:8]}."}}
            ],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
        }

    def close(self):
        self.server.shutdown()
        self.server.server_close()
