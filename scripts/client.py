"""What the scripts ask of a stack that is up: by the `vernier` command, and of its API."""

import http.client
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message

from common import ROOT, VERNIER, Failed
from stack import child_env, vernier_env

#: What becomes of an event, in the API's words.
DISPOSITIONS = ("stored", "duplicate", "conflict", "rejected")
#: How long one answer of the API may take, seconds.
ANSWER_SECONDS_MAX = 60
#: The stack is on loopback: a proxy that the caller's environment names is not for it.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def run_vernier(state: dict, arguments: tuple[str, ...], *, token: str = "", ok: tuple[int, ...] = (0,), quiet: bool = False) -> str:
    """Runs `vernier` against the stack; what it says. `quiet` shows its progress only when it fails."""
    env = {**child_env(state), **vernier_env(state), **({"VERNIER_TOKEN": token} if token else {})}
    done = subprocess.run(
        [str(VERNIER), *arguments],
        cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in ok:
        asked = next(part for part in arguments if part not in ("--format", "json"))
        raise Failed(f"vernier {asked} ended with {done.returncode}.\n{done.stderr or ''}".rstrip())
    return done.stdout


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes


def ask(state: dict, path: str, token: str = "", body: bytes | None = None, **headers: str) -> Answer:
    """The API's answer, whatever its status; posts when there is a body, JSON unless `headers` say more.

    Raises OSError where there is none.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["content-type"] = "application/json"
    if token:
        named["authorization"] = f"Bearer {token}"
    asked = urllib.request.Request(f"{state['api_url'].rstrip('/')}{path}", body, named)
    try:
        with DIRECT.open(asked, timeout=ANSWER_SECONDS_MAX) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, refused.headers, refused.read())
    except http.client.HTTPException as broken:
        raise OSError(f"{path}: {broken}") from broken


def window_totals(windows: list[dict]) -> dict[str, int]:
    """Events received and of each disposition, over all windows of an answer."""
    total = {"received": sum(window["received"]["events"] for window in windows)}
    for name in DISPOSITIONS:
        total[name] = sum(window["accounted"][name] or 0 for window in windows)
    return total
