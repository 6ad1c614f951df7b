#!/bin/sh
# Prints the Python to build with; or ends with one line that says what to
# install. PYTHON in the environment is tried first.
cc=${CC:-cc}
command -v "$cc" >/dev/null 2>&1 || cc=gcc
command -v "$cc" >/dev/null 2>&1 || {
    echo "no C compiler found: install the package gcc" >&2; exit 1; }
found=
for py in $PYTHON python3 python3.14 python3.13 python3.12 python3.11; do
    command -v "$py" >/dev/null 2>&1 || continue
    "$py" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        >/dev/null 2>&1 && { found=$py; break; }
done
[ -n "$found" ] || {
    echo "no Python 3.11 or newer found: install the package python3" >&2
    exit 1; }
"$found" -c 'import ensurepip, venv' >/dev/null 2>&1 || {
    echo "$found has no venv: install the package python3-venv" >&2; exit 1; }
include=$("$found" -c \
    'import sysconfig; print(sysconfig.get_paths()["include"])')
[ -f "$include/Python.h" ] || {
    echo "$found has no headers: install the package python3-dev" >&2; exit 1; }
echo "$found"
