#!/usr/bin/env python3
"""Builds the functions and the deployable template into .aws-sam/build.

First one `cargo lambda build` of the four binaries at once, so that cargo compiles what they share
once and links them side by side; then `sam build`, which finds them fresh and only copies. The page
is built before and put beside the output function's executable after.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import BUILT, FUNCTIONS, ROOT, TOOLS, main_guard, need_setup, run, say, took, tool_env  # noqa: E402
import page  # noqa: E402
from stack import architecture  # noqa: E402


def crates(packages: list[str]) -> set[str]:
    """What cargo builds for these packages: each crate with its version and its features."""
    chosen = [part for package in packages for part in ("--package", package)]
    shown = subprocess.run(
        ["cargo", "tree", *chosen, "--edges", "normal,build", "--prefix", "none", "--format", "{p} {f}"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {line.removesuffix(" (*)") for line in shown.stdout.splitlines()}


def warn_of_other_features() -> None:
    """Says so when one function alone would be built with other features than all of them together.

    `sam build` builds them one by one: cargo would then compile such crates, and all that use them,
    once more for that function.
    """
    packages = [f"vernier-{name}" for name in FUNCTIONS]
    together = crates(packages)
    for package in packages:
        other = sorted(crates([package]) - together)
        if other:
            say(f"Note: {package} alone wants other features, so these are compiled twice: {', '.join(other)}")


def build(architecture_wanted: str) -> None:
    need_setup()
    page.build()
    started = time.monotonic()
    say(f"Compiling the functions for {architecture_wanted} (release, link-time optimised) …")
    # The very flags `sam build` uses: others would make cargo compile everything again.
    flags = ["--arm64"] if architecture_wanted == "arm64" else []
    packages = [part for name in FUNCTIONS for part in ("--package", f"vernier-{name}")]
    run([TOOLS / "cargo-lambda", "lambda", "build", "--release", *flags, *packages], env=tool_env())
    say(f"Compiled in {took(started)}.")
    warn_of_other_features()
    started = time.monotonic()
    run(
        [
            TOOLS / "sam", "build", "--build-dir", BUILT, "--template-file", ROOT / "template.yaml",
            "--config-file", ROOT / "samconfig.toml",
            "--parameter-overrides", f"Architecture={architecture_wanted}",
        ],
        env=tool_env(),
        quiet=True,
    )  # fmt: skip
    page.place(BUILT / FUNCTIONS["output"])
    say(f"sam build: {BUILT.relative_to(ROOT)} written in {took(started)}.")


def main() -> int:
    about = argparse.ArgumentParser(description=__doc__)
    about.add_argument("--arch", choices=["arm64", "x86_64"], default=architecture(), help="default: this machine's")
    build(about.parse_args().arch)
    return 0


if __name__ == "__main__":
    main_guard(main)
