#!/usr/bin/env python3
"""Vernier on this machine: the built template deployed to a local AWS emulator, on loopback.

  stack.py up [--port N]   start the emulator, deploy, say where everything is
  stack.py status          what is up
  stack.py env             lines to `eval` in a shell
  stack.py down            stop everything that up started

State lies in --dir (default .run): stack.json, emulator.log, tmp/. The data lives in memory and
goes with the emulator. Functions run as native Linux processes: no container, no sandbox.
"""

import argparse
import ctypes
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import EMULATOR, FUNCTIONS, LOCAL, ROOT, RUN, TOOLS, Failed, main_guard, need_setup, say, took, tool_env  # noqa: E402

HOST = "127.0.0.1"
REGION = "us-east-1"
STACK = "vernier-local"
#: How long the emulator may take to answer, seconds; it takes about 2 here.
HEALTH_SECONDS_MAX = 60
#: How long a process may take to go by itself before it is killed, seconds.
TERM_SECONDS_MAX = 5
#: Present in the environment of the emulator, hence of every function it starts: what makes a
#: process ours beyond doubt, whatever happened to process ids meanwhile.
MARK = "VERNIER_STACK"
#: From linux/prctl.h.
PR_SET_CHILD_SUBREAPER = 36


class Stack:
    """One emulator with one deployment of what lies in `built`, and the directory that remembers it."""

    def __init__(self, directory: Path, built: Path = LOCAL, overrides: dict[str, str] | None = None):
        self.dir = directory
        self.built = built
        #: Parameters in the place of samconfig.toml's.
        self.overrides = overrides or {}
        self.file = directory / "stack.json"
        self.log = directory / "emulator.log"

    # ---- what is known

    def state(self) -> dict | None:
        try:
            return json.loads(self.file.read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            raise Failed(f"{self.file} is not readable as JSON. Remove it when no emulator runs.") from None

    def save(self, state: dict) -> None:
        self.dir.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".tmp")
        draft.write_text(json.dumps(state, indent=2) + "\n")
        draft.replace(self.file)

    def processes(self, state: dict) -> list[int]:
        """The live processes of this stack: emulator and functions."""
        mark = f"{MARK}={state['id']}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0") and not is_zombie(entry):
                    found.append(int(entry.name))
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
        return sorted(found)

    def trouble(self, state: dict) -> str | None:
        """Why the recorded stack cannot be used, or None when it can."""
        if state["pid"] not in self.processes(state):
            return (
                f"The emulator (process {state['pid']}, port {state['port']}) is gone; it did not end by `make down`.\n"
                f"{self.last_words()}"
            )
        if not healthy(state["port"]):
            return f"The emulator (process {state['pid']}) lives but does not answer on port {state['port']}."
        if not state.get("deployed"):
            return "The emulator runs, but the deployment was never finished."
        return None

    def last_words(self, lines: int = 12) -> str:
        try:
            tail = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()][-lines:]
        except FileNotFoundError:
            return f"It left no log ({self.log})."
        return f"Last lines of {self.log}:\n" + "\n".join(f"  {line}" for line in tail)

    # ---- up

    def up(self, port: int | None) -> dict:
        check_machine()
        need_setup()
        state = self.state()
        if state is not None:
            trouble = self.trouble(state)
            if trouble is None:
                if port not in (None, state["port"]):
                    raise Failed(f"Already up on port {state['port']}. First: make down")
                if state["deployed"] == build_fingerprint(self.built):
                    say(f"Already up, with what is built: {state['api_url']}")
                    return state
                say("Up, but something else is built by now: deploying that.")
                self.deploy(state)
                return state
            say(f"{trouble}\nClearing away what is left of it.")
            self.down()
        build_fingerprint(self.built)  # refuses early when nothing is built
        state = self.start(port)
        try:
            self.deploy(state)
        except BaseException:
            self.down(quiet=True)
            raise
        return state

    def start(self, port: int | None) -> dict:
        started = time.monotonic()
        chosen = port or free_port()
        if port is not None and is_listening(port):
            raise Failed(f"Port {port} of {HOST} is in use by another program. Choose another, or none for a free one.")
        temporary = self.dir / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        state = {
            "id": str(uuid.uuid4()),
            "port": chosen,
            "endpoint": f"http://{HOST}:{chosen}",
            "region": REGION,
            "stack": STACK,
            "log": str(self.log),
        }
        adopt_orphans()
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [EMULATOR / "ministack"],
                cwd=self.dir,
                env=emulator_env(state, temporary),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C in a terminal reaches us, and we end it in order.
                start_new_session=True,
            )
        state["pid"] = process.pid
        self.save(state)
        try:
            self.await_health(process, state)
        except BaseException:
            self.down(quiet=True)
            raise
        say(f"Emulator up on {state['endpoint']} in {took(started)}.")
        return state

    def await_health(self, process: subprocess.Popen, state: dict) -> None:
        deadline = time.monotonic() + HEALTH_SECONDS_MAX
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise Failed(f"The emulator ended at once (exit {process.returncode}).\n{self.last_words()}")
            if healthy(state["port"]):
                return
            time.sleep(0.1)
        raise Failed(f"The emulator did not answer within {HEALTH_SECONDS_MAX} s.\n{self.last_words()}")

    def deploy(self, state: dict) -> None:
        started = time.monotonic()
        fingerprint = build_fingerprint(self.built)
        say("Deploying template.yaml with `sam deploy --config-env local` …")
        command = [
            TOOLS / "sam", "deploy", "--config-env", "local", "--config-file", ROOT / "samconfig.toml",
            "--template-file", self.built / "template.yaml", "--parameter-overrides", *local_parameters("deploy", self.overrides),
        ]  # fmt: skip
        done = subprocess.run(
            [str(part) for part in command],
            cwd=ROOT, env=child_env(state), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        (self.dir / "deploy.log").write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            if state["pid"] not in self.processes(state):
                raise Failed(f"The emulator died during the deployment.\n{self.last_words()}")
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
            raise Failed(f"sam deploy failed ({done.returncode}):\n{tail}")
        outputs = stack_outputs(state)
        state.update(
            api_url=f"{state['endpoint']}/_aws/execute-api/{outputs['ApiId']}/{outputs['ApiStage']}",
            api_id=outputs["ApiId"],
            stage=outputs["ApiStage"],
            table=outputs["TableName"],
            bucket=outputs["BucketName"],
            stream=outputs["StreamName"],
            topic=outputs["TopicArn"],
            seal_key=outputs["SealKeyArn"],
            catalog=outputs["CatalogName"],
            functions={name: outputs[f"{logical}Name"] for name, logical in FUNCTIONS.items()},
            deployed=fingerprint,
        )
        self.save(state)
        say(f"Deployed in {took(started)}. The API: {state['api_url']}")

    # ---- down

    def down(self, quiet: bool = False) -> None:
        state = self.state()
        if state is None:
            if not quiet:
                say("Nothing is up.")
            return
        ours = self.processes(state)
        # The emulator first, so that it starts no function any more; then whoever is left.
        for how, pids in ((signal.SIGTERM, [state["pid"]]), (signal.SIGTERM, None), (signal.SIGKILL, None)):
            left = self.processes(state)
            if not left:
                break
            for pid in left if pids is None else [pid for pid in pids if pid in left]:
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    pass
            self.await_end(state, ours, pids)
        reap([*ours, *orphans()], seconds_max=1)
        left = self.processes(state)
        if left:
            raise Failed(f"Processes {left} of the local stack could not be ended.")
        if ours and is_listening(state["port"]):
            raise Failed(f"Port {state['port']} is still open, though no process of the local stack is left.")
        shutil.rmtree(self.dir / "tmp", ignore_errors=True)
        self.file.unlink(missing_ok=True)
        if not quiet:
            count = f"{len(ours)} process{'' if len(ours) == 1 else 'es'} ended" if ours else "it was gone already"
            say(f"Down: {count}, port {state['port']} closed. The log stays in {self.log}.")

    def await_end(self, state: dict, all_of_them: list[int], pids: list[int] | None) -> None:
        deadline = time.monotonic() + TERM_SECONDS_MAX
        while time.monotonic() < deadline:
            reap(all_of_them)
            left = self.processes(state)
            if not (left if pids is None else [pid for pid in pids if pid in left]):
                return
            time.sleep(0.05)


# ---- pieces


def check_machine() -> None:
    if platform.system() != "Linux":
        raise Failed(
            "The local stack runs the functions' Linux binaries as they are and so needs Linux; "
            f"this is {platform.system()}. Use a Linux machine or container, or deploy to AWS: make deploy ENV=dev"
        )


def architecture() -> str:
    """This machine's, in Lambda's words."""
    return {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "x86_64")


def local_parameters(command: str, overrides: dict[str, str] | None = None) -> list[str]:
    """samconfig.toml's parameters of the local environment, with this machine's architecture and what stands in their place."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    given = config["local"][command]["parameters"]["parameter_overrides"]
    values = dict(item.split("=", 1) for item in given) | {"Architecture": architecture()} | (overrides or {})
    return [f"{name}={value}" for name, value in values.items()]


def build_fingerprint(built: Path) -> str:
    """What a build left in `built`, as one hash: the template, the four binaries and the page."""
    digest = hashlib.sha256()
    parts = [built / "template.yaml", ROOT / "samconfig.toml"]
    parts += [built / logical / "bootstrap" for logical in FUNCTIONS.values()]
    parts += sorted(part for part in (built / FUNCTIONS["output"] / "page").rglob("*") if part.is_file())
    for part in parts:
        try:
            digest.update(part.read_bytes())
        except FileNotFoundError:
            raise Failed(f"{part.relative_to(ROOT)} is not there. Run: make {'local' if built == LOCAL else 'build'}") from None
    return digest.hexdigest()


def aws_env(state: dict) -> dict[str, str]:
    """What makes any AWS tool talk to this stack and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": state["endpoint"],
        "AWS_REGION": state["region"],
        "AWS_DEFAULT_REGION": state["region"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
    }


def vernier_env(state: dict) -> dict[str, str]:
    """aws_env, and where Vernier's parts are."""
    env = aws_env(state)
    env.update(
        VERNIER_API=state["api_url"],
        VERNIER_TABLE=state["table"],
        VERNIER_BUCKET=state["bucket"],
        VERNIER_STREAM=state["stream"],
        VERNIER_TOPIC_ARN=state["topic"],
        VERNIER_SEAL_KEY=state["seal_key"],
        VERNIER_CATALOG=state["catalog"],
    )
    for name, function in state["functions"].items():
        env[f"VERNIER_{name.upper()}_FUNCTION"] = function
    return env


def child_env(state: dict) -> dict[str, str]:
    """tool_env without the caller's AWS settings (a profile, a session), with this stack's."""
    env = {key: value for key, value in tool_env().items() if not key.startswith(("AWS_", "VERNIER_"))}
    env.update(aws_env(state))
    return env


def emulator_env(state: dict, temporary: Path) -> dict[str, str]:
    env = {key: value for key, value in child_env(state).items() if not key.startswith("LAMBDA_")}
    env.update(
        {
            MARK: state["id"],
            "GATEWAY_PORT": str(state["port"]),
            "BIND_HOST": HOST,
            "MINISTACK_REGION": state["region"],
            # Roles are enforced, action by action and resource by resource (not dynamodb:LeadingKeys):
            # a permission that template.yaml forgets is found here.
            "AUTH": "true",
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            "LAMBDA_EXECUTOR": "local",
            # Listeners of its own on fixed ports, which a second emulator could not have.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # It removes containers it takes for its own when it finds a daemon: let it find none.
            "DOCKER_HOST": "unix:///nonexistent",
            "TMPDIR": str(temporary),
            "PYTHONUNBUFFERED": "1",
            # As the template's LoggingConfig has it on AWS; the emulator does not pass that on.
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            # Backtraces cost seconds in a stripped binary and say nothing.
            "RUST_BACKTRACE": "0",
        }
    )
    return env


def stack_outputs(state: dict) -> dict[str, str]:
    done = subprocess.run(
        [EMULATOR / "python", ROOT / "scripts" / "emulator_finish.py", state["stack"]],
        cwd=ROOT, env=child_env(state), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise Failed(f"The deployed stack cannot be described:\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def healthy(port: int) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://{HOST}:{port}/_ministack/health", timeout=5
        ) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def is_listening(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def is_zombie(entry: Path) -> bool:
    return re.search(r"^State:\s+[ZX]", (entry / "status").read_text(), re.M) is not None


def adopt_orphans() -> None:
    """Makes this process the parent of functions whose emulator has ended, so that it can reap them.

    Else they stay in the process table as zombies where process 1 does not reap (many containers).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def orphans() -> list[int]:
    """Functions that ended after their emulator and wait for us, who adopted them, to notice."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                status = (entry / "status").read_text()
                if status.startswith("Name:\tbootstrap\n") and f"\nPPid:\t{os.getpid()}\n" in status:
                    found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def reap(pids: list[int], seconds_max: float = 0) -> None:
    """Collects those of `pids` that are our children and have ended, or end within `seconds_max`."""
    deadline = time.monotonic() + seconds_max
    for pid in pids:
        try:
            while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
        except ChildProcessError:
            continue


# ---- command


def show_status(stack: Stack) -> int:
    state = stack.state()
    if state is None:
        say("Nothing is up. Start it with: make up")
        return 3
    trouble = stack.trouble(state)
    if trouble:
        say(f"{trouble}\nClear it away with: make down")
        return 1
    say(f"Up since {time.strftime('%H:%M:%S', time.localtime(stack.file.stat().st_mtime))} (last deployment)")
    rows = [("API", "api_url"), ("AWS", "endpoint"), ("table", "table"), ("bucket", "bucket"), ("stream", "stream"), ("log", "log")]
    for label, key in rows:
        say(f"  {label:7} {state[key]}")
    count = len(stack.processes(state)) - 1
    say(f"  {'running':7} emulator (process {state['pid']}), {count} function process{'' if count == 1 else 'es'}")
    if state["deployed"] != build_fingerprint(stack.built):
        say("  Something else is built by now: `make up` deploys it.")
    return 0


def show_env(stack: Stack) -> int:
    state = stack.state()
    if state is None:
        raise Failed("Nothing is up. Start it with: make up")
    trouble = stack.trouble(state)
    if trouble:
        raise Failed(trouble)
    print("unset AWS_PROFILE AWS_SESSION_TOKEN")
    for key, value in vernier_env(state).items():
        print(f"export {key}={shlex.quote(value)}")
    return 0


def main() -> int:
    about = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about.add_argument("--dir", type=Path, default=RUN, help="where the state lies (default .run)")
    commands = about.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up")
    up.add_argument("--port", type=int, help="port of the emulator (default: a free one)")
    for name in ("down", "status", "env"):
        commands.add_parser(name)
    asked = about.parse_args()
    stack = Stack(asked.dir.resolve())
    if asked.command == "up":
        stack.up(asked.port)
        return 0
    if asked.command == "down":
        stack.down()
        return 0
    return {"status": show_status, "env": show_env}[asked.command](stack)


if __name__ == "__main__":
    main_guard(main)
