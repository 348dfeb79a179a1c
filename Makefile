# runsc-py: an application kernel in user space. `make run` and `make test` need git, make and /usr/bin/python3; the rest they fetch.

PYTHON := .venv/bin/python
ONLY ?=
TESTS ?= tests
PYTEST_ARGS ?=

.PHONY: run test check bench profile jobs suites guest guest-native guest-ptrace oci podman docs install uninstall clean help

help:
	@echo 'make run          set up, then `echo hi` in a sandbox: once by itself, once through podman'
	@echo 'make test         set up, then the whole test suite (TESTS=tests/unit PYTEST_ARGS="-k pipe" for a part)'
	@echo 'make check        ruff, mypy --strict, import contracts, freshness of generated files, file lengths'
	@echo 'make bench        the tables of calls, network, jobs, start and memory: host, Debian runsc, ours (ONLY=calls,jobs)'
	@echo 'make profile CMD="find /usr"   a command in a sandbox, and which of its calls cost the Sentry what'
	@echo 'make guest-native the guest programs on the host, which must pass there first; make guest, make guest-ptrace: in one'
	@echo 'make jobs         ordinary programs in full size, by do, by run and by podman: all must be as on the host (8 minutes and more)'
	@echo "make suites       CPython's own tests on the host and in a sandbox, compared case by case (40 minutes and more)"
	@echo 'make oci podman   the tests of the OCI commands; of podman on top of them'
	@echo 'make docs         print docs/syscalls.md from the call table'
	@echo 'make install      /usr/local/bin/runsc-py, registered with podman (make uninstall removes both)'
	@echo 'make clean        remove what was built (.venv, C parts, caches)'

run:
	@tools/setup run
	@tools/first-run

test:
	@tools/setup test
	@$(PYTHON) tools/run_tests.py $(TESTS) $(PYTEST_ARGS)

check:
	@tools/setup check
	@$(PYTHON) tools/check.py

bench:
	@tools/setup bench
	@$(PYTHON) -m benchmarks $(if $(ONLY),--only $(ONLY))

profile:
	@tools/setup run
	@.venv/bin/runsc-py --profile --debug-log=.build/profile do -- sh -c '$(CMD)'; sed -n '/^profile/,$$p' .build/profile; rm -f .build/profile

guest-native guest guest-ptrace jobs suites oci podman:
	@tools/setup test
	@$(PYTHON) tools/run_tests.py --part $@ $(if $(filter jobs suites,$@),--full) $(PYTEST_ARGS)

docs:
	@tools/setup run
	@$(PYTHON) -m syscalls.table --write
	@echo '== docs/syscalls.md is printed'

install:
	@tools/setup run
	@tools/register install

uninstall:
	@tools/register uninstall

clean:
	rm -rf .venv .build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis tests/guest/build benchmarks/guest/build
	rm -f sentry/engine/_engine.c sentry/engine/_engine*.so sentry/engine/*.o sentry/engine/loader sentry/engine/spawner sentry/engine/stub
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
