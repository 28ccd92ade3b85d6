#!/usr/bin/env python3
"""The checks and tests of `make test`, step by step with their times; or some of the steps by name.

  test.py             all of them: what checks and compiles first, then the tests, the stacks' beside the others
  test.py lint        fmt, clippy, docs, template
  test.py page        the page: types, unit tests, and in a Chromium against its fixture server
  test.py unit        tests inside the crates, and the documentation's
  test.py pipeline    handlers on fakes, from events/, and the simulations
  test.py repo        the repository's own rules
  test.py build       the functions and the command for the local stack
  test.py compile     all tests, before some of them run beside others
  test.py emulator    the tests of the deployed stack, on a local emulator that is started and ended here
  test.py outside     another such stack from outside: the page over a semester, the API against its
                      description (schemathesis), and kill
  test.py kill        only the built stream function, killed and throttled, on the emulator's stores;
                      200,000 events (VERNIER_KILL_EVENTS), ten times as many as with `outside`
  test.py artifacts   by name only: `sam build` as for AWS, and that each artifact starts

Of several steps `emulator` and `outside`, which mostly wait, run beside the others, and first where processor time
is scarce. What they print goes to .run/test-emulator/step.log and .run/test-outside/step.log, and is shown when they
are done.
The first step that fails ends all of them, with the last lines of each. Whatever happens (failure, Ctrl-C, a kill),
no process of it is left behind.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import setup  # noqa: E402
from common import (  # noqa: E402
    EMULATOR, FUNCTIONS, LOCAL, ROOT, RUN, TOOLS, VERNIER, Failed, beside, main_guard, need_setup, say, tool_env,
)  # fmt: skip
from stack import child_env, vernier_env  # noqa: E402
from steps import COUNTS, LOOK_SECONDS, Beside, look_beside, processor_seconds, row, run_step, stack_of  # noqa: E402

#: Events of the kill tier where it is one step of many: a tenth of what `make kill` sends.
KILL_EVENTS = 20_000

#: Events of the semester that the page is shown over.
PAGE_EVENTS = 3_000


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
    chosen = [part for target in test_targets() if is_repo(target) for part in ("--test", target)]
    # In one process, which reads the tree once for all rules; nextest would start one for each.
    run_step(["cargo", "test", "--workspace", *chosen], counted=True)


def step_build() -> None:
    run_step([sys.executable, ROOT / "scripts" / "build.py", "--local"])


def step_artifacts() -> None:
    run_step([sys.executable, ROOT / "scripts" / "build.py"])
    run_step([sys.executable, ROOT / "scripts" / "check_artifacts.py"])


def step_compile() -> None:
    """All that the steps after it run, so that none of them waits for another's compiler."""
    run_step(["cargo", "test", "--workspace", "--no-run", "--lib", "--bins", "--tests"])


def step_emulator() -> None:
    on_a_stack("emulator", "emulator", lambda _, env: cargo_tests(["emulator"], env=env))


def step_outside() -> None:
    def from_outside(state: dict, env: dict[str, str]) -> None:
        page_on_the_stack(state["api_url"], env)
        run_step([sys.executable, ROOT / "scripts" / "api.py"], env=env)
        cargo_tests(["kill"], env={"VERNIER_KILL_EVENTS": str(KILL_EVENTS), **env})

    on_a_stack("outside", "kill", from_outside)


def step_kill() -> None:
    on_a_stack("kill", "kill", lambda _, env: cargo_tests(["kill"], env=env))


def on_a_stack(step: str, target: str, tests: Callable[[dict, dict[str, str]], None]) -> None:
    """Runs a step's tests on a stack of its own: what they are given is its state and their environment."""
    # Compiled first: the emulator need not wait for it.
    run_step(["cargo", "test", "--workspace", "--no-run", "--test", target])
    stack = stack_of(step)
    stack.down(quiet=True)
    try:
        state = stack.up(None)
        try:
            tests(state, {**child_env(state), **vernier_env(state), **test_env(state)})
        except Failed as failure:
            raise Failed(f"{failure}\n{stack.trouble(state) or f'The emulator lives; its log: {stack.log}'}") from failure
    finally:
        stack.down()


