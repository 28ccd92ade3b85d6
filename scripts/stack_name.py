#!/usr/bin/env python3
"""Refuses, before anything is built or deployed, a stack whose functions' names would be too long.

  stack_name.py ENV                         the environment of samconfig.toml
  stack_name.py --name NAME [PARAMETER=…]   a stack of this name with these parameters

Lambda takes 64 characters, and CloudFormation's templates can neither measure nor cut a text.
"""

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import ROOT, Failed, main_guard  # noqa: E402

#: The longest name of a stack, by CloudFormation.
STACK_NAME_MAX = 128
#: The longest name of a function, by Lambda.
FUNCTION_NAME_MAX = 64
#: What is added to the stack's name, at most.
LONGEST_PART = "-reconcile"


def trouble(name: str, parameters: list[str]) -> str | None:
    """Why a stack of this name cannot be deployed, or None when it can."""
    if len(name) > STACK_NAME_MAX:
        return f"The stack's name has {len(name)} characters; CloudFormation takes {STACK_NAME_MAX}."
    most = FUNCTION_NAME_MAX - len(LONGEST_PART)
    if len(name) <= most or "FunctionNames=stack-id" in parameters:
        return None
    return (
        f"The stack's name has {len(name)} characters, and the functions' names would have more than Lambda's "
        f"{FUNCTION_NAME_MAX}. Take one of at most {most}, or name the functions after the stack's id: "
        "FunctionNames=stack-id"
    )


def environment(name: str) -> tuple[str, list[str]]:
    """The stack's name and the parameters of an environment."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    if name not in config:
        raise Failed(f"samconfig.toml has no environment {name}.")
    stack = config[name].get("global", {}).get("parameters", {}).get("stack_name", "vernier-local")
    return stack, config[name]["deploy"]["parameters"].get("parameter_overrides", [])


def main() -> int:
    match sys.argv[1:]:
        case ["--name", name, *parameters]:
            found = trouble(name, parameters)
        case [env]:
            found = trouble(*environment(env))
        case _:
            raise Failed(__doc__ or "")
    if found:
        raise Failed(found)
    return 0


if __name__ == "__main__":
    main_guard(main)
