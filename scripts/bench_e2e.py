"""End to end, for bench.py: the deployed stack on the local emulator, from the sensor's POST to the
reader's GET.

First a semester in envelopes of 100 events, as fast as the API takes them; then small envelopes at a
steady pace, each of which is asked for until it can be read. At last the account: every acknowledged
event must have its disposition.
"""

import json
import os
import shutil
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from client import ask, run_vernier, window_totals
from common import BUILT, RUN, Failed, say
from stack import Stack

SCOPES = "events:write,events:read,audit:read"
CONTEXT = "http://purl.imsglobal.org/ctx/caliper/v1p2"
#: Events of one envelope where freshness is measured, and envelopes a second.
SMALL_ENVELOPE_EVENTS = 3
ENVELOPES_PER_SECOND = 2
#: Between two questions for one event, seconds: what is measured is no finer than this.
POLL_SECONDS = 0.1
#: How long one event may take to become readable, and the account to add up, seconds.
FRESH_SECONDS_MAX = 60
ACCOUNT_SECONDS_MAX = 120


def percentile(values: list[float], share: float) -> float:
    """The least value that so many of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


class EndToEnd:
    def __init__(self, state: dict):
        self.state = state
        self.folder = RUN / "bench"
        self.token = ""
        self.tenant = f"bench-{uuid.uuid4().hex[:8]}"

    def vernier(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> dict:
        asked = ("--format", "json", *arguments)
        said = run_vernier(self.state, asked, token=self.token, ok=ok)
        return json.loads(said) if said.strip() else {}

    # ---- as much as the API takes

    def throughput(self, events: int) -> dict:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        folder = self.folder / "semester"
        self.vernier("generate", "--events", str(events), "--envelope-size", "100", "--out", str(folder))
        report = self.folder / "report.jsonl"
        return self.vernier("send", str(folder), "--report", str(report), "--concurrency", "8", ok=(0, 1))

    # ---- how soon an event can be read

    def envelope(self) -> tuple[str, bytes]:
        """The last event's id, and the body."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        school = "https://school.example"
        events = [
            {
                "@context": CONTEXT, "id": f"urn:uuid:{uuid.uuid4()}", "type": "NavigationEvent",
                "profile": "ReadingProfile", "action": "NavigatedTo", "eventTime": now,
                "actor": {"id": f"{school}/users/{number}", "type": "Person"},
                "object": {"id": f"{school}/pages/{number}", "type": "WebPage"},
                "edApp": {"id": f"{school}/lms", "type": "SoftwareApplication"},
            }
            for number in range(SMALL_ENVELOPE_EVENTS)
        ]  # fmt: skip
        envelope = {"sensor": f"{school}/sensors/1", "sendTime": now, "dataVersion": CONTEXT, "data": events}
        return events[-1]["id"], json.dumps(envelope).encode()

    def one(self) -> float:
        """Sends an envelope, and asks for its last event until it is there; seconds between the two answers."""
        wanted, body = self.envelope()
        # What was sent before is not what is asked for: the live store of a whole day would be read each time.
        since = (datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="milliseconds")
        query = f"/events/{quote(wanted, safe='')}?from={quote(since)}"
        answer = ask(self.state, "/caliper", self.token, body)
        if answer.status != 200:
            raise Failed(f"POST /caliper answered {answer.status}: {answer.body[:300]!r}")
        accepted = time.monotonic()
        while time.monotonic() - accepted < FRESH_SECONDS_MAX:
            answer = ask(self.state, query, self.token)
            if answer.status == 200:
                return time.monotonic() - accepted
            if answer.status != 404:
                raise Failed(f"GET /events/… answered {answer.status}: {answer.body[:300]!r}")
            time.sleep(POLL_SECONDS)
        raise Failed(f"An acknowledged event could not be read within {FRESH_SECONDS_MAX} s.")

    def freshness(self, seconds: int) -> list[float]:
        count = seconds * ENVELOPES_PER_SECOND
        # A first one, unmeasured: the functions are started.
        self.one()
        with ThreadPoolExecutor(32) as pool:
            waiting = []
            started = time.monotonic()
            for number in range(count):
                pause = started + number / ENVELOPES_PER_SECOND - time.monotonic()
                if pause > 0:
                    threading.Event().wait(pause)
                waiting.append(pool.submit(self.one))
            return [one.result() for one in waiting]

    # ---- nothing lost

    def lost(self, since: str, sent: int) -> tuple[int, dict]:
        """Events that were acknowledged and have no disposition, and the account's sums."""
        deadline = time.monotonic() + ACCOUNT_SECONDS_MAX
        while True:
            windows = self.vernier("windows", "--from", since, ok=(0, 1))["windows"]
            total = window_totals(windows)
            accounted = sum(total.values()) - total["received"]
            lost = sent - min(accounted, total["received"])
            if lost <= 0 or time.monotonic() > deadline:
                return lost, total
            time.sleep(2)

    def run(self, events: int, seconds: int) -> dict:
        since = (datetime.now(UTC) - timedelta(minutes=2)).isoformat(timespec="seconds").replace("+00:00", "Z")
        self.vernier("tenant", "create", self.tenant)
        issue = ("token", "issue", "--tenant", self.tenant, "--sensor", "bench", "--scope", SCOPES)
        self.token = self.vernier(*issue)["token"]
        summary = self.throughput(events)
        say(f"  {summary['events']:,} events in {summary['seconds']:.1f} s, {summary['events_per_second']:,.0f} events/s")
        fresh = self.freshness(seconds)
        sent = summary["events"] + (len(fresh) + 1) * SMALL_ENVELOPE_EVENTS
        lost, total = self.lost(since, sent)
        return {
            "events": sent,
            "events_per_s": round(summary["events_per_second"], 1),
            "refused_envelopes": summary["refused"],
            "lost": lost,
            "account": total,
            "freshness_samples": len(fresh),
            "freshness_p50_s": round(percentile(fresh, 0.50), 3),
            "freshness_p99_s": round(percentile(fresh, 0.99), 3),
            "freshness_max_s": round(max(fresh), 3),
        }


def measure(events: int, seconds: int) -> dict:
    """Starts the stack unless it is up, measures, and leaves it as it was."""
    stack = Stack(RUN / "bench-stack", BUILT)
    state = stack.state()
    was_up = state is not None and stack.trouble(state) is None
    keep = was_up or os.environ.get("KEEP") == "1"
    try:
        return EndToEnd(stack.up(None)).run(events, seconds)
    finally:
        if not keep:
            stack.down()
