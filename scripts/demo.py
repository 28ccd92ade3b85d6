#!/usr/bin/env python3
"""From nothing to an account that adds up: what `make demo` shows.

Sets up, builds, deploys to a local emulator, makes a tenant, sends example envelopes and a generated
semester (one envelope of it twice, some events of it invalid), then asks the deployed API what became
of them. Every number shown comes out of the `vernier` command; it ends with 1 when they do not agree.

Environment: ENVELOPES=dir sends your own envelopes in place of the examples; EVENTS=n sets the size of
the semester (20000); SEED=n chooses another one (7); KEEP=1 leaves the emulator up afterwards.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from client import ask, run_vernier, window_totals  # noqa: E402
from common import EMULATOR, ROOT, RUN, Failed, main_guard, run, say, took  # noqa: E402
from stack import Stack, child_env  # noqa: E402

#: The public Caliper examples, when they lie beside the project.
EXAMPLES = ROOT.parent / "shared" / "caliper" / "valid"
SCOPES = "events:write,events:read,reports:read,audit:read"
ENVELOPE_EVENTS = 100
#: One event in so many is made invalid.
INVALID_EVERY = 800
#: How long windows may take to close and add up, seconds: a window of 60, its grace, a run a minute.
WINDOWS_SECONDS_MAX = 240
#: How long sealing may take after that, seconds.
SEALS_SECONDS_MAX = 180
#: The demo has the planner run so often while it waits for seals, seconds; its schedule has it run each minute.
PLAN_SECONDS = 5
#: Lines of a long answer that are shown.
SHOWN_LINES_MAX = 14


class Demo:
    def __init__(self):
        self.times: list[tuple[str, str]] = []
        self.checks: list[tuple[bool, str]] = []
        self.stack = Stack(RUN)
        self.state: dict | None = None
        self.token = ""
        self.tenant = ""
        self.folder = RUN / "demo"

    # ---- telling and running

    def step(self, title: str, task):
        say(f"\n── {title}")
        started = time.monotonic()
        try:
            return task()
        finally:
            self.times.append((title, took(started)))

    def vernier(self, *arguments: str, ok: tuple[int, ...] = (0,), show: bool = True, as_json: bool = False) -> str:
        """Runs `vernier` against the stack, shows the command and, unless JSON, what it says."""
        if show:
            say("$ vernier " + " ".join(shlex.quote(self.shown(part)) for part in arguments))
        arguments = (*(("--format", "json") if as_json else ()), *arguments)
        try:
            # Progress is for a terminal; it goes to standard error, which is left alone.
            said = run_vernier(self.state, arguments, token=self.token, ok=ok)
        except Failed as failure:
            trouble = self.stack.trouble(self.state)
            raise Failed(f"{failure}\n{trouble or ''}".rstrip()) from None
        if show and not as_json:
            self.show(said)
        return said

    def shown(self, part: str) -> str:
        return part.replace(f"{ROOT}{os.sep}", "")

    def show(self, text: str) -> None:
        lines = self.shown(text.rstrip()).splitlines()
        for line in lines[:SHOWN_LINES_MAX]:
            say(f"  {line}")
        if len(lines) > SHOWN_LINES_MAX:
            say(f"  … {len(lines) - SHOWN_LINES_MAX} more lines")

    def check(self, holds: bool, what: str) -> None:
        self.checks.append((holds, what))
        say(f"  {'✓' if holds else '✗'} {what}")

    # ---- the story

    def prepare(self) -> None:
        build = [sys.executable, ROOT / "scripts" / "build.py", "--local"]
        self.step("Set up, and build the functions and the vernier command", lambda: run(build))

    def introduce(self) -> None:
        tenant = self.tenant = f"demo-{uuid.uuid4().hex[:8]}"
        self.vernier("tenant", "create", tenant)
        issue = ("token", "issue", "--tenant", tenant, "--sensor", "demo", "--scope", SCOPES)
        issued = json.loads(self.vernier(*issue, as_json=True))
        self.token = issued["token"]
        say(f"  token {issued['token_id']} for {issued['sensor']} of {tenant}, shown to this script only")

    def send(self, title: str, path: Path, concurrency: int) -> dict:
        """Sends, and gives the summary of the report that was written."""
        report = self.folder / f"{title}.report.jsonl"
        common = ("send", str(path), "--report", str(report), "--concurrency", str(concurrency))
        summary = json.loads(self.vernier(*common, as_json=True, ok=(0, 1)))
        say(
            f"  {summary['envelopes']:,} envelopes, {summary['acknowledged']:,} acknowledged, "
            f"{summary['refused']:,} refused; {summary['events']:,} events, {summary['accepted']:,} accepted, "
            f"{summary['rejected']:,} rejected; {summary['seconds']:.1f} s, {summary['events_per_second']:,.0f} events/s"
        )
        for refusal in summary["refusals"][:5]:
            say(f"    refused: {self.shown(refusal)}")
        for rule in summary["rules"][:8]:
            say(f"    {rule['events']:>5,} × {rule['rule']}: {rule['message']}")
        return summary

    def examples(self) -> dict | None:
        own = os.environ.get("ENVELOPES")
        if own:
            return self.send("envelopes", Path(own).resolve(), 4)
        if not EXAMPLES.is_dir():
            say("  The public Caliper examples are not beside the project; ENVELOPES=dir sends any others.")
            return None
        folder = self.folder / "examples"
        folder.mkdir()
        for source in sorted(EXAMPLES.glob("*/*nvelope*.json")):
            shutil.copy(source, folder / f"{source.parent.name}-{source.name}")
        return self.send("examples", folder, 4)

    def semester(self, events: int, seed: str) -> tuple[dict, str, str]:
        """The summary, and the receipts of an envelope and of its copy."""
        folder = self.folder / "semester"
        invalid = max(1, events // INVALID_EVERY)
        self.vernier(
            "generate", "--seed", seed, "--events", str(events), "--envelope-size", str(ENVELOPE_EVENTS),
            "--invalid", str(invalid), "--out", str(folder),
        )  # fmt: skip
        files = sorted(folder.glob("*.json"))
        twice = files[len(files) // 2]
        copy = twice.with_name(f"{twice.stem}-copy.json")
        say(f"$ cp {self.shown(str(twice))} {self.shown(str(copy))}")
        shutil.copy(twice, copy)
        summary = self.send("semester", folder, 8)
        rows = [json.loads(line) for line in (self.folder / "semester.report.jsonl").read_text().splitlines()]
        receipts = {Path(row["path"]).name: row["receipt"] for row in rows}
        self.check(summary["rejected"] >= invalid, f"at least the {invalid:,} events made invalid are rejected")
        return summary, receipts[twice.name], receipts[copy.name]

    def account(self, since: str, sent: list[dict]) -> dict[str, int]:
        """Waits until every window adds up, shows the table, and compares with what was sent."""
        asked = ("windows", "--from", since, "--wait", str(WINDOWS_SECONDS_MAX))
        self.vernier(*asked, ok=(0, 1))
        answer = json.loads(self.vernier(*asked[:3], as_json=True, show=False, ok=(0, 1)))
        windows = answer["windows"]
        total = window_totals(windows)
        events = sum(summary["events"] for summary in sent)
        rejected = sum(summary["rejected"] for summary in sent)
        accounted = total["stored"] + total["duplicate"] + total["conflict"] + total["rejected"]
        self.check(total["received"] == events, f"received {total['received']:,} = {events:,} sent and acknowledged")
        self.check(
            total["received"] == accounted,
            f"received {total['received']:,} = stored {total['stored']:,} + duplicate {total['duplicate']:,} "
            f"+ conflict {total['conflict']:,} + rejected {total['rejected']:,}",
        )
        self.check(total["rejected"] == rejected, f"rejected {total['rejected']:,} = {rejected:,} by the senders' verdicts")
        short = [window["start"] for window in windows if not window["complete"]]
        digests = [window["start"] for window in windows if window["received"]["digest"] != window["accounted"]["digest"]]
        self.check(not short and bool(windows), f"{len(windows)} windows, {len(windows) - len(short)} complete")
        self.check(not digests, "the digests of received and accounted agree in every window")
        return total

    def look(self, since: str, receipts: tuple[str, str], total: dict[str, int]) -> None:
        grades = ("query", "--from", since, "--type", "GradeEvent", "--limit", "5")
        self.vernier(*grades)
        page = json.loads(self.vernier(*grades, as_json=True, show=False))
        self.check(len(page["events"]) > 0, f"a query for grades, five a page, finds {len(page['events'])}")
        first = page["events"][0]["event"]["id"]
        found = json.loads(self.vernier("query", "--id", first, as_json=True))
        self.check(found["event"]["id"] == first, f"{first} is found by its id, {found['disposition']}")
        original, copy = receipts
        self.vernier("receipt", copy, ok=(0, 1))
        both = [json.loads(self.vernier("receipt", one, as_json=True, show=False, ok=(0, 1))) for one in (original, copy)]
        counts = [receipt["counts"] for receipt in both]
        doubled = sum(count["duplicate"] for count in counts)
        self.check(
            doubled == counts[0]["accepted"],
            f"of the envelope sent twice, {counts[0]['accepted']} accepted events are stored once and {doubled} are duplicates",
        )
        self.check(total["duplicate"] >= doubled, f"the windows' {total['duplicate']:,} duplicates contain them")

    # ---- sealed windows

    def tool(self, *arguments: str, what: str) -> str:
        """Runs a part of archive_tools.py, where boto3 and DuckDB are."""
        command = [EMULATOR / "python", ROOT / "scripts" / "archive_tools.py", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=child_env(self.state), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Failed(f"Cannot {what}:\n{done.stderr.strip()}")
        return done.stdout

    def sealed(self, total: dict[str, int]) -> Path:
        """Waits until all that was received is sealed, and copies the files."""
        folder = self.folder / "archive"
        deadline, planned = time.monotonic() + SEALS_SECONDS_MAX, 0.0
        say(f"  The planner runs every {PLAN_SECONDS} seconds meanwhile; by its schedule it runs each minute.")
        while True:
            if time.monotonic() - planned > PLAN_SECONDS:
                self.tool("plan", self.state["functions"]["reconcile"], what="have the planner run")
                planned = time.monotonic()
            copied = json.loads(
                self.tool("copy", self.state["bucket"], self.tenant, str(folder), what="copy the archive")
            )
            if copied["events"] >= total["received"] or time.monotonic() > deadline:
                break
            time.sleep(2)
        say(
            f"  {copied['seals']} seals, {copied['events']:,} events in {copied['files']} files of "
            f"{copied['bytes']:,} bytes, copied to {self.shown(str(folder))}"
        )
        self.check(
            copied["events"] == total["received"],
            f"sealed {copied['events']:,} = {total['received']:,} received",
        )
        return folder

    def verify(self, folder: Path, show: bool = True) -> dict:
        """What `vernier verify` says of a copy, with nothing but its files and the public key."""
        keys = [part for key in sorted((folder / "keys").glob("*.pem")) for part in ("--key", str(key))]
        asked = ("verify", str(folder), *keys)
        if show:
            self.vernier(*asked, ok=(0, 1))
        return json.loads(self.vernier(*asked, as_json=True, show=False, ok=(0, 1)))

    def tampered(self, clean: Path, name: str, change) -> tuple[dict, Path]:
        folder = self.folder / name
        shutil.copytree(clean, folder)
        part = max((folder / "archive").rglob("*.parquet"), key=lambda path: path.stat().st_size)
        change(part)
        found = self.verify(folder)
        return found["findings"][0] if found["findings"] else {}, part.relative_to(folder)

    def archive(self, total: dict[str, int]) -> None:
        folder = self.sealed(total)
        report = self.verify(folder)
        counts = {name: total[name] for name in ("stored", "duplicate", "conflict", "rejected")}
        self.check(report["sound"] and report["rows"] == total["received"], "vernier verify: every row, file and seal is sound")
        self.check(report["counts"] == counts, f"its counts are the windows': {counts}")
        say(self.tool("query", str(folder), what="ask DuckDB").rstrip())

        def flip(part: Path) -> None:
            data = bytearray(part.read_bytes())
            data[len(data) // 2] ^= 1
            part.write_bytes(data)
            say(f"  one bit of {part.name} flipped:")

        def drop(part: Path) -> None:
            rows = int(self.tool("drop", str(part), what="drop a row"))
            say(f"  the first of the {rows:,} rows of {part.name} dropped:")

        for name, change in (("flipped", flip), ("dropped", drop)):
            finding, part = self.tampered(folder, name, change)
            self.check(finding.get("file") == str(part), f"the {name} {'bit' if name == 'flipped' else 'row'} is found: {finding.get('check')}")

    def insights(self) -> None:
        """What a section's instructor sees, and that the page is there."""
        report = ("report", "sections", "--from", "-1d")
        sections = json.loads(self.vernier(*report, as_json=True, show=False))["sections"]
        named = [section for section in sections if section["section"]]
        self.check(bool(named), f"{len(named)} sections in the report of sections")
        self.vernier(*report)
        usual = max(named, key=lambda section: section["events"])["section"]
        asked = ("report", "grades", "--section", usual)
        grades = json.loads(self.vernier(*asked, as_json=True, show=False))
        self.vernier(*asked)
        given = sum(grade is not None for learner in grades["learners"] for grade in learner["grades"])
        self.check(given > 0, f"{given:,} grades of {len(grades['learners']):,} learners in one section")
        page = f"{self.state['api_url'].rstrip('/')}/insights"
        answer = ask(self.state, "/insights")
        found = answer.status == 200 and b"<!doctype html>" in answer.body[:200].lower()
        self.check(found, f"the page answers at {page}")
        say("  KEEP=1 leaves it up; sign in with a token of your own: vernier token issue --tenant " + self.tenant + " …")

    def closing(self, sent: list[dict], total: dict[str, int]) -> int:
        semester = sent[-1]
        say("\n── In figures")
        say(f"  events sent          {sum(summary['events'] for summary in sent):>10,}")
        say(f"  accepted             {sum(summary['accepted'] for summary in sent):>10,}")
        for name in ("stored", "duplicate", "conflict", "rejected"):
            say(f"  {name:20} {total[name]:>10,}")
        say(f"  events/s through API {semester['events_per_second']:>10,.0f}")
        wrong = [what for holds, what in self.checks if not holds]
        if wrong:
            say("\nIt does not add up:")
            for what in wrong:
                say(f"  ✗ {what}")
            return 1
        say(f"\nIt adds up: {len(self.checks)} checks, none failed.")
        return 0


