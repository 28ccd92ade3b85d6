#!/usr/bin/env python3
"""The checks and tests of `make test`, step by step with their times; or some of the steps by name.

  test.py             all of them, the quick ones first, stopping at the first that fails; the deployed stack and what
                      needs none run side by side at the end, and both are shown to their end
  test.py lint        fmt, clippy, template, docs
  test.py page        the page: types, unit tests, and in a Chromium against its fixture server
  test.py unit        tests inside the crates, and the documentation's
  test.py pipeline    handlers on fakes, from events/, and the simulations
  test.py repo        the repository's own rules
  test.py build       the functions and the command for the local stack
  test.py artifacts   by name only: `sam build` as for AWS, and that each artifact starts
  test.py emulator    the deployed stack on a local emulator, started and ended here: the tests, the
                      API against its description (schemathesis), and kill
  test.py kill        only the built stream function, killed and throttled, on the emulator's stores;
                      200,000 events (VERNIER_KILL_EVENTS), ten times as many as with `emulator`

Whatever happens (failure, Ctrl-C, a kill), no process of it is left behind.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import setup  # noqa: E402
from common import (  # noqa: E402
    EMULATOR, FUNCTIONS, LOCAL, ROOT, RUN, TARGET, TOOLS, VERNIER, Failed, beside, end_group, main_guard, need_setup, say, took, tool_env,
)  # fmt: skip
from stack import Stack, child_env, vernier_env  # noqa: E402

CARGO_TEST_RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
NEXTEST_RESULT = re.compile(r"^\s*Summary \[.*?\]\s+.*? run: (.*)$")
VITEST_RESULT = re.compile(r"^\s*Tests\s+(\d.*)\(\d+\)\s*$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Counts:
    """Tests that ran, from the runners' own closing lines."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def read(self, line: str, chosen: bool = False) -> None:
        """Reads a line; with `chosen` what the runner skipped is what another runner takes."""
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
        self.skipped += 0 if chosen else skipped


COUNTS = Counts()


#: Events of the kill tier where it is one step of many: a tenth of what `make kill` sends.
KILL_EVENTS = 20_000

#: Of nextest's 32 threads, those that are left where the tests that wait have theirs: more tests at once than these, and the
#: emulator keeps functions waiting until they time out.
OTHER_THREADS = 20

#: What a first run of everything writes, GiB: what cargo builds, and the tools.
TEST_DISK_GIB = 9

#: A test is a process of its own, which asks again and again for memory that it gave back: what glibc keeps costs no
#: page faults.
KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "4",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}

#: Events of the semester that the page is shown over.
PAGE_EVENTS = 3_000


def give_way(niceness: int = 0) -> None:
    """Has this new session wait so much more than its parent for others that want the processor.

    Where the kernel groups processes by session, a niceness counts inside its session only, and a new session begins
    with none of its own.
    """
    total = os.nice(niceness)
    try:
        Path("/proc/self/autogroup").write_text(str(total))
    except OSError:
        pass


def run_step(command: list, env: dict | None = None, counted: bool = False, chosen: bool = False) -> None:
    """Runs a command in a process group of its own; ends all of the group when interrupted."""
    env = dict(env or tool_env())
    if sys.stdout.isatty():
        env.setdefault("CARGO_TERM_COLOR", "always")
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if counted else None,
        stderr=subprocess.STDOUT if counted else None,
        start_new_session=True,
        preexec_fn=give_way,
    )
    try:
        if counted:
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace")
                sys.stdout.write(line)
                sys.stdout.flush()
                COUNTS.read(line, chosen)
        code = process.wait()
    except BaseException:
        end_group(process)
        raise
    if code != 0:
        raise Failed(f"Failed ({code}): {' '.join(str(part) for part in command)}")


# ---- what cargo has


def test_targets() -> list[str]:
    """The names of the integration tests of all crates."""
    shown = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if shown.returncode != 0:
        raise Failed(f"cargo metadata failed:\n{shown.stderr}")
    packages = json.loads(shown.stdout)["packages"]
    return sorted(
        target["name"] for package in packages for target in package["targets"] if "test" in target["kind"] and target["test"]
    )


