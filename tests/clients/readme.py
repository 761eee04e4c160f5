#!/usr/bin/env python3
"""Runs README's examples against the built binary and compares what they print with what README shows.

`--write` puts the real output into README instead.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("PEGASUS_NEST_BIN", ROOT / "target/release/pegasus-nest")
BLOCK = re.compile(r"```console\n\$ (?P<command>.*)\n(?P<output>(?:.*\n)*?)```\n")

# What differs from run to run, and what stands for it while comparing.
VOLATILE = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME"),
    (r'"created":\d+', '"created":N'),
    (r'"processingTime":"[0-9.]+s"', '"processingTime":"S"'),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
]


def steady(text):
    for pattern, word in VOLATILE:
        text = re.sub(pattern, word, text)
    return text.strip()


def serve():
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PEGASUS_", "RUST_LOG"))}
    environment.pop("PORT", None)
    command = [str(BINARY), "--demo", "--listen", "127.0.0.1:0"]
    proxy = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    for line in proxy.stderr:
        if found := re.search(r"listening on http://(127\.0\.0\.1:\d+)", line):
            return proxy, found[1]
    raise SystemExit("the proxy did not start")


def main():
    readme = ROOT / "README.md"
    text = readme.read_text()
    proxy, address = serve()
    passed = failed = 0
    try:
        blocks = list(BLOCK.finditer(text))
        if len(blocks) != text.count("```console"):
            raise SystemExit("an example of README is not laid out as the others: a command after $, then its output")
        for block in blocks:
            command = block["command"].replace("localhost:3000", address)
            real = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30).stdout
            if "--write" in sys.argv:
                shown = f"```console\n$ {block['command']}\n{real.strip()}\n```\n"
                text = text.replace(block[0], shown)
            elif steady(real) == steady(block["output"]):
                passed += 1
            else:
                failed += 1
                print(f"FAILED: {block['command']}\n--- README\n{block['output']}--- real\n{real}")
    finally:
        proxy.terminate()
        proxy.communicate(timeout=15)
    if "--write" in sys.argv:
        readme.write_text(text)
        return 0
    print(f"README's examples: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(main())
