"""What bench.py makes of the parts' figures: usage for a million events, limits, gates, the report.

No figure is made up here: usage is counts of the parts, scaled to a million events; docs/report.md says
of each key where it comes from.
"""

import re

from common import ROOT

#: The reference load. `tests/src/stub/load.rs` has the same.
EVENTS_PER_MONTH = 1e9
MINUTES_PER_MONTH = 43_800
DAYS_PER_MONTH = 30.4
MILLION = 1_000_000

#: What CloudWatch adds to the bytes of each log event.
LOG_EVENT_EXTRA_BYTES = 26
#: What a shard takes each second.
SHARD_BYTES_PER_S = 1_048_576
SHARD_RECORDS_PER_S = 1_000
#: Lambda's memory that comes with one whole processor, MiB.
PROCESSOR_MIB = 1_769
#: A trigger's payload, bytes, and what stands in it around a record's data.
PAYLOAD_BYTES_MAX = 6 * 1024 * 1024
RECORD_HEAD_BYTES = 640
MEMORY_MIB = {"input": 512, "stream": 1_024, "reconcile": 1_024}
SWEPT_MIB = (128, 256, 512, 1_024, 1_769, 3_538)

#: Values as long as API Gateway's, for the length of a line of its access log.
ACCESS_VALUES = {
    "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "requestTimeEpoch": "1788254100000", "httpMethod": "POST",
    "resourcePath": "/caliper", "status": "200", "protocol": "HTTP/1.1", "responseLength": "0", "responseLatency": "25",
    "integrationLatency": "22", "integrationStatus": "200", "error.responseType": "-",
}  # fmt: skip


def access_log_bytes() -> int:
    """A line of the API's access log, as the template formats it."""
    text = (ROOT / "template.yaml").read_text()
    found = re.search(r"Format: >-\n((?:\s+[{\"].*\n)+)", text)
    if found is None:
        raise ValueError("template.yaml: no format of the access log")
    line = " ".join(part.strip() for part in found.group(1).splitlines())
    for name, value in ACCESS_VALUES.items():
        line = line.replace(f"$context.{name}", value)
    if "$context" in line:
        raise ValueError(f"template.yaml: the access log has a variable that ACCESS_VALUES lacks: {line}")
    return len(line) + LOG_EVENT_EXTRA_BYTES


def scaled(values: dict, factor: float) -> dict:
    return {name: value * factor for name, value in values.items()}


def function_use(part: dict, factor: float, memory_mib: int) -> dict:
    return {
        "invocations": part["invocations"] * factor,
        "cpu_ms": part["cpu_ms"] * factor,
        "io_waits": scaled(part["io_waits"], factor),
        "memory_mib": memory_mib,
    }


def reconcile_use(figures: dict, receipts: float, receipt_bytes: float) -> dict:
    """What the schedule, sealing and daily compaction take of a million events' share of the month."""
    schedule, sealing = figures["schedule"], max(figures["sealing"], key=lambda size: size["events"])
    compaction = sealing["compaction"]
    runs = MINUTES_PER_MONTH * MILLION / EVENTS_PER_MONTH
    days = DAYS_PER_MONTH * MILLION / EVENTS_PER_MONTH
    # Files are cut at 128 MiB, or 1 M rows: what is read and written of large ones grows with the bytes.
    requests = MILLION / sealing["events"]
    waits = scaled(schedule["io_waits_per_run"], runs)
    return {
        "function": {
            # The planner's, and the workers' turns.
            "invocations": runs * (1 + schedule.get("turns_per_run", 0)),
            "cpu_ms": schedule["cpu_ms_per_run"] * runs
            + (sealing["us_per_event"] + compaction["us_per_event"]) * MILLION / 1e3,
            "io_waits": {"kinesis": 0, **waits},
            "memory_mib": MEMORY_MIB["reconcile"],
        },
        "write_units": schedule["write_units_per_run"] * runs + 8 * days,
        "read_units": schedule["read_units_per_run"] * runs
        # A query for each minute and lane is rounded up to 4 KB: half a unit each.
        + schedule["receipt_passes"] * (receipts * receipt_bytes / 4_096 + schedule["receipt_queries_per_run"] * runs / 2),
        "puts": schedule["puts_per_run"] * runs + compaction["puts"] * days,
        "gets": schedule["gets_per_run"] * runs + compaction["gets"] * min(requests, 1),
        "signatures": schedule["signatures_per_run"] * runs + days,
        # The days' files; `vernier cost` adds the windows' for as long as they lie beside them.
        "archive_bytes": compaction["bytes_per_event"] * MILLION,
        "log_bytes": figures["handlers"]["cold_start"].get("reconcile", {}).get("log_bytes_of_a_run", 0) * runs,
    }


