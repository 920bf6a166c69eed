# make help lists what there is. Every target does its own set-up on a fresh Debian machine as root;
# `make rpm` does on Fedora, EL 10 and openSUSE as well.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Which Debian the guest is: make vm-image SUITE=sid, make demo SUITE=sid
export MCSD_VM_SUITE := $(or $(SUITE),$(MCSD_VM_SUITE),trixie)
FAMILY := $(shell packaging/install --family)
# What the tests on this machine need: a Docker engine, tools that read and write labels, a compiler's sanitizers.
TEST_PACKAGES := zsh fish groff-base dosfstools systemd
HOST_PACKAGES := docker.io busybox-static policycoreutils attr e2fsprogs xfsprogs acl etcd-server etcd-client openssl \
  iproute2 libsystemd-dev pkg-config
# What building the packages needs, by Debian's names; elsewhere the spec says it.
RPM_PACKAGES := rpm cpio file bzip2 gcc make m4 gawk checkpolicy semodule-utils selinux-policy-dev python3-dev \
  python3-setuptools python3-docutils policycoreutils secilc setools
# The page in Cockpit is tried in Debian's Cockpit with Debian's browser, and its views in Node without either.
WEB_PACKAGES := cockpit-ws cockpit-bridge chromium chromium-driver nodejs gettext
BENCH_PACKAGES := golang-go golang-github-opencontainers-selinux-dev xfsprogs btrfs-progs
VM_PACKAGES := $(shell sed 's/\#.*//' tests/vm/host-packages.txt)
BUILD_PACKAGES := python3 python3-venv python3-dev python3-selinux python3-systemd python3-audit gcc make git
REQUIREMENTS := $(shell sed -n '/^dependencies/,/^]/s/^ *"\(.*\)",.*/\1/p; /^dev = \[/,/^]/s/^ *"\(.*\)",.*/\1/p' pyproject.toml)

# Guests at once: one on each processor. More of them take more of the processors' time than they use of it.
GUESTS := $(shell nproc)

# A test that hangs is ended, and says where.
BOUNDED := -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

define install
	@[ "$(FAMILY)" = debian ] || { echo "this target sets itself up on Debian only; make rpm, on $(FAMILY) too" >&2; exit 1; }
	@packaging/install $(1)
endef

.PHONY: deps
deps:
	$(call install,$(BUILD_PACKAGES))

