#!/usr/bin/env python3
"""Measures Vernier on this machine: prints a table and writes target/bench/report.json.

  bench.py                  all parts
  bench.py --quick          the same with less of everything, under 3 minutes once all is built
  bench.py --parts "a b"    some of: validate frames handlers public neighbours seal sealing schedule tenants sweep recovery
                            held segments live queries e2e
  bench.py --keys FIGURES   the keys of the report that these figures would make, one a line

Ratios are of two measurements of one run; absolute values are this machine's. docs/report.md explains
each key of the report. A gate that is missed is said, and ends nothing.

Environment: CALIPER_SCHEMAS, a folder of the official 1.2 JSON Schemas, adds the comparison with Node and
ajv, which is installed into .venv/ajv. KEEP=1 leaves the emulator up.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench_e2e  # noqa: E402
import page  # noqa: E402
from bench_report import compose, gates  # noqa: E402
from common import BUILT, FUNCTIONS, ROOT, TOOLS, VENV, VERNIER, Failed, main_guard, need_setup, run, say, took, tool_env  # noqa: E402
from stack import architecture  # noqa: E402

OUT = ROOT / "target" / "bench"
FIGURES = OUT / "figures.jsonl"
REPORT = OUT / "report.json"
BARE = ROOT / "target" / "lambda" / "vernier-bare" / "bootstrap"
#: The benches, and what they are given: in full, and quick.
BENCHES = {
    "validate": ([], []),
    "frames": ([], []),
    "handlers": (["--events=200000", "--starts=20"], ["--events=100000", "--starts=7"]),
    "public": (["--requests=100000"], ["--requests=20000"]),
    "neighbours": (["--processes=50", "--seconds=10"], ["--processes=50", "--seconds=4"]),
    "seal": ([], ["--events=50000"]),
    "sealing": ([], []),
    "schedule": (["--hours=8"], ["--hours=5"]),
    "tenants": ([], ["--tenants=10,100"]),
    "sweep": ([], ["--commits=5000", "--large=70"]),
    "recovery": (["--receipts=10000", "--minutes=120"], ["--receipts=2000", "--minutes=5"]),
    "held": ([], ["--others=10", "--days=5", "--seconds=120"]),
    "segments": ([], []),
    "live": ([], ["--seconds=30"]),
    "queries": ([], ["--days=2", "--events=20000"]),
}
#: What validation is compared with.
AJV = "ajv@6.12.6"
#: Events and seconds of the end-to-end part, in full and quick.
E2E = ((50_000, 60), (10_000, 10))


def executables() -> dict[str, Path]:
    """Builds all benches in one step; where each lies."""
    started = time.monotonic()
    say("Building the benches …")
    chosen = [part for name in BENCHES for part in ("--bench", name)]
    command = ["cargo", "bench", "--workspace", "--no-run", "--message-format", "json-render-diagnostics", *chosen]
    done = subprocess.run(command, cwd=ROOT, env=tool_env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)  # fmt: skip
    if done.returncode != 0:
        raise Failed("The benches do not build.")
    found = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] in BENCHES:
            found[message["target"]["name"]] = Path(message["executable"])
    say(f"Built in {took(started)}.")
    return found


def build_bare() -> None:
    """The function that does nothing, built as the functions are."""
    flags = ["--arm64"] if architecture() == "arm64" else []
    command = [TOOLS / "cargo-lambda", "lambda", "build", "--release", *flags, "--package", "vernier-bare"]
    run(command, env=tool_env(), quiet=True)


def ajv() -> Path:
    """A folder with ajv, installed once. Version 6 is the last that reads the schemas' draft 4."""
    folder = VENV / "ajv"
    if not (folder / "node_modules" / "ajv").is_dir():
        say(f"  {AJV}: installing into .venv/ajv …")
        page.npm("install", "--prefix", str(folder), AJV)
    return folder


def node_env() -> dict[str, str]:
    """What the comparison with Node needs, where the official schemas are."""
    beside = ROOT.parent / "shared" / "caliper" / "schemas"
    schemas = os.environ.get("CALIPER_SCHEMAS") or (str(beside) if beside.is_dir() else "")
    return {"CALIPER_SCHEMAS": schemas, "AJV": str(ajv()), "PATH": page.env()["PATH"]} if schemas else {}


def bench_env() -> dict[str, str]:
    env = {key: value for key, value in tool_env().items() if not key.startswith("AWS_")}
    # No question after a region that is given; the endpoints are the bench's own.
    env.update(AWS_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", VERNIER_BENCH_JSON=str(FIGURES))
    return env


def run_bench(name: str, executable: Path, quick: bool) -> None:
    started = time.monotonic()
    say(f"\n── {name}")
    given, env = list(BENCHES[name][quick]), bench_env()
    if name == "neighbours":
        given += [f"--functions={BUILT}"]
    if name == "handlers":
        given += [f"--functions={BUILT}", f"--bare={BARE}"]
    if name == "public":
        given += [f"--functions={BUILT}"]
    if name == "validate":
        env.update(node_env())
    run([executable, "--bench", *given], env=env)
    say(f"({took(started)})")


def read_figures(path: Path) -> dict:
    """Of each bench its last line."""
    found = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        found[entry["bench"]] = entry["figures"]
    return found


def priced() -> dict | None:
    """What `vernier cost` makes of the report's usage: dollars for a billion events of the reference load."""
    command = [str(VERNIER), "cost", "--report", str(REPORT), "--json"]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"vernier cost: {done.stderr.strip()}")
    answer = json.loads(done.stdout)
    return {**answer["cost"], "fixed_monthly": answer["fixed_monthly"], "beside": answer["beside"]}