def usage(figures: dict, name: str) -> dict:
    """A million events of the reference load in envelopes of one size, in the units that are billed."""
    part = figures["handlers"][name]
    taken, committed = part["input"], part["stream"]
    of_input, of_stream = MILLION / taken["events"], MILLION / committed["events"]
    requests = MILLION / part["events_per_envelope"]
    stored = sum(part["stored_bytes"].values()) * of_input
    receipt_bytes = part["stored_bytes"].get("receipts", 0) / taken["invocations"]
    reconcile = reconcile_use(figures, requests, receipt_bytes)
    return {
        "events": MILLION,
        "events_per_envelope": part["events_per_envelope"],
        "raw_bytes_per_event": part["raw_bytes_per_event"],
        "api": {"requests": requests},
        "kinesis": scaled(taken["kinesis"], of_input),
        "lambda": {
            "input": function_use(taken, of_input, MEMORY_MIB["input"]),
            "stream": function_use(committed, of_stream, MEMORY_MIB["stream"]),
            "reconcile": reconcile["function"],
        },
        "dynamodb": {
            "write_units": taken["dynamodb"]["write_units"] * of_input
            + committed["dynamodb"]["write_units"] * of_stream
            + reconcile["write_units"],
            "read_units": taken["dynamodb"]["read_units"] * of_input
            + committed["dynamodb"]["read_units"] * of_stream
            + reconcile["read_units"],
            "stored_bytes": stored,
        },
        "s3": {
            "puts": committed["s3"]["puts"] * of_stream + reconcile["puts"],
            "gets": committed["s3"]["gets"] * of_stream + reconcile["gets"],
            "segment_bytes": part["segment_bytes_per_event"] * MILLION,
            "archive_bytes": reconcile["archive_bytes"],
        },
        "kms": {"signatures": reconcile["signatures"]},
        "logs": {
            "bytes": taken["log_bytes"] * of_input
            + committed["log_bytes"] * of_stream
            + access_log_bytes() * requests
            + reconcile["log_bytes"]
        },
        "sns": {"messages": 0},
    }


def limits_of(part: dict) -> dict:
    """Events a second before each limit, for one shard and one process."""
    taken, committed = part["input"], part["stream"]
    data = part["kinesis_bytes_per_event"]
    record = data / part["records_per_event"]
    payload_record = record * 4 / 3 + RECORD_HEAD_BYTES
    frames = PAYLOAD_BYTES_MAX / payload_record

    def by_memory(function: dict) -> dict:
        """Processor time alone: what it waits for comes on top (`waits_per_invocation`)."""
        return {str(mib): 1e6 / function["us_per_event"] * min(1.0, mib / PROCESSOR_MIB) for mib in SWEPT_MIB}

    def waits(function: dict) -> dict:
        return scaled(function["io_waits"], 1 / function["invocations"])

    return {
        "shard": {
            "events_per_s_by_bytes": SHARD_BYTES_PER_S / data,
            "events_per_s_by_records": SHARD_RECORDS_PER_S / part["records_per_event"],
            "events_per_batch_of_6_mb": min(10_000.0, frames) / part["records_per_event"],
            "frames_per_batch_of_6_mb": min(10_000.0, frames),
        },
        "input": {
            "events_per_s_by_memory_mib": by_memory(taken),
            "waits_per_invocation": waits(taken),
            "events_per_invocation": taken["events_per_invocation"],
            "peak_mib": taken["peak_mib"],
        },
        "stream": {
            "events_per_s_by_memory_mib": by_memory(committed),
            "waits_per_invocation": waits(committed),
            "events_per_invocation": committed["events_per_invocation"],
            "write_units_per_event": committed["dynamodb"]["write_units"] / committed["events"],
            "peak_mib": committed["peak_mib"],
        },
    }


def gate(name: str, figure: float | None, most: float, unit: str) -> dict:
    met = None if figure is None else figure <= most
    return {"gate": name, "figure": figure, "most": most, "unit": unit, "met": met}


