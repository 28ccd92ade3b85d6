#!/usr/bin/env python3
"""Game day: breaks the deployed stack in fourteen ways, and shows who notices, how it heals, and what is lost.

  gameday.py [DRILL…]     all drills, or some by name (gameday.py --list)

It deploys what is built to an emulator of its own, and plays each drill under traffic. For each it prints
by which signal it was detected (a line of the log, a metric, an alarm by its deployed definition, an answer
of the API: only what was really seen), after what time, how it healed, and whether every event that was
acknowledged is accounted for. It ends with 1 when a drill was not detected, did not heal, or lost something.

The emulator's trigger tries a batch again for ever: what follows retries that have run out is played by the
tests of the trigger's model and by a drill that leaves the batch at its destination itself. The table
names who played what.
"""

import gzip
import json
import os
import queue
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from client import DISPOSITIONS, ask, run_vernier, window_totals  # noqa: E402
from gameday_recovery import stream_away, ten_tenants  # noqa: E402
from gameday_trouble import receipts_expired, three_of_twenty, window_held  # noqa: E402
from common import EMULATOR, RUN, Failed, main_guard, need_setup, run, say, took, tool_env  # noqa: E402
from stack import Stack, child_env, vernier_env  # noqa: E402
from test import run_step, test_env  # noqa: E402

FOLDER = RUN / "gameday" / "data"
SCOPES = "events:write,events:read,audit:read"
ENVELOPE_EVENTS = 20
#: Envelopes that one tenant's sensor sends at a time.
SENDERS = 3
#: How long a signal may take to be seen, seconds.
SIGNAL_SECONDS_MAX = 90
#: How long it may take until everything is stored after the cause is gone, seconds.
HEAL_SECONDS_MAX = 180
#: How long it may take until everything is sealed in the end, seconds.
SEAL_SECONDS_MAX = 420
#: How long a shard is kept from being committed: longer than FreshnessSecondsMax.
STUCK_SECONDS = 66
#: What the planner leaves in the log each minute, and a worker after each turn.
PLANNED, TURN_ENDED = "planned", "turn ended"


@dataclass
class Row:
    """One drill, as printed."""

    drill: str
    signals: list[str] = field(default_factory=list)
    seconds: float | None = None
    healed: str = ""
    account: str = ""
    legs: list[str] = field(default_factory=lambda: ["deployed stack"])
    wrong: list[str] = field(default_factory=list)

    def saw(self, what: str | None, seconds: float | None = None, missing: str = "") -> None:
        """Notes a signal and after how many seconds it was there; the earliest is shown."""
        if not what:
            self.wrong.append(f"not seen: {missing}")
            return
        self.signals.append(what)
        if seconds is not None and (self.seconds is None or seconds < self.seconds):
            self.seconds = seconds


