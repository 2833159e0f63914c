"""Stands between pipe and a real server and keeps a ledger: ledger.py UPSTREAM LEDGER.jsonl.

Hands every request on unchanged and the answer back as it comes. For each chat completion it appends two lines to the
ledger: {"at": "asked", ...} before the request goes on, {"at": "answered", ...} when the answer has been handed back
whole. Both carry the digest of the request's body. Shares no code with pipe. Prints "READY http://127.0.0.1:PORT/v1".
"""
import hashlib
import http.client
import http.server
import json
import sys
import threading
import urllib.parse

upstream = urllib.parse.urlsplit(sys.argv[1])
ledger = open(sys.argv[2], "a", encoding="utf-8")
guard = threading.Lock()


def note(**fields):
    with guard:
        ledger.write(json.dumps(fields) + "\n")
        ledger.flush()


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_chat = self.path.endswith("/chat/completions")
        digest = hashlib.sha256(body).hexdigest()
        if is_chat:
            messages = json.loads(body).get("messages", [])
            note(at="asked", digest=digest, messages=messages, seed=json.loads(body).get("seed"))
        connection = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=600)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() in ("content-type", "retry-after"):
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while piece := answer.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            connection.close()
            self.close_connection = True
        if is_chat and answer.status == 200:
            note(at="answered", digest=digest)

    do_GET = do_POST = pass_on


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
print(f"READY http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
server.serve_forever()
