"""What the Python suites share: clients, fresh names, and the upstream's view of a call."""

import json
import os
import unittest
import urllib.request
import uuid

import openai

BASE_URL = os.environ["CLIENTS_BASE_URL"]
CONTROL_URL = os.environ["CLIENTS_CONTROL_URL"]
API_KEY = os.environ["CLIENTS_API_KEY"]
PROMPT = os.environ["CLIENTS_PROMPT"]

ANSWER = "Grüße aus 世界: the quick brown fox jumps over the lazy dog. 🚀"
# What the upstream says before a stream that hangs or breaks stops.
BEGINNING = "Grüße aus "
USAGE = (11, 13, 24)

# For what the proxy adds; `run.py --direct` talks to the upstream itself.
needs_proxy = unittest.skipIf(os.environ.get("CLIENTS_DIRECT"), "needs the proxy")


def sdk(kind=openai.OpenAI, api_key=API_KEY):
    """A client as any application makes it, but for retries, which would hide the proxy's."""
    return kind(api_key=api_key, base_url=BASE_URL, max_retries=0, timeout=20)


def fresh(kind="plain"):
    """A model that no other test uses, so that caches, circuits and counts are its own."""
    return f"{kind}-{uuid.uuid4().hex[:12]}"


def chat(model, prompt=PROMPT, **more):
    """The arguments of a chat completion with one user message."""
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}


def seen(model, **at_least):
    """The upstream's record of a model, once it has seen that many calls or hang-ups."""
    query = "".join(f"&{name}={count}" for name, count in at_least.items())
    with urllib.request.urlopen(f"{CONTROL_URL}?model={model}{query}", timeout=20) as reply:
        return json.load(reply)


def text_of(chunks):
    """The text of a stream's chunks."""
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def usage_of(value):
    """The three counts of a usage object."""
    return value.prompt_tokens, value.completion_tokens, value.total_tokens
