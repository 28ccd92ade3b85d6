"""How the steps of test.py run: one after the other, with some beside them, and what their tests count to."""

import os
import re
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import ROOT, RUN, Failed, end_group, say, took, tool_env  # noqa: E402
from stack import Stack  # noqa: E402

CARGO_TEST_RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
NEXTEST_RESULT = re.compile(r"^\s*Summary \[.*?\]\s+.*? run: (.*)$")
VITEST_RESULT = re.compile(r"^\s*Tests\s+(\d.*)\(\d+\)\s*$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Counts:
    """Tests that ran, from the runners' own closing lines."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def read(self, line: str) -> None:
        line = COLOUR.sub("", line)
        found = CARGO_TEST_RESULT.match(line)
        if found:
            passed, failed, skipped = (int(number) for number in found.groups())
        elif found := NEXTEST_RESULT.match(line) or VITEST_RESULT.match(line):
            amount = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", found.group(1))}
            passed, skipped = amount.get("passed", 0), amount.get("skipped", 0)
            failed = amount.get("failed", 0) + amount.get("exec", 0) + amount.get("timed", 0)
        else:
            return
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


COUNTS = Counts()


#: How much less processor time what computes gets than the stacks beside it: steps of `nice`.
NICE = 5

#: How often a step that runs looks at those beside it, seconds.
LOOK_SECONDS = 0.25

#: How often those beside say how far they are, seconds.
PROGRESS_SECONDS = 30

#: How long a step that runs beside others may take to end its stack once it is told to, seconds.
STACK_END_SECONDS_MAX = 30


class Beside:
    """A step in a process of its own, whose output goes to a log and is shown when it is done."""

    #: Those that run now.
    running: "list[Beside]" = []

    def __init__(self, name: str):
        self.name = name
        self.started = time.monotonic()
        self.said = self.started
        self.log = stack_of(name).dir / "step.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "scripts" / "test.py", name],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A session of its own: Ctrl-C in a terminal reaches us, and we end it in order.
                start_new_session=True,
            )
        self.row = f"{name:9} {'not done':>12}"
        self.running.append(self)

    def lines(self) -> list[str]:
        return self.log.read_text("utf-8", "replace").splitlines()

    def look(self) -> bool:
        """Whether it is done. Shows all that it printed when it is, and now and then how far it is."""
        code = self.process.poll()
        if code is None:
            if time.monotonic() - self.said >= PROGRESS_SECONDS:
                self.said = time.monotonic()
                lines = [COLOUR.sub("", line).strip() for line in self.lines()]
                passed = sum(line.startswith("PASS [") for line in lines)
                last = next((line for line in reversed(lines) if line and not line.startswith("PASS [")), "")
                say(f"… {self.name}, {took(self.started)}: passed {passed}; {last[:100]}")
            return False
        self.running.remove(self)
        self.row = f"{self.name:9} {took(self.started):>12}      beside"
        say(f"\n=== {self.name}, which ran beside ({took(self.started)})")
        for line in self.lines():
            say(line)
            COUNTS.read(line)
        if code != 0:
            raise Failed(f"Failed ({code}): {self.name}, see above")
        return True

    def end(self) -> None:
        """Tells it to end its stack and itself, and shows the last of what it printed."""
        self.running.remove(self)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STACK_END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                end_group(self.process)
        stack_of(self.name).down(quiet=True)
        say(f"\n=== {self.name}, which ran beside, was ended after {took(self.started)}. Its last lines ({self.log}):")
        for line in self.lines()[-12:]:
            say(line)


def look_beside() -> None:
    for step in list(Beside.running):
        step.look()


def stand_back(session: int) -> None:
    """Lets the stacks beside go before a session that computes, by the id of its first process.

    Linux may share processor time among sessions first (`autogroup`), where `nice` says something within one only.
    """
    try:
        Path(f"/proc/{session}/autogroup").write_text(str(NICE))
    except OSError:
        pass


def run_step(command: list, env: dict | None = None, counted: bool = False) -> None:
    """Runs a command in a process group of its own; ends all of the group when interrupted, or when a step beside fails."""
    env = dict(env or tool_env())
    if sys.stdout.isatty():
        env.setdefault("CARGO_TERM_COLOR", "always")
    nice = ["nice", "-n", str(NICE)] if Beside.running else []
    process = subprocess.Popen(
        [*nice, *(str(part) for part in command)],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if counted else None,
        stderr=subprocess.STDOUT if counted else None,
        start_new_session=True,
    )
    try:
        if nice:
            stand_back(process.pid)
        if counted:
            show_and_count(process)
        while process.poll() is None:
            look_beside()
            try:
                process.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    except BaseException:
        end_group(process)
        raise
    if process.returncode != 0:
        raise Failed(f"Failed ({process.returncode}): {' '.join(str(part) for part in command)}")


def show_and_count(process: subprocess.Popen) -> None:
    """Shows what a process prints, line by line, until it prints no more."""
    begun = b""
    while True:
        look_beside()
        if not select.select([process.stdout], [], [], LOOK_SECONDS)[0]:
            continue
        read = os.read(process.stdout.fileno(), 65536)
        *lines, begun = (begun + read).split(b"\n")
        if not read and begun:
            lines = [begun]
        for raw in lines:
            line = raw.decode("utf-8", "replace")
            say(line)
            COUNTS.read(line)
        if not read:
            return


def stack_of(step: str) -> Stack:
    """Each step's own, so that none keeps another's windows from being sealed in time."""
    return Stack(RUN / f"test-{step}")


def processor_seconds() -> float:
    """What the processes that ended until now took of the processors, with all that those had started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(name: str, started: float, processor_before: float) -> str:
    """A step's line of the table: how long it took, and of the processors' time how much."""
    return f"{name:9} {took(started):>12} {processor_seconds() - processor_before:9.0f} s"
