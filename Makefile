# Vernier. `make` alone says what there is. The work is done by scripts/, in Python's standard library.

PYTHON ?= python3
PORT ?=
ENV ?= dev
SAM = SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/tools/bin:$$PATH" sam

.DEFAULT_GOAL := help
.PHONY: help setup build local demo gameday tenants up down status env deploy test lint page unit pipeline repo emulator kill artifacts sam-local sim bench fuzz fmt clean

help:
	@echo "Vernier: an auditable event ledger for learning data."
	@echo
	@echo "  First steps"
	@echo "    make demo              set up, build, deploy to a local emulator, send a semester, show the account"
	@echo "                           ENVELOPES=dir sends your own, EVENTS=n sets the semester's size, KEEP=1 leaves it up"
	@echo "    make test              every check and test (what .ci/run runs)"
	@echo
	@echo "  Running it here"
	@echo "    make up                start the emulator and deploy what is built (PORT=n for a port of your choice)"
	@echo "    eval \"\$$(make -s env)\"  point your shell, vernier and any AWS tool at it"
	@echo "    make status            what is up, and where"
	@echo "    make down              stop it; nothing is left"
	@echo
	@echo "  Parts"
	@echo "    make setup             the pinned tools, into .venv/"
	@echo "    make build             the four functions as they are deployed, the page and the template, into .aws-sam/build"
	@echo "    make local             the same for the local stack, quick to build, and the vernier command, into .run/build"
	@echo "    make lint              fmt, clippy, docs, template rules"
	@echo "    make page              the page: types, unit tests, and in a Chromium (installed if it must be) on its fixture"
	@echo "    make unit              tests inside the crates        make pipeline   handlers on fakes, simulations"
	@echo "    make repo              the repository's own rules     make emulator   the deployed stack, on the emulator"
	@echo "    make kill              the built stream function, killed and throttled (EVENTS=200000)"
	@echo "    make artifacts         sam build as for AWS, and that every artifact starts (12 minutes; no part of make test)"
	@echo "    make tenants           200 tenants on a deployed stack: how long after a window's end each is sealed"
	@echo "    make gameday           break the deployed stack in fourteen ways: who notices, how it heals, what is lost (DRILLS='poison stuck')"
	@echo "    make sam-local         every file of events/ through sam local invoke (needs Docker)"
	@echo "    make bench             what an event takes, from validation to archive; cold starts, end to end, dollars per billion"
	@echo "                           QUICK=1 in less than three minutes, PARTS=validate,handlers some of it"
	@echo "    make sim               random histories with faults and crashes, from SEED=0 on: SEEDS=2000 (SCRIPT='…' plays one);"
	@echo "                           DAYS=7 TENANTS=20: long ones, of up to so many, a planner each minute"
	@echo "    make fuzz              arbitrary bytes into the validator for SECONDS=60"
	@echo "    make fmt               format the code"
	@echo "    make clean             remove what was built (not .venv)"
	@echo
	@echo "  AWS"
	@echo "    make deploy ENV=dev    build for arm64 and sam deploy; ENV=prod asks before it changes anything"

setup:
	@$(PYTHON) scripts/setup.py

build: setup
	@$(PYTHON) scripts/build.py

local:
	@$(PYTHON) scripts/build.py --local

up: local
	@$(PYTHON) scripts/stack.py up $(if $(PORT),--port $(PORT))

down:
	@$(PYTHON) scripts/stack.py down

status:
	@$(PYTHON) scripts/stack.py status

env:
	@$(PYTHON) scripts/stack.py env

demo:
	@$(PYTHON) scripts/demo.py

deploy: setup
	@$(PYTHON) scripts/stack_name.py $(ENV)
	@$(PYTHON) scripts/build.py --arch arm64
	@$(SAM) deploy --config-env $(ENV)

test:
	@$(PYTHON) scripts/test.py

lint page unit pipeline repo: setup
	@$(PYTHON) scripts/test.py $@

artifacts: setup
	@$(PYTHON) scripts/test.py artifacts

emulator: setup
	@$(PYTHON) scripts/test.py build emulator

kill: setup
	@$(if $(EVENTS),VERNIER_KILL_EVENTS=$(EVENTS)) $(PYTHON) scripts/test.py build kill

gameday: local
	@$(PYTHON) scripts/gameday.py $(DRILLS)

tenants: local
	@$(PYTHON) scripts/tenants.py

# Looks for Docker before it builds.
sam-local: setup
	@$(PYTHON) scripts/sam_local.py

bench: build
	@$(PYTHON) scripts/bench.py $(if $(QUICK),--quick) $(if $(PARTS),--parts "$(PARTS)")

# Built with the whole workspace, so that no dependency is built a second time with other features.
sim:
	cargo build --quiet --workspace --profile sim --bin vernier-sim
	@$(if $(SEEDS),VERNIER_SIM_SEEDS=$(SEEDS)) $(if $(SEED),VERNIER_SIM_SEED=$(SEED)) $(if $(SECONDS),VERNIER_SIM_SECONDS=$(SECONDS)) \
	  $(if $(DAYS),VERNIER_SIM_DAYS=$(DAYS)) $(if $(TENANTS),VERNIER_SIM_TENANTS=$(TENANTS)) \
	  $(if $(SCRIPT),VERNIER_SIM_SCRIPT='$(SCRIPT)') $${CARGO_TARGET_DIR:-target}/sim/vernier-sim

SECONDS_MAX = $(or $(SECONDS),60)
fuzz:
	VERNIER_FUZZ_SECONDS=$(SECONDS_MAX) cargo test -p vernier-validation --release --test fuzz -- --ignored --nocapture

fmt:
	cargo fmt --all

clean: down
	cargo clean
	rm -rf .aws-sam .run functions/output/page/dist functions/output/page/node_modules
