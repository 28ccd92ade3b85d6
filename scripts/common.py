"""What every script here shares: where things are, how to say something, how to run something."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TOOLS = VENV / "tools" / "bin"
EMULATOR = VENV / "emulator" / "bin"
API = VENV / "api" / "bin"
RUN = ROOT / ".run"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
#: What `make build` leaves: the release functions, as they are deployed to AWS and measured.
BUILT = ROOT / ".aws-sam" / "build"
#: What the local stack runs: the same template over the functions of cargo's dev profile.
LOCAL = RUN / "build"
#: The command, as a debug build leaves it.
VERNIER = TARGET / "debug" / "vernier"
#: How long a process may take to end once it is told to, seconds.
END_SECONDS_MAX = 5

#: The functions of template.yaml: directory under functions/ to logical id.
FUNCTIONS = {
    "input": "InputFunction",
    "stream": "StreamFunction",
    "output": "OutputFunction",
    "reconcile": "ReconcileFunction",
}


class Failed(Exception):
    """Something the reader can act on. Shown as one message, without a trace."""


def say(text: str) -> None:
    """One line of progress, at once."""
    print(text, flush=True)


def tool_env(**more: str) -> dict[str, str]:
    """The environment for sam, cargo-lambda and cfn-lint: ours first on PATH, no telemetry."""
    env = dict(os.environ)
    env["PATH"] = f"{TOOLS}{os.pathsep}{env.get('PATH', '')}"
    env["SAM_CLI_TELEMETRY"] = "0"
    env["PYTHONUNBUFFERED"] = "1"
    env.update(more)
    return env


def need_setup() -> None:
    """Refuses with the way out when the tools are not installed."""
    if not (TOOLS / "sam").exists() or not (EMULATOR / "ministack").exists():
        raise Failed("The tools are not installed. Run: make setup")


def run(command: list, env: dict | None = None, cwd: Path = ROOT, quiet: bool = False) -> None:
    """Runs a command to its end. `quiet` shows its output only when it fails."""
    shown = " ".join(str(part) for part in command)
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            check=False,
        )
    except FileNotFoundError as missing:
        raise Failed(f"Not found: {missing.filename}. Run: make setup") from missing
    if done.returncode != 0:
        if quiet and done.stdout:
            sys.stdout.write(done.stdout.decode("utf-8", "replace"))
            sys.stdout.flush()
        raise Failed(f"Failed ({done.returncode}): {shown}")


def end_group(process: subprocess.Popen) -> None:
    """Ends a process that leads a group of its own, and all of the group."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(END_SECONDS_MAX)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


@contextlib.contextmanager
def beside(command: list, env: dict | None = None, cwd: Path = ROOT):
    """Runs a command while the body of `with` runs, then waits for its end.

    The command has a process group of its own, which is ended when the body fails or is interrupted.
    """
    argv = [str(part) for part in command]
    try:
        process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, start_new_session=True)
    except FileNotFoundError as missing:
        raise Failed(f"Not found: {missing.filename}") from missing
    try:
        yield
        code = process.wait()
    except BaseException:
        end_group(process)
        raise
    if code != 0:
        raise Failed(f"Failed ({code}): {' '.join(argv)}")


def took(since: float) -> str:
    """How long ago `since` (time.monotonic) was, for people."""
    seconds = time.monotonic() - since
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def main_guard(main) -> None:
    """Runs `main`, turning Failed into a message and exit 1, an interruption into exit 130.

    SIGINT, SIGTERM and SIGHUP become KeyboardInterrupt, so that `finally` blocks run for them too.
    """

    def interrupted(_signal, _frame):
        raise KeyboardInterrupt

    # SIGINT too: a shell that starts us in the background lets us inherit it as ignored.
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    try:
        sys.exit(main())
    except Failed as failure:
        print(f"\n{failure}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr, flush=True)
        sys.exit(130)