def is_repo(target: str) -> bool:
    return target in ("repo", "repository")


def is_on_the_stack(target: str) -> bool:
    return target in ("emulator", "kill")


def cargo_tests(targets: list[str], inside: bool = False, env: dict | None = None) -> None:
    """Runs integration tests by name, and with `inside` the tests inside the crates.

    Always over the whole workspace: another selection of crates would mean other features of their
    dependencies, and cargo would compile those again.
    """
    if not targets and not inside:
        raise Failed("There are no such tests.")
    chosen = [part for target in targets for part in ("--test", target)]
    if inside:
        chosen += ["--lib", "--bins"]
    env = (env or tool_env()) | KEEP_MEMORY
    if shutil.which("cargo-nextest"):
        run_step(["cargo", "nextest", "run", "--workspace", "--no-fail-fast", *chosen], env=env, counted=True)
    else:
        run_step(["cargo", "test", "--workspace", "--no-fail-fast", *chosen], env=env, counted=True)
    if inside:
        run_step(["cargo", "test", "--workspace", "--doc"], env=env, counted=True)


# ---- steps


def step_fmt() -> None:
    run_step(["cargo", "fmt", "--all", "--check"])


def step_template() -> None:
    run_step([TOOLS / "cfn-lint"])
    run_step([TOOLS / "sam", "validate", "--lint", "--template-file", ROOT / "template.yaml"])


