#!/usr/bin/env python3
"""An OpenAI-like upstream that answers, fails or goes silent as the model's name asks.

Prints its port on the first line and serves until its standard input ends, so that it cannot
outlive whoever started it. Needs nothing but the standard library.

A model is named KIND-ANYTHING; the kind decides:

  fail-401 fail-404 fail-429 fail-500   that error, each time; 429 with `Retry-After: 0`
  late-429                              429 with `Retry-After: 3600`
  hang                                  two words of a stream, then silence until the caller leaves
  mute                                  not even a status line, until the caller leaves
  cut                                   two words of a stream, then the connection breaks
  split                                 a stream cut into pieces of seven bytes, across characters
  gzip                                  a compressed answer, where the caller accepts one
  anything else                         an ordinary answer, whole or streaming

`GET /control?model=M` tells what came in for M. With `&calls=N` or `&hangups=N` it answers once
that many have been seen, or after ten seconds, so that tests need not sleep.
"""

import base64
import gzip
import json
import re
import select
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ANSWER = "Grüße aus 世界: the quick brown fox jumps over the lazy dog. 🚀"
CITY = '{"name": "Paris", "population": 2100000}'
USAGE = {"prompt_tokens": 11, "completion_tokens": 13, "total_tokens": 24}
EMBEDDING = [0.25, -0.5, 1.0]
WAIT_SECONDS = 10
SILENCE_SECONDS = 60

FAILURES = {
    "fail-401": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "fail-404": (404, "invalid_request_error", "model_not_found", "The model does not exist."),
    "fail-429": (429, "requests", "rate_limit_exceeded", "Rate limit reached."),
    "late-429": (429, "requests", "rate_limit_exceeded", "Rate limit reached."),
    "fail-500": (500, "server_error", None, "The server had an error."),
}
RETRY_AFTER = {"fail-429": "0", "late-429": "3600"}


class Ledger:
    """What has come in, by model."""

    def __init__(self):
        self.changed = threading.Condition()
        self.records = {}

    def add(self, model, field, **seen):
        with self.changed:
            record = self.records.setdefault(model, {"calls": 0, "hangups": 0})
            record[field] += 1
            record.update(seen)
            self.changed.notify_all()

    def read(self, model, calls=0, hangups=0):
        def record():
            return self.records.get(model, {"calls": 0, "hangups": 0})

        def reached():
            return record()["calls"] >= calls and record()["hangups"] >= hangups

        with self.changed:
            self.changed.wait_for(reached, WAIT_SECONDS)
            return dict(record())


LEDGER = Ledger()


def answer_to(body):
    """The message and the finish reason for a chat request."""
    last = body["messages"][-1]
    if body.get("tools") and last.get("role") != "tool":
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
        }
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    if (body.get("response_format") or {}).get("type") == "json_schema":
        return {"role": "assistant", "content": CITY}, "stop"
    if last.get("role") == "tool":
        return {"role": "assistant", "content": f"The tool says: {last['content']}"}, "stop"
    return {"role": "assistant", "content": ANSWER}, "stop"


