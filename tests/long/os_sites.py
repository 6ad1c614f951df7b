"""Which calls to the OS the fault tests reach, and whether each was seen to fail.

    python tests/long/os_sites.py

Builds the extension with gcov's counters into a folder of its own, runs
tests/api/test_faults.py, and looks at every line of csrc/core that asks the OS: calls
through the table (ops->reserve ...) and of what stands on it (gh_sys_...). Exit status 1
if one was not reached, or if the branch behind one was never taken both ways. Needs gcc
and gcov."""
from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CALL = re.compile(r"gh_sys_(alloc|reserve_aligned|map|map_ready|unused|fault|huge)\("
                  r"|ops->(reserve|map|unused|fault|huge)\(")
DEFINITION = re.compile(r"^gh_sys_\w+\(|^GH_NODISCARD|^\s*//")


def sites() -> list[tuple[str, int, str]]:
    """(file, line, text) of each call."""
    out = []
    for path in sorted(glob.glob("csrc/core/*.c", root_dir=ROOT)):
        if os.path.basename(path) in ("mem_fault.c", "mem_linux.c"):
            continue
        with open(os.path.join(ROOT, path)) as f:
            for number, text in enumerate(f, 1):
                if CALL.search(text) and not DEFINITION.match(text):
                    out.append((path, number, text.strip()))
    return out


def counts(build: str) -> dict[str, dict[int, tuple[int, list[int]]]]:
    """file -> line -> (times run, times each of its branches was taken)."""
    found: dict[str, dict[int, tuple[int, list[int]]]] = {}
    for data in glob.glob(build + "/**/csrc/core/*.gcda", recursive=True):
        run = subprocess.run(["gcov", "--json-format", "--stdout", "-b", data], cwd=ROOT,
                             capture_output=True, text=True, check=True)
        for file in json.loads(run.stdout)["files"]:
            lines = found.setdefault(file["file"], {})
            for line in file["lines"]:
                n, taken = lines.get(line["line_number"], (0, []))
                lines[line["line_number"]] = (
                    n + line["count"], taken + [b["count"] for b in line["branches"]])
    return found


def both_ways(lines: dict[int, tuple[int, list[int]]], source: list[str], number: int) -> bool:
    """Whether the test of a call's result went both ways; True if it only hands it on."""
    for k in range(number, min(number + 5, len(source) + 1)):
        text = source[k - 1]
        if k == number and text.lstrip().startswith(("return", "(void)")):
            return True  # handed on, or of no consequence
        if re.match(r"\s*(if|while) \(", text):
            taken = lines.get(k, (0, []))[1]
            return len(taken) >= 2 and min(taken) > 0
    return False


def main() -> int:
    with tempfile.TemporaryDirectory() as build:
        env = {**os.environ, "GOHEAP_DEBUG": "1", "CFLAGS": "--coverage", "LDFLAGS": "--coverage"}
        subprocess.run([sys.executable, "setup.py", "-q", "build", "--build-base", build,
                        "--build-lib", build + "/lib"], cwd=ROOT, env=env, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        env["PYTHONPATH"] = build + "/lib"
        subprocess.run([sys.executable, "-m", "pytest", "-c", ROOT + "/pyproject.toml",
                        "-p", "no:cacheprovider", ROOT + "/tests/api/test_faults.py"],
                       cwd=build, env=env, check=True)
        found = counts(build)
    all_sites, missed = sites(), 0
    for path, number, text in all_sites:
        lines = found.get(path, {})
        with open(os.path.join(ROOT, path)) as f:
            source = f.read().splitlines()
        times = lines.get(number, (0, []))[0]
        good = both_ways(lines, source, number)
        if times == 0 or not good:
            missed += 1
            print(f"{path}:{number}: {'never reached' if times == 0 else 'never seen to fail'}: "
                  f"{text}")
    print(f"{len(all_sites) - missed} of {len(all_sites)} calls to the OS reached and failed")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
