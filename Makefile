# make help lists what there is. Every target does its own set-up on a fresh Debian machine as root.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
APT := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
  -o DPkg::Lock::Timeout=600
# What the tests on this machine need: a Docker engine, tools that read and write labels, a compiler's sanitizers.
TEST_PACKAGES := zsh fish groff-base dosfstools systemd
HOST_PACKAGES := docker.io busybox-static policycoreutils attr e2fsprogs xfsprogs acl libsystemd-dev pkg-config
RPM_PACKAGES := rpm cpio file bzip2 gcc make m4 gawk checkpolicy semodule-utils selinux-policy-dev python3-dev \
  python3-setuptools python3-docutils
BENCH_PACKAGES := golang-go golang-github-opencontainers-selinux-dev
VM_PACKAGES := $(shell sed 's/\#.*//' tests/vm/host-packages.txt)
BUILD_PACKAGES := python3 python3-venv python3-dev python3-selinux python3-systemd gcc make git
REQUIREMENTS := $(shell sed -n '/^dependencies/,/^]/s/^ *"\(.*\)",.*/\1/p; /^dev = \[/,/^]/s/^ *"\(.*\)",.*/\1/p' pyproject.toml)

# A test that hangs is ended, and says where.
BOUNDED := -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true

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
.venv/ready: pyproject.toml setup.py $(wildcard mcsd/relabel/*.[ch]) | deps
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
	$(PY) -m pytest -q -n 2 $(BOUNDED) tests/unit tests/properties

.PHONY: test-long
test-long: venv ## thousands of random histories of a host in memory; MCSD_HISTORIES says how many
	MCSD_HISTORIES=$${MCSD_HISTORIES:-20000} $(PY) -m pytest -q tests/properties/test_host_history.py

.PHONY: host-deps
host-deps: .venv/bin/promtool
	$(call install,$(TEST_PACKAGES) $(HOST_PACKAGES) $(RPM_PACKAGES) rpmlint)

# Of Debian's prometheus the checker alone: the package would start a server.
.venv/bin/promtool: | venv
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; chmod 0755 "$$work"; cd "$$work"; apt-get update -qq; \
	  apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && install usr/bin/promtool $(CURDIR)/$@

.PHONY: vm-deps
vm-deps:
	$(call install,$(VM_PACKAGES))

.PHONY: test-host
test-host: venv host-deps ## the tests against a real dockerd and real labels on this machine (root)
	$(PY) -m pytest -q -n 2 $(BOUNDED) --dist loadfile tests/contracts tests/host

.PHONY: test-vm
test-vm: venv vm-deps ## the tests on an enforcing kernel, in the guest
	MCSD_VM_CPUS=1 $(PY) -m pytest -q -n 2 --dist worksteal --durations=60 tests/vm

.PHONY: test
test: host-deps test-fast test-host test-vm ## every gate and every test; installs what it needs (root)

.PHONY: demo
demo: ## show the main job in the guest, as TAP; HOST=1 runs it right here instead
ifeq ($(HOST),1)
	@TAP=$(CURDIR)/tests/vm/tap.sh bash tests/vm/scripts/demo.sh
else
	@$(MAKE) --no-print-directory vm-deps
	@tests/vm/run tests/vm/scripts/demo.sh --timeout 900
endif

.PHONY: bench
bench: venv host-deps ## measure against chcon, setfiles and Docker's own relabelling; prints ratios
	$(call install,$(BENCH_PACKAGES))
	$(PY) -m tests.bench.relabel $(BENCH)
	$(PY) -m tests.bench.allocation $(BENCH)
	$(PY) -m tests.bench.daemon $(BENCH)
	$(PY) -m tests.bench.gate $(BENCH)
	$(PY) -m tests.bench.socket_load $(BENCH)
	$(PY) -m tests.bench.ctl_start $(BENCH)

.PHONY: rpm
rpm: venv ## build the packages from the tree, into dist/
	$(call install,$(RPM_PACKAGES))
	packaging/rpm --define 'check_python $(CURDIR)/$(PY)' $(RPM)

.PHONY: clean
clean: ## remove what was built here; the guest's cache stays
	rm -rf build dist *.egg-info .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find mcsd -name '*.so' -delete

.PHONY: vm-image
vm-image: vm-deps ## build what the guest's runs start from; they do it by themselves, later
	@tests/vm/run --prepare

.PHONY: vm-shell
vm-shell: vm-deps ## a root shell in the guest, with this mcsd installed; nothing of it is kept
	@tests/vm/run --shell
