#!/usr/bin/env python3
"""An OpenAI-compatible server that misbehaves on request and keeps a ledger. It shares no code with `pipe`.

    python3 tests/fault_server/server.py --ledger ledger.jsonl [--delay-ms 50] [--slots 4] [--model NAME] [--tied]

The first line on stdout is its base URL (127.0.0.1, a free port unless --port), the second one a URL whose
connections never stand.

What it does is chosen by the path before `/v1`, in any order and combination:

    /fault/NAME/v1       answer with this fault (see FAULTS)
    /fault/NAME/times/2/v1   ... only the first 2 requests with the same body; then answer well
    /fault/NAME/first/2/v1   ... only the first 2 requests of all
    /storm/7-60/v1       answer 60 % of all requests with a fault of STORM, drawn from the seed 7 and the request
    /delay/250/v1        take 250 ms over each answer
    /case/NAME/v1        count for this case alone; the ledger's `path` tells whose request it was

or by the header `x-fault: NAME`, or by the model name `fault:NAME` or `fault:NAME:2`. Otherwise it answers well: text
is a pure function of the request (`stream` and `stream_options` aside), a `response_format` whose schema has a
`choice` with an `enum` gets one of its values. The delay is --delay-ms, else FAULT_DELAY_MS, else 0; a streamed
answer is spread over it.

The ledger has one JSON object a line, appended with a single write:
`what` is `request` (as soon as it has been read), `answer` (when its last byte has been handed to the system) or `cut`
(when the client was gone before that); then `time`, `number` (which request), `path`, `model`, `seed`, `digest` (of the
body), `mark` (the first `[[…]]` in what is said), `stream`, `fault`, and of an answer `status` and, of a good one, `text`
(its first 32 digits of SHA-256), of one with a sane Retry-After `until` (no retry may come before this time).
--tied ends the server when its stdin is closed, so that it never outlives a test.
"""

import argparse
import contextlib
import email.utils
import gzip
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = (
    "trams buses rivers winters letters markets gardens engines teachers harbours bridges children machines "
    "summers histories numbers doctors painters villages mountains answer question promise change hold carry begin "
    "quietly slowly rarely surely together often again never small bright heavy patient common early late honest"
).split()


# --- good answers -----------------------------------------------------------------------------------------------

def pure(asked):
    """The part of a request that decides its answer."""
    return {key: value for key, value in asked.items() if key not in ("stream", "stream_options")}


def numbers(asked):
    """An endless row of bytes that the request decides."""
    seed = hashlib.sha256(json.dumps(pure(asked), sort_keys=True).encode()).digest()
    while True:
        yield from seed
        seed = hashlib.sha256(seed).digest()


def good_text(asked):
    row = numbers(asked)
    schema = ((asked.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}
    options = ((schema.get("properties") or {}).get("choice") or {}).get("enum")
    if options:
        return json.dumps({"choice": options[next(row) % len(options)]}), "stop"
    length = 6 + next(row) % 24
    words = [WORDS[next(row) % len(WORDS)] for _ in range(length)]
    most = asked.get("max_tokens") or asked.get("max_completion_tokens")
    if most and most < length:
        return " ".join(words[:most]), "length"
    return " ".join(words).capitalize() + ".", "stop"


def usage(asked, text):
    said = sum(len(str(message.get("content", "")).split()) + 4 for message in asked.get("messages", []))
    used = len(text.split())
    return {"prompt_tokens": said, "completion_tokens": used, "total_tokens": said + used}


def mark(asked):
    """Finds the first `[[…]]` in a conversation: by it a test knows what a request is about."""
    said = " ".join(str(message.get("content")) for message in asked.get("messages") or [])
    found = re.search(r"\[\[(.*?)\]\]", said)
    return found and found.group(1)


def whole(asked, text=None, finish=None, **changes):
    made, ended = good_text(asked)
    text = made if text is None else text
    answer = {
        "id": "chatcmpl-" + hashlib.sha256(text.encode()).hexdigest()[:12],
        "object": "chat.completion",
        "created": 0,
        "model": asked.get("model"),
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": finish or ended,
        }],
        "usage": usage(asked, text),
    }
    answer.update(changes)
    return answer


