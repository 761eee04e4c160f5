#!/usr/bin/env python3
"""Runs the OpenAI SDKs for Python and Node against the built binary and a scripted upstream.

Start it with a Python that has requirements.txt installed. From the environment:

  PEGASUS_NEST_BIN       the binary, else target/release/pegasus-nest
  CLIENTS_NODE_MODULES   where `npm ci` put the Node SDK, else tests/clients/node_modules

`--direct` leaves the proxy out, which shows that the suites and the upstream are right themselves.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
API_KEY = "sk-canary-of-the-key"
PROMPT = "Say the canary of the prompt."
START_SECONDS = 30
SUITE_SECONDS = 180
STOP_SECONDS = 15

# What would steer the proxy or the SDKs from outside, or send their calls elsewhere.
STEERING = re.compile(r"^(PEGASUS_|CLIENTS_DIRECT$|OPENAI_|OPENROUTER_|RUST_LOG$|PORT$|NODE_OPTIONS$|FORCE_COLOR$)|_PROXY$", re.I)
CLEAN = {name: value for name, value in os.environ.items() if not STEERING.search(name)}


def start(command, **more):
    """Starts a process in a group of its own, tied to this one's life where the system can."""
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    return subprocess.Popen(command, start_new_session=True, **more)


def kill(process):
    """Ends a process with all its children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Proxy:
    """The binary under test, its log, and the address that it says it listens on."""

    def __init__(self, upstream_port):
        binary = os.environ.get("PEGASUS_NEST_BIN", str(ROOT / "target/release/pegasus-nest"))
        settings = {
            "PEGASUS_UPSTREAM__BASE_URL": f"http://127.0.0.1:{upstream_port}/v1",
            "PEGASUS_LEDGER__PATH": ":memory:",
            "PEGASUS_RETRY__BASE_DELAY": "10ms",
            "PEGASUS_RETRY__MAX_DELAY": "20ms",
        }
        self.log = []
        self.port = None
        self.told = threading.Event()
        self.process = start(
            [binary, "--listen", "127.0.0.1:0"],
            env={**CLEAN, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.log.append(line)
            address = re.search(r"127\.0\.0\.1:(\d+)", line)
            if self.port is None and "listening" in line and address:
                self.port = int(address[1])
                self.told.set()
        self.told.set()

    def await_port(self):
        self.told.wait(START_SECONDS)
        if self.port is None:
            raise RuntimeError("the proxy did not say where it listens")
        return self.port

    def verdicts(self):
        """Stops the proxy as an orchestrator would, and judges how it lived."""
        yield "the proxy lives to the end", self.process.poll() is None
        # The process leads its group, so this reaches it even behind a wrapper.
        self.process.terminate()
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        yield f"SIGTERM ends it in good order (status {status})", status == 0
        kill(self.process)
        self.reader.join(STOP_SECONDS)
        log = "".join(self.log)
        yield "nothing panicked", "panicked" not in log
        yield "neither key nor prompt is in its log", API_KEY not in log and PROMPT not in log


def run_suite(name, command, environment):
    """Runs one suite, shows what it prints, and returns that."""
    print(f"--- {name}", flush=True)
    process = start(
        command,
        cwd=HERE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    try:
        output, _ = process.communicate(timeout=SUITE_SECONDS)
    except subprocess.TimeoutExpired:
        kill(process)
        output = process.stdout.read() + f"\nstopped after {SUITE_SECONDS} s\n"
    finally:
        kill(process)
    print(output, flush=True)
    return output, process.returncode


def python_suite(environment):
    command = [sys.executable, "-m", "unittest", "-v", "test_openai", "test_proxy"]
    output, status = run_suite("openai for Python", command, environment)
    ran = re.search(r"^Ran (\d+) tests? in", output, re.M)
    counts = dict(re.findall(r"(failures|errors|skipped)=(\d+)", output.rpartition("\nRan ")[2]))
    failed = int(counts.get("failures", 0)) + int(counts.get("errors", 0))
    return judge(int(ran[1]) if ran else 0, failed, int(counts.get("skipped", 0)), status)


def node_suite(environment):
    modules = os.environ.get("CLIENTS_NODE_MODULES", str(HERE / "node_modules"))
    command = ["node", "--test", "--test-reporter=spec", "openai.test.js"]
    environment = {**environment, "NODE_PATH": modules, "NO_COLOR": "1"}
    output, status = run_suite("openai for Node", command, environment)
    names = ("tests", "fail", "cancelled", "skipped")
    found = [re.search(rf"^\S+ {name} (\d+)$", output, re.M) for name in names]
    ran, failed, cancelled, skipped = (int(count[1]) if count else 0 for count in found)
    return judge(ran, failed + cancelled, skipped, status)


def judge(ran, failed, skipped, status):
    """Passed and failed; a suite that broke without naming a failure counts as one."""
    if skipped and "--direct" not in sys.argv:
        print(f"FAILED: {skipped} tests were skipped")
        failed, skipped = failed + skipped, 0
    if failed == 0 and (status != 0 or ran == 0):
        print(f"FAILED: the suite ended with status {status}, after {ran} tests")
        failed, ran = 1, ran + 1
    return ran - failed - skipped, failed


def run(direct, processes):
    upstream = start(
        [sys.executable, str(HERE / "upstream.py")],
        env=CLEAN,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    processes.append(upstream)
    upstream_port = int(upstream.stdout.readline())
    environment = {
        **CLEAN,
        "CLIENTS_CONTROL_URL": f"http://127.0.0.1:{upstream_port}/control",
        "CLIENTS_API_KEY": API_KEY,
        "CLIENTS_PROMPT": PROMPT,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    proxy = None
    if direct:
        environment["CLIENTS_DIRECT"] = "1"
    else:
        proxy = Proxy(upstream_port)
        processes.append(proxy.process)
    passed = failed = 0
    try:
        port = proxy.await_port() if proxy else upstream_port
        environment["CLIENTS_BASE_URL"] = f"http://127.0.0.1:{port}/v1"
        for suite in (python_suite, node_suite):
            good, bad = suite(environment)
            passed, failed = passed + good, failed + bad
        if proxy:
            print("--- the proxy's process")
            for name, good in proxy.verdicts():
                print(f"{'ok' if good else 'FAILED'}: {name}")
                passed, failed = passed + good, failed + (not good)
    except RuntimeError as error:
        print(f"FAILED: {error}")
        failed += 1
    if failed and proxy:
        print("--- the proxy's log")
        sys.stdout.writelines(proxy.log)
    print(f"{passed} passed, {failed} failed", flush=True)
    return failed == 0


def main():
    # An exception, so that the processes below are ended on the way out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    processes = []
    try:
        return 0 if run("--direct" in sys.argv[1:], processes) else 1
    finally:
        for process in processes:
            kill(process)


if __name__ == "__main__":
    sys.exit(main())