def tell(demo: Demo) -> int:
    events = int(os.environ.get("EVENTS") or 20000)
    seed = os.environ.get("SEED") or "7"
    shutil.rmtree(demo.folder, ignore_errors=True)
    demo.folder.mkdir(parents=True)
    demo.step("Make a tenant and a token", demo.introduce)
    since = (datetime.now(UTC) - timedelta(minutes=2)).isoformat(timespec="seconds").replace("+00:00", "Z")
    first = demo.step("Send example envelopes", demo.examples)
    last, original, copy = demo.step(f"Send a semester of {events:,} events", lambda: demo.semester(events, seed))
    sent = [summary for summary in (first, last) if summary]
    total = demo.step("The account: every window, received against stored", lambda: demo.account(since, sent))
    demo.step("Read: a query, an event, a receipt", lambda: demo.look(since, (original, copy), total))
    demo.step("Sealed windows: copy, verify, query, tamper", lambda: demo.archive(total))
    demo.step("Reports and the page", demo.insights)
    return demo.closing(sent, total)


def main() -> int:
    demo = Demo()
    demo.prepare()
    state = demo.stack.state()
    was_up = state is not None and demo.stack.trouble(state) is None
    keep = was_up or os.environ.get("KEEP") == "1"
    try:
        demo.state = demo.step("Start the emulator and deploy", lambda: demo.stack.up(None))
        return tell(demo)
    finally:
        say("\n── Times")
        for title, taken in demo.times:
            say(f"  {title:52} {taken:>12}")
        say("")
        if keep and demo.stack.state() is not None:
            say("The emulator stays up" + (", as it was." if was_up else " (KEEP=1).") + " Stop it with: make down")
        else:
            demo.stack.down()


if __name__ == "__main__":
    main_guard(main)
