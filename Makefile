# make help lists what there is. Every target does its own set-up on a fresh Debian machine as root.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PY := .venv/bin/python
APT := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0
BUILD_PACKAGES := python3 python3-venv python3-dev python3-selinux python3-systemd gcc make git
REQUIREMENTS := $(shell sed -n '/^dependencies/,/^]/s/^ *"\(.*\)",.*/\1/p; /^dev = \[/,/^]/s/^ *"\(.*\)",.*/\1/p' pyproject.toml)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

# One apt-get at a time, and only for what is not there.
define install
	@missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "installing: $$missing"; \
	  exec 9>/var/lock/mcsd-make.lock; flock 9; apt-get update -qq; $(APT) $$missing >/dev/null; fi
endef

.PHONY: deps
deps:
	$(call install,$(BUILD_PACKAGES))

# The platform's own Python: libselinux's and systemd's bindings exist for no other.
.venv/ready: pyproject.toml setup.py $(wildcard mcsd/relabel/*.c) | deps
	@[ -x .venv/bin/python ] || /usr/bin/python3 -m venv --system-site-packages .venv
	@.venv/bin/python -m pip install -q --disable-pip-version-check $(foreach r,$(REQUIREMENTS),'$(r)')
	@.venv/bin/python setup.py -q build_ext --inplace
	@touch $@

.PHONY: venv
venv: .venv/ready ## make the development environment in .venv

.PHONY: lint
lint: venv ## ruff and mypy, nothing else
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

.PHONY: test-fast
test-fast: venv ## lint, and the tests that need no root, no Docker and no guest
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/unit tests/properties

.PHONY: clean
clean: ## remove what was built here; the guest's cache stays
	rm -rf build dist *.egg-info .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find mcsd -name '*.so' -delete
