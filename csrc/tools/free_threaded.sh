#!/bin/sh
# Prints the path of a free-threaded Python, 3.13t or newer: the first of
#   $PYTHON_FT, python3.15t, python3.14t, python3.13t,
#   .ft/bin/python3, built here from Debian's source package of Python 3.13
#   (some ten minutes; it needs apt with Debian's archive, and a C compiler).
set -e
is_ft() {
    "$1" -c 'import sys, sysconfig
sys.exit(sysconfig.get_config_var("Py_GIL_DISABLED") != 1)' 2>/dev/null
}
for py in "$PYTHON_FT" python3.15t python3.14t python3.13t .ft/bin/python3; do
    if [ -n "$py" ] && command -v "$py" >/dev/null && is_ft "$py"; then
        command -v "$py"
        exit 0
    fi
done
archive=$(sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] \)*\([^ ]*\) .*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null \
    | grep '/debian/*$' | head -1)
if [ -z "$archive" ]; then
    echo "free-threaded Python: none on PATH, and no Debian archive to build one from" >&2
    exit 1
fi
here=$PWD
mkdir -p .ft/src/lists/partial
cd .ft/src
echo "deb-src $archive trixie main" > src.list
apt="apt-get -q -o Dir::Etc::sourcelist=$PWD/src.list -o Dir::Etc::sourceparts=-
     -o Dir::State::lists=$PWD/lists -o Acquire::Check-Valid-Until=false"
{
    $apt update &&
    $apt source --download-only python3.13 &&
    tar xf "$(ls python3.13_*.orig.tar.* | grep -v '\.asc$')" &&  # a signature may lie beside
    cd Python-3.13* &&
    ./configure -q --disable-gil --prefix="$here/.ft" &&
    make -s -j"$(nproc)" &&
    make -s install
} > "$here/.ft/build.log" 2>&1 || {
    echo "free-threaded Python: the build failed, see .ft/build.log" >&2
    exit 1
}
cd "$here"
rm -rf .ft/src
ls "$PWD"/.ft/bin/python3.13
