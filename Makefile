.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-kill build setup fmt lint docs bench-decode bench-memory bench-viewpoint bench-scenes bench-detectors bench-scale fuzz-short fuzz clean-demo ci

BIN := target/release/framewright
# Of `make fuzz`: damaged documents for each property, mutated videos, and their seed.
CASES ?= 10000
VIDEOS ?= 1000
SEED ?= 1

help:            ## Lists the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 18

demo: build      ## Sets up, builds, fetches weights and clips, mines edit pairs into out/demo
	@bash scripts/demo_clips.sh
	@$(BIN) models pull efficientnet_lite0
	@bash scripts/demo.sh $(BIN)

test: setup      ## Sets up and runs every test
	@bash scripts/test.sh

test-slow: setup ## Runs the tests that take minutes too (need test clips)
	@cargo test --locked --test it -- --ignored --nocapture

test-kill: setup ## Kills a run at random times; KILLS=100 SEED=1 say how often and when
	@cargo test --locked --test it kills::many -- --ignored --nocapture

fuzz-short:      ## Damaged documents for every parser and 100 mutated videos, about a minute
	@PROPTEST_CASES=64 cargo test --locked --quiet --lib prop::
	@cargo test --locked --quiet --test it mutated_videos::

fuzz:            ## The same for long; CASES=, VIDEOS= and SEED= say how much
	@PROPTEST_CASES=$(CASES) cargo test --locked --lib prop::
	@FRAMEWRIGHT_MUTATIONS=$(VIDEOS) FRAMEWRIGHT_SEED=$(SEED) \
	  cargo test --locked --test it mutated_videos:: -- --nocapture

build:           ## Sets up and builds target/release/framewright
	@bash scripts/setup.sh --no-tests
	@echo "build: compiling (the first time takes about ten minutes on two cores)"
	@cargo build --release --locked --quiet

setup:           ## Installs Debian packages and the ONNX Runtime library
	@bash scripts/setup.sh

fmt:             ## Formats the code
	@cargo fmt

lint:            ## Formatting and clippy, warnings are errors
	@cargo fmt --check
	@cargo clippy --all-targets --locked -- -D warnings

docs:            ## Regenerates docs/config.md and docs/row-schema.md
	@FRAMEWRIGHT_BLESS=1 cargo test --locked --quiet --test it generated_docs

bench-decode: build ## Times `scenes` against bare decoding, PySceneDetect and TransNetV2 on PyTorch
	@bash scripts/pyscenedetect.sh || echo "bench-decode: without PySceneDetect"
	@python3 scripts/bench_decode.py $(BIN)

bench-memory: build ## Measures the memory that `scenes` takes for short and long 1080p files
	@bash scripts/bench_memory.sh $(BIN)

bench-viewpoint: ## Measures the viewpoint filter against known camera motion (needs test clips)
	@cargo run --release --locked --quiet --example viewpoint_roc

bench-scenes:    ## Measures scene detectors and PySceneDetect's on clips with known cuts (needs test clips)
	@cargo run --release --locked --quiet --example bench_scenes

bench-detectors: ## Measures what each scene detector costs a frame
	@cargo bench --locked --quiet --bench detectors

bench-scale: build ## Measures a run with a million finished videos (takes ten minutes or more)
	@bash scripts/bench_scale.sh $(BIN)

clean-demo:      ## Removes the demo's results
	@rm -rf out/demo

ci: lint test    ## What a change must pass