class Sensor:
    """A tenant with a token, and envelopes that are sent until each has its receipt."""

    def __init__(self, day: "Day", name: str, events: int, seed: int):
        self.day, self.events = day, events
        self.tenant = f"{name}-{os.urandom(3).hex()}"
        day.vernier("tenant", "create", self.tenant, "--lanes", "8")
        self.new_token()
        folder = FOLDER / self.tenant
        day.vernier("generate", "--seed", str(seed), "--events", str(events), "--envelope-size", str(ENVELOPE_EVENTS), "--out", str(folder))
        self.bodies = [path.read_bytes() for path in sorted(folder.glob("*.json"))]
        self.receipts: list[str] = []
        self.statuses: dict[int, int] = {}
        self.lock = threading.Lock()
        self.threads: list[threading.Thread] = []

    def new_token(self) -> None:
        issued = self.day.vernier("token", "issue", "--tenant", self.tenant, "--sensor", "gameday", "--scope", SCOPES, as_json=True)
        self.token, self.token_id = issued["token"], issued["token_id"]

    def start(self, pause_seconds: float = 0.0) -> "Sensor":
        """Begins to send, with a pause after each envelope."""
        work: queue.SimpleQueue = queue.SimpleQueue()
        for body in self.bodies:
            work.put(body)
        for _ in range(SENDERS):
            thread = threading.Thread(target=self.send_all, args=(work, pause_seconds), daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def send_all(self, work: queue.SimpleQueue, pause_seconds: float) -> None:
        while True:
            try:
                body = work.get_nowait()
            except queue.Empty:
                return
            self.send(body)
            time.sleep(pause_seconds)

    def send(self, body: bytes) -> None:
        """Until it is acknowledged: whatever the answer, a sensor keeps what it has no receipt for."""
        while not self.day.over.is_set():
            try:
                answer = ask(self.day.state, "/caliper", self.token, gzip.compress(body, 1), content_encoding="gzip")
                status, receipt = answer.status, answer.headers["vernier-receipt"]
            except OSError:
                status, receipt = 0, None
            self.day.watch.answered(status)
            with self.lock:
                self.statuses[status] = self.statuses.get(status, 0) + 1
                if receipt:
                    self.receipts.append(receipt)
                    return
            time.sleep(0.5)

    def sent(self, seconds: float = HEAL_SECONDS_MAX) -> bool:
        deadline = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)

    # ---- the account

    def get(self, path: str) -> dict:
        answer = ask(self.day.state, path, self.token)
        if answer.status != 200:
            raise OSError(f"GET {path} answered {answer.status}")
        return json.loads(answer.body)

    def totals(self) -> dict[str, int]:
        windows = self.get("/windows")["windows"]
        total = window_totals(windows)
        total["digests differ"] = sum(w["received"]["digest"] != w["accounted"]["digest"] for w in windows)
        return total

    def settled(self) -> dict[str, int] | None:
        """The account, once every event that was sent is in it: each is stored once or was rejected."""
        try:
            total = self.totals()
        except OSError:
            return None
        accounted = sum(total[name] for name in DISPOSITIONS)
        whole = total["stored"] + total["rejected"] >= self.events
        return total if whole and accounted == total["received"] and not total["digests differ"] else None

    def missing(self) -> list[str]:
        """Acknowledged envelopes of which not every event has its disposition."""
        return [receipt for receipt in self.receipts if self.get(f"/receipts/{receipt}")["state"] != "complete"]


class Day:
    """The stack, who watches it, and the drills' rows."""

    def __init__(self):
        self.stack = Stack(RUN / "gameday")
        self.rows: list[Row] = []
        self.sensors: list[tuple[Row, Sensor]] = []
        self.over = threading.Event()
        #: Made once: the roles that it makes would be there the second time.
        self.test_env: dict[str, str] | None = None

    def begin(self, state: dict, watch, proxy) -> None:
        from gameday_watch import client

        self.state, self.watch, self.proxy = state, watch, proxy
        self.began = time.time()
        self.env = {**child_env(state), **vernier_env(state)}
        self.client = lambda service: client(state, service)
        # The proxy stands between two functions and the table from the start: a change later would end
        # their processes.
        functions = self.client("lambda")
        for name in ("input", "stream"):
            deployed = state["functions"][name]
            variables = functions.get_function_configuration(FunctionName=deployed)["Environment"]["Variables"]
            variables["AWS_ENDPOINT_URL_DYNAMODB"] = proxy.url
            functions.update_function_configuration(FunctionName=deployed, Environment={"Variables": variables})

    def vernier(self, *arguments: str, as_json: bool = False):
        said = run_vernier(self.state, (*(("--format", "json") if as_json else ()), *arguments), quiet=True)
        return json.loads(said) if as_json else said

    def row(self, drill: str) -> Row:
        say(f"\n── {drill}")
        self.rows.append(Row(drill))
        return self.rows[-1]

    def sensor(self, row: Row, name: str, events: int) -> Sensor:
        sensor = Sensor(self, name, events, seed=len(self.sensors) + 1)
        self.sensors.append((row, sensor))
        return sensor

    # ---- signals

    def line(self, row: Row, since: float, message: str, function: str, **fields) -> bool:
        """Waits for a line of the log."""

        def look():
            return [line for line in self.watch.find(message, since, **fields) if line.function == function]

        found = self.watch.wait(look, SIGNAL_SECONDS_MAX)
        said = f'{function}\'s line "{message}"'
        row.saw(found and said, found and found[0].at - since, said)
        return bool(found)

    def alarm(self, row: Row, since: float, name: str, seconds: float = SIGNAL_SECONDS_MAX) -> None:
        """Waits until a deployed alarm's definition is met."""
        found = self.watch.wait(lambda: self.watch.alarm(name, since), seconds)
        row.saw(found, time.time() - since, name)

    def healed(self, row: Row, sensor: Sensor, since: float, how: str) -> None:
        """Waits until everything that was sent is accounted for, and nothing more than once."""
        if not sensor.sent():
            row.wrong.append("envelopes that never got a receipt")
        total = self.watch.wait(sensor.settled, HEAL_SECONDS_MAX)
        if not total:
            row.wrong.append(f"does not add up: {sensor.totals()}")
            return
        row.healed = f"{how}, {time.time() - since:.0f} s"
        missing = sensor.missing()
        if missing:
            row.wrong.append(f"{len(missing)} acknowledged envelopes are not whole")
        if total["stored"] + total["rejected"] != sensor.events or total["conflict"]:
            row.wrong.append(f"stored other than once: {total} of {sensor.events}")
        again = f" + {total['duplicate']:,} sent again" if total["duplicate"] else ""
        stored = total["stored"] + total["rejected"]
        row.account = f"{len(sensor.receipts):,} receipts, {total['received']:,} = {stored:,}{again}"
        say(f"  {row.healed}; {row.account}")