def step_clippy() -> None:
    run_step(["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])


def step_docs() -> None:
    run_step(["cargo", "doc", "--workspace", "--no-deps", "--quiet"], env=tool_env(RUSTDOCFLAGS="-D warnings"))


def step_page() -> None:
    run_step([sys.executable, ROOT / "scripts" / "page.py", "test"], counted=True)


def step_unit() -> None:
    cargo_tests([], inside=True)


def step_pipeline() -> None:
    cargo_tests([target for target in test_targets() if not is_on_the_stack(target) and not is_repo(target)])


def step_repo() -> None:
    cargo_tests([target for target in test_targets() if is_repo(target)])


def step_build() -> None:
    run_step([sys.executable, ROOT / "scripts" / "build.py", "--local", "--profile", "test"])


def step_compile() -> None:
    """Compiles every test, so that none waits for it, or for cargo's lock, later."""
    runner = ["nextest", "run"] if shutil.which("cargo-nextest") else ["test"]
    run_step(["cargo", *runner, "--workspace", "--no-run"])


def step_artifacts() -> None:
    run_step([sys.executable, ROOT / "scripts" / "build.py"])
    run_step([sys.executable, ROOT / "scripts" / "check_artifacts.py"])


def step_emulator() -> None:
    os.environ.setdefault("VERNIER_KILL_EVENTS", str(KILL_EVENTS))
    on_the_stack(["emulator", "kill"])


def step_kill() -> None:
    on_the_stack(["kill"])


def on_the_stack(targets: list[str]) -> None:
    """Runs tests one target after the other on a stack of their own."""
    # Compiled first: the emulator need not wait for it.
    run_step(["cargo", "test", "--workspace", "--no-run", *(part for target in targets for part in ("--test", target))])
    stack = Stack(RUN / "test")
    stack.down(quiet=True)
    try:
        state = stack.up(None)
        env = {**child_env(state), **vernier_env(state), **test_env(state)}
        try:
            if "emulator" in targets:
                token = send_semester(env)
                tests_and_page(lambda: page_and_api(state["api_url"], env, token), env)
            if "kill" in targets:
                cargo_tests(["kill"], env=env)
        except Failed as failure:
            raise Failed(f"{failure}\n{stack.trouble(state) or f'The emulator lives; its log: {stack.log}'}") from failure
    finally:
        stack.down()


def tests_that_wait() -> str:
    """Which tests of the stack wait for windows to end and be sealed, most of their time: .config/nextest.toml says."""
    config = tomllib.loads((ROOT / ".config" / "nextest.toml").read_text())
    overrides = config["profile"]["default"]["overrides"]
    return next(override["filter"] for override in overrides if "priority" in override)


def tests_and_page(then, env: dict[str, str]) -> None:
    """Runs the stack's tests, and `then` what else is asked of it; tests that mostly wait beside both."""
    if not shutil.which("cargo-nextest"):
        cargo_tests(["emulator"], env=env)
        then()
        return
    run = ["cargo", "nextest", "run", "--workspace", "--no-fail-fast", "--test", "emulator", "-E"]

    def others() -> None:
        run_step([*run, f"not ({tests_that_wait()})", "--test-threads", OTHER_THREADS], env=env, counted=True, chosen=True)
        then()

    aside = Aside("waiting", [*run, tests_that_wait()], env=env, chosen=True)
    say(f"── Tests that mostly wait, beside the others: {aside.log.relative_to(ROOT)}")
    both(aside, others)


def command(env: dict[str, str], *arguments: str) -> str:
    """What the vernier command prints."""
    asked = [env["VERNIER_COMMAND"], *arguments]
    done = subprocess.run(asked, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"vernier {arguments[0]} ended with {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def send_semester(env: dict[str, str]) -> str:
    """Sends a semester of a tenant of its own, and answers the token that reads it."""
    say(f"── {PAGE_EVENTS:,} events of a semester for the page, which are sealed while the tests run")
    folder = RUN / "page"
    shutil.rmtree(folder, ignore_errors=True)
    tenant = f"page-{os.urandom(4).hex()}"
    command(env, "tenant", "create", tenant)
    scopes = "events:write,events:read,reports:read,audit:read,playback"
    issued = command(env, "--format", "json", "token", "issue", "--tenant", tenant, "--sensor", "page", "--scope", scopes)
    token = json.loads(issued)["token"]
    command(env, "generate", "--seed", "11", "--events", str(PAGE_EVENTS), "--out", str(folder))
    command({**env, "VERNIER_TOKEN": token}, "send", str(folder), "--report", str(folder / "report.jsonl"))
    return token


def page_and_api(url: str, env: dict[str, str], token: str) -> None:
    """The page in a real browser, over the semester that was sent, held against what it shows; then the API against its
    description."""
    say("── The page over the semester")
    command({**env, "VERNIER_TOKEN": token}, "windows", "--from", "-15m", "--wait", "120")
    run_step([sys.executable, ROOT / "scripts" / "page.py", "e2e", url], env={**tool_env(), "INSIGHTS_TOKEN": token}, counted=True)
    run_step([sys.executable, ROOT / "scripts" / "api.py"], env=env)


def test_env(state: dict) -> dict[str, str]:
    """What only tests need: the command, and the built functions that are killed, with their roles' permissions."""
    env = {"VERNIER_COMMAND": str(VERNIER)}
    for function in ("stream", "reconcile"):
        asked = [EMULATOR / "python", ROOT / "scripts" / "emulator_role.py", state["functions"][function]]
        done = subprocess.run(
            asked, cwd=ROOT, env=child_env(state), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Failed(f"No credentials of the {function} function's role:\n{done.stderr.strip()}")
        credentials, variables = done.stdout.strip().splitlines()
        name = function.upper()
        env[f"VERNIER_{name}_BINARY"] = str(LOCAL / FUNCTIONS[function] / "bootstrap")
        env[f"VERNIER_{name}_CREDENTIALS"] = credentials
        env[f"VERNIER_{name}_VARIABLES"] = variables
    kept = ("VERNIER_KILL_SEED", "VERNIER_KILL_EVENTS")
    return env | {name: os.environ[name] for name in kept if name in os.environ}


class Aside:
    """A command beside others: its output goes to a log, and is shown and counted when all is there."""

    def __init__(self, name: str, argv: list, env: dict | None = None, niceness: int = 0, chosen: bool = False):
        self.name, self.chosen = name, chosen
        self.log = RUN / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in argv], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=lambda: give_way(niceness),
            )  # fmt: skip

    def wait(self) -> str | None:
        """Waits for its end and shows it, but for its own sum of tests; what failed, if it did."""
        code = self.process.wait()
        for line in self.log.read_text("utf-8", "replace").splitlines():
            if not line.startswith("tests: "):
                print(line)
                COUNTS.read(line, self.chosen)
        sys.stdout.flush()
        return f"Failed ({code}): {self.name}, shown above." if code != 0 else None

    def end(self) -> None:
        end_group(self.process)


def both(aside: Aside, here) -> None:
    """Does what is to be done here while another command runs. Each comes to its end, whatever becomes of the other."""
    failures = []
    try:
        try:
            here()
        except Failed as failure:
            failures.append(str(failure))
        failures += filter(None, [aside.wait()])
    except BaseException:
        aside.end()
        raise
    if failures:
        raise Failed("\n".join(failures))


def stack_and_beside(times: list[tuple[str, str]]) -> None:
    """Runs the deployed stack's tests, which mostly wait, beside all that need no stack."""
    argv = [sys.executable, Path(__file__).resolve(), *BESIDE]
    aside = Aside("beside", argv, niceness=BESIDE_NICENESS)
    say(f"\n=== {' '.join(BESIDE)}, beside what follows; shown after it, and until then in {aside.log.relative_to(ROOT)}")
    both(aside, lambda: run_steps([ON_THE_STACK], times))


STEPS = {
    "fmt": step_fmt,
    "clippy": step_clippy,
    "template": step_template,
    "docs": step_docs,
    "build": step_build,
    "compile": step_compile,
    "page": step_page,
    "unit": step_unit,
    "pipeline": step_pipeline,
    "repo": step_repo,
    "emulator": step_emulator,
}
#: Steps that need no deployed stack, and run beside the one that does when all are run.
BESIDE = ("template", "page", "unit", "pipeline", "repo")
ON_THE_STACK = "emulator"
#: The stack's functions have bounds on their time: what runs beside them waits for them, not they for it.
BESIDE_NICENESS = 10
#: How many steps, from the first on, need nothing that setup installs.
TOOLLESS_STEPS = 2
#: Steps that run by name only: another holds them already, or they take too long for every time.
PARTS = {"kill": step_kill, "artifacts": step_artifacts}
GROUPS = {"lint": ["fmt", "clippy", "template", "docs"]}


def run_steps(names: list[str], times: list[tuple[str, str]]) -> None:
    """Runs the steps in their order and adds how long each took; stops at the first that fails."""
    for name in names:
        say(f"\n=== {name}")
        started = time.monotonic()
        try:
            (STEPS | PARTS)[name]()
        finally:
            times.append((name, took(started)))


def main() -> int:
    asked = sys.argv[1:]
    for name in asked:
        if name not in STEPS and name not in PARTS and name not in GROUPS:
            raise Failed(f"Unknown step {name}. There are: {', '.join([*STEPS, *PARTS, *GROUPS])}")
    names = [step for name in asked for step in GROUPS.get(name, [name])] or list(STEPS)
    began = time.monotonic()
    times: list[tuple[str, str]] = []
    try:
        if asked:
            need_setup()
            run_steps(names, times)
        else:
            setup.check()
            setup.check_disk(TARGET / "debug" / "deps", TEST_DISK_GIB)
            if os.environ.get("CI"):
                # One build of everything: what lets a next one be quick is a third of the target directory.
                os.environ.setdefault("CARGO_INCREMENTAL", "0")
            # Cargo fetches and compiles while the tools are installed, which these steps do not need.
            with beside([sys.executable, ROOT / "scripts" / "setup.py"]):
                run_steps(names[:TOOLLESS_STEPS], times)
            apart = (*BESIDE, ON_THE_STACK)
            run_steps([name for name in names[TOOLLESS_STEPS:] if name not in apart], times)
            stack_and_beside(times)
    finally:
        say("\n" + "\n".join(f"{name:9} {taken:>12}" for name, taken in [*times, ("total", took(began))]))
        if COUNTS.passed + COUNTS.failed + COUNTS.skipped:
            say(f"tests: {COUNTS.passed} passed, {COUNTS.failed} failed, {COUNTS.skipped} skipped")
    return 0


if __name__ == "__main__":
    main_guard(main)
