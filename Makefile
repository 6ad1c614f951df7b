# make demo         the Go compiler's history replayed at four settings of GOGC:
#                   a table and goheap-demo.png
# make test         C unit tests, pytest and a minute of concurrent stress: nothing
#                   but Python and a C compiler
# make check-tools  the checks that need more tools; a part whose tool is
#                   missing is skipped by name
# make typing       mypy, pyright and stubtest in a venv of their own
# make pictures     plots and reports, in the same venv (reports in Chromium)
# make gallery      docs/gallery.md and its pictures, made anew
# make guide        what docs/choosing-gomemlimit.md shows, and its picture, made anew
# make clusters     a grid of settings on a Dask cluster of two workers
# make notebooks    the tutorials of docs/tutorials, run
# make peer         Go's own runtime tests on our core (needs Go)
# make model        the barrier, mark termination, spans, buffers and stops,
#                   model-checked (needs spin), and the same bugs planted in C:
#                   nine minutes on two idle cores, twice that and more beside
#                   other work; options in MODEL_ARGS
# make release      what stays resident after a dropped GiB (needs 2 GB)
# make asan         the whole suite under AddressSanitizer, UBSan and LeakSanitizer
# make tsan         the threaded C tests under ThreadSanitizer
# make os-sites     whether the fault tests reach every call to the OS (needs gcov)
# make leaks        2,000 heaps made and ended: maps, threads, memory as before
# make stress       four threads on one heap, five minutes
# make free-threaded  suite, once more with each test in four threads at once, and
#                   stress on a Python without the GIL, which
#                   csrc/tools/free_threaded.sh finds or builds
# make own-gil      sub-interpreters with a GIL each, and threads, on every CPython
#                   3.12 and newer found
# make instructions instructions of an allocation, counted by callgrind, and the bar
# make stress-concurrent  four threads that do all they can beside real workers,
#                   20 minutes in C with every cycle traced again, every other
#                   heap with delays, then in Python; SECONDS, SEED
# make children     200 child programs that end by SIGINT, fork, exit, or while
#                   threads end
# make fuzz-traces  20,000 damaged recordings, half of them under AddressSanitizer;
#                   three minutes
# make bench        speed beside real Go's and other allocators'
#                   (benchmarks/README.md), an hour; options in BENCH_ARGS:
#                   BENCH_ARGS="--only small,trees -n 3"

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

# The C reader under sanitizers, and every kind of recording through Python.
.PHONY: fuzz-traces
fuzz-traces: build
	@$(MAKE) --no-print-directory -s -C csrc fuzz-traces
	@$(PY) tests/traces/fuzz.py $(FUZZ_ARGS)

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

# A minute of stress and ten thousand schedules run beside pytest.
STRESS := csrc/build/check/tests/test_concurrent
SCHEDULES := csrc/build/check/tests/test_schedules
test: build
	@$(MAKE) --no-print-directory -s -C csrc check
	@{ $(SCHEDULES) 2 && $(STRESS) 60; } >csrc/build/stress.log 2>&1 & stress=$$!; \
	$(PY) -m pytest; status=$$?; \
	wait $$stress && tail -1 csrc/build/stress.log || \
	    { tail csrc/build/stress.log; exit 1; }; exit $$status

peer:
	@$(MAKE) --no-print-directory -s -C csrc peer-lib
	@python3 tests/peer/run_peer.py --lib csrc/libgoheap_peer.so $(PEER_ARGS)

# Skipped by name, in there, where a tool is missing.
.PHONY: model
model:
	@python3 tests/model/run_model.py $(MODEL_ARGS)

.PHONY: release
release: build
	@GOHEAP_LONG=1 $(PY) -m pytest tests/long/test_release.py

.PHONY: bench
bench: build
	@$(MAKE) --no-print-directory -s $(VENV)/.demo 2>/dev/null || true
	@$(PY) benchmarks/run.py $(BENCH_ARGS)

# Checkers, and what the checked files import.
TYPING := .venv-typing

