# make demo         the Go compiler's history replayed at four settings of GOGC:
#                   a table and goheap-demo.png
# make test         C unit tests and pytest: nothing but Python and a C compiler
# make check-tools  the checks that need more tools; a part whose tool is
#                   missing is skipped by name
# make typing       mypy, pyright and stubtest in a venv of their own
# make peer         Go's own runtime tests on our core (needs Go)
# make bench        speed beside real Go's (benchmarks/README.md), a minute or
#                   two; options in BENCH_ARGS

PYTHON ?=
VENV   := .venv
PY     := $(VENV)/bin/python

.PHONY: demo test check-tools peer build clean prerequisites

prerequisites:
	@PYTHON="$(PYTHON)" sh csrc/tools/prerequisites.sh $(VENV) >/dev/null

$(PY):
	@py=$$(PYTHON="$(PYTHON)" sh csrc/tools/prerequisites.sh) && \
	    echo "creating $(VENV) with $$py" && $$py -m venv $(VENV)
	@$(PY) -m pip install -q --disable-pip-version-check \
	    "setuptools>=68" wheel "pytest>=7" "hypothesis>=6"

SOURCES := Makefile $(wildcard csrc/core/*.[ch] csrc/replay/*.[ch] csrc/binding/*.[ch]) \
           setup.py pyproject.toml

$(VENV)/.built: $(PY) $(SOURCES)
	@$(PY) -m pip install -q --disable-pip-version-check \
	    --no-build-isolation --no-deps -e .
	@touch $@

build: $(VENV)/.built

# What the extras cli and plot name.
$(VENV)/.demo: $(PY) Makefile
	@$(PY) -m pip install -q --disable-pip-version-check \
	    "rich>=13" "matplotlib>=3.7"
	@touch $@

demo: build $(VENV)/.demo
	@$(VENV)/bin/goheap demo

test: build
	@$(MAKE) --no-print-directory -s -C csrc check
	@$(PY) -m pytest

peer:
	@$(MAKE) --no-print-directory -s -C csrc peer-lib
	@python3 tests/peer/run_peer.py --lib csrc/libgoheap_peer.so $(PEER_ARGS)

.PHONY: bench
bench: build
	@$(PY) benchmarks/run.py $(BENCH_ARGS)

# Checkers, and what the checked files import.
TYPING := .venv-typing

$(TYPING)/.tools: Makefile | $(PY)
	@$(PY) -m venv $(TYPING)
	@$(TYPING)/bin/python -m pip install -q --disable-pip-version-check \
	    "mypy>=1.18" "pyright[nodejs]" "pytest>=7" "hypothesis>=6" \
	    "rich>=13" "matplotlib>=3.7" numpy
	@touch $@

# stubtest loads the extension, and the typed programs run with numpy too.
.PHONY: typing
typing: build $(TYPING)/.tools
	@$(TYPING)/bin/mypy
	@$(TYPING)/bin/mypy --python-version 3.14
	@$(TYPING)/bin/pyright --pythonpath $(TYPING)/bin/python
	@PYTHONPATH=. $(TYPING)/bin/python -m mypy.stubtest goheap \
	    --mypy-config-file pyproject.toml --ignore-disjoint-bases \
	    --allowlist tests/typing/allowlist.txt
	@PYTHONPATH=. $(TYPING)/bin/python -m pytest tests/typing \
	    tests/api/test_api_examples.py tests/api/test_readme_table.py

check-tools:
	@if $(MAKE) --no-print-directory -s $(TYPING)/.tools 2>/dev/null; \
	then $(MAKE) --no-print-directory -s typing; \
	else echo "skipped: mypy, pyright, stubtest (they cannot be installed)"; fi
	@if command -v go >/dev/null; then \
	    $(MAKE) --no-print-directory peer \
	        PEER_ARGS="--only '$$(cat tests/peer/required.txt)' --require $$(cat tests/peer/required.count)"; \
	else echo "skipped: Go's own runtime tests (no go)"; fi
	@if echo 'int main(void){return 0;}' | \
	    $(CC) -fsanitize=address,undefined -x c - -o /dev/null 2>/dev/null; \
	then $(MAKE) --no-print-directory -s -C csrc asan; \
	else echo "skipped: C tests under sanitizers (no libasan)"; fi

clean:
	rm -rf build $(VENV) $(TYPING) *.egg-info goheap/_core*.so
	$(MAKE) -C csrc clean
