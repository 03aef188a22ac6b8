# Every target does its own set-up: it needs git, make and any Node >= 18 with npm, nothing else.
# Node itself is pinned: scripts/node.sh installs it into .tools/ where the machine's is too old.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

with_node := ./scripts/with-node.sh
installed := node_modules/.package-lock.json

# Compiled code is kept between runs, so that a start costs milliseconds.
export NODE_COMPILE_CACHE := $(CURDIR)/.cache/node

.PHONY: run
run: $(installed) ## Start Stowage on this machine (data in ./data)
	@$(with_node) node src/cli.ts serve --show-secret

.PHONY: check
check: $(installed) ## Types, lint, unit tests, generated documents: under a minute
	@$(MAKE) -j3 --output-sync=target types lint generated unit

.PHONY: unit
unit: $(installed)
	@$(with_node) ./node_modules/.bin/vitest run --project unit

.PHONY: test
test: static ## Everything: check, protocols, real clients, crashes, OCI conformance where Go is installed
	@./scripts/conformance.sh --if-possible
	@$(with_node) ./node_modules/.bin/vitest run

.PHONY: static types lint generated
static: $(installed)
	@$(MAKE) -j2 types lint generated

types: $(installed)
	@$(with_node) ./node_modules/.bin/tsc && echo "types: ok"

lint: $(installed)
	@$(with_node) ./node_modules/.bin/eslint --max-warnings 0 . && echo "lint: ok"

generated: $(installed)
	@$(with_node) ./scripts/generate.sh --check && echo "generated documents: ok"

.PHONY: docs
docs: $(installed) ## Write the generated documents anew
	@$(with_node) ./scripts/generate.sh

.PHONY: conformance
conformance: $(installed) ## The OCI conformance suite against a fresh server, for versions 1.0 and 1.1 (needs Go)
	@./scripts/conformance.sh

.PHONY: fuzz
fuzz: $(installed) ## A million hostile cases with a new seed (CASES and SEED say otherwise); failures in .cache/fuzz
	@STOWAGE_FUZZ_CASES="$${CASES:-1000000}" STOWAGE_FUZZ_SEED="$${SEED:-$$(date +%s)}" \
		$(with_node) ./node_modules/.bin/vitest run --project protocol test/fuzz

.PHONY: bench
bench: $(installed) ## Measure beside other registries and write bench/results.md (half an hour; zot from PATH or ZOT=<program>)
	@$(with_node) node bench/main.ts $(if $(ZOT),--zot $(ZOT))

.PHONY: crash
crash: $(installed) ## Every Nth call of every fault, each statement of a migration, 20 random states for each moment of a crash (half an hour; CRASH_STATES, CRASH_STRIKES)
	@CRASH_STATES=$${CRASH_STATES:-20} CRASH_STRIKES=$${CRASH_STRIKES:-1000000} MIGRATION_STRIDE=1 $(with_node) ./node_modules/.bin/vitest run --testTimeout 36000000 test/crash/power-loss.test.ts test/crash/failing-disk.test.ts test/upgrade/killed-migrations.test.ts

.PHONY: storm
storm: $(installed) ## 500 times kill -9 under load on each database (half an hour or more; STORM_ROUNDS, STORM_SEED, STORM_DATABASE)
	@STORM_ROUNDS=$${STORM_ROUNDS:-500} STORM_SEED=$${STORM_SEED:-$$(date +%s)} $(with_node) ./node_modules/.bin/vitest run test/crash/storm.test.ts

.PHONY: interleavings
interleavings: $(installed) ## 10,000 random histories on each database, step by step in random order (half an hour; HISTORIES, SEED)
	@HISTORIES=$${HISTORIES:-10000} SEED=$${SEED:-$$(date +%s)} $(with_node) ./node_modules/.bin/vitest run --project protocol test/interleavings

.PHONY: mutants
mutants: $(installed) ## Take each guard of collection out of a copy, and see the test fail that is there for it (a quarter of an hour; MUTANTS names some)
	@$(with_node) node scripts/mutants/run.ts $(MUTANTS)

.PHONY: lifecycle-scale
lifecycle-scale: $(installed) ## Evaluate a policy over a million images beside pulls, and look through 100,000 repositories (six minutes; DATABASE=postgres)
	@$(with_node) node bench/lifecycle-scale.ts 1000000 100000 $(DATABASE)

.PHONY: gc-scale
gc-scale: $(installed) ## Collect 100,000 images of a million beside pushes and pulls (five minutes)
	@$(with_node) node bench/gc-scale.ts

.PHONY: audit-scale
audit-scale: $(installed) ## Seal 10,000,000 audit records on each database, and look things up (half an hour; RECORDS)
	@$(with_node) node bench/audit-scale.ts $(RECORDS)

.PHONY: metric-points
metric-points: $(installed) ## Write 1,000,000 points of metrics on each database, and read graphs of them (two minutes; POINTS)
	@$(with_node) node bench/metric-points.ts $(POINTS)

.PHONY: logs-cost
logs-cost: $(installed) ## What putting lines of logs takes, and what a line takes on the disk (a minute)
	@$(with_node) node bench/logs-cost.ts

.PHONY: observe-cost
observe-cost: $(installed) ## What the audit trail and the request log cost a pull, by turns (a minute)
	@$(with_node) node bench/observe-cost.ts

.PHONY: webhook-hour
webhook-hour: $(installed) ## Receivers of events that fail for an hour, beside pushes and pulls, and what becomes of what they missed (an hour and a quarter; MINUTES)
	@$(with_node) node bench/webhook-hour.ts $(MINUTES)

.PHONY: demo
demo: $(installed) ## Show an image's first minutes on a throw-away server
	@$(with_node) node scripts/demo.ts

.PHONY: image
image: $(installed) ## Build the container image stowage:latest (needs a container engine)
	@./scripts/build-image.sh

.PHONY: clean
clean: ## Remove what was built and installed; data/ stays
	rm -rf node_modules .cache .tools dist

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(installed): package.json package-lock.json
	@echo "installing dependencies" >&2
	@$(with_node) npm ci --no-audit --no-fund --loglevel=error >&2
	@touch $(installed)