# The platform's own Python: libselinux's and systemd's bindings exist for no other.
.venv/ready: pyproject.toml setup.py $(wildcard mcsd/relabel/native/*.[ch]) | deps
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
test-fast: lint ## lint, and the tests that need no root, no Docker and no guest
	$(PY) -m pytest -q -n 2 $(BOUNDED) tests/unit tests/properties

.PHONY: test-long
test-long: venv host-deps vm-deps ## random histories, fuzzed parsers, sanitizers, long stories on another policy (root)
	MCSD_HISTORIES=$${MCSD_HISTORIES:-20000} $(PY) -m pytest -q tests/properties/test_host_history.py
	MCSD_INJECT_EVERY=$${MCSD_INJECT_EVERY:-1} MCSD_RACE_ROUNDS=$${MCSD_RACE_ROUNDS:-1000000} \
	  MCSD_RACE_WALKS=$${MCSD_RACE_WALKS:-200} $(PY) -m pytest -q -rP tests/host/test_relabel_sanitized.py
	MCSD_LONG=$${MCSD_LONG:-200000} $(PY) -m pytest -q tests/properties/test_parsers.py tests/unit/test_hostile_host.py \
	  tests/unit/api/test_request_head.py tests/host/test_gate_sanitized.py
	MCSD_LONG_POLICIES=1 MCSD_VM_CPUS=1 $(PY) -m pytest -q -n $(GUESTS) --dist load --maxschedchunk 1 \
	  tests/vm/test_scripts.py tests/vm/test_pair.py

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

.PHONY: web-deps
web-deps: tests/web/node_modules/.package-lock.json host-deps
	$(call install,$(WEB_PACKAGES))

# Exactly what the lock file says, and nothing of it is run.
tests/web/node_modules/.package-lock.json: tests/web/package-lock.json
	@command -v npm >/dev/null || packaging/install npm
	@cd tests/web && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: test-web
test-web: venv web-deps ## the page in Cockpit, in a browser on this machine (root)
	$(PY) -m pytest -q $(BOUNDED) tests/web

# Both in `make test-versions`; in `make test` what talks to the libraries, with the oldest ones. The newest
# published on this host's Python are what .venv has.
ADAPTED := tests/unit/adapters tests/unit/api/test_connection.py tests/unit/api/test_limits.py tests/unit/api/test_event_stream.py \
  tests/unit/test_packaging_config.py tests/unit/api/test_gate_socket.py tests/unit/api/test_metrics.py \
  tests/unit/cli/test_screens.py tests/contracts
.PHONY: test-oldest
test-oldest: venv host-deps ## what talks to the libraries, with the oldest that are allowed (root)
	tests/versions/run oldest -n 2 --dist loadfile $(ADAPTED)

.PHONY: test-versions
test-versions: venv host-deps vm-deps ## all but the guest's tests, with the oldest libraries that are allowed and the newest (root)
	tests/versions/run oldest
	MCSD_VERSIONS_PACKAGES='$(TEST_PACKAGES) $(HOST_PACKAGES) $(RPM_PACKAGES) rpmlint' tests/versions/run newest

.PHONY: test-vm
test-vm: venv vm-deps ## the tests on an enforcing kernel, in guests; says at the end what ran where
	MCSD_VM_CPUS=1 $(PY) -m pytest -q -n $(GUESTS) --maxprocesses 8 --dist load --maxschedchunk 1 --durations=60 tests/vm

# The guest is built while the other tests run: that keeps one processor busy, and needs nothing of them.
.PHONY: test
test: venv host-deps web-deps vm-deps ## every gate and every test; installs what it needs (root)
	@tests/vm/run --prepare & guest=$$!; trap 'kill $$guest 2>/dev/null || :' EXIT; \
	  $(MAKE) --no-print-directory test-fast; $(MAKE) --no-print-directory test-oldest; \
	  $(MAKE) --no-print-directory test-host; $(MAKE) --no-print-directory test-web; \
	  wait $$guest; $(MAKE) --no-print-directory test-vm

.PHONY: t
t: venv ## one file: T=tests/unit/core/test_plan.py, or T=tests/vm/scripts/gate.sh in the guest; what failed last goes first
	@case '$(T)' in \
	  '') echo 'make t: say what, T=tests/unit/core/test_plan.py or T=tests/vm/scripts/gate.sh' >&2; exit 2 ;; \
	  *.sh) tests/vm/run $(T) $(ARGS) ;; \
	  tests/vm/*) $(MAKE) --no-print-directory vm-deps && $(PY) -m pytest -q --failed-first $(BOUNDED) $(T) $(ARGS) ;; \
	  tests/web*) $(MAKE) --no-print-directory web-deps && \
	    $(PY) -m pytest -q --failed-first $(BOUNDED) $(T) $(ARGS) ;; \
	  tests/host* | tests/contracts*) $(MAKE) --no-print-directory host-deps && \
	    $(PY) -m pytest -q --failed-first $(BOUNDED) $(T) $(ARGS) ;; \
	  *) $(PY) -m pytest -q --failed-first $(BOUNDED) $(T) $(ARGS) ;; \
	esac

.PHONY: fuzz
fuzz: vm-deps ## random histories of a host in the guest: MINUTES=10, SEED=, HANDS=restorecon,setenforce (all unless given)
	@tests/vm/run tests/vm/scripts/history.sh -- --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) \
	  $(if $(HANDS),--hands $(HANDS)) $(if $(WITHOUT),--without $(WITHOUT))

.PHONY: demo
demo: ## show the main job in the guest, as TAP; HOST=1 runs it right here; WEB=1 shows the page in Cockpit
ifeq ($(WEB),1)
	@$(MAKE) --no-print-directory venv
	$(call install,cockpit-ws cockpit-bridge)
	@$(PY) -m tests.web.demo
else ifeq ($(HOST),1)
	@TAP=$(CURDIR)/tests/vm/tap.sh bash tests/vm/scripts/demo.sh
else
	@$(MAKE) --no-print-directory vm-deps
	@tests/vm/run tests/vm/scripts/demo.sh --timeout 900
endif

.PHONY: bench
bench: venv host-deps web-deps ## measure against chcon, setfiles and Docker's own relabelling; prints ratios
	$(call install,$(BENCH_PACKAGES))
	$(PY) -m tests.bench.relabel --file-system here --file-system xfs --file-system btrfs $(BENCH)
	$(PY) -m tests.bench.allocation $(BENCH)
	$(PY) -m tests.bench.daemon $(BENCH)
	$(PY) -m tests.bench.gate $(BENCH)
	$(PY) -m tests.bench.podman $(BENCH)
	$(PY) -m tests.bench.socket_load $(BENCH)
	$(PY) -m tests.bench.ctl_start $(BENCH)
	$(PY) -m tests.bench.disk_watch $(BENCH)
	$(PY) -m tests.bench.web $(BENCH)

# Debian's rpm has no packages to ask for what the spec requires, and its Python not all that the tests need.
.PHONY: rpm
ifeq ($(FAMILY),debian)
rpm: venv
	$(call install,$(RPM_PACKAGES))
	packaging/rpm --define 'check_python $(CURDIR)/$(PY)' $(RPM)
else
rpm: ## build the packages from the tree, into dist/
	@packaging/install rpm-build git
	@rpmspec -q --buildrequires packaging/mcsd.spec | while IFS= read -r one; do printf '%s\0' "$$one"; done | \
	  xargs -0 packaging/install
	packaging/rpm $(RPM)
endif

.PHONY: release
release: ## check that the tree can be released, build its packages, checksums and notes into dist/; TAG=1 tags it here
	packaging/release --check
	rm -rf dist
	@$(MAKE) --no-print-directory rpm
	packaging/release $(if $(TAG),--tag)

.PHONY: clean
clean: ## remove what was built here; the guest's cache stays
	rm -rf build dist *.egg-info .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find mcsd \( -name '*.so' -o -path mcsd/runtime/native/mcsd-gate \) -delete

.PHONY: vm-image
vm-image: vm-deps ## build what the guest's runs start from, of Debian SUITE (trixie); they do it by themselves, later
	@tests/vm/run --prepare

.PHONY: vm-shell
vm-shell: vm-deps ## a root shell in the guest, with this mcsd installed; nothing of it is kept
	@tests/vm/run --shell