def machine() -> dict:
    """What absolute values are of."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"processor": model, "processors": os.cpu_count(), "architecture": platform.machine(), "system": platform.system()}


def flat(value, path: str = "") -> dict[str, object]:
    """Leaves by their path; lists count as one leaf."""
    if not isinstance(value, dict):
        return {path: value}
    found = {}
    for name, inner in value.items():
        found.update(flat(inner, f"{path}.{name}" if path else name))
    return found


def shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)


def ratios(report: dict) -> list[tuple[str, float]]:
    """Each of two figures of this run."""
    found = []

    def add(what: str, figure, baseline) -> None:
        if figure and baseline:
            found.append((what, figure / baseline))

    validation = report.get("validation", {})
    add("validation / parse-only (sonic-rs)", validation.get("us_per_event"), validation.get("parse_only_us_per_event"))
    add("Node + ajv / validation", validation.get("node_ajv_us_per_event"), validation.get("us_per_event"))
    bare = (report.get("baseline", {}).get("envelope_100") or {}).get("us_per_event")
    add("input / receiving the calls alone", report.get("input", {}).get("us_per_event"), bare)
    starts = report.get("cold_start", {})
    for name in FUNCTIONS:
        add(f"start of {name} / of a function that does nothing", starts.get(name, {}).get("init_ms"), starts.get("baseline_init_ms"))
    sizes = report.get("bytes", {})
    add("raw / archived bytes", sizes.get("raw_per_event"), sizes.get("archive_per_event"))
    return found


def table(report: dict) -> None:
    say("\n── Ratios, each of two measurements of this run")
    for what, ratio in ratios(report):
        say(f"  {what:56} {ratio:10.2f}")
    say(f"\n── Figures of this machine ({report['machine']['processor']}, {report['machine']['processors']} processors)")
    parts = ("validation", "input", "stream", "neighbours", "seal", "verify", "bytes", "sweep", "scratch", "cold_start", "public", "e2e", "cost")
    for path, value in flat({part: report[part] for part in parts if part in report}).items():
        if isinstance(value, int | float) and ".calls." not in path:
            say(f"  {path:56} {shown(value):>14}")
    say("\n── Gates")
    for gate in report["gates"]:
        met = {True: "met", False: "MISSED", None: "not measured"}[gate["met"]]
        say(f"  {gate['gate']:48} {shown(gate['figure']):>10}  at most {gate['most']:g} {gate['unit']}: {met}")
    say(f"\nWritten: {REPORT.relative_to(ROOT)}")


def finish(report: dict) -> None:
    if "usage" in report:
        REPORT.write_text(json.dumps(report, indent=2) + "\n")
        report["cost"] = priced()
    report["gates"] = gates(report)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")


def measure(parts: list[str], quick: bool) -> int:
    need_setup()
    OUT.mkdir(parents=True, exist_ok=True)
    missing = [name for name, logical in FUNCTIONS.items() if not (BUILT / logical / "bootstrap").is_file()]
    if missing:
        raise Failed(f"Not built: {', '.join(missing)}. Run: make build")
    run(["cargo", "build", "--quiet", "--workspace", "--bin", "vernier"], env=tool_env())
    build_bare()
    found = executables()
    if set(parts) >= set(BENCHES):
        FIGURES.unlink(missing_ok=True)
    started = time.monotonic()
    for name in BENCHES:
        if name in parts:
            run_bench(name, found[name], quick)
    report = {"quick": quick, "machine": machine(), **compose(read_figures(FIGURES) if FIGURES.exists() else {})}
    if "e2e" in parts:
        say("\n── e2e")
        report["e2e"] = bench_e2e.measure(*E2E[quick])
    finish(report)
    table(report)
    say(f"Measured in {took(started)}.")
    return 0


def main() -> int:
    about = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about.add_argument("--quick", action="store_true")
    about.add_argument("--parts", default=",".join([*BENCHES, "e2e"]))
    about.add_argument("--keys", type=Path)
    asked = about.parse_args()
    if asked.keys:
        figures = json.loads(asked.keys.read_text())
        report = {"quick": True, "machine": machine(), **compose(figures["benches"]), **figures["report"]}
        report["gates"] = gates(report)
        for path in flat(report):
            print(path)
        return 0
    parts = asked.parts.replace(",", " ").split()
    unknown = set(parts) - {*BENCHES, "e2e"}
    if unknown:
        raise Failed(f"No such part: {', '.join(sorted(unknown))}")
    if shutil.which("cargo") is None:
        raise Failed("cargo is not installed.")
    return measure(parts, asked.quick)


if __name__ == "__main__":
    main_guard(main)
