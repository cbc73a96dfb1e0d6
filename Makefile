# make demo   environment, install, and the whole link on real images
# make test   environment, install, and every check
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# Where the transmitter must run besides $(PYTHON): the oldest, which JetPack 6 has, and the newest. What lies between
# them takes its turn by: make test-pythons OTHER_PYTHONS=3.12
OTHER_PYTHONS ?= 3.10 3.13
ON_OTHER_PYTHONS := not (slow or gpu or trt or radio or main_python)
INSTALLED := setup.py constraints.txt
# Python bindings of TensorRT, without TensorRT: what JetPack 6 has, and the newest.
TENSORRT_BINDINGS := tensorrt-10.3:tensorrt-cu12-bindings==10.3.0 tensorrt-11.4:tensorrt-cu13-bindings==11.4.0.106

.PHONY: demo test install lint pytest pytest-fast test-pythons tensorrt-rtx bench bench-demo bench-precision bench-int8 bench-side-by-side bench-gpu soak results paper site builtin-encoder builtin-codec clean help

help:
	@sed -n 's/^# //p' Makefile | head -2
	@echo "others: install lint pytest pytest-fast test-pythons tensorrt-rtx bench bench-demo bench-precision bench-int8 bench-side-by-side bench-gpu soak results paper site builtin-encoder builtin-codec clean"

demo: $(VENV)/.demo
	$(BIN)/semlink demo

test: install
	$(MAKE) --no-print-directory lint pytest test-pythons

install: $(VENV)/.dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(INSTALLED) | $(VENV)/bin/python
	$(PIP_INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(INSTALLED) | $(VENV)/bin/python
	$(PIP_INSTALL) torch torchvision setuptools wheel
	$(PIP_INSTALL) --editable '.[demo,train,video,builtin-encoder,references,clip,docs,dev]'
	# The reference that CLIP's architecture is compared with; its own pins are of another age.
	$(PIP_INSTALL) --no-deps clip-anytorch
	# Its calls are checked against them; there is none for every Python and processor, and then the tests say so.
	for bindings in $(TENSORRT_BINDINGS); do \
	  $(PIP_INSTALL) --no-deps --only-binary=:all: --upgrade --target $(VENV)/$${bindings%%:*} $${bindings#*:} || true; \
	done
	@touch $@ $(VENV)/.demo

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# On every core; SEMLINK_TEST_TIMEOUT_SCALE=3 waits three times as long on a machine that is slow.
ON_EVERY_CORE := -n auto --dist worksteal
pytest:
	$(BIN)/python -m pytest $(ON_EVERY_CORE)

# What starts no process: two minutes.
pytest-fast:
	$(BIN)/python -m pytest $(ON_EVERY_CORE) -m "not process"

# The transmitter and the contract, on every other interpreter that this machine has.
test-pythons:
	@for version in $(OTHER_PYTHONS); do \
	  interpreter=$$(ls -d $$HOME/.pyenv/versions/$$version.*/bin/python 2>/dev/null | tail -n 1); \
	  [ -n "$$interpreter" ] || interpreter=$$(command -v python$$version); \
	  if [ -z "$$interpreter" ] || ! $$interpreter -c pass 2>/dev/null; then echo "python$$version: not on this machine"; continue; fi; \
	  echo "python$$version: $$interpreter"; \
	  [ -x .venv-$$version/bin/python ] || $$interpreter -m venv .venv-$$version || exit 1; \
	  .venv-$$version/bin/python -m pip install --quiet -c constraints.txt -e '.[tx]' pytest pytest-timeout pytest-xdist hypothesis || exit 1; \
	  .venv-$$version/bin/python -m pytest $(ON_EVERY_CORE) -p no:cacheprovider -m "$(ON_OTHER_PYTHONS)" tests/semlink tests/engines tests/edge_tx || exit 1; \
	done

# Our graphs through TensorRT's parser and builder, on the CPU; 95 MB to fetch, in a folder of its own.
tensorrt-rtx: install
	$(PIP_INSTALL) --upgrade --target $(VENV)/tensorrt-rtx tensorrt-rtx-cu13==1.7.1.116
	PYTHONPATH=$(VENV)/tensorrt-rtx $(BIN)/python -m pytest -m trt tests/engines/backends/tensorrt/test_rtx.py

# Latency of every stage: a report in benchmarks/results/, shown by semlink bench show.
bench: install
	$(BIN)/python -m benchmarks.run

# How long the demonstration takes: a report in benchmarks/results/, the README's figures and its picture.
bench-demo: install
	$(BIN)/python -m benchmarks.demo

# What fp16 and int8 lose on CIFAR-100, and the link beside torch in eager mode: reports in benchmarks/results/.
bench-precision: install
	$(BIN)/python -m benchmarks.precision

# What ranges of int8 weights cost here and on a processor without VNNI, which QEMU emulates (Debian: qemu-user). Needs
# SEMLINK_DATA, with folders of images: flowers12, cifar10-test, imagenet-sample-1000.
bench-int8: install
	$(BIN)/python -m benchmarks.int8_processors

bench-side-by-side: install
	$(BIN)/python -m benchmarks.side_by_side

# On a machine with an NVIDIA GPU, which need not have a network: docs/gpu-machine.md. Installs nothing.
BENCH_GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
bench-gpu:
	$(BENCH_GPU_PYTHON) -m benchmarks.gpu

# Memory of a receiver over 100,000 frames.
soak: install
	$(BIN)/python -m benchmarks.soak

# docs/results.md and its plots, from training on: hours on two cores. Needs SEMLINK_DATA or the network.
results: install
	$(BIN)/python -m benchmarks.studies
	$(BIN)/python -m benchmarks.quantization
	$(BIN)/python -m benchmarks.accuracy

# The configuration of arXiv 2504.01053 beside ours: docs/paper.md. Hours on two cores.
paper: install
	$(BIN)/python -m benchmarks.paper

# The documentation as a site in site/, from README, docs/ and docstrings; needs no network.
site: install
	$(BIN)/python docs/build_site.py

builtin-encoder: install
	$(BIN)/semlink train encoder export builtin --out engines/modelsets/builtin --measure digits,cifar100
	$(BIN)/semlink train encoder report-head --out benchmarks/results/builtin-encoder-head.json

builtin-codec: install
	$(BIN)/semlink train codec --data cifar100 --codec nested,nested-cells,nested-labels,kbsc --rate 64,128 \
	  --model-set builtin --out engines/modelsets/builtin

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
