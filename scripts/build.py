#!/usr/bin/env python3
"""Builds the functions and the deployable template.

  build.py            what is deployed to AWS and measured, into .aws-sam/build
  build.py --local    what the local stack runs, into .run/build, and the vernier command

Without `--local`: first one `cargo lambda build` of the four binaries at once, so that cargo compiles what they share
once and links them side by side; then `sam build`, which finds them fresh and only copies.

With it: one `cargo build` of functions and command in the dev profile, whose external crates tests use too, so that
none is compiled twice; `make test` has them in the test profile, in which its tests need our crates too, the busy ones
optimised. The tools' packages and the page's are fetched while it compiles, and
the template is the same, with other places in it for the functions. Such functions are five to ten times as slow as
those that are deployed, and link against this machine's libraries.

Either way the page is put beside the output function's executable.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import (  # noqa: E402
    BUILT, FUNCTIONS, LOCAL, ROOT, TARGET, TOOLS, Failed, beside, main_guard, need_setup, run, say, took, tool_env,
)  # fmt: skip
import page  # noqa: E402
import setup  # noqa: E402
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


def place_executable(built: Path, place: Path) -> None:
    """Copies an executable that is not the one copied last, without its debug information where `strip` is there."""
    made = built.stat().st_mtime_ns
    if place.is_file() and place.stat().st_mtime_ns == made:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    # Beside it and then in its place: a function that runs keeps the file that it was started from.
    draft = place.with_name("draft")
    shutil.copyfile(built, draft)
    draft.chmod(0o755)
    if shutil.which("strip"):
        run(["strip", "--strip-all", draft], quiet=True)
    os.utime(draft, ns=(made, made))
    draft.replace(place)


def pack(directory: Path) -> None:
    """Packs a function's directory into a ZIP archive beside it, unless the one there has all of it as it is.

    `sam deploy` would pack it anew each time, with a compression that takes four times as long.
    """
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    named = [(path, path.relative_to(directory).as_posix(), path.stat()) for path in files]
    stamp = hashlib.sha256(repr([(name, stat.st_size, stat.st_mtime_ns) for _, name, stat in named]).encode()).digest()
    archive = directory.with_suffix(".zip")
    if archive.is_file():
        with zipfile.ZipFile(archive) as packed:
            if packed.comment == stamp:
                return
    draft = directory.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.comment = stamp
        for path, name, _ in named:
            packed.write(path, name)
    draft.replace(archive)


def local_template() -> str:
    """template.yaml with each function's code where `build_local` puts it."""
    text = (ROOT / "template.yaml").read_text()
    for name, logical in FUNCTIONS.items():
        text, count = re.subn(rf"^( +CodeUri: )functions/{name}$", rf"\1{logical}.zip", text, flags=re.M)
        if count != 1:
            raise Failed(f"template.yaml has {count} lines `CodeUri: functions/{name}`; scripts/build.py relies on one.")
    return text


def build_local(profile: str) -> None:
    setup.check()
    started = time.monotonic()
    say(f"Compiling the functions and the command ({profile} profile) …")
    bins = [part for name in FUNCTIONS for part in ("--bin", f"vernier-{name}")]
    # Of the whole workspace, as tests are: another selection would mean other features, built again.
    with beside(["cargo", "build", "--workspace", "--profile", profile, *bins, "--bin", "vernier"], env=tool_env()):
        setup.install_all(for_tests=False)
        page.build()
    say(f"Compiled in {took(started)}.")
    for name, logical in FUNCTIONS.items():
        place_executable(TARGET / "debug" / f"vernier-{name}", LOCAL / logical / "bootstrap")
    (LOCAL / "template.yaml").write_text(local_template())
    page.place(LOCAL / FUNCTIONS["output"])
    for logical in FUNCTIONS.values():
        pack(LOCAL / logical)


def main() -> int:
    about = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about.add_argument("--local", action="store_true", help="for the local stack: quick to build, slow to run")
    about.add_argument("--arch", choices=["arm64", "x86_64"], default=architecture(), help="default: this machine's")
    about.add_argument("--profile", choices=["dev", "test"], default="dev", help="with --local: test has what the tests compile anyway")
    given = about.parse_args()
    if given.local:
        build_local(given.profile)
    else:
        build(given.arch)
    return 0


if __name__ == "__main__":
    main_guard(main)