def gates(report: dict) -> list[dict]:
    """Each with its figure; `met` is null where the part was left out."""

    def at(*path: str):
        found = report
        for step in path:
            found = found.get(step) if isinstance(found, dict) else None
        return found

    all_of_them = [
        gate("cost.envelope_100.total", at("cost", "envelope_100", "total"), 200, "dollars per billion events"),
        gate("input.us_per_event", at("input", "us_per_event"), 10, "µs of processor time"),
        gate("stream.us_per_event", at("stream", "us_per_event"), 8, "µs of processor time"),
        gate("e2e.freshness_p99_s", at("e2e", "freshness_p99_s"), 5, "s"),
        gate("e2e.lost", at("e2e", "lost"), 0, "events"),
        gate("neighbours.rate_ratio", at("neighbours", "rate_ratio"), 2, "times the rate"),
        gate("neighbours.latency_ratio", at("neighbours", "latency_ratio"), 2, "times the idle run's"),
    ]
    baseline = at("cold_start", "baseline_init_ms")
    for name in ("input", "stream", "output", "reconcile"):
        init = at("cold_start", name, "init_ms")
        ratio = None if init is None or not baseline else init / baseline
        all_of_them.append(gate(f"cold_start.{name}.init_ms / baseline_init_ms", ratio, 1.5, "times"))
    return all_of_them


def function_figures(figures: dict, name: str) -> dict:
    """Envelopes of 100, with those of one event beside."""
    large, small = (figures["handlers"][size][name] for size in ("envelope_100", "envelope_1"))
    chosen = ("us_per_event", "mean_us_per_event", "user_us_per_event", "kernel_us_per_event", "events_per_invocation", "peak_mib", "calls")
    return {key: large[key] for key in chosen} | {"envelope_1": {key: small[key] for key in chosen}}


def compose(figures: dict) -> dict:
    """The report of what was measured; parts that were left out are not in it."""
    report = {}
    if "validate" in figures:
        report["validation"] = figures["validate"]
    handlers = figures.get("handlers", {})
    if "envelope_100" in handlers and "envelope_1" in handlers:
        for name in ("input", "stream"):
            report[name] = function_figures(figures, name)
        report["baseline"] = {size: handlers[size]["baseline"] for size in ("envelope_100", "envelope_1")}
        report["limits"] = {size: limits_of(handlers[size]) for size in ("envelope_100", "envelope_1")}
    starts = handlers.get("cold_start", {})
    if starts:
        report["cold_start"] = {name: start for name, start in starts.items() if name != "baseline"}
        baseline = starts.get("baseline") or {}
        report["cold_start"]["baseline_init_ms"] = baseline.get("init_ms")
        report["cold_start"]["baseline_package_bytes"] = baseline.get("package_bytes")
    if "public" in figures:
        report["public"] = figures["public"]
    if "seal" in figures:
        one = figures["seal"]["runs"][0]
        report["seal"] = {"us_per_event": one["seal_us_per_event"], "peak_mib": one["peak_mib"]}
        report["verify"] = {"us_per_event": one["verify_us_per_event"]}
    if "sealing" in figures:
        largest = max(figures["sealing"], key=lambda size: size["events"])
        report["sealing"] = largest
    if "frames" in figures:
        report["frames"] = figures["frames"]
    if "queries" in figures:
        report["queries"] = figures["queries"]
    if "tenants" in figures:
        report["tenants"] = figures["tenants"]
    if "sweep" in figures:
        report.update(figures["sweep"])
    if "recovery" in figures:
        report["recovery"] = figures["recovery"]
    if "held" in figures:
        report["held"] = figures["held"]
    if "segments" in figures:
        report["segments"] = figures["segments"]
    if "live" in figures:
        report["live"] = figures["live"]
    if "neighbours" in figures:
        report["neighbours"] = figures["neighbours"]
    if "schedule" in figures:
        report["schedule"] = figures["schedule"]
    if "limits" in report and "sealing" in report:
        large = handlers["envelope_100"]
        report["bytes"] = {
            "raw_per_event": large["raw_bytes_per_event"],
            "kinesis_per_event": large["kinesis_bytes_per_event"],
            "segment_per_event": large["segment_bytes_per_event"],
            "archive_per_event": report["sealing"]["archive_bytes_per_event"],
        }
    if {"input", "sealing", "schedule"} <= set(report):
        report["usage"] = {size: usage(figures, size) for size in ("envelope_100", "envelope_1")}
    return report
