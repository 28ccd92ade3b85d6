#!/usr/bin/env python3
"""Checks what `sam build` left: right machine, Amazon Linux 2023's glibc, and that each one starts.

To start means what Lambda means: the process asks the Runtime API for its first event and lives on.
The Runtime API here is a server on loopback that never has an event.
"""

import http.server
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import BUILT, FUNCTIONS, ROOT, Failed, main_guard, say  # noqa: E402
from stack import HOST, architecture  # noqa: E402

#: glibc of Amazon Linux 2023, minor version of 2.x.
GLIBC_MINOR_MAX = 34
#: How long a function may take to its first /next, seconds.
START_SECONDS_MAX = 10
#: How long it must then live on without an event, seconds.
ALIVE_SECONDS = 0.3
#: Lambda's limit for an unpacked function, bytes.
UNPACKED_BYTES_MAX = 250 * 1024 * 1024
MACHINES = {62: "x86_64", 183: "arm64"}


class RuntimeApi(http.server.ThreadingHTTPServer):
    """Notes the first /next and lets it wait; notes an init error."""

    daemon_threads = True

    def __init__(self):
        self.asked = threading.Event()
        self.closing = threading.Event()
        self.init_error = None
        super().__init__((HOST, 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.endswith("/runtime/invocation/next"):
            self.server.asked.set()
            self.server.closing.wait()
            self.close_connection = True
            return
        self.answer(404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/runtime/init/error"):
            self.server.init_error = body.decode("utf-8", "replace")
        self.answer(202)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def check_file(name: str, path: Path) -> tuple[str, str]:
    """The architecture it is for, and a line about it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Failed(f"{path.relative_to(ROOT)} is not there. Run: make build") from None
    if data[:4] != b"\x7fELF":
        raise Failed(f"{name}: bootstrap is no Linux binary.")
    machine = MACHINES.get(struct.unpack_from("<H", data, 18)[0])
    if machine is None:
        raise Failed(f"{name}: bootstrap is for a processor that Lambda does not have.")
    minors = [int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", data)]
    if minors and max(minors) > GLIBC_MINOR_MAX:
        raise Failed(f"{name}: needs glibc 2.{max(minors)}; Amazon Linux 2023 has 2.{GLIBC_MINOR_MAX}.")
    if len(data) > UNPACKED_BYTES_MAX:
        raise Failed(f"{name}: {len(data):,} bytes; Lambda takes {UNPACKED_BYTES_MAX:,}.")
    glibc = f"glibc 2.{max(minors)}" if minors else "no glibc"
    return machine, f"{len(data) / 1e6:.1f} MB, {machine}, {glibc}"


def environment(api: RuntimeApi, name: str) -> dict[str, str]:
    place = f"{HOST}:{api.server_address[1]}"
    return {
        "PATH": os.environ["PATH"],
        "RUST_LOG": "info",
        "RUST_BACKTRACE": "0",
        "AWS_LAMBDA_RUNTIME_API": place,
        "AWS_LAMBDA_FUNCTION_NAME": f"vernier-check-{name}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_ENDPOINT_URL": f"http://{place}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "VERNIER_TABLE": "table",
        "VERNIER_BUCKET": "bucket",
        "VERNIER_STREAM": "stream",
        "VERNIER_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:topic",
        "VERNIER_QUEUE_URL": f"http://{place}/000000000000/work.fifo",
        "VERNIER_SEAL_KEY": "alias/key",
        "VERNIER_LOOKBACK_SECONDS": "86400",
        "VERNIER_HOLD_SECONDS": "86400",
        "VERNIER_SEGMENT_DAYS": "30",
        "VERNIER_RECORD_AGE_SECONDS": "3600",
        "VERNIER_COMPACT_AFTER_HOURS": "48",
        "VERNIER_REMOVE_COMPACTED_AFTER_HOURS": "168",
        "VERNIER_WINDOW_SECONDS": "900",
        "VERNIER_GRACE_SECONDS": "300",
        "VERNIER_STREAM_TIMEOUT_SECONDS": "60",
        "VERNIER_CLOCK_SKEW_SECONDS": "60",
        "VERNIER_LATE_SECONDS": "60",
        "VERNIER_TOKEN_CACHE_SECONDS": "60",
        "VERNIER_UNKNOWN_TOKENS_PER_MINUTE": "30",
        "VERNIER_RECEIPT_DAYS": "30",
    }


def start(name: str, path: Path) -> float:
    """Milliseconds from process start to the first /next."""
    api = RuntimeApi()
    threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(
            [path], cwd=path.parent, env=environment(api, name), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            while not api.asked.wait(0.002) and process.poll() is None:
                if time.monotonic() - began > START_SECONDS_MAX:
                    break
            asked_after = (time.monotonic() - began) * 1000
            if api.asked.is_set():
                try:
                    process.wait(ALIVE_SECONDS)
                except subprocess.TimeoutExpired:
                    pass
            ended = process.poll()
        finally:
            process.kill()
            process.wait()
            api.closing.set()
            api.shutdown()
            api.server_close()
        output.seek(0)
        said = output.read().decode("utf-8", "replace").strip()
    if api.init_error is not None:
        raise Failed(f"{name}: reported an error at its start: {api.init_error}\n{said}")
    if ended is not None:
        raise Failed(f"{name}: ended by itself (exit {ended}).\n{said}")
    if not api.asked.is_set():
        raise Failed(f"{name}: did not ask for an event within {START_SECONDS_MAX} s.\n{said}")
    return asked_after


def main() -> int:
    for name, logical in FUNCTIONS.items():
        path = BUILT / logical / "bootstrap"
        machine, line = check_file(name, path)
        if machine == architecture():
            say(f"  {name:9} {line}, first /next after {start(name, path):.0f} ms")
        else:
            say(f"  {name:9} {line}, not started: this machine is {architecture()}")
    return 0


if __name__ == "__main__":
    main_guard(main)
