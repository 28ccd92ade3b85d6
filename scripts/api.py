#!/usr/bin/env python3
"""Runs schemathesis (.venv/api) against /openapi.json of the stack that the environment names.

  eval "$(make -s env)"; VERNIER_COMMAND=target/debug/vernier scripts/api.py

A tenant of its own, with a token of all scopes; what is checked, how long, and what is left out and
why stands in schemathesis.toml beside this file.
"""

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import API, ROOT, RUN, Failed, main_guard, say  # noqa: E402

SCOPES = "events:write,events:read,reports:read,audit:read,playback,admin"
SENSOR = "https://school.example/sensors/1"
#: Seconds after which it is ended, whatever it does: its own bound is shorter.
SECONDS_MAX = 240


def variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise Failed(f"{name} is not set. Start a stack and point the environment at it: make up")
    return value


def vernier(*words: str) -> str:
    done = subprocess.run(
        [variable("VERNIER_COMMAND"), *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failed(f"vernier {words[0]} {words[1]} failed:\n{done.stderr.strip()}")
    return done.stdout


def main() -> int:
    if not (API / "schemathesis").exists():
        raise Failed("schemathesis is not installed. Run: make setup")
    api = variable("VERNIER_API").rstrip("/")
    tenant = f"api-{uuid.uuid4().hex[:12]}"
    vernier("tenant", "create", tenant)
    issued = vernier("token", "issue", "--tenant", tenant, "--sensor", SENSOR, "--scope", SCOPES, "--format", "json")
    env = {**os.environ, "VERNIER_TOKEN": json.loads(issued)["token"], "NO_COLOR": "1"}
    config = ROOT / "scripts" / "schemathesis.toml"
    command = [API / "schemathesis", "--config-file", config, "run", f"{api}/openapi.json", "--url", api]
    # What it remembers of a run lies where it runs, and no run is to depend on another.
    place = RUN / "api"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=place, env=env, stdin=subprocess.DEVNULL, timeout=SECONDS_MAX, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise Failed(f"schemathesis did not end within {SECONDS_MAX} s.") from late
    if done.returncode != 0:
        raise Failed("The API is not as /openapi.json says, see above.")
    say("The API is as /openapi.json says.")
    return 0


main_guard(main)