def deltas_of(message):
    """The pieces in which a stream tells a message."""
    yield {"role": "assistant", "content": None if "tool_calls" in message else ""}
    for call in message.get("tool_calls", []):
        function = call["function"]
        yield {"tool_calls": [{**call, "index": 0, "function": {**function, "arguments": ""}}]}
        for piece in re.findall(r".{1,5}", function["arguments"]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
    for word in re.findall(r"\S+\s*", message["content"] or ""):
        yield {"content": word}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/control":
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            model = query.pop("model", "")
            counts = {key: int(value) for key, value in query.items()}
            return self.send(200, LEDGER.read(model, **counts))
        if not self.authorized():
            return None
        if url.path == "/v1/models":
            model = {"id": "gpt-4o", "object": "model", "created": 1700000000, "owned_by": "test"}
            return self.send(200, {"object": "list", "data": [model]})
        return self.fail(404, "invalid_request_error", None, f"Unknown path {url.path}")

    def do_POST(self):
        payload = self.payload()
        if not self.authorized():
            return None
        if self.path == "/v1/files":
            return self.file(payload)
        body = json.loads(payload)
        if self.path == "/v1/embeddings":
            return self.embed(body)
        if self.path == "/v1/chat/completions":
            return self.chat(body)
        return self.fail(404, "invalid_request_error", None, f"Unknown path {self.path}")

    def payload(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def authorized(self):
        if self.headers.get("Authorization", "").startswith("Bearer "):
            return True
        self.fail(401, "invalid_request_error", None, "You didn't provide an API key.")
        return False

    def file(self, payload):
        reply = {"id": "file-1", "object": "file", "created_at": 1700000000, "status": "processed"}
        reply |= {"bytes": len(payload), "purpose": "batch", "filename": "bytes.jsonl"}
        # The form carries its own boundary, which must have come through with the content type.
        boundary = self.headers.get_boundary("none")
        if payload.count(b"--" + boundary.encode()) < 2:
            return self.fail(400, "invalid_request_error", None, "The form was damaged.")
        return self.send(200, reply)

    def embed(self, body):
        LEDGER.add(body["model"], "calls")
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = []
        for index, text in enumerate(inputs):
            # Of a text that begins with a number, that is its first one.
            first = text.split()[0]
            vector = [float(first) if first.isdigit() else EMBEDDING[0], *EMBEDDING[1:]]
            if body.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack("<3f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": 2 * len(inputs), "total_tokens": 2 * len(inputs)}
        model = body["model"]
        return self.send(200, {"object": "list", "data": data, "model": model, "usage": usage})

    def chat(self, body):
        model = body.get("model", "")
        seen = {name.lower(): value for name, value in self.headers.items()}
        LEDGER.add(model, "calls", headers=seen)
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            message = "Missing required parameter: 'messages'."
            return self.fail(400, "invalid_request_error", "missing_required_parameter", message)
        for kind, failure in FAILURES.items():
            if model.startswith(kind):
                return self.fail(*failure, retry_after=RETRY_AFTER.get(kind))
        if model.startswith("mute"):
            return self.await_hangup(model)
        if body.get("stream"):
            try:
                return self.stream(body)
            except ConnectionError:
                # The caller left before all of it was said.
                self.close_connection = True
                return LEDGER.add(model, "hangups")
        message, finish_reason = answer_to(body)
        choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
        reply = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000}
        return self.send(200, {**reply, "model": model, "choices": [choice], "usage": USAGE})

    def stream(self, body):
        model = body["model"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.own_headers()
        self.end_headers()
        message, finish_reason = answer_to(body)
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000}
        head["model"] = model
        step = 7 if model.startswith("split") else None
        with_usage = (body.get("stream_options") or {}).get("include_usage")
        nothing_yet = {"usage": None} if with_usage else {}

        def event(choices, **more):
            text = json.dumps({**head, "choices": choices, **more}, ensure_ascii=False)
            self.chunk(f"data: {text}\n\n".encode(), step)

        for number, delta in enumerate(deltas_of(message)):
            if number == 3 and model.startswith("hang"):
                return self.await_hangup(model)
            if number == 3 and model.startswith("cut"):
                self.close_connection = True
                return None
            event([{"index": 0, "delta": delta, "finish_reason": None}], **nothing_yet)
        event([{"index": 0, "delta": {}, "finish_reason": finish_reason}], **nothing_yet)
        if with_usage:
            event([], usage=USAGE)
        self.chunk(b"data: [DONE]\n\n")
        return self.wfile.write(b"0\r\n\r\n")

    def chunk(self, data, step=None):
        step = step or len(data)
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def await_hangup(self, model):
        """Says nothing more, and notes when the caller closes the connection."""
        self.close_connection = True
        readable, _, _ = select.select([self.connection], [], [], SILENCE_SECONDS)
        if not readable:
            return
        try:
            gone = self.connection.recv(1, socket.MSG_PEEK) == b""
        except ConnectionError:
            gone = True
        if gone:
            LEDGER.add(model, "hangups")

    def own_headers(self):
        self.send_header("X-Request-Id", "upstream-request")
        self.send_header("X-Ratelimit-Remaining-Requests", "41")
        self.send_header("Set-Cookie", "session=upstream; HttpOnly")

    def fail(self, status, kind, code, message, retry_after=None):
        error = {"message": message, "type": kind, "param": None, "code": code}
        headers = {"Retry-After": retry_after} if retry_after else {}
        self.send(status, {"error": error}, headers)

    def send(self, status, value, headers=None):
        data = json.dumps(value, ensure_ascii=False).encode()
        headers = dict(headers or {})
        wants_gzip = str(value.get("model", "")).startswith("gzip")
        if wants_gzip and "gzip" in self.headers.get("Accept-Encoding", ""):
            data = gzip.compress(data)
            headers["Content-Encoding"] = "gzip"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers.items():
            self.send_header(name, text)
        self.own_headers()
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # A caller that leaves in the middle of an answer is part of what is tested here.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
