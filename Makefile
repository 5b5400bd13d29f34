# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: Holdfast contributors
#
# Two commands matter: `make demo` and `make test`. The rest is for working on the project.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
FRONT_DOOR := $(PYTHON) -m tests.frontdoor
# Which suites `make test` runs, by comma: lint,unit,model,contract,integration,lab,molecule,scenarios
SUITES ?=
# Options of claim-bench: --seed 7, --repeat 3, --only leader_killed
BENCH ?=
# Rounds of `make bench`, and which benchmarks, by space: boot plan refill rolls peers (all)
ROUNDS ?= 3
BENCHMARKS ?=
# Which faults `make test-faults` plays, by comma (`python -m tests.faults --list` names them); MERGE=1 keeps the report's others
FAULTS ?=
MERGE ?=
# Which stories `make test-rolls` tells, by comma (`python -m tests.rolls --list` names them)
ROLLS ?=
# KEEP=1 make demo: leave the lab up afterwards
export KEEP ?=

.PHONY: help venv demo test test-page lint format unit model contract integration lab-tests molecule scenarios bench claim-bench test-faults test-rolls lab-up lab-down clean clean-cache

help: ## Show this help
	@printf 'Holdfast: Kafka and ZooKeeper on EC2 whose nodes come back as themselves.\n\n'
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nVariables: SUITES=unit,contract (for test), KEEP=1 (for demo: leave the lab up), ROUNDS=5 (for bench),\n           BENCH="--seed 7 --repeat 3 --only leader_killed" (for claim-bench)\n'

venv: ## Install what is missing on this machine and in .venv (fast when nothing is)
	@scripts/bootstrap

demo: venv ## Terminate a ZooKeeper node and a broker while a producer writes; see both come back as themselves
	@$(PYTHON) -m lab.demo

test: venv ## Run everything: lint, unit, model, contract, integration, lab, molecule, scenarios (SUITES=... for a selection)
	@$(FRONT_DOOR) $(if $(SUITES),--suites $(SUITES))

test-page: ## Open the page of a roll in a headless browser, which this installs (root on Debian; part of integration where it is)
	@scripts/bootstrap --browser
	@$(PYTHON) -m pytest -q tests/integration/test_roll_page.py

lint: venv ## Run the lint steps of .pre-commit-config.yaml
	@$(FRONT_DOOR) --suites lint

format: venv ## Format Python files
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

unit: venv ## Run unit tests and the tests of the house
	@$(FRONT_DOOR) --suites unit

model: venv ## Explore every state of larger worlds of the claim's protocol (minutes; reports/model.json)
	@$(PYTHON) -m tests.model

contract: venv ## Run the strict EC2's contract tests
	@$(FRONT_DOOR) --suites contract

integration: venv ## Run modules against real ZooKeeper, Kafka and strict-EC2 processes on loopback
	@$(FRONT_DOOR) --suites integration

lab-tests: venv ## Run the lab's own tests (root)
	@$(FRONT_DOOR) --suites lab

molecule: venv ## Run every role's molecule scenario on instances of the lab (root)
	@$(FRONT_DOOR) --suites molecule

scenarios: venv ## Run the whole-cluster scenarios in the lab (root)
	@$(FRONT_DOOR) --suites scenarios

bench: venv ## Measure replacements, refills, rolls, their plan, and the ways of others; docs/benchmarks.md (root, but for BENCHMARKS=plan)
	@$(PYTHON) -m benchmarks --rounds $(ROUNDS) $(BENCHMARKS)

claim-bench: venv ## Let a hundred claimants race against a real ensemble with faults; figures in reports/claim.json
	@$(PYTHON) -m tests.herd $(BENCH)

test-faults: venv ## Play every fault against a cluster in the lab while a producer writes (root; FAULTS=... for a selection)
	@$(PYTHON) -m tests.faults $(if $(FAULTS),--faults $(FAULTS)) $(if $(MERGE),--merge)

test-rolls: venv ## Roll a cluster of six brokers in the lab while a producer writes: racks, refusals, failures (root; ROLLS=... for a selection)
	@$(PYTHON) -m tests.rolls $(if $(ROLLS),--only $(ROLLS)) $(if $(MERGE),--merge)

lab-up: venv ## Bring the one-machine EC2 up, without a cluster (root)
	@$(PYTHON) -m lab up

lab-down: venv ## Take the one-machine EC2 down and remove everything it made (root)
	@$(PYTHON) -m lab down

clean: ## Remove reports and the tools' caches
	@rm -rf reports .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible
	@find . -path ./.venv -prune -o -path ./.cache -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

clean-cache: clean ## Remove the lab's cached images and artifacts and .venv as well
	@rm -rf .cache .venv
