# Needs Python 3.11 or newer, make and git; everything else is installed into .venv from requirements/dev.lock.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

BIN := .venv/bin
PY := $(BIN)/python
SAFETY := $(BIN)/safety-service
SOURCES := safety_service rules_data clients/python tests
# Generated as a whole: the contract, and the server's private messages where proto/ has any.
STUBS := v1 internal
CLIENT := clients/python/medsafety
BASELINE := proto/baseline.binpb
INCLUDE := build/proto-include
NODE := clients/node
# Without npm the tests of the Node client are skipped, and say so.
NODE_READY := $(if $(shell command -v npm),$(NODE)/node_modules/.installed)
# Kept for `make test`: the slower doors of the house, and what starts processes, kills databases, audits files, loads
# the knowledge again and again, or searches at random.
NOT_IN_CHECK := tests/contract tests/curation tests/equivalence tests/end_to_end tests/interop tests/test_sbom.py \
	$(addprefix tests/audit/,test_audit.py test_batch.py test_corrupt.py test_new_month.py) \
	$(addprefix tests/cli/,test_audit_command.py test_cli.py test_signature.py test_simulate.py) \
	$(addprefix tests/decisions/,test_commands.py test_index.py test_replay.py) \
	$(addprefix tests/knowledge/,test_patient_texts.py test_site_codes.py test_site_policy.py) \
	tests/gateway/test_mutated.py tests/server/test_reload.py
# On every core; a worker that has nothing left takes over from another.
PYTEST := $(BIN)/pytest -n auto --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export STRICT

.PHONY: help setup demo serve check lint unit proto proto-check proto-baseline test knowledge test-long bench bench-audit lock sbom clean
.PHONY: clients node-stubs node-stubs-check

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: .venv/.installed  ## create .venv with the locked packages and the service

demo: .venv/.installed  ## start the server on a free port, send the article's case, print the alerts, stop
	@$(SAFETY) demo $(ARGS)

serve: .venv/.installed  ## run the server until stopped; options in ARGS="..."
	@$(SAFETY) serve $(ARGS)

check: lint unit  ## lint, then unit tests and cases: before every commit (two to three minutes on two cores)

lint: .venv/.installed $(INCLUDE) proto-check  ## ruff, mypy --strict, import layers, the contract's style and compatibility
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf lint proto
	@test -f $(BASELINE) || { echo "$(BASELINE) is missing, so compatibility with the last release cannot be checked; restore it, or for a release make it with: make proto-baseline" >&2; exit 1; }
	$(BIN)/buf breaking proto --against $(BASELINE)

unit: .venv/.installed
	$(PYTEST) -m "not long" $(addprefix --ignore=,$(NOT_IN_CHECK)) $(ARGS)

proto: .venv/.installed $(INCLUDE)  ## regenerate the stubs from proto/: Python's, and with npm those of clients/node
	@$(generate_stubs)
	@rm -rf $(addprefix $(CLIENT)/,$(STUBS))
	@cp -R build/stubs/medsafety/. $(CLIENT)/
	@echo "$(CLIENT): stubs regenerated"
	$(if $(NODE_READY),@$(MAKE) --no-print-directory node-stubs)

proto-check: .venv/.installed $(INCLUDE)  ## fail if the committed stubs differ from what proto/ generates
	@$(generate_stubs)
	@same=yes; \
	for part in $(STUBS); do \
		mkdir -p build/stubs/medsafety/$$part; \
		diff -r -N -q -x __pycache__ $(CLIENT)/$$part build/stubs/medsafety/$$part || same=no; \
	done; \
	if [ $$same = no ]; then echo "The stubs in $(CLIENT) do not match proto/: run make proto" >&2; exit 1; fi

proto-baseline: .venv/.installed $(INCLUDE)  ## at a release: freeze the contract that later changes are held to
	$(BIN)/buf build proto --exclude-source-info --output $(BASELINE)

test: lint $(NODE_READY)  ## everything but the long tests; STRICT=1 makes a skipped test fail
	$(PYTEST) -m "not long" $(ARGS)
	$(if $(ARGS),,@$(MAKE) --no-print-directory knowledge)

clients: .venv/.installed $(NODE_READY)  ## the clients of other languages against a real server: Node, connect, Java (needs npm, a JDK, Debian's grpc-java)
	$(if $(NODE_READY),@$(MAKE) --no-print-directory node-stubs-check)
	$(BIN)/pytest tests/interop $(ARGS)

node-stubs: .venv/.installed $(INCLUDE) $(NODE)/node_modules/.installed  ## regenerate the TypeScript messages of clients/node from proto/
	@$(generate_node)
	@rm -rf $(NODE)/src/gen $(NODE)/test/gen
	@cp -R build/node/src $(NODE)/src/gen
	@cp -R build/node/test $(NODE)/test/gen
	@echo "$(NODE): messages regenerated"

node-stubs-check: .venv/.installed $(INCLUDE) $(NODE)/node_modules/.installed
	@$(generate_node)
	@for part in src test; do \
		diff -r -N -q $(NODE)/$$part/gen build/node/$$part || \
		{ echo "The messages in $(NODE) do not match proto/: run make node-stubs" >&2; exit 1; }; \
	done

knowledge: .venv/.installed  ## is the knowledge in order, do the cases hold, and would they notice a wrong rule?
	@$(SAFETY) knowledge validate
	@$(SAFETY) knowledge test
	@$(SAFETY) knowledge coverage --brief
	@$(SAFETY) knowledge mutate --brief

