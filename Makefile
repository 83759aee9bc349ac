# What people do here: `make run` to try it, `make test` before a push, `make check` while writing, `make bench` to measure.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

# Most tests of the whole service wait for it more than they work.
export RUST_TEST_THREADS ?= 4

# All that tests; measurements are left to the bench targets, and clippy sees to it that they compile.
TESTS := --lib --bins --tests --examples
# Tests of clusters that take a minute or more each: `make cluster-test` runs them.
SHORT := -- --skip ::long_

.PHONY: run test check format-check clippy docs deploy-check web gone web-check browser-test browsers pictures deny needs chaos fuzz simulate compat cluster cluster-test bench bench-brokers bench-document bench-micro bench-guards bench-browser soak attacks capture backup-load table clean

## run: build the release and drive the recorded Austin buses through it
run:
	$(CARGO) run --release --locked --bin vagn -- serve --demo

## test: everything that decides whether a change may land
test: needs format-check clippy docs deploy-check web-check
	$(CARGO) test --workspace --locked $(TESTS) $(SHORT)
	$(CARGO) test --workspace --locked --doc
	$(MAKE) browsers

## check: the quick part, for while you write
check: format-check clippy
	$(CARGO) test --workspace --locked --lib

needs:
	@scripts/needs curl:curl nc:netcat-openbsd strace:strace faketime:faketime python3:python3 pip3:python3-pip

format-check:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --locked --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --locked --no-deps

## deploy-check: alert rules, relays, dashboard, brokers' settings, compose file and chart in deploy/, and the tables of docs/scale.md; builds nothing
deploy-check:
	scripts/test-deploy
	scripts/scale --check

# All that the pages are made of, and the pages themselves: a build of another commit is older or newer than the last one here.
WEB := $(shell find web -name node_modules -prune -o -type f -print)

## web: build the pages into web/dist, which the service embeds, and run their unit tests; does nothing when nothing has changed
web: web/node_modules/.built

web/node_modules/.built: web/node_modules/.package-lock.json $(WEB) deny.toml $(if $(wildcard web/dist/index.html),,gone)
	cd web && npm run --silent build && npm test --silent && npm run --silent check-dist
	touch $@

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@scripts/web-needs
	cd web && npm ci --loglevel=error
	touch $@

## web-check: build the pages from a clean install and compare them with web/dist; unit tests; the size
web-check:
	@scripts/web-needs
	@echo "web-check: installs the packages of web/package-lock.json, builds the pages anew and compares them with web/dist"
	cd web && npm ci --loglevel=error && npm run --silent check && npm test --silent && npm run --silent check-dist

## browser-test: the pages in a real browser, on a running service; ONLY=NAME just the tests of that name
browser-test:
	$(CARGO) test --workspace --locked --no-run --test it
	$(MAKE) browsers

# With the service that the tests were built with.
browsers: web/node_modules/.package-lock.json
	@scripts/needs chromium:chromium
	cd web && npm run --silent test:browser -- $(if $(ONLY),-- --test-name-pattern='$(ONLY)')

## pictures: make the pictures of README.md and docs/ anew from the running system; look at them before you keep them
pictures: web/node_modules/.package-lock.json
	@scripts/needs chromium:chromium
	$(CARGO) build --release --locked --bin vagn
	cd web && VAGN=$(abspath $(VAGN)) npm run --silent pictures

## deny: licences, duplicates, bans and advisories of dependencies; needs cargo-deny and the network
deny:
	$(CARGO) deny --locked check

## chaos: the kill and fault runs, long: every random moment tried many times
chaos:
	VAGN_LONG=1 $(CARGO) test --workspace --locked $(TESTS) $(SHORT)

## cluster: three brokers, three nodes and recorded buses on this machine, to look at and to kill; DIR keeps the data (./vagn-cluster-data)
cluster:
	@scripts/needs python3:python3 pip3:python3-pip
	$(CARGO) build --release --locked --bin vagn
	scripts/cluster $(DIR)

## cluster-test: real brokers and nodes killed, hung, cut off, without disks and without each other under load, with a ledger of all that was answered; takes about half an hour, some of it as root; VAGN_OUTAGE_S=600 a longer outage, VAGN_SEED=n the same moments again; the short round is in `make test`
cluster-test: needs
	VAGN_LONG=1 $(CARGO) test --locked -p vagn-nats --test it
	VAGN_LONG=1 $(CARGO) test --locked -p vagn --test it -- --test-threads 1 cluster::

## fuzz: a million damaged inputs for whatever reads bytes from outside; INPUTS=n another number
fuzz:
	VAGN_FUZZ=$(or $(INPUTS),1000000) $(CARGO) test --workspace --locked --lib --test it fuzz::

