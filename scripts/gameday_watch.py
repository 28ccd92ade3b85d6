"""What an operator would see of a deployed stack: its log, its metrics, its alarms.

The emulator keeps the functions' log lines; CloudWatch would make metrics of them. Here that is done as
CloudWatch does it: by the embedded metric format, and by the metric filters that the stack deployed. An
alarm is judged by its deployed definition. What the emulator does not count (errors of invocations by the
trigger, statuses of the API's answers) is taken from where it shows: its own log, and the answers.
"""

import json
import re
import threading
import time
from pathlib import Path

import boto3

#: Seconds between two looks.
LOOK_SECONDS = 0.7
#: What the emulator says of a batch that its trigger could not deliver.
TRIGGER_FAILED = re.compile(r"ESM: Lambda (\S+) failed processing .*?from (\S+) \(errorType=(\S+)")
FILTER = re.compile(r'^\{ \$\.fields\.message = "(.+)" \}$')


class Line:
    """One line of a function's log."""

    def __init__(self, at: float, function: str, text: dict):
        self.at, self.function, self.text = at, function, text
        self.fields = text.get("fields", text)

    @property
    def message(self) -> str:
        return self.fields.get("message", "")


class Watch:
    """Reads the log of a stack's functions while it runs."""

    def __init__(self, state: dict):
        self.state = state
        self.lines: list[Line] = []
        self.failed: list[tuple[float, str, str]] = []
        self.answers: list[tuple[float, int]] = []
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.seen: set[tuple[str, int, str]] = set()
        self.since = int(time.time() * 1000)
        self.read_to = Path(state["log"]).stat().st_size
        self.trouble: Exception | None = None
        self.logs = client(state, "logs")
        prefix = f"{state['stack']}-"
        alarms = client(state, "cloudwatch").describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
        self.alarms = {alarm["AlarmName"].removeprefix(prefix): alarm for alarm in alarms}
        self.filters = []
        for found in self.logs.describe_metric_filters()["metricFilters"]:
            message = FILTER.match(found["filterPattern"])
            made = found["metricTransformations"][0]
            if message is None or not made["metricValue"].startswith("$.fields."):
                raise ValueError(f"no rule for the metric filter {found['filterName']}")
            field = made["metricValue"].removeprefix("$.fields.")
            self.filters.append((found["logGroupName"], message.group(1), made["metricName"], field))
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.ending.set()
        self.thread.join()

    def run(self) -> None:
        while not self.ending.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception as trouble:  # shown by whoever waits for a line
                self.trouble = trouble

    def look(self) -> None:
        since, newest = self.since, self.since
        for function, name in self.state["functions"].items():
            asked = {"logGroupName": f"/aws/lambda/{name}", "startTime": since}
            while True:
                try:
                    page = self.logs.filter_log_events(**asked)
                except self.logs.exceptions.ResourceNotFoundException:
                    break  # it has not run yet
                for event in page["events"]:
                    newest = max(newest, event["timestamp"])
                    self.take(function, event)
                if not page.get("nextToken"):
                    break
                asked["nextToken"] = page["nextToken"]
        # A line may come in a little after one of a later time.
        self.since = max(since, newest - 5_000)
        self.look_at_the_trigger()

    def take(self, function: str, event: dict) -> None:
        # The emulator gives events no ids.
        known = (event["logStreamName"], event["timestamp"], event["message"])
        if known in self.seen or not event["message"].startswith("{"):
            return
        self.seen.add(known)
        try:
            line = Line(event["timestamp"] / 1000, function, json.loads(event["message"]))
        except ValueError:
            return
        with self.lock:
            self.lines.append(line)

    def look_at_the_trigger(self) -> None:
        with open(self.state["log"], "rb") as log:
            log.seek(self.read_to)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.read_to += len(whole)
        with self.lock:
            for found in TRIGGER_FAILED.finditer(whole.decode("utf-8", "replace")):
                self.failed.append((time.time(), found.group(1), found.group(3)))

    def answered(self, status: int) -> None:
        """An answer of the API that a sender got."""
        with self.lock:
            self.answers.append((time.time(), status))

    # ---- asking

    def refusals(self, since: float) -> list[tuple[float, int]]:
        """Answers that say that nothing was acknowledged."""
        with self.lock:
            return [(at, status) for at, status in self.answers if at >= since and status >= 500]

    def ended(self, since: float) -> list[tuple[float, str, str]]:
        """Batches that failed, as the trigger has it."""
        with self.lock:
            return [failed for failed in self.failed if failed[0] >= since]

    def find(self, message: str, since: float, **fields) -> list[Line]:
        with self.lock:
            return [
                line
                for line in self.lines
                if line.at >= since
                and line.message == message
                and all(line.fields.get(name) == value for name, value in fields.items())
            ]

    def wait(self, look, seconds: float):
        """Looks until there is something; None when the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            if self.trouble is not None:
                raise self.trouble
            if time.monotonic() > deadline:
                return None
            time.sleep(0.2)

    def points(self, metric: str, since: float) -> list[tuple[float, float]]:
        """Values of a metric: the embedded ones, and those of the deployed metric filters."""
        found = []
        with self.lock:
            lines = [line for line in self.lines if line.at >= since]
        for line in lines:
            directives = line.text.get("_aws", {}).get("CloudWatchMetrics", [])
            names = [made["Name"] for directive in directives for made in directive["Metrics"]]
            if metric in names:
                found.append((line.at, float(line.text[metric])))
            for group, message, name, field in self.filters:
                if name == metric and group.endswith(f"-{line.function}") and line.message == message:
                    found.append((line.at, float(line.fields[field])))
        return found

    def counted_elsewhere(self, alarm: dict, since: float) -> list[tuple[float, float]]:
        """What AWS counts and the emulator does not."""
        named = {dimension["Name"]: dimension["Value"] for dimension in alarm.get("Dimensions", [])}
        with self.lock:
            if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/ApiGateway", "5XXError"):
                return [(at, 1.0) for at, status in self.answers if at >= since and status >= 500]
            if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors"):
                return [(at, 1.0) for at, name, _ in self.failed if at >= since and name == named["FunctionName"]]
        raise ValueError(f"nothing here counts {alarm['Namespace']} {alarm['MetricName']}")

    def alarm(self, name: str, since: float) -> str | None:
        """Whether a deployed alarm would be in alarm, over its newest period; what it saw, if so."""
        alarm = self.alarms[name]
        statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        missing = alarm.get("TreatMissingData") == "breaching"
        period = alarm["Period"] * alarm["EvaluationPeriods"]
        # Where silence is the alarm, the whole period must have been watched.
        begin = time.time() - period
        if missing and begin < since:
            return None
        begin = max(begin, since)
        if alarm["Namespace"].startswith("Vernier/"):
            points = self.points(alarm["MetricName"], begin)
        else:
            points = self.counted_elsewhere(alarm, begin)
        values = sorted(value for _, value in points)
        if not values:
            return f"{name} (nothing for {period:.0f} s)" if missing else None
        value = {
            "Sum": lambda: sum(values),
            "Maximum": lambda: values[-1],
            "SampleCount": lambda: float(len(values)),
            "p99": lambda: values[min(len(values) - 1, int(0.99 * len(values)))],
        }[statistic]()
        threshold = alarm["Threshold"]
        over = {
            "GreaterThanOrEqualToThreshold": value >= threshold,
            "LessThanThreshold": value < threshold,
        }[alarm["ComparisonOperator"]]
        return f"{name} ({alarm['MetricName']} {statistic} {value:g})" if over else None


def client(state: dict, service: str):
    """A client of the stack's emulator and of nothing else."""
    return boto3.client(
        service,
        endpoint_url=state["endpoint"],
        region_name=state["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
