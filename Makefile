# The only commands to know. Each makes .venv and what the machine lacks first.
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: setup demo demo-ovn test test-compiled test-interpreted lint bench clean

setup:
	@tools/setup

demo: setup
	@$(BIN)/vswitch demo

# As root: three chassis of OVN in namespaces, then the same over the real switch.
demo-ovn: setup
	@$(BIN)/python -m tests.ovn

test: test-compiled test-interpreted

# Everything, against the installed package with its compiled modules; tests/in_parallel.py has how.
test-compiled: setup
	@$(BIN)/vswitch --version
	$(BIN)/python -m tests.in_parallel -q $(PYTEST_ARGS)

# The unit tests again, against the sources as they are.
test-interpreted: setup
	@VSWITCH_INTERPRETED=1 PYTHONPATH=src $(BIN)/python -m vswitch --version
	VSWITCH_INTERPRETED=1 PYTHONPATH=src $(BIN)/python -m tests.in_parallel -q -m "not system" $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check src tests bench packaging setup.py
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-cache
	PYTHONPATH=src $(BIN)/lint-imports --no-cache importlinter-types.ini
	$(BIN)/vulture
	$(BIN)/deptry src

bench: setup
	$(BIN)/python -m bench

clean:
	rm -rf .venv .venv-faucet build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