# ---- drills


def poison(day: Day) -> None:
    """A record on the stream that is no frame."""
    row = day.row("poison record")
    sensor = day.sensor(row, "poison", 400).start(0.1)
    stream, s3 = day.client("kinesis"), day.client("s3")
    raw = b"no frame, by the game day " + os.urandom(8).hex().encode()
    since = time.time()
    for lane in range(4):
        stream.put_record(StreamName=day.state["stream"], PartitionKey=f"stranger/{lane}", Data=raw)
    day.line(row, since, "record quarantined", "stream")
    day.alarm(row, since, "RecordsQuarantinedAlarm")
    day.healed(row, sensor, since, "by itself: the rest of the batch was committed")
    kept = s3.list_objects_v2(Bucket=day.state["bucket"], Prefix="quarantine/frames/").get("Contents", [])
    whole = [o for o in kept if s3.get_object(Bucket=day.state["bucket"], Key=o["Key"])["Body"].read() == raw]
    if len(whole) != 4:
        row.wrong.append(f"{len(whole)} of 4 records lie in quarantine as they were")
    row.healed += "; 4 records kept raw"


def stuck_shard(day: Day) -> None:
    """A shard whose batches cannot be committed."""
    row = day.row("stuck shard")
    shard = "shardId-000000000000"
    sensor = day.sensor(row, "stuck", 800)
    since = time.time()

    def refuse(operation: str, body: bytes) -> str | None:
        stuck = operation == "TransactWriteItems" and shard.encode() in body
        return "AccessDeniedException" if stuck else None

    day.proxy.refuse = refuse
    sensor.start(0.1)
    day.line(row, since, "batch not committed", "stream", shard=shard)
    day.alarm(row, since, "StreamErrorsAlarm")
    time.sleep(max(0.0, since + STUCK_SECONDS - time.time()))
    committed = day.watch.find("batch committed", since)
    others = sum(line.text["EventsCommitted"] for line in committed if line.text["shard"] != shard)
    if not others or any(line.text["shard"] == shard and line.text["EventsCommitted"] for line in committed):
        row.wrong.append("the other shard did not go on alone")
    row.saw(f"{others} events of the other shard committed meanwhile")
    day.proxy.refuse = None
    freed = time.time()
    day.healed(row, sensor, freed, "by the trigger's next try, from the cursor on")
    day.alarm(row, since, "FreshnessAlarm")
    row.legs.append("retries that run out: the drill `exhausted`, below")