$(TYPING)/.tools: Makefile | $(PY)
	@$(PY) -m venv $(TYPING)
	@$(TYPING)/bin/python -m pip install -q --disable-pip-version-check \
	    "mypy>=1.18" "pyright[nodejs]" "pytest>=7" "hypothesis>=6" \
	    "rich>=13" "matplotlib>=3.7" numpy "plotly>=6" "selenium>=4.20" \
	    jupytext nbclient ipykernel "protobuf>=5" types-protobuf jsonschema \
	    "dask[distributed]"
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

# The tutorials, from start to end.
.PHONY: notebooks
notebooks: build $(TYPING)/.tools
	@PYTHONPATH="$(CURDIR)" $(TYPING)/bin/python -m pytest tests/tutorials

# The plots' page: docs/gallery.md.
.PHONY: gallery
gallery: build $(TYPING)/.tools
	@PYTHONPATH="$(CURDIR)" $(TYPING)/bin/python docs/make_gallery.py

# The guide's outputs and picture: docs/choosing-gomemlimit.md.
.PHONY: guide
guide: build $(TYPING)/.tools
	@PYTHONPATH="$(CURDIR)" $(TYPING)/bin/python docs/make_guide.py

# What needs matplotlib, plotly, and a browser.
.PHONY: pictures
pictures: build $(TYPING)/.tools
	@PYTHONPATH=. $(TYPING)/bin/python -m pytest tests/plots tests/report

# Other people's readers of the files that we write.
.PHONY: readers
readers: build $(TYPING)/.tools
	@GOHEAP_TOOLS=1 PYTHONPATH=. $(TYPING)/bin/python -m pytest tests/api/test_profile.py \
	    tests/api/test_perfetto.py -k "pprof or json_schema or speedscope"

# A grid of settings on a Dask cluster of two workers.
.PHONY: clusters
clusters: build $(TYPING)/.tools
	@PYTHONPATH="$(CURDIR)" $(TYPING)/bin/python -m pytest -q tests/api/test_executors.py -rs

# Both skip by name, in there, what is missing.
.PHONY: own-gil instructions
own-gil:
	@sh csrc/tools/own_gil.sh

instructions:
	@$(PY) benchmarks/instructions.py || test $$? = 3

check-tools: build
	@if $(MAKE) --no-print-directory -s $(TYPING)/.tools 2>/dev/null; \
	then $(MAKE) --no-print-directory -s typing pictures notebooks readers clusters; \
	else echo "skipped: mypy, pyright, stubtest, pictures, tutorials, readers, clusters (they cannot be installed)"; fi
	@if command -v go >/dev/null; then \
	    $(MAKE) --no-print-directory peer \
	        PEER_ARGS="--only '$$(cat tests/peer/required.txt)' --require $$(cat tests/peer/required.count)"; \
	    GOHEAP_LONG=1 $(PY) -m pytest tests/traces; \
	else echo "skipped: Go's own runtime tests, traces beside Go's parser (no go)"; fi
	@GOHEAP_TOOLS=1 $(PY) -m pytest tests/long/test_gctrace_reader.py \
	    tests/long/test_go_metrics.py
	@GOHEAP_TOOLS=1 $(PY) -m pytest -q tests/oracle/test_oracle.py -k go_again -rs
	@GOHEAP_TOOLS=1 $(PY) -m pytest -q tests/api/test_compare.py tests/api/test_guide.py -rs
	@$(MAKE) --no-print-directory -s own-gil instructions
	@$(MAKE) --no-print-directory -s model MODEL_ARGS=--quick
	@if echo 'int main(void){return 0;}' | \
	    $(CC) -fsanitize=address,undefined -x c - -o /dev/null 2>/dev/null; \
	then $(MAKE) --no-print-directory -s -C csrc asan; \
	else echo "skipped: C tests under sanitizers (no libasan)"; fi

# ---- long runs ---------------------------------------------------------------