test-long: .venv/.installed .venv/.spark $(NODE_READY)  ## every test, long ones too (Spark: Java 17), searching at random; SEED=n repeats a run
	@seed=$${SEED:-$$($(PY) -c 'import secrets; print(secrets.randbelow(2**32))')}; \
	echo "Random seed $$seed; to repeat this run: make test-long SEED=$$seed"; \
	HYPOTHESIS_PROFILE=long SEED=$$seed $(BIN)/pytest --timeout=3600 --hypothesis-seed=$$seed $(ARGS)

bench: .venv/.bench  ## measure against the peers of requirements/bench.lock (needs h2load)
	@command -v h2load >/dev/null || { echo "make bench needs h2load (Debian: the package nghttp2-client)" >&2; exit 1; }
	@$(PY) tests/bench/run.py $(ARGS)

bench-audit: .venv/.bench  ## measure the audit: facts against SQL windows, whole audits
	@$(PY) tests/bench/audit.py $(ARGS)

UV_COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header $(if $(UPGRADE),--upgrade)

lock: .venv/.installed  ## rewrite requirements/*.lock from pyproject.toml; UPGRADE=1 takes newer versions
	$(UV_COMPILE) --output-file requirements/runtime.lock
	$(UV_COMPILE) --extra gateway --constraint requirements/runtime.lock --output-file requirements/gateway.lock
	$(UV_COMPILE) --extra audit --extra gateway --extra postgres --extra metrics --extra tracing --group dev --constraint requirements/gateway.lock --output-file requirements/dev.lock
	$(UV_COMPILE) --extra spark --constraint requirements/dev.lock --output-file requirements/spark.lock
	$(UV_COMPILE) --group bench --constraint requirements/dev.lock --output-file requirements/bench.lock
	@! grep -n '://' requirements/*.lock || { echo "a lock names an address" >&2; exit 1; }

SBOM := build/sbom

sbom: .venv/.installed  ## CycloneDX lists of the packages that run the server and the gateway, from their locks
	@mkdir -p $(SBOM)
	@for lock in runtime gateway; do \
		$(PY) -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible --validate \
			--output-file $(SBOM)/$$lock.cdx.json requirements/$$lock.lock; \
		echo "$(SBOM)/$$lock.cdx.json"; \
	done

clean:  ## remove .venv, build/ and every cache
	rm -rf .venv build dist $(NODE)/node_modules $(NODE)/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate must run: a version manager may leave a name on the PATH with nothing behind it.
.venv/.locked: requirements/dev.lock
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
		python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "No Python 3.11 or newer with the venv module was found (Debian: the package python3-venv); PYTHON=/path/to/python names one." >&2; \
		exit 1; \
	fi; \
	echo "Setting up .venv with $$($$python --version)"; \
	$$python -m venv --clear .venv
	@$(PY) -m pip install --quiet --require-hashes --no-deps -r requirements/dev.lock
	@touch $@

.venv/.installed: .venv/.locked pyproject.toml
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.spark: .venv/.installed requirements/spark.lock
	@$(PY) -m pip install --quiet --require-hashes --no-deps -r requirements/spark.lock
	@touch $@

.venv/.bench: .venv/.installed requirements/bench.lock
	@$(PY) -m pip install --quiet --require-hashes --no-deps -r requirements/bench.lock
	@touch $@

# Nothing here needs a package's own install script.
$(NODE)/node_modules/.installed: $(NODE)/package-lock.json
	@cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(INCLUDE): .venv/.locked
	@rm -rf $@ $@.new
	@google=$$($(PY) -c 'import pathlib, google.rpc.status_pb2 as m; print(pathlib.Path(m.__file__).parents[1])'); \
	for package in rpc type; do \
		mkdir -p $@.new/google/$$package; \
		cp $$google/$$package/*.proto $@.new/google/$$package/; \
	done
	@mv $@.new $@

define generate_stubs
rm -rf build/stubs; mkdir -p build/stubs; \
PATH="$(CURDIR)/$(BIN):$$PATH" $(PY) -m grpc_tools.protoc -I proto -I $(INCLUDE) \
	--python_out=build/stubs --grpc_python_out=build/stubs \
	--mypy_out=quiet:build/stubs --mypy_grpc_out=quiet:build/stubs \
	$$(cd proto && find medsafety -name '*.proto' | LC_ALL=C sort); \
for folder in $$(find build/stubs/medsafety -mindepth 1 -type d); do \
	echo '"""Generated from proto/ by make proto; never edited by hand."""' > $$folder/__init__.py; \
done
endef

# The messages of errors come from googleapis, as in Python; those of health, for tests, from grpcio-health-checking.
define generate_node
rm -rf build/node; mkdir -p build/node/src build/node/test; \
es="--plugin=protoc-gen-es=$(NODE)/node_modules/.bin/protoc-gen-es --es_opt=target=ts,import_extension=js"; \
$(PY) -m grpc_tools.protoc $$es -I proto -I $(INCLUDE) --es_out=build/node/src \
	$$(cd proto && find medsafety/v1 -name '*.proto' | LC_ALL=C sort) \
	google/rpc/error_details.proto google/rpc/status.proto google/type/date.proto; \
$(PY) -c 'import sys; from google.protobuf.descriptor_pb2 import FileDescriptorProto as F, FileDescriptorSet as S; from grpc_health.v1 import health_pb2 as h; \
	sys.stdout.buffer.write(S(file=[F.FromString(h.DESCRIPTOR.serialized_pb)]).SerializeToString())' > build/node/health.binpb; \
$(PY) -m grpc_tools.protoc $$es --descriptor_set_in=build/node/health.binpb --es_out=build/node/test grpc_health/v1/health.proto; \
rm build/node/health.binpb
endef
