"""The house rules, checked: layers, no mutable globals, tags, generated files."""
import glob
import os
import re
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORE = sorted(glob.glob(os.path.join(ROOT, "csrc/core/*.[ch]")))
HEADERS = [f for f in CORE if f.endswith(".h")]
LAYER = {"goheap.h": 0}


def text(path):
    with open(path) as f:
        return f.read()


for h in HEADERS:
    m = re.search(r"^// Layer (\d)\.", text(h), re.M)
    if m:
        LAYER[os.path.basename(h)] = int(m.group(1))


def includes(path):
    return re.findall(r'^#include "([\w.]+)"(.*)$', text(path), re.M)


@pytest.mark.parametrize("path", HEADERS, ids=os.path.basename)
def test_header_names_its_layer_and_includes_downward(path):
    name = os.path.basename(path)
    assert name in LAYER
    for inc, _ in includes(path):
        assert LAYER[inc] <= LAYER[name], inc
    if name != "goheap.h":
        listed = re.search(r"Includes ([^.]*(?:\.h[^.]*)*)\.", text(path).replace("\n//", "")).group(1)
        if "nothing" not in listed:
            assert sorted(re.findall(r"[\w]+\.h", listed)) == sorted(i for i, _ in includes(path))


@pytest.mark.parametrize("path", [f for f in CORE if f.endswith(".c")], ids=os.path.basename)
def test_sources_include_downward(path):
    own = os.path.basename(path)[:-2] + ".h"
    if own not in LAYER or own == "goheap.h":
        return
    for inc, rest in includes(path):
        assert LAYER[inc] <= LAYER[own] or "up-call:" in rest, inc


def test_os_headers_only_in_layer_one():
    for path in CORE:
        if re.search(r"#include <(sys/|pthread|unistd|time\.h)", text(path)):
            name = os.path.basename(path)
            assert LAYER.get(name[:-2] + ".h", 1 if name.startswith("mem_") else 9) == 1, name


def test_clients_see_only_the_public_header():
    for path in glob.glob(os.path.join(ROOT, "csrc/replay/*.[ch]")):
        for inc, _ in includes(path):
            assert inc in ("goheap.h", "goheap_inline.h") or inc not in LAYER, (path, inc)


def test_no_mutable_globals():
    lib = os.path.join(ROOT, "csrc/build/check/libgoheap.a")
    if not os.path.exists(lib) or not shutil.which("objdump"):
        pytest.skip("needs `make -C csrc check` and objdump")
    out = subprocess.run(["objdump", "-t", lib], capture_output=True, text=True, check=True).stdout
    # .data.rel.ro holds constant tables of pointers: read-only once loaded.
    found = re.findall(r"^.* O (\.(?:data|bss)\S*|\*COM\*)\s+\S+\s+(?:\.\w+ )?(\S+)$", out, re.M)
    assert [name for section, name in found if not section.startswith(".data.rel.ro")] == []
    assert [name for section, name in found if section.startswith(".data.rel.ro")]  # the pattern matches


def test_tags_stand_on_one_page():
    code = set()
    for path in CORE + glob.glob(os.path.join(ROOT, "csrc/replay/*.[ch]")):
        code |= set(re.findall(r"\[((?:inv|diff|lock):\w+(?:\.\w+)?)\]", text(path)))
    pages = []
    for path in glob.glob(os.path.join(ROOT, "csrc/design/*.md")):
        pages += set(re.findall(r"\[((?:inv|diff|lock):\w+(?:\.\w+)?)\]", text(path)))
    assert sorted(pages) == sorted(code)


def numbers(text):
    """Of `1-3,P2`: 1, 2, 3, P2."""
    for part in text.replace(" ", "").split(","):
        m = re.fullmatch(r"([A-Z]?)(\d+)(?:-\1(\d+))?", part)
        assert m, part
        for n in range(int(m.group(2)), int(m.group(3) or m.group(2)) + 1):
            yield m.group(1) + str(n)


def test_every_vector_has_its_test_or_its_reason():
    page = text(os.path.join(ROOT, "csrc/design/vectors.md"))
    tagged = {}  # vector -> the test files that carry its tag
    for path in glob.glob(os.path.join(ROOT, "tests/*/*.c")) + glob.glob(os.path.join(ROOT, "tests/*/*.py")):
        for kind, list_ in re.findall(r"\[(gc|alloc):([^\].][^\]]*)\]", text(path)):
            for n in numbers(list_):
                tagged.setdefault(kind + ":" + n, set()).add(os.path.basename(path))
    rows = {}
    for kind, title in (("gc", "## The collector's"), ("alloc", "## The allocator's")):
        section = page.split(title)[1].split("\n## ")[0]
        for list_, what, where in re.findall(r"^\| ([A-Z\d][^|]*) \| ([^|]*) \| ([^|]*) \|$", section, re.M):
            assert len(what) > 5 and len(where) > 5, list_
            for n in numbers(list_):
                assert kind + ":" + n not in rows, "twice: " + n
                rows[kind + ":" + n] = where
    want = {"gc:%d" % n for n in range(1, 104)} | {"alloc:%d" % n for n in range(1, 80)}
    want |= {"alloc:P%d" % n for n in range(1, 30)} | {"alloc:S%d" % n for n in range(1, 10)}
    assert set(rows) == want and set(tagged) <= want
    for n, where in rows.items():
        files = set(re.findall(r"`(test_\w+\.(?:c|py))`", where))
        if where.startswith("none: "):
            assert n not in tagged, n
        else:
            assert files and files <= tagged.get(n, set()), n


def test_size_classes_are_generated():  # [alloc:1]
    tool = os.path.join(ROOT, "csrc/tools/mksizeclasses.py")
    header = os.path.join(ROOT, "csrc/core/sizeclasses.h")
    assert subprocess.run([sys.executable, tool, "--check", header]).returncode == 0


def test_size_classes_are_gos():
    if not shutil.which("go"):
        pytest.skip("needs Go")
    goroot = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True).stdout.strip()
    gos = text(os.path.join(goroot, "src/internal/runtime/gc/sizeclasses.go"))
    ours = text(os.path.join(ROOT, "csrc/core/sizeclasses.h"))
    for go_name, our_name in (("SizeClassToSize", "gh_class_to_size"), ("SizeClassToNPages", "gh_class_to_alloc_npages"),
                              ("SizeToSizeClass8", "gh_size_to_class8"), ("SizeToSizeClass128", "gh_size_to_class128")):
        a = re.search(go_name + r" = \[[^\]]*\]\w+\{([^}]*)\}", gos).group(1)
        b = re.search(our_name + r"\[\d+\] = \{([^}]*)\}", ours).group(1)
        assert re.findall(r"\d+", a) == re.findall(r"\d+", b), go_name


def test_every_core_file_is_on_the_floor_plan():
    plan = text(os.path.join(ROOT, "csrc/README.md"))
    for path in CORE:
        stem = os.path.basename(path).rsplit(".", 1)[0]
        assert "`%s" % stem in plan, stem


def test_readme_example_runs():
    for block in re.findall(r"```python\n(.*?)```", text(os.path.join(ROOT, "README.md")), re.S):
        r = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