ASAN    := .venv-asan
PRELOAD  = LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)"
# Python's own allocator off, so that the leak check sees every block.
ASAN_ENV = ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 \
           UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONMALLOC=malloc $(PRELOAD)

# A copy of its own: the extension in the checkout stays as it is.
$(ASAN)/.built: $(SOURCES) | $(PY)
	@test -x $(ASAN)/bin/python || $(PY) -m venv $(ASAN)
	@$(ASAN)/bin/python -m pip install -q --disable-pip-version-check \
	    "setuptools>=68" wheel "pytest>=7" "hypothesis>=6"
	@rm -rf $(ASAN)/src && mkdir $(ASAN)/src && \
	    cp -r csrc goheap setup.py pyproject.toml README.md LICENSE MANIFEST.in $(ASAN)/src && \
	    rm -rf $(ASAN)/src/goheap/*.so $(ASAN)/src/csrc/build
	@cd $(ASAN)/src && GOHEAP_DEBUG=1 GOHEAP_SANITIZE=address,undefined \
	    ../bin/python -m pip install -q --disable-pip-version-check \
	    --no-build-isolation --no-deps .
	@touch $@

.PHONY: asan tsan leaks stress free-threaded
asan: $(ASAN)/.built
	@$(MAKE) --no-print-directory -s -C csrc asan
	@$(ASAN_ENV) $(ASAN)/bin/pytest -p no:cacheprovider tests
	@$(ASAN_ENV) $(ASAN)/bin/python tests/long/leaks.py --heaps 100 --no-figures

tsan:
	@$(MAKE) --no-print-directory -s -C csrc tsan

# Every call to the OS is reached and fails in tests/api/test_faults.py (needs gcov).
.PHONY: os-sites
os-sites: build
	@$(PY) tests/long/os_sites.py

leaks: build
	@$(PY) tests/long/leaks.py

stress: build
	@$(PY) tests/long/stress.py --seconds 60

.PHONY: stress-concurrent children
stress-concurrent: build
	@$(MAKE) --no-print-directory -s -C csrc B=build/check LEVEL=1 OPT="-O1 -g" \
	    build/check/tests/test_concurrent
	@$(STRESS) $(or $(SECONDS),1200) $(or $(SEED),1)
	@$(PY) tests/long/stress.py --mode concurrent --seconds 20

children: build
	@GOHEAP_CHILDREN=50 $(PY) -m pytest tests/api/test_concurrent.py -k children

FT := .venv-ft
# Hypothesis beyond 6.139 needs a compiler that knows no free-threaded 3.13.
free-threaded:
	@py=$$(sh csrc/tools/free_threaded.sh) && echo "with $$py" && \
	    { test -x $(FT)/bin/python || $$py -m venv $(FT); } && \
	    $(FT)/bin/python -m pip install -q --disable-pip-version-check \
	    "setuptools>=68" wheel "pytest>=7" "hypothesis>=6,<6.140" \
	    "pytest-run-parallel>=0.10"
	@rm -rf $(FT)/src && mkdir $(FT)/src && \
	    cp -r csrc goheap tests docs benchmarks setup.py pyproject.toml README.md LICENSE MANIFEST.in $(FT)/src && \
	    rm -rf $(FT)/src/goheap/*.so $(FT)/src/csrc/build
	@cd $(FT)/src && ../bin/python -m pip install -q --disable-pip-version-check \
	    --no-build-isolation --no-deps -e .
	@cd $(FT)/src && PYTHON_GIL=0 ../bin/python -m pytest tests/api tests/oracle
	@cd $(FT)/src && PYTHON_GIL=0 ../bin/python -m pytest --parallel-threads=4 tests/api \
	    --ignore=tests/api/test_whatif.py  # long, and of threads by itself
	@cd $(FT)/src && PYTHON_GIL=0 ../bin/python tests/long/stress.py --seconds 60

clean:
	rm -rf build $(ASAN) $(FT) $(VENV) $(TYPING) *.egg-info goheap/_core*.so
	$(MAKE) -C csrc clean
