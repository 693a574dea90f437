# Fliq's commands. `make help` lists them; every one installs what it needs first.

VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed-from-lock
ARGS   ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Without it every process would begin by compiling what it imports, which takes a second or more.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help install run up demo test prepare check fmt lint type bench chaos simulate nightly kafka-up kafka-down lock sbom advisories image golden docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## make .venv with the locked packages; again only if requirements.lock changed

$(STAMP): requirements.lock
	@python=$$(PYTHON3="$(PYTHON3)" scripts/find-python) || exit 1; \
	test -x $(PYTHON) || { echo "fliq: making $(VENV) with $$python"; "$$python" -m venv $(VENV); }
	@echo "fliq: installing the packages of requirements.lock (once; it takes half a minute)"
	@# Not compiled: Python does that to the modules that are used, when they are, and a quarter of the time is saved.
	@$(PYTHON) -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable . --editable clients/python
	@touch $@

run: install ## start all of Fliq on this machine; targets on loopback are allowed
	@FLIQ_EGRESS_ALLOW="$${FLIQ_EGRESS_ALLOW-127.0.0.0/8,::1/128}" FLIQ_CAPTURE_PRIVATE="$${FLIQ_CAPTURE_PRIVATE-on}" exec $(VENV)/bin/fliq all $(ARGS)

up: install ## start each service as its own process, on Kafka if make kafka-up runs (APIS, SCHEDULERS, DISPATCHERS, WEBHOOKS: how many of each)
	@FLIQ_EGRESS_ALLOW="$${FLIQ_EGRESS_ALLOW-127.0.0.0/8,::1/128}" FLIQ_CAPTURE_PRIVATE="$${FLIQ_CAPTURE_PRIVATE-on}" exec $(PYTHON) -m services.dev.up --apis $(or $(APIS),1) \
		--schedulers $(or $(SCHEDULERS),1) --dispatchers $(or $(DISPATCHERS),1) --webhooks $(or $(WEBHOOKS),1) $(ARGS)

demo: install ## show a job's life in the terminal, with a small target that it starts
	@exec $(PYTHON) -m services.dev.demo $(ARGS)

test: install ## lint, types, then every test but the nightly ones (ARGS="-k name" picks)
	@$(MAKE) --no-print-directory --jobs 2 lint type prepare
	@$(PYTHON) -m pytest -m "not nightly" -n 4 $(ARGS)

prepare: install
	@$(PYTHON) -m tests.kafka prepare
	@$(PYTHON) -m tests.prometheus
	@$(PYTHON) -m tests.browser
	@# Compiles what the tests import, once, before four processes do it at the same time; what fails is said by the tests.
	@$(PYTHON) -m pytest --collect-only -q > /dev/null || true

check: test ## what .ci/run does

fmt: install ## format the code and fix what ruff can fix
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

lint: install ## formatting and lint rules
	@$(PYTHON) -m ruff format --check --quiet . || { echo "fliq: run make fmt" >&2; exit 1; }
	@$(PYTHON) -m ruff check --quiet .

type: install ## mypy, strict
	@$(PYTHON) -m mypy --no-error-summary

bench: install ## measure lateness and throughput (TOPOLOGY=kafka: split processes on Kafka)
	@exec $(PYTHON) -m tests.bench --topology $(or $(TOPOLOGY),embedded) $(ARGS)

chaos: install ## kill, freeze and cut off real processes, then check that Fliq kept its promises (TOPOLOGY=split SEED= MINUTES=3 RATE=60 BROKERS=1)
	@exec $(PYTHON) -m tests.chaos --topology $(or $(TOPOLOGY),split) --minutes $(or $(MINUTES),3) --rate $(or $(RATE),60) \
		--brokers $(or $(BROKERS),1) $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) \
		$(if $(JOBS),--jobs $(JOBS)) $(ARGS)

simulate: install ## run simulated fleets in virtual time until a promise breaks (SEEDS=10000 FROM=0); SEED=n replays one
	@exec $(PYTHON) -m tests.simulation.fleet $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),10000) --from $(or $(FROM),0)) $(ARGS)

nightly: install ## the long tests, random examples, and all tests of a running Fliq on all three topologies (hours)
	@$(PYTHON) -m pytest -q -m "not nightly" --hypothesis-profile=random tests/unit tests/property
	@exec $(PYTHON) -m pytest -m "nightly or on_topology" $(ARGS)

kafka-up: install ## start a Kafka broker on loopback, data in .fliq/kafka (BROKERS=3 starts three)
	@$(PYTHON) -m tests.kafka up --brokers $(or $(BROKERS),1)

kafka-down: install ## stop what kafka-up started; the data stays
	@$(PYTHON) -m tests.kafka down

lock: ## resolve pyproject.toml into the two locks (needs a package index; ARGS=--upgrade takes newer versions)
	@python=$$(PYTHON3="$(PYTHON3)" scripts/find-python) && scripts/lock "$$python" $(ARGS)

sbom: install ## list the image's packages (CycloneDX) in build/
	@$(PYTHON) -m scripts.sbom $(ARGS)

advisories: install ## compare both locks with the known advisories, without a network
	@$(PYTHON) -m scripts.advisories

image: install ## build the image and push it, and have the Kubernetes overlays use its digest (IMAGE=registry.example/fliq)
	@test -n "$(IMAGE)" || { echo "fliq: say where to: make image IMAGE=registry.example/fliq" >&2; exit 2; }
	@mkdir -p build
	docker buildx build --file deploy/Dockerfile --build-arg REVISION="$$(git rev-parse HEAD)" --metadata-file build/image.json \
		--tag "$(IMAGE):$$($(PYTHON) -c 'from services import VERSION; print(VERSION)')" --push .
	@$(PYTHON) -m scripts.pin_image build/image.json $(ARGS)

golden: install ## store the log of this release for ever (ARGS=--again: replace it before the release)
	@$(PYTHON) -m tests.golden.kept_logs $(ARGS)

docs: install ## write the generated pages of docs/ again
	@$(PYTHON) -m scripts.docs

clean: ## remove everything that was generated; .fliq, where the data is, stays
	rm -rf $(VENV) build *.egg-info clients/python/build clients/python/src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov .import_linter_cache .grimp_cache
	find clients libs services tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