def table_throttled(day: Day) -> None:
    """The table refuses every write for its rate."""
    row = day.row("table throttled")
    sensor = day.sensor(row, "throttled", 600).start(0.05)
    time.sleep(1)
    since = time.time()
    before = day.proxy.refused
    writes = ("UpdateItem", "PutItem", "TransactWriteItems")
    throttled = "ProvisionedThroughputExceededException"
    day.proxy.refuse = lambda operation, _: throttled if operation in writes else None
    found = day.watch.wait(lambda: day.watch.refusals(since), SIGNAL_SECONDS_MAX)
    row.saw(found and f"answer {found[0][1]}", found and found[0][0] - since, "an answer of 500 and more")
    day.line(row, since, "a dependency did not answer", "input")
    day.line(row, since, "step tried again", "stream")
    day.proxy.refuse = None
    freed = time.time()
    day.healed(row, sensor, freed, "by tries again, in the functions and at the sensor")
    refused = day.proxy.refused - before
    unavailable = sum(n for status, n in sensor.statuses.items() if status >= 500)
    row.saw(f"in all {unavailable} such answers for {refused} refused writes")
    row.legs.append("TableThrottledAlarm reads DynamoDB's own count, which the emulator does not keep")


def bucket_refusing(day: Day) -> None:
    """The bucket refuses segments."""
    row = day.row("bucket refusing")
    sensor = day.sensor(row, "bucket", 400)
    s3 = day.client("s3")
    bucket = day.state["bucket"]
    statement = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/segments/*",
    }  # fmt: skip
    since = time.time()
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    try:
        sensor.start(0.1)
        day.line(row, since, "batch not committed", "stream")
        day.alarm(row, since, "StreamErrorsAlarm")
    finally:
        s3.delete_bucket_policy(Bucket=bucket)
    day.healed(row, sensor, time.time(), "by the trigger's next try, once the policy was gone")


def revoked_token(day: Day) -> None:
    """A token is revoked while its sensor sends."""
    row = day.row("token revoked mid-flight")
    sensor = day.sensor(row, "revoked", 1200).start(0.2)
    day.watch.wait(lambda: len(sensor.receipts) >= 6, SIGNAL_SECONDS_MAX)
    since = time.time()
    day.vernier("token", "revoke", "--tenant", sensor.tenant, sensor.token_id)
    found = day.watch.wait(lambda: sensor.statuses.get(401), SIGNAL_SECONDS_MAX)
    row.saw(found and "answer 401", time.time() - since, "an answer 401")
    kind = {"problem": "urn:vernier:problem:unauthorized"}
    day.line(row, since, "refused", "input", **kind)
    stopped = len(sensor.receipts)
    time.sleep(2)
    if len(sensor.receipts) != stopped:
        row.wrong.append("the revoked token was still taken")
    before = stopped
    sensor.new_token()
    issued = time.time()
    day.healed(row, sensor, issued, f"by a new token; {before} envelopes were in before, the rest came after")


def killed(day: Day) -> None:
    """Functions are killed while they work."""
    row = day.row("functions killed under load")
    sensor = day.sensor(row, "killed", 2400).start(0.0)
    since = time.time()
    kills = {"input": 0, "stream": 0}
    names = {day.state["functions"][name]: name for name in kills}
    while not sensor.sent(0) and time.time() < since + 60:
        for process in day.stack.processes(day.state):
            try:
                environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
                own = dict(part.decode().partition("=")[::2] for part in environment if b"=" in part)
                name = names.get(own.get("AWS_LAMBDA_FUNCTION_NAME", ""))
                if name:
                    os.kill(process, signal.SIGKILL)
                    kills[name] += 1
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        time.sleep(0.7)
    ends, failed = day.watch.ended(since), day.watch.refusals(since)
    words = f"{len(failed)} answers of 500 and more"
    row.saw(failed and words, failed and failed[0][0] - since, "answers of 500 and more")
    day.alarm(row, since, "ApiErrorsAlarm")
    words = f"{len(ends)} batches failed without an answer"
    row.saw(ends and words, ends and ends[0][0] - since, "batches that ended with a process")
    day.alarm(row, since, "StreamErrorsAlarm")
    how = f"by new processes: {kills['input']} of input, {kills['stream']} of stream were killed"
    day.healed(row, sensor, time.time(), how)


def clock_skew(day: Day) -> None:
    """Clocks that differ: a sensor's, and one of ours."""
    row = day.row("clock skew")
    sensor = day.sensor(row, "skew", 200)
    # A sensor whose clock is years ahead: event times are its own business, windows are of the receipt.
    sensor.bodies = [body.replace(b'"sendTime":"20', b'"sendTime":"21') for body in sensor.bodies]
    since = time.time()
    sensor.start()
    day.healed(row, sensor, since, "a sensor's clock decides nothing")
    begun = time.time()
    leg(day, "emulator", "a_clock_that_was_behind_makes_a_backfill", row, "input's clock behind: a drill against the deployed stack")
    day.line(row, begun, "sealed", "reconcile", backfill=True)
    row.healed += "; what a clock of ours dated back was sealed as a backfill"


def reconcile_down(day: Day):
    """Nobody reconciles for more than four windows. Comes back as the drill's end, for after the others."""
    row = day.row("reconcile down")
    rules = day.client("events")
    name = next(
        rule["Name"]
        for rule in rules.list_rules()["Rules"]
        for target in rules.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        if target["Arn"].endswith(f":{day.state['functions']['reconcile']}")
    )
    if not day.watch.wait(lambda: day.watch.find(PLANNED, 0), 150):
        raise Failed("reconcile never ran")
    rules.disable_rule(Name=name)
    # A run that has begun comes to its end.
    time.sleep(5)
    since = time.time()
    sensor = day.sensor(row, "outage", 1000).start(10.0)
    say("  its schedule is off; the other drills go on meanwhile")
    period = day.watch.alarms["ReconcileSilentAlarm"]["Period"]
    noticed = threading.Thread(target=day.alarm, args=(row, since, "ReconcileSilentAlarm", period + 60), daemon=True)
    noticed.start()

    def end() -> None:
        say("\n── reconcile down, its end")
        noticed.join()
        down = time.time() - since
        rules.enable_rule(Name=name)
        begun = time.time()
        on_time = lambda: [line for line in day.watch.find(PLANNED, begun) if line.text["WorkOverdueSeconds"] < 90]  # noqa: E731
        caught_up = day.watch.wait(on_time, SEAL_SECONDS_MAX)
        if not caught_up:
            row.wrong.append("the chains were not caught up with")
        sealed = sum(line.text["sealed"] for line in day.watch.find(TURN_ENDED, begun))
        how = f"by the first turns after {down / 60:.1f} min, which sealed {sealed} windows"
        day.healed(row, sensor, begun, how)
        row.legs.append("windows of a minute, hence five of them for an hour's four of 15; `make pipeline` plays forty")

    return end


# ---- legs that tests play


def leg(day: Day, target: str, test: str, row: Row, what: str) -> None:
    """Runs one test; its failure is the drill's."""
    say(f"  {what} …")
    # Nextest, or cargo's own runner where it is absent.
    found = shutil.which("cargo-nextest")
    asked = ["nextest", "run", "--workspace", "--test", target, "-E", f"test({test})"] if found else ["test", "--workspace", "--test", target, test]
    if day.test_env is None:
        day.test_env = test_env(day.state)
    try:
        run_step(["cargo", *asked], env={**day.env, **day.test_env}, counted=True)
        row.legs.append(what)
    except Failed as failure:
        say(f"  {failure}")
        row.wrong.append(f"{test} failed")


def exhausted(day: Day) -> None:
    """What follows when a batch has run out of retries, which the emulator's trigger never does."""
    row = day.row("stuck shard, retries exhausted")
    row.legs = []
    leg(day, "trigger", "a_batch_that_was_given_up_is_named_and_can_be_brought_back", row, "given up: the trigger's model")
    begun = time.time()
    leg(day, "emulator", "a_batch_that_ran_out_of_retries_is_brought_back", row, "brought back: a drill against the deployed stack")
    if row.wrong:
        return
    row.saw("the receipts in GET /windows, as the drill asks")
    day.line(row, begun, "failed batch", "reconcile")
    day.alarm(row, begun, "FailedBatchesAlarm")
    brought = sum(value for _, value in day.watch.points("FramesBroughtBack", begun))
    row.saw(f"FramesBroughtBack {brought:.0f}" if brought else None, None, "FramesBroughtBack")
    row.healed = "by reconcile, from the failure destination"
    row.account = "the tests compare what is sealed with what was sent"


# ---- the end


def all_sealed(day: Day) -> None:
    """Everything that the drills sent is in seals."""
    say("\n── The seals of all tenants")
    for row, sensor in day.sensors:
        received = sensor.totals()["received"]

        def sealed(sensor=sensor, received=received):
            return sum(seal["events"] for seal in sensor.get("/seals")["seals"]) == received

        if not day.watch.wait(sealed, SEAL_SECONDS_MAX):
            row.wrong.append("not all of it is sealed")
        else:
            row.account += ", all sealed"


def table(day: Day) -> int:
    say("\n── Game day")
    for row in day.rows:
        ok = not row.wrong
        say(f"\n{'✓' if ok else '✗'} {row.drill}")
        took_ = "" if row.seconds is None else f"   first after {row.seconds:.1f} s"
        say(f"    detected by   {'; '.join(row.signals) or 'nothing'}{took_}")
        say(f"    healed        {row.healed or 'no'}")
        say(f"    lost          {'nothing: ' + row.account if ok else '; '.join(row.wrong)}")
        say(f"    played by     {'; '.join(row.legs)}")
    say(
        "\nAlarms: the deployed definitions, held against the metrics of the log as CloudWatch makes them; errors of\n"
        "triggered invocations by the emulator's log, 5XXError by the answers, which the emulator does not count."
    )
    wrong = [row.drill for row in day.rows if row.wrong]
    say(f"\n{len(day.rows) - len(wrong)} of {len(day.rows)} drills: detected, healed, nothing lost.")
    return 1 if wrong else 0


DRILLS = {
    "poison": poison,
    "bucket": bucket_refusing,
    "table": table_throttled,
    "stuck": stuck_shard,
    "token": revoked_token,
    "killed": killed,
    "clock": clock_skew,
    "exhausted": exhausted,
    "away": stream_away,
    "tenants": ten_tenants,
    "held": window_held,
    "expired": receipts_expired,
    "twenty": three_of_twenty,
}
#: Drills that need reconcile to run.
AFTER_THE_OUTAGE = ("clock", "exhausted", "away", "tenants", "held", "expired", "twenty")


def play(day: Day, names: list[str]) -> int:
    end = reconcile_down(day) if "reconcile" in names else None
    for name in names:
        if name in DRILLS and name not in AFTER_THE_OUTAGE:
            DRILLS[name](day)
    if end:
        end()
    for name in AFTER_THE_OUTAGE:
        if name in names:
            DRILLS[name](day)
    all_sealed(day)
    return table(day)


def main() -> int:
    need_setup()
    # The emulator's Python has the AWS client.
    if Path(sys.prefix).resolve() != EMULATOR.parent.resolve():
        os.execv(EMULATOR / "python", [str(EMULATOR / "python"), *sys.argv])
    from gameday_proxy import Proxy
    from gameday_watch import Watch

    names = [*DRILLS, "reconcile"]
    if sys.argv[1:] == ["--list"]:
        say("\n".join(names))
        return 0
    unknown = [name for name in sys.argv[1:] if name not in names]
    if unknown:
        raise Failed(f"Unknown drill {unknown[0]}. There are: {', '.join(names)}")
    began = time.monotonic()
    run(["cargo", "build", "--workspace", "--bin", "vernier"], env=tool_env())
    run(["cargo", "test", "--workspace", "--no-run", "--test", "emulator", "--test", "trigger"], env=tool_env(), quiet=True)
    day = Day()
    day.stack.down(quiet=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        state = day.stack.up(None)
        with Proxy(state["endpoint"]) as proxy, Watch(state) as watch:
            day.begin(state, watch, proxy)
            try:
                return play(day, sys.argv[1:] or names)
            finally:
                day.over.set()
    finally:
        day.stack.down()
        say(f"In {took(began)}.")


if __name__ == "__main__":
    main_guard(main)