## simulate: whole clusters on virtual time, each by its seed; SEEDS=n how many (100), FROM=n the first, SEED=n just this one with its last events; CALLS=1 calls for help, CALLS=office with the service's own desk
simulate:
	CALLS=$(CALLS) SEEDS=$(SEEDS) FROM=$(FROM) SEED=$(SEED) $(CARGO) run --locked --quiet -p vagn-simulator

## compat: ask a running service whatever its OpenAPI document allows, and compare the answers with it; EXAMPLES=n per operation
compat:
	$(CARGO) build --release --locked --bin vagn
	scripts/compat $(EXAMPLES)

BENCH := $(or $(CARGO_TARGET_DIR),target)/release/vagn-bench
VAGN := $(or $(CARGO_TARGET_DIR),target)/release/vagn
BENCH_QUICK := $(if $(QUICK),--quick)

# Sections that a script of their own measures, as far as they are asked for.
comma := ,
BENCH_ASKED := $(subst $(comma), ,$(ONLY))
MICRO := decode hop index log json pipeline
MICRO_ASKED := $(if $(wildcard scripts/bench-micro),$(if $(ONLY),$(filter $(MICRO),$(BENCH_ASKED)),$(MICRO)))
GUARDS_ASKED := $(if $(wildcard scripts/bench-guards),$(if $(ONLY),$(filter guards,$(BENCH_ASKED)),guards))
BROWSER_ASKED := $(if $(ONLY),$(filter browser,$(BENCH_ASKED)),browser)

## bench: measure, and rewrite docs/BENCHMARKS.md; QUICK=1 in minutes, ONLY=udp,nearby just these sections
bench:
	scripts/bench-needs
	$(CARGO) build --release --locked --bin vagn --bin vagn-bench
	$(if $(MICRO_ASKED),-$(if $(QUICK),VAGN_BENCH_VEHICLES=10000 )scripts/bench-micro $(MICRO_ASKED))
	$(if $(GUARDS_ASKED),-scripts/bench-guards)
	$(if $(BROWSER_ASKED),-$(MAKE) bench-browser)
	$(BENCH) run --vagn $(VAGN) $(BENCH_QUICK) $(if $(ONLY),--only $(ONLY))

## bench-document: the document again, from the results that are there
bench-document:
	$(CARGO) build --release --locked --bin vagn-bench
	$(BENCH) render

## table: CPU, memory and errors at a few fixed rates, as in docs/BENCHMARKS.md
table:
	$(CARGO) build --release --locked --bin vagn
	scripts/load-table

## bench-micro: what each part costs; a file per part in target/bench
bench-micro:
	@scripts/needs python3:python3
	scripts/bench-micro

## bench-brokers: what brokers cost at 8, 16 and 64 streams, two versions of them; a table for docs/decisions/0028; takes 6 minutes
bench-brokers:
	@scripts/needs python3:python3 pip3:python3-pip
	$(CARGO) run --quiet --locked -p vagn-nats --example measure -- $(ARGUMENTS)

## bench-guards: instructions of the hot functions against the committed baseline; BLESS=1 writes that anew
bench-guards:
	@scripts/needs python3:python3 valgrind:valgrind
	scripts/bench-guards $(if $(BLESS),--bless)

# The service must have been built.
bench-browser: web/node_modules/.package-lock.json
	@scripts/needs chromium:chromium taskset:util-linux chrt:util-linux python3:python3
	VAGN=$(abspath $(VAGN)) $(if $(QUICK),QUICK=1 )scripts/bench-browser

## soak: MINUTES (5) of mixed traffic; fails unless memory, descriptors, threads and disk stay flat
soak:
	@scripts/needs python3:python3
	$(CARGO) build --release --locked --bin vagn
	scripts/soak $(MINUTES)

## attacks: what strangers and bad targets can do, while known vehicles call; ARGUMENTS='idle --seconds 10' just a part; takes minutes
attacks:
	@scripts/needs python3:python3
	$(CARGO) build --release --locked --bin vagn
	scripts/attacks $(ARGUMENTS)

## capture: what a sealed fleet says, taken from the loopback interface and searched for ids and places; as root
capture:
	@scripts/needs python3:python3
	$(CARGO) build --release --locked --bin vagn
	scripts/capture $(ARGUMENTS)

## backup-load: a backup under load, restored elsewhere and compared with what was answered before it
backup-load:
	@scripts/needs python3:python3
	$(CARGO) build --release --locked --bin vagn
	scripts/backup-load $(ARGUMENTS)

clean:
	$(CARGO) clean
