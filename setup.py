"""Builds goheap._core: a static library libgoheap.a of csrc/core and csrc/replay,
and beside it the extension of csrc/binding, the only part that knows Python.

Environment:
  GOHEAP_DEBUG=1        -O0 -g, the core's assertions on
  GOHEAP_SANITIZE=a,b   -fsanitize=a,b for library and extension
  GOHEAP_TESTCORE=1     assertions on, and the test-only parts of the core
"""
import glob
import os

from setuptools import Extension, setup

DEBUG = os.environ.get("GOHEAP_DEBUG") == "1"
TESTCORE = os.environ.get("GOHEAP_TESTCORE") == "1"
SANITIZE = os.environ.get("GOHEAP_SANITIZE", "")

cflags = ["-std=c11", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC",
          "-pthread", "-Wall", "-Wextra"]
cflags += ["-O0", "-g"] if DEBUG else ["-O2"]
ldflags = ["-pthread"]
if SANITIZE:
    cflags.append("-fsanitize=" + SANITIZE)
    ldflags.append("-fsanitize=" + SANITIZE)
level = ("GH_ASSERT_LEVEL", "1" if DEBUG or TESTCORE else "0")
test_only = [("GH_TESTING", "1")] if TESTCORE else []


def sources(folder):
    return sorted(glob.glob("csrc/%s/*.c" % folder))


def headers():
    return sorted(glob.glob("csrc/*/*.h"))


setup(
    libraries=[
        ("goheap", {
            "sources": sources("core"),
            "obj_deps": {"": headers()},
            "macros": [("GH_CORE", None), level] + test_only,
            "cflags": cflags,
        }),
        ("goheap_replay", {
            "sources": sources("replay"),
            "obj_deps": {"": headers()},
            "macros": [level] + test_only,
            "include_dirs": ["csrc/core"],
            "cflags": cflags,
        }),
    ],
    ext_modules=[
        Extension(
            "goheap._core",
            sources=sources("binding"),
            include_dirs=["csrc/core", "csrc/replay", "csrc/binding"],
            # Replay stands on the core, so it comes first on the link line.
            libraries=["goheap_replay", "goheap", "m"],
            define_macros=test_only,
            depends=headers(),
            extra_compile_args=cflags,
            extra_link_args=ldflags,
        )
    ],
)
