#!/usr/bin/env python3
"""Invokes every file of events/ with `sam local invoke`, in the Lambda image of Docker.

The functions' stores are those of a local emulator, started and ended here; the files' well-known
token is exchanged for one that was issued there. A file passes when the function answers: no error,
and a status below 500 where the answer is a response.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import BUILT, FUNCTIONS, ROOT, RUN, TOOLS, VERNIER, Failed, main_guard, need_setup, run, say, took, tool_env  # noqa: E402
from stack import Stack, child_env, vernier_env  # noqa: E402

EVENTS_TOKEN = "vrn_test_events_token"
SCOPES = "events:write,events:read,audit:read"


def need_docker() -> None:
    if shutil.which("docker") is None:
        raise Failed("`sam local invoke` runs functions in Docker, and there is no docker command here.")
    shown = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        reason = (shown.stderr.strip() or shown.stdout.strip()).splitlines()[-1]
        raise Failed(
            f"`sam local invoke` runs functions in Docker, and Docker does not answer here:\n  {reason}\n"
            "Nothing was invoked. The same files go through the emulator's invoke in: make emulator"
        )


def local_template() -> Path:
    """The built template with one variable more: sam overrides only those that a template names."""
    text = (BUILT / "template.yaml").read_text()
    text, count = re.subn(r"^( +)VERNIER_STREAM:", r"\1AWS_ENDPOINT_URL: unset\n\1VERNIER_STREAM:", text, flags=re.M)
    if count == 0:
        raise Failed("The built template names no VERNIER_STREAM any more; scripts/sam_local.py relies on it.")
    path = BUILT / "sam-local.yaml"
    path.write_text(text)
    return path


def issue_token(state: dict) -> str:
    env = {**child_env(state), **vernier_env(state)}
    token = None
    for command in (["tenant", "create", "events"], ["token", "issue", "--tenant", "events", "--sensor", "events", "--scope", SCOPES]):
        done = subprocess.run([VERNIER, "--format", "json", *command], env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"vernier {' '.join(command)} failed:\n{done.stderr}")
        token = json.loads(done.stdout).get("token", token)
    return token


def invoke(template: Path, state: dict, function: str, event: Path, token: str) -> str:
    """A word about the answer. Raises Failed when there is none."""
    variables = {key: value for key, value in vernier_env(state).items() if key.startswith("VERNIER_")}
    settings = BUILT / "sam-local-env.json"
    settings.write_text(json.dumps({"Parameters": {**variables, "AWS_ENDPOINT_URL": state["endpoint"]}}))
    done = subprocess.run(
        [
            TOOLS / "sam", "local", "invoke", FUNCTIONS[function], "--template-file", template, "--event", "-",
            "--env-vars", settings, "--docker-network", "host", "--config-file", ROOT / "samconfig.toml",
        ],
        cwd=ROOT, env=child_env(state), input=event.read_text().replace(EVENTS_TOKEN, token),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    name = event.relative_to(ROOT)
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0:
        raise Failed(f"{name}: sam local invoke failed ({done.returncode}):\n{done.stderr[-3000:]}")
    if not lines:
        # The runtime answers a function without a value (stream, the schedule) with nothing or null.
        lines = ["null"]
    try:
        answer = json.loads(lines[-1])
    except ValueError:
        raise Failed(f"{name}: the answer is not JSON: {lines[-1][:500]}") from None
    if isinstance(answer, dict) and ("errorMessage" in answer or answer.get("statusCode", 200) >= 500):
        raise Failed(f"{name}: {json.dumps(answer)[:1000]}\n{done.stderr[-2000:]}")
    return f"status {answer['statusCode']}" if isinstance(answer, dict) and "statusCode" in answer else "done"


def main() -> int:
    need_docker()
    need_setup()
    run([sys.executable, ROOT / "scripts" / "build.py"])
    run(["cargo", "build", "--workspace", "--bin", "vernier"], env=tool_env())
    files = sorted((ROOT / "events").glob("*/*.json"))
    if not files:
        raise Failed("There are no files in events/.")
    template = local_template()
    stack = Stack(RUN / "sam-local", BUILT)
    stack.down(quiet=True)
    failures = []
    try:
        state = stack.up(None)
        token = issue_token(state)
        for event in files:
            started = time.monotonic()
            try:
                say(f"  {event.relative_to(ROOT)}: {invoke(template, state, event.parent.name, event, token)}, {took(started)}")
            except Failed as failure:
                failures.append(event)
                say(f"  {failure}")
    finally:
        stack.down()
    say(f"{len(files) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    main_guard(main)