def page_on_the_stack(url: str, env: dict[str, str]) -> None:
    """The page in a real browser, over a semester that is sent here and then held against what it shows."""
    say(f"── The page over {PAGE_EVENTS:,} events of a semester")

    def vernier(*arguments: str) -> str:
        asked = [env["VERNIER_COMMAND"], *arguments]
        done = subprocess.run(asked, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"vernier {arguments[0]} ended with {done.returncode}: {done.stdout.strip()}")
        return done.stdout

    folder = RUN / "page"
    shutil.rmtree(folder, ignore_errors=True)
    tenant = f"page-{os.urandom(4).hex()}"
    vernier("tenant", "create", tenant)
    scopes = "events:write,events:read,reports:read,audit:read,playback"
    issued = vernier("--format", "json", "token", "issue", "--tenant", tenant, "--sensor", "page", "--scope", scopes)
    env = {**env, "VERNIER_TOKEN": json.loads(issued)["token"]}
    vernier("generate", "--seed", "11", "--events", str(PAGE_EVENTS), "--out", str(folder))
    vernier("send", str(folder), "--report", str(folder / "report.jsonl"))
    vernier("windows", "--from", "-15m", "--wait", "120")
    run_step([sys.executable, ROOT / "scripts" / "page.py", "e2e", url], env={**tool_env(), "INSIGHTS_TOKEN": env["VERNIER_TOKEN"]}, counted=True)


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


STEPS = {
    "fmt": step_fmt,
    "clippy": step_clippy,
    "docs": step_docs,
    "build": step_build,
    "compile": step_compile,
    "template": step_template,
    "page": step_page,
    "repo": step_repo,
    "unit": step_unit,
    "pipeline": step_pipeline,
    "emulator": step_emulator,
    "outside": step_outside,
}
#: How many steps, from the first on, need nothing that setup installs.
TOOLLESS_STEPS = 2
#: Steps after which nothing is left to compile: those beside others begin after the last of them.
FIRST = ("fmt", "clippy", "docs", "build", "compile")
#: Steps that run beside the others, each with a stack of its own.
ON_A_STACK = ("emulator", "outside")
#: Steps that run by name only: another holds them already, or they take too long for every time.
PARTS = {"kill": step_kill, "artifacts": step_artifacts}
GROUPS = {"lint": ["fmt", "clippy", "docs", "template"]}


def run_steps(names: list[str], rows: list[str]) -> None:
    """Runs the steps in their order and adds each one's row to the table; stops at the first that fails."""
    for name in names:
        say(f"\n=== {name}")
        started, processor_before = time.monotonic(), processor_seconds()
        try:
            (STEPS | PARTS)[name]()
        finally:
            rows.append(row(name, started, processor_before))


def run_side_by_side(names: list[str], rows: list[str]) -> None:
    """Runs those on a stack beside the others, when it is more than one step."""
    others = [name for name in names if name not in ON_A_STACK]
    on_stacks = [name for name in names if name in ON_A_STACK]
    if len(names) == 1:
        run_steps(names, rows)
        return
    started: list[Beside] = []
    try:
        for name in on_stacks:
            started.append(Beside(name))
        run_steps(others, rows)
        while Beside.running:
            look_beside()
            time.sleep(LOOK_SECONDS)
    finally:
        for step in list(Beside.running):
            step.end()
        rows += [step.row for step in started]


def main() -> int:
    asked = sys.argv[1:]
    for name in asked:
        if name not in STEPS and name not in PARTS and name not in GROUPS:
            raise Failed(f"Unknown step {name}. There are: {', '.join([*STEPS, *PARTS, *GROUPS])}")
    names = [step for name in asked for step in GROUPS.get(name, [name])] or list(STEPS)
    first = [name for name in names if name in FIRST]
    rest = [name for name in names if name not in FIRST]
    began, processor_before = time.monotonic(), processor_seconds()
    rows: list[str] = []
    try:
        if asked:
            need_setup()
            run_steps(first, rows)
        else:
            setup.check()
            # Cargo fetches and compiles while the tools are installed, which these steps do not need.
            with beside([sys.executable, ROOT / "scripts" / "setup.py"]):
                run_steps(first[:TOOLLESS_STEPS], rows)
            run_steps(first[TOOLLESS_STEPS:], rows)
        run_side_by_side(rest, rows)
    finally:
        rows.append(row("total", began, processor_before))
        say("\n" + "\n".join([f"{'step':9} {'time':>12} {'processors':>11}", *rows]))
        if COUNTS.passed + COUNTS.failed + COUNTS.skipped:
            say(f"tests: {COUNTS.passed} passed, {COUNTS.failed} failed, {COUNTS.skipped} skipped")
    return 0


if __name__ == "__main__":
    main_guard(main)
