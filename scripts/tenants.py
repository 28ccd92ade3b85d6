#!/usr/bin/env python3
"""Many tenants on a deployed stack of their own: how long after a window's end each of them is sealed.

  tenants.py                200 tenants, windows of five minutes
  tenants.py --tenants 50

Deploys the template on the emulator, sends envelopes of every tenant within one window, and asks for each tenant's
seals. The emulator starts one worker at a time, which AWS does not. Exit code 1 when a tenant was sealed later than
two minutes after its window's grace, or never.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import ROOT, RUN, VERNIER, Failed, main_guard, need_setup, run, say, tool_env  # noqa: E402
from stack import Stack, child_env, vernier_env  # noqa: E402

WINDOW_SECONDS = 300
GRACE_SECONDS = 15
#: A worker may come so long after a window's grace, seconds.
LATE_SECONDS_MAX = 120
EVENTS = 3


def envelope() -> bytes:
    """Events as a sensor sends them; each of an id of its own."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    event = {
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2", "type": "NavigationEvent", "action": "NavigatedTo", "eventTime": now,
        "actor": {"id": "https://school.example/users/1", "type": "Person"},
        "object": {"id": "https://school.example/pages/1", "type": "WebPage"},
    }  # fmt: skip
    data = [event | {"id": f"urn:uuid:{uuid.uuid4()}"} for _ in range(EVENTS)]
    body = {"sensor": "https://school.example/sensors/1", "sendTime": now, "dataVersion": "http://purl.imsglobal.org/ctx/caliper/v1p2", "data": data}
    return json.dumps(body).encode()


class Load:
    """Tenants with their tokens, and what each sends and is answered."""

    def __init__(self, api: str, env: dict[str, str]) -> None:
        self.api, self.env = api, env

    def tenant(self, number: int) -> str:
        """A new tenant; its token."""
        name = f"many-{number}-{uuid.uuid4().hex[:6]}"
        self.vernier("tenant", "create", name)
        scopes = "events:write,events:read,audit:read"
        issued = self.vernier("--format", "json", "token", "issue", "--tenant", name, "--sensor", "many", "--scope", scopes)
        return json.loads(issued)["token"]

    def vernier(self, *arguments: str) -> str:
        done = subprocess.run([VERNIER, *arguments], cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"vernier {arguments[0]} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def ask(self, path: str, token: str, body: bytes | None = None) -> dict:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.api}{path}", data=body, headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            # An envelope is answered with nothing.
            return json.loads(answer.read() or b"{}")

    def is_sealed(self, token: str) -> bool:
        seals = self.ask("/seals", token)["seals"]
        return sum(seal["events"] for seal in seals) >= EVENTS


def until_window_has(seconds: int) -> float:
    """Waits until a window has so many seconds left; its end."""
    while True:
        now = time.time()
        end = (now // WINDOW_SECONDS + 1) * WINDOW_SECONDS
        if end - now >= seconds:
            return end
        time.sleep(1)


def measure(load: Load, count: int) -> int:
    say(f"── {count} tenants")
    with ThreadPoolExecutor(4) as pool:
        tokens = list(pool.map(load.tenant, range(count)))
        end = until_window_has(120)
        begun = time.time()
        list(pool.map(lambda token: load.ask("/caliper", token, envelope()), tokens))
        say(f"Sent within {time.time() - begun:.0f} s; the window ends in {end - time.time():.0f} s.")
        if time.time() > end:
            raise Failed("The window ended while envelopes were sent: fewer tenants, or a machine with less to do.")
        waiting, after = list(tokens), []
        while waiting and time.time() < end + GRACE_SECONDS + 3 * LATE_SECONDS_MAX:
            time.sleep(5)
            sealed = [token for token, is_sealed in zip(waiting, pool.map(load.is_sealed, waiting), strict=True) if is_sealed]
            waiting = [token for token in waiting if token not in sealed]
            after += [time.time() - end] * len(sealed)
            if sealed:
                say(f"{count - len(waiting)} sealed {time.time() - end:.0f} s after the window's end.")
    bound = GRACE_SECONDS + LATE_SECONDS_MAX
    if waiting:
        say(f"{len(waiting)} tenants were not sealed.")
    if after:
        say(f"Sealed {min(after):.0f} to {max(after):.0f} s after the window's end, the median {statistics.median(after):.0f} s; bound {bound} s.")
    return 0 if not waiting and max(after) <= bound else 1


def main() -> int:
    about = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about.add_argument("--tenants", type=int, default=200)
    asked = about.parse_args()
    need_setup()
    run(["cargo", "build", "--quiet", "--workspace", "--bin", "vernier"], env=tool_env())
    stack = Stack(RUN / "tenants", overrides={"WindowSeconds": str(WINDOW_SECONDS)})
    stack.down(quiet=True)
    try:
        state = stack.up(None)
        return measure(Load(state["api_url"], {**child_env(state), **vernier_env(state)}), asked.tenants)
    finally:
        stack.down()


if __name__ == "__main__":
    main_guard(main)
