#!/usr/bin/env python3
"""Lets schemathesis look for answers of the built binary, in demo mode, that /openapi.json does not allow.

Start it with a Python that has requirements.txt installed. PEGASUS_NEST_BIN is the binary, else target/release/pegasus-nest.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINARY = os.environ.get("PEGASUS_NEST_BIN", HERE.parent.parent / "target/release/pegasus-nest")
SECONDS = 180


def serve(environment):
    command = [str(BINARY), "--demo", "--listen", "127.0.0.1:0"]
    proxy = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    for line in proxy.stderr:
        if found := re.search(r"listening on (http://127\.0\.0\.1:\d+)", line):
            return proxy, found[1]
    raise SystemExit("the proxy did not start")


def main():
    steering = ("PEGASUS_", "RUST_LOG", "PORT", "SCHEMATHESIS_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(steering)}
    # A ledger on disk would outlast the run.
    ours = {"PEGASUS_LEDGER__PATH": ":memory:"}
    proxy, address = serve({**environment, **ours})
    # Unread, its log would fill the pipe and stop it.
    drain = subprocess.Popen(["cat"], stdin=proxy.stderr, stdout=subprocess.DEVNULL)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")]
    command += ["run", f"{address}/openapi.json", "--phases=examples,coverage,fuzzing", "--seed=1"]
    command += ["--max-examples=5", "--request-timeout=20", "--continue-on-failure", "--no-color"]
    try:
        with tempfile.TemporaryDirectory() as directory:
            status = subprocess.run(command, cwd=directory, env=environment, timeout=SECONDS).returncode
        if proxy.poll() is not None:
            print("FAILED: the proxy did not live to the end")
            status = 1
    finally:
        proxy.terminate()
        proxy.wait(timeout=15)
        drain.wait(timeout=15)
    return status


sys.exit(main())
