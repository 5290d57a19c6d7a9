# The commands of this repository. "make" alone lists them.

GO ?= go
TOOL := $(GO) tool -modfile=tools/go.mod
BENCH_FLAGS ?=
FUZZTIME ?=

.DEFAULT_GOAL := help

.PHONY: run
run: ## Run the whole service on this machine: a test client, a live client, an inbox
	$(GO) run ./cmd/codeword dev

.PHONY: build
build: ## Build the static binary into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/codeword ./cmd/codeword

.PHONY: test
test: ## Everything that has to pass before a change goes in
	@GO="$(GO)" FUZZTIME="$(FUZZTIME)" scripts/check.sh

.PHONY: lint
lint: ## Linters, formatting and unreachable code
	$(TOOL) golangci-lint run ./...
	@GO="$(GO)" scripts/deadcode.sh

.PHONY: fmt
fmt: ## Format the source
	$(TOOL) golangci-lint fmt ./...

.PHONY: vuln
vuln: ## Known vulnerabilities in what the code calls
	@GO="$(GO)" scripts/vuln.sh

.PHONY: fuzz
fuzz: ## Every fuzz target, FUZZTIME each (10s)
	@GO="$(GO)" FUZZTIME="$(FUZZTIME)" scripts/fuzz.sh

.PHONY: bench
bench: ## Measure throughput, latency and CPU per request; flags in BENCH_FLAGS
	$(GO) run ./bench $(BENCH_FLAGS)

.PHONY: pictures
pictures: ## Pictures of the console for the documents, taken in a real browser
	CODEWORD_PICTURES=$(CURDIR)/docs/pictures $(GO) test -count=1 -run '^TestPictures$$' ./test/browser

.PHONY: package
package: ## A deb and an rpm with an SBOM into dist/; ARCHES="amd64 arm64", VERSION
	@GO="$(GO)" scripts/package.sh

.PHONY: reproducible
reproducible: ## Compile everything twice from nothing and compare the bytes (minutes)
	@GO="$(GO)" scripts/reproducible.sh --fresh

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