def chunk(asked, delta, finish=None, **changes):
    made = {
        "object": "chat.completion.chunk",
        "model": asked.get("model"),
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    made.update(changes)
    return made


def event(value):
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def good_events(asked, text=None, finish=None):
    made, ended = good_text(asked)
    text = made if text is None else text
    yield event(chunk(asked, {"role": "assistant", "content": None}))
    words = text.split(" ")
    for place, word in enumerate(words):
        yield event(chunk(asked, {"content": word if place == 0 else " " + word}))
    yield event(chunk(asked, {}, finish or ended))
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield event(chunk(asked, {}, choices=[], usage=usage(asked, text)))
    yield b"data: [DONE]\n\n"


def error(message, kind="server_error", code=None, param=None):
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


# --- faults -----------------------------------------------------------------------------------------------------

FAULTS = {}


def fault(function):
    FAULTS[function.__name__.replace("_", "-")] = function
    return function


def refusal(name, status, body, **headers):
    """Registers a fault that is just a status and a body."""
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    FAULTS[name] = lambda turn: turn.json(status, body, headers)


for _status in (400, 401, 402, 403, 404, 408, 409, 422, 500, 502, 503, 504, 529):
    refusal(f"status-{_status}", _status, error(f"this is a {_status}"))
_BUSY = error("slow down", "requests", "rate_limit_exceeded")
refusal("throttled", 429, _BUSY)
refusal("throttled-seconds", 429, _BUSY, retry_after="2")
refusal("throttled-ms", 429, _BUSY, retry_after_ms="1500", retry_after="9")
refusal("throttled-negative", 429, _BUSY, retry_after="-1")
refusal("throttled-absurd", 429, _BUSY, retry_after=str(10 * 365 * 86400))
refusal("throttled-past", 429, _BUSY, retry_after="Fri, 31 Dec 1999 23:59:59 GMT")
refusal("overloaded-seconds", 503, error("busy"), retry_after="4")
for _status in (408, 409, 500, 502, 504, 529):
    refusal(f"wait-{_status}", _status, error("busy"), retry_after="1")
refusal("quota", 429, error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"))
refusal("loading", 503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
refusal("overflow-llamacpp", 400, {"error": {
    "code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 2048,
    "message": "the request exceeds the available context size, try increasing it"}})
refusal("overflow-openai", 400, error(
    "This model's maximum context length is 128000 tokens.", "invalid_request_error", "context_length_exceeded"))
refusal("overflow-vllm", 400, {
    "object": "error", "type": "BadRequestError", "param": None, "code": 400,
    "message": "This model's maximum context length is 2048 tokens. However, you requested 9000 tokens."})
for _name, _message in {
    "anthropic": "prompt is too long: 210000 tokens > 200000 maximum",
    "cohere": "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "gemini": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "mistral": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "ollama": "the input length exceeds the context length",
    "sglang": "Requested token count exceeds the model's maximum context length of 4096 tokens.",
    "tabby": "Prompt length 9000 is greater than max_seq_len 4096",
    "tgi": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000",
}.items():
    refusal(f"overflow-{_name}", 400, error(_message, "invalid_request_error"))
refusal("overflow-as-500", 500, error("context size exceeded"))
refusal("unloaded", 404, error("No models loaded. Please load a model first."))
refusal("model-missing", 404, error(
    "The model `x` does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"))
refusal("model-missing-ollama", 404, error('model "x" not found, try pulling it first', "api_error"))
refusal("format-unsupported", 400, error(
    "Invalid parameter: 'response_format' of type 'json_schema' is not supported", "invalid_request_error", None,
    "response_format"))
refusal("error-in-200", 200, error("the engine died", "internal_error"))
refusal("redirect", 307, {}, location="http://127.0.0.1:9/v1/chat/completions?token=secret")


@fault
def redirect_abroad(turn):
    """To the same server by another name: a client that follows is seen in the ledger, with its key."""
    port = turn.server.server_address[1]
    turn.json(308, {}, {"Location": f"http://localhost:{port}/v1/chat/completions"})


@fault
def redirect_at_home(turn):
    turn.json(307, {}, {"Location": "/v1/chat/completions"})


@fault
def throttled_date(turn):
    now = time.time()
    turn.json(429, _BUSY, {
        "Date": email.utils.formatdate(now, usegmt=True), "Retry-After": email.utils.formatdate(now + 3, usegmt=True)})


@fault
def echo_key(turn):
    turn.json(401, error("bad key " + turn.headers.get("Authorization", "")))


@fault
def close_before_headers(turn):
    turn.close_connection = True


@fault
def reset_before_headers(turn):
    turn.reset()


@fault
def reset_during_headers(turn):
    turn.raw(b"HTTP/1.1 200 OK\r\ncontent-type: appl")
    turn.reset()


@fault
def reset_mid_body(turn):
    half = turn.good_body()[:40]
    turn.raw(turn.head(200) + half)
    time.sleep(0.05)  # the half has to arrive before the reset discards it
    turn.reset()


@fault
def slow_drip(turn):
    """A byte every 20 ms, for as long as anyone listens: it never stands still and never ends."""
    turn.raw(turn.head(200))
    body = turn.good_body()
    try:
        while True:
            for byte in body:
                turn.raw(bytes([byte]) if byte != 10 else b" ")
                time.sleep(0.02)
    except OSError:
        turn.close_connection = True  # the client has had enough, as it should


@fault
def hang_before_headers(turn):
    turn.hang()


@fault
def hang_before_text(turn):
    turn.raw(turn.head(200))
    turn.hang()


@fault
def hang_mid_body(turn):
    turn.raw(turn.head(200))
    if turn.asked.get("stream"):
        turn.raw(b"".join(list(good_events(turn.asked))[:2]))
    else:
        turn.raw(turn.good_body()[:40])
    turn.hang()


@fault
def hang_after_finish(turn):
    """A stream that says it is finished and then never ends; not streamed: a good answer."""
    if not turn.asked.get("stream"):
        return turn.good()
    turn.raw(turn.head(200))
    for piece in good_events(turn.asked):
        if b"[DONE]" not in piece:
            turn.raw(piece)
    turn.hang()


@fault
def html(turn):
    turn.body(200, b"<!DOCTYPE html>\n<html><title>Welcome</title></html>", "text/html; charset=utf-8")


@fault
def html_as_json(turn):
    turn.body(200, b"<!DOCTYPE html>\n<html><title>Welcome</title></html>")


@fault
def empty_body(turn):
    turn.body(200, b"")


@fault
def short_body(turn):
    body = turn.good_body()
    turn.raw(turn.head(200, length=len(body) + 100) + body[:60])
    turn.close_connection = True


@fault
def truncated_json(turn):
    if turn.asked.get("stream"):
        turn.body(200, b'data: {"choices":[{"delta":{"content":"hal')
    else:
        turn.body(200, turn.good_body()[:60])


@fault
def bom(turn):
    turn.body(200, b"\xef\xbb\xbf" + turn.good_body())


@fault
def invalid_utf8(turn):
    broken = json.dumps(whole(turn.asked, "XX")).encode().replace(b"XX", b"\xff\xfe")
    if turn.asked.get("stream"):
        broken = event(chunk(turn.asked, {"content": "XX"})).replace(b"XX", b"\xff\xfe")
    turn.body(200, broken)


@fault
def not_a_number(turn):
    turn.broken_usage(b"NaN")


@fault
def deep_nesting(turn):
    turn.broken_usage(b"[" * 1_000_000 + b"]" * 1_000_000 if not turn.asked.get("stream") else b"[" * 200_000)


@fault
def duplicate_keys(turn):
    turn.broken_usage(b'null,"usage":null')


@fault
def empty_choices(turn):
    if turn.asked.get("stream"):
        turn.body(200, event(chunk(turn.asked, {}, choices=[])) + b"data: [DONE]\n\n")
    else:
        turn.json(200, whole(turn.asked, choices=[]))


@fault
def null_content(turn):
    if turn.asked.get("stream"):
        only = [chunk(turn.asked, {"content": None, "reasoning_content": "Hm."}), chunk(turn.asked, {}, "stop")]
        turn.body(200, b"".join(map(event, only)) + b"data: [DONE]\n\n")
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "stop"}
        turn.json(200, whole(turn.asked, choices=[choice]))


@fault
def too_large(turn):
    """Three times the most that a client should take, as one string, without a length."""
    turn.raw(turn.head(200, length=None))
    turn.raw(b'data: {"choices":[{"delta":{"content":"' if turn.asked.get("stream") else b'{"choices":[{"x":"')
    try:
        for _ in range(48):
            turn.raw(b"x" * (1 << 20))
    except OSError:
        pass  # the client has had enough, as it should
    turn.close_connection = True


@fault
def gzip_unasked(turn):
    bomb = gzip.compress(b" " * (64 << 20))
    turn.body(200, bomb, headers={"Content-Encoding": "gzip"})


@fault
def endless_headers(turn):
    turn.raw(b"HTTP/1.1 200 OK\r\n")
    try:
        for number in range(100_000):
            turn.raw(b"x-%d: %s\r\n" % (number, b"y" * 100))
    except OSError:
        pass  # the client has had enough, as it should
    turn.close_connection = True


@fault
def tiny_chunks(turn):
    """A good answer in chunks of one byte, some 10,000 of them."""
    text = "word " * (300 if turn.asked.get("stream") else 1800) + "end."
    body = b"".join(good_events(turn.asked, text)) if turn.asked.get("stream") else json.dumps(whole(turn.asked, text)).encode()
    turn.raw(turn.head(200, length="chunked"))
    for start in range(0, len(body), 500):
        turn.raw(b"".join(b"1\r\n%c\r\n" % byte for byte in body[start:start + 500]))
    turn.raw(b"0\r\n\r\n")


@fault
def no_finish_reason(turn):
    if turn.asked.get("stream"):
        said = [chunk(turn.asked, {"content": "half an"}), chunk(turn.asked, {"content": " answer"})]
        turn.body(200, b"".join(map(event, said)))
    else:
        turn.good()


@fault
def done_without_reason(turn):
    """A whole answer whose server never says why it ended, only that it did."""
    said = [chunk(turn.asked, {"content": "a whole"}), chunk(turn.asked, {"content": " answer"})]
    turn.only_streamed(b"".join(map(event, said)) + b"data: [DONE]\n\n")


@fault
def malformed_chunk(turn):
    turn.only_streamed(event(chunk(turn.asked, {"content": "good"})) + b'data: {"choices": [{"delta":\n\n')


@fault
def split_utf8(turn):
    """Pieces that end inside of characters."""
    if not turn.asked.get("stream"):
        return turn.good()
    turn.raw(turn.head(200))
    for piece in good_events(turn.asked, "déjà vu – 日本語 🚋"):
        for start in range(0, len(piece), 7):
            turn.raw(piece[start:start + 7])
    turn.close_connection = True


@fault
def crlf_and_comments(turn):
    body = b": hello\r\n\r\n" + b"\r\n: still here\r\n".join(
        piece.replace(b"\n", b"\r\n") for piece in good_events(turn.asked))
    turn.only_streamed(body)


@fault
def error_mid_stream(turn):
    turn.only_streamed(event(chunk(turn.asked, {"content": "half"})) + event(error("the engine died")))


@fault
def error_event_mid_stream(turn):
    turn.only_streamed(
        event(chunk(turn.asked, {"content": "half"})) + b"event: error\n" + event(error("rate", code="rate_limit")))


@fault
def no_done(turn):
    turn.only_streamed(b"".join(piece for piece in good_events(turn.asked) if b"[DONE]" not in piece))


@fault
def data_after_done(turn):
    turn.only_streamed(b"".join(good_events(turn.asked)) + b"data: nonsense\n\n" * 3)


@fault
def finish_length(turn):
    turn.end_with("length")


@fault
def finish_content_filter(turn):
    turn.end_with("content_filter")


@fault
def finish_unknown(turn):
    turn.end_with("moon_phase")


@fault
def finish_abort(turn):
    turn.end_with("abort")


@fault
def evidence(turn):
    """Four kilobytes that are no answer, with the client's own key in them, over the edge of the first two as well."""
    key = turn.headers.get("Authorization", "").removeprefix("Bearer ")
    text = ("no answer for " + key + " ").ljust(2040, ".") + key + "." * 2000
    turn.body(200, text.encode(), "text/event-stream" if turn.asked.get("stream") else "application/json")


@fault
def wrong_id(turn):
    """Every piece names another id, none of them the one that a client could expect."""
    if not turn.asked.get("stream"):
        return turn.json(200, whole(turn.asked, id="chatcmpl-of-somebody-else"))
    pieces = [piece.replace(b'data: {', b'data: {"id": "of-somebody-%d", ' % place)
              for place, piece in enumerate(good_events(turn.asked))]
    turn.body(200, b"".join(pieces))


@fault
def answers_twice(turn):
    """A good answer and, unasked, a second one on the same connection: it belongs to nobody."""
    body = json.dumps(whole(turn.asked)).encode()
    stale = json.dumps(whole(turn.asked, "An answer to nobody.")).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    turn.status = 200
    turn.raw(head % len(body) + body + head % len(stale) + stale)


def says(name, text, **message):
    """Registers a fault that is a whole answer with this text, whatever was asked for."""
    def answer(turn):
        said = {"role": "assistant", "content": text, **message}
        if turn.asked.get("stream"):
            parts = [event(chunk(turn.asked, said)), event(chunk(turn.asked, {}, "stop")), b"data: [DONE]\n\n"]
            turn.body(200, b"".join(parts))
        else:
            turn.json(200, whole(turn.asked, choices=[{"index": 0, "message": said, "finish_reason": "stop"}]))
    FAULTS[name] = answer


says("judge-fenced", '```json\n{"choice": "con"}\n```')
says("judge-prose", "Both were good, but pro was a little better than con.")
says("judge-out-of-range", '{"choice": "neither"}')
says("judge-wrong-type", '{"choice": 1}')
says("judge-two", '{"choice": "pro"} {"choice": "con"}')
says("judge-broken", '{"choice": "pro')
says("judge-refuses", None, refusal="I cannot judge people.")
says("judge-apologises", "I'm sorry, but I can't help with that.")
says("judge-silent", "")


@fault
def other_model(turn):
    turn.asked = dict(turn.asked, model="somebody-else")
    turn.good()


# What a storm is made of: faults that pass and, less often, some that do not; none that takes long.
STORM = (
    "status-500", "status-502", "status-503", "status-529", "throttled", "error-in-200", "close-before-headers",
    "reset-during-headers", "reset-mid-body", "short-body", "html", "empty-body", "truncated-json", "empty-choices",
    "null-content", "invalid-utf8", "no-finish-reason", "malformed-chunk", "error-mid-stream", "status-400",
    "finish-content-filter",
)


def dictated(headers):
    """Returns until when a client has to wait that gets these headers; none when they say nothing sensible."""
    given = {name.lower(): value for name, value in headers.items()}
    try:
        wait = float(given["retry-after-ms"]) / 1000 if "retry-after-ms" in given else float(given["retry-after"])
    except (KeyError, ValueError):
        return None
    return time.time() + wait if 0 < wait <= 60 else None


# --- the server -------------------------------------------------------------------------------------------------

class Turn(BaseHTTPRequestHandler):
    """One connection; one request at a time."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    asked = {}

    # what a fault may do

    def raw(self, data):
        self.wfile.write(data)
        self.wfile.flush()

    def head(self, status, length="close", headers=None, content_type=None):
        """Returns a head: with this length, `chunked`, or `close` / None for a body that ends with the connection."""
        streamed = bool(self.asked.get("stream")) and status == 200
        content_type = content_type or ("text/event-stream" if streamed else "application/json")
        lines = [f"HTTP/1.1 {status} Fault", f"content-type: {content_type}"]
        if length == "chunked":
            lines.append("transfer-encoding: chunked")
        elif isinstance(length, int):
            lines.append(f"content-length: {length}")
        else:
            lines.append("connection: close")
            self.close_connection = True
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.status = status
        self.wait = dictated(headers or {})
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def body(self, status, data, content_type=None, headers=None):
        self.raw(self.head(status, len(data), headers, content_type) + data)

    def json(self, status, value, headers=None):
        self.body(status, json.dumps(value).encode(), "application/json", headers)

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def hang(self):
        """Says nothing more until the client goes away."""
        self.close_connection = True
        try:
            while self.connection.recv(4096):
                pass
        except OSError:
            pass  # gone by a reset is gone too

    def good_body(self):
        return b"".join(good_events(self.asked)) if self.asked.get("stream") else json.dumps(whole(self.asked)).encode()

    def good(self):
        self.said = hashlib.sha256(good_text(self.asked)[0].encode()).hexdigest()[:32]
        if not self.asked.get("stream"):
            time.sleep(self.delay)
            return self.json(200, whole(self.asked))
        pieces = list(good_events(self.asked))
        self.raw(self.head(200, "chunked"))
        for piece in pieces:
            time.sleep(self.delay / len(pieces))
            self.raw(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.raw(b"0\r\n\r\n")

    def only_streamed(self, data):
        if self.asked.get("stream"):
            self.body(200, data)
        else:
            self.good()

    def end_with(self, reason):
        if self.asked.get("stream"):
            self.body(200, b"".join(good_events(self.asked, "Some words.", reason)))
        else:
            self.json(200, whole(self.asked, "Some words.", reason))

    def broken_usage(self, data):
        body = json.dumps(whole(self.asked, usage="XX")).encode()
        if self.asked.get("stream"):
            body = event(chunk(self.asked, {"content": "good"}, usage="XX"))
        self.body(200, body.replace(b'"XX"', data))

    # requests

    def do_GET(self):
        _, rest = self.directions()
        if rest.endswith("/v1/models"):
            names = self.server.arguments.model.split(",")
            models = [{"id": name, "object": "model", "owned_by": "fault-server"} for name in names]
            self.json(200, {"object": "list", "data": models})
        elif rest.endswith("/props") and self.server.arguments.slots:
            self.json(200, {"total_slots": self.server.arguments.slots})
        elif rest.endswith("/api/version") and self.server.arguments.vram is not None:
            self.json(200, {"version": "0.12.6"})
        elif rest.endswith("/api/ps") and self.server.arguments.vram is not None:
            # Nothing is in memory before somebody asked for it.
            models = [running(name, self.server.arguments.vram) for name in sorted(self.server.loaded)]
            self.json(200, {"models": models})
        else:
            self.json(404, error("no such page"))

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self.asked = json.loads(data)
        except ValueError:
            return self.json(400, error("the request is not JSON"))
        directions, rest = self.directions()
        if not rest.endswith("/v1/chat/completions"):
            return self.json(404, error("no such page"))
        self.delay = float(directions.get("delay", self.server.delay_ms)) / 1000
        digest = hashlib.sha256(data).hexdigest()[:32]
        name = self.due(directions, digest)
        self.status = self.wait = self.said = None
        entry = {
            "number": self.server.number(), "path": self.path, "model": self.asked.get("model"),
            "seed": self.asked.get("seed"), "digest": digest, "mark": mark(self.asked),
            "stream": bool(self.asked.get("stream")), "fault": name,
        }
        self.server.record(dict(entry, what="request"))
        try:
            self.answer(name)
        except OSError:
            self.server.record(dict(entry, what="cut"))
            raise
        said = {"text": self.said} if self.said else {}
        if self.wait is not None:
            said["until"] = self.wait
        self.server.record(dict(entry, what="answer", status=self.status, **said))

    def answer(self, name):
        if name is None:
            with self.server.memory.holding(self.asked.get("model")):
                self.server.loaded.add(str(self.asked.get("model")))
                self.good()
        elif name in FAULTS:
            FAULTS[name](self)
        else:
            self.json(400, error(f"this server knows no fault {name!r}"))

    def directions(self):
        """Splits the path into pairs before the API and the rest."""
        parts = self.path.split("?")[0].split("/")[1:]
        pairs = {}
        while len(parts) >= 2 and parts[0] in ("fault", "delay", "times", "first", "storm", "case"):
            pairs[parts[0]] = parts[1]
            parts = parts[2:]
        return pairs, "/" + "/".join(parts)

    def due(self, directions, digest):
        """Names the fault of this request, if it has one that is not yet used up."""
        name, times = directions.get("fault") or self.headers.get("x-fault"), directions.get("times")
        model = str(self.asked.get("model"))
        if model.startswith("fault:"):
            name, times = (model.split(":") + [None])[1:3]
        case = directions.get("case", "") + " "
        if "storm" in directions:
            seed, percent = directions["storm"].split("-")
            again = self.server.count(case + "storm", digest)
            dice = hashlib.sha256(f"{seed} {digest} {again}".encode()).digest()
            return STORM[dice[1] % len(STORM)] if dice[0] * 100 < int(percent) * 256 else None
        if name is not None and "first" in directions:
            return name if self.server.count(case + name, "any request") < int(directions["first"]) else None
        if name is None or times is None:
            return name
        return name if self.server.count(case + name, digest) < int(times) else None

    def log_message(self, *_):
        """The ledger is the log."""


def running(name, vram):
    """An entry of Ollama's GET /api/ps, with the fields that its documentation lists."""
    return {
        "name": name, "model": name, "size": 6591830464, "digest": hashlib.sha256(name.encode()).hexdigest(),
        "details": {"parent_model": "", "format": "gguf", "family": "gemma3", "families": ["gemma3"],
                    "parameter_size": "4.3B", "quantization_level": "Q4_K_M"},
        "expires_at": "2026-10-17T16:47:07.93355-07:00", "size_vram": vram, "context_length": 4096,
    }


class Memory:
    """Room for one model: another one waits until nobody needs this one, and then takes its time to load."""

    def __init__(self, load_ms):
        self.load_ms, self.model, self.users = load_ms, None, 0
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def holding(self, model):
        if not self.load_ms:
            yield
            return
        with self.changed:
            self.changed.wait_for(lambda: self.model == model or self.users == 0)
            if self.model != model:
                time.sleep(self.load_ms / 1000)
                self.model = model
            self.users += 1
        try:
            yield
        finally:
            with self.changed:
                self.users -= 1
                self.changed.notify_all()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, arguments):
        super().__init__(("127.0.0.1", arguments.port), Turn)
        self.arguments = arguments
        self.delay_ms = arguments.delay_ms
        self.memory = Memory(arguments.load_ms)
        self.loaded = set(arguments.model.split(",")) if arguments.loaded else set()
        self.lock = threading.Lock()
        self.requests = 0
        self.counts = {}
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.ledger = os.open(arguments.ledger, flags, 0o644) if arguments.ledger else None

    def number(self):
        with self.lock:
            self.requests += 1
            return self.requests

    def count(self, name, digest):
        with self.lock:
            seen = self.counts.get((name, digest), 0)
            self.counts[name, digest] = seen + 1
            return seen

    def record(self, entry):
        if self.ledger is not None:
            os.write(self.ledger, json.dumps(dict(time=time.time(), **entry)).encode() + b"\n")

    def handle_error(self, request, address):
        """A client that goes away in the middle is what half of the tests are about; anything else is a bug."""
        if not isinstance(sys.exc_info()[1], OSError) and not isinstance(sys.exc_info()[1], ValueError):
            super().handle_error(request, address)


def stuck():
    """Opens a port whose queue is full, so that connections to it never stand."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        waiting.append(client)
    return listener, waiting


def main():
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server with faults and a ledger.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger")
    parser.add_argument("--delay-ms", type=float, default=float(os.environ.get("FAULT_DELAY_MS", 0)))
    parser.add_argument("--slots", type=int, help="tell them at /props, as llama.cpp does")
    parser.add_argument("--load-ms", type=float, default=0, help="hold one model at a time and take so long for another")
    parser.add_argument("--vram", type=int, help="be an Ollama that has so many bytes of its model on a device")
    parser.add_argument("--loaded", action="store_true", help="with --vram: have it in memory from the start")
    parser.add_argument("--model", default="fault-model", help="with commas: several")
    parser.add_argument("--tls", help="a file with a certificate and its key: speak TLS")
    parser.add_argument("--tied", action="store_true", help="end when stdin is closed")
    arguments = parser.parse_args()
    server = Server(arguments)
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.tls)
        # Hands are shaken in the thread of the connection, so that a client that turns away holds nobody up.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    listener, waiting = stuck()
    print(f"{'https' if arguments.tls else 'http'}://127.0.0.1:{server.server_address[1]}")
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    if arguments.tied:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    for each in [listener, *waiting]:
        each.close()


if __name__ == "__main__":
    main()
