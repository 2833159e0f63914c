"""A collector that answers by a script, and decodes with somebody else's protocol buffers."""

import gzip
import json
import os
import ssl
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import rules


class Receiver:
    """Stores spans by id. `script(receiver, body)` returns a status, a status with headers, or None to hang up."""

    def __init__(self, script=None, port=0, delay=0.0, tls=False):
        self.script, self.delay = script, delay
        self.stored, self.received, self.differing, self.requests = {}, 0, 0, 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.take(self)

            def do_GET(self):
                outer.show(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(os.path.dirname(__file__), "..", "fault_server", "tls", "server.pem"))
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers["content-length"]))
        self.requests += 1
        answer = self.script(self, body) if self.script else 200
        if answer is None:
            handler.close_connection = True
            return
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        if self.delay:
            threading.Event().wait(self.delay)
        if status == 200:
            packed = handler.headers.get("content-encoding") == "gzip"
            self.store(gzip.decompress(body) if packed else body)
        handler.send_response(status)
        for name, value in {"content-length": "0", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()

    def show(self, handler):
        """Answers as Jaeger's query API does."""
        trace = handler.path.rpartition("/")[2]
        found = [span for span in self.spans() if span.trace_id.hex() == trace]
        if handler.path == "/api/v3/services":
            status, answer = 200, {"services": ["pipe"]}
        elif found:
            spans = [
                {"spanId": span.span_id.hex(), "parentSpanId": span.parent_span_id.hex(), "name": span.name}
                for span in found
            ]
            status, answer = 200, {"result": {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}}
        else:
            status, answer = 404, {"error": {"httpCode": 404, "message": "trace not found"}}
        text = json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def store(self, body):
        spans = list(rules.spans_of(body))
        with self.lock:
            for span in spans:
                key, span_bytes = rules.identity(span), span.SerializeToString(deterministic=True)
                self.differing += self.stored.get(key, span_bytes) != span_bytes
                self.stored[key] = span_bytes
                self.received += 1

    def post(self, request):
        """Sends a request as somebody else would."""
        http = urllib.request.Request(f"{self.url}/v1/traces", request.SerializeToString())
        http.add_header("content-type", "application/x-protobuf")
        urllib.request.urlopen(http, timeout=10).close()

    def spans(self):
        return [rules.Span.FromString(span) for span in self.stored.values()]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
