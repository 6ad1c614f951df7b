#!/bin/sh
# The tests of sub-interpreters and of threads on every CPython found in which an
# interpreter may have a GIL of its own: 3.12 and newer, with a GIL. On PATH, or under
# pyenv. A copy of the sources for each, in .venv-own-gil.
set -e
here=.venv-own-gil
seen=
for py in python3.12 python3.13 python3.14 python3.15 \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9].*/bin/python3; do
    command -v "$py" >/dev/null 2>&1 || continue
    version=$("$py" -c 'import sys, sysconfig, venv, ensurepip
if sys.version_info >= (3, 12) and sysconfig.get_config_var("Py_GIL_DISABLED") != 1:
    print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case " $seen " in *" $version "*) continue ;; esac
    [ -n "$version" ] || continue
    [ -f "$("$py" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')/Python.h" ] \
        || continue
    at=$here/$version
    "$py" -m venv "$at" && "$at/bin/python" -m pip install -q --disable-pip-version-check \
        "setuptools>=68" wheel "pytest>=7" "hypothesis>=6" || {
        echo "skipped: Python $version (pytest cannot be installed)"
        continue
    }
    seen="$seen $version"
    rm -rf "$at/src" && mkdir "$at/src"
    cp -r csrc goheap tests docs benchmarks setup.py pyproject.toml README.md LICENSE \
        MANIFEST.in "$at/src"
    rm -rf "$at"/src/goheap/*.so "$at/src/csrc/build"
    (
        cd "$at/src"
        ../bin/python -m pip install -q --disable-pip-version-check \
            --no-build-isolation --no-deps -e .
        echo "Python $version, a GIL for each interpreter:"
        ../bin/python -m pytest -q -p no:cacheprovider tests/api/test_subinterpreters.py \
            tests/api/test_concurrent.py
    )
done
[ -n "$seen" ] || echo "skipped: a GIL for each interpreter (no Python 3.12 or newer with one," \
    "headers and venv)"
