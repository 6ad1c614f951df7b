"""Go execution traces, read without Go: equal to Go's own parser, and never a crash."""
import functools
import gzip
import json
import os
import random
import subprocess
import sys
import tracemalloc

import pytest

import goheap
from goheap import Trace, TraceError, cli, record
from goheap.trace import convert

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import reference  # noqa: E402

SAMPLES = ("go1.23", "go1.24", "go1.25", "go1.26")
WRITER = {"go1.23": "go 1.23", "go1.24": "go 1.23", "go1.25": "go 1.25", "go1.26": "go 1.26"}


def sample(name):
    return os.path.join(HERE, name + ".trace.gz")


@functools.cache
def raw(name="go1.26"):
    with gzip.open(sample(name)) as f:
        return f.read()


@functools.cache
def golden():
    with open(os.path.join(HERE, "golden.json")) as f:
        return json.load(f)


def uvarint(data, i):
    v = shift = 0
    while True:
        b = data[i]
        i += 1
        v |= (b & 127) << shift
        shift += 7
        if b < 128:
            return v, i


def batches(data):
    """(start, start of the events, end, kind) of each batch, byte by byte as the format says."""
    i, found = 16, []
    while i < len(data):
        start, kind = i, data[i]
        i += 1
        if kind == 52:
            found.append((start, i, i, kind))
            continue
        i += kind == 49
        for _ in range(3):
            _, i = uvarint(data, i)
        n, i = uvarint(data, i)
        found.append((start, i, i + n, kind))
        i += n
    return found


@pytest.fixture
def put(tmp_path):
    def put(data):
        path = tmp_path / "x.trace"
        path.write_bytes(data)
        return path
    return put


# ---- what is read --------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_columns_are_those_of_gos_own_parser(name, tmp_path):
    out = tmp_path / "x.ghtrace"
    convert(sample(name), out)
    got, want = reference.digests(out), golden()[name + ".trace.gz"]
    got["types"] = len(got["types"])
    assert got == want


@pytest.mark.parametrize("name", SAMPLES)
def test_open_and_replay(name, tmp_path):
    with Trace.open(sample(name)) as t:
        info = t.info
        assert info["source"] == WRITER[name] and info["generations"] > 1
        assert info["source_trace_bytes"] == len(raw(name))
        # By runtime/trace.Log, in two pieces.
        assert (info["GOGC"], info["GOMAXPROCS"]) == ("100", 3)
        counts = info["counts"]
        # One of the collections was a call of runtime.GC.
        assert len(info["forced_cycles"]) == 1 and counts["gc_begin"] > 1
        assert t.repairs == golden()[name + ".trace.gz"]["anomalies"]
        assert t.types[0].name == "" and "main.node" in {x.name for x in t.types}
        node = next(x for x in t.types if x.name == "main.node")
        assert (node.size, node.ptrdata, node.gcmask) == (40, 16, b"\3")
        r = goheap.replay(t, gogc=100)
        t.save(tmp_path / "x.ghtrace")
    assert r.objects + 2 <= counts["alloc"] + counts["exist"] and r.procs == 3
    again = goheap.replay(tmp_path / "x.ghtrace", gogc=100)
    assert (again.objects, again.cycles) == (r.objects, r.cycles)
    assert goheap.replay(sample(name), gogc=100).cycles == r.cycles


def test_raw_gzip_and_members_are_the_same(put):
    want = None
    half = len(raw()) // 2
    for data in (raw(), gzip.compress(raw(), 1),
                 gzip.compress(raw()[:half]) + gzip.compress(raw()[half:])):
        with Trace.open(put(data)) as t:
            t.save(os.fspath(put(data)) + ".out")
        with open(os.fspath(put(data)) + ".out", "rb") as f:
            made = f.read()
        want = want or made
        assert made == want


def test_types_survive_every_generation():
    with Trace.open(sample("go1.26")) as t:
        names = [x.name for x in t.types]
    assert len(names) > 50 and names.count("main.node") == 1


# ---- what is refused -----------------------------------------------------------------


def refused(path, match):
    with pytest.raises(TraceError, match=match) as e:
        Trace.open(path).close()
    assert e.value.path == os.fspath(path) and e.value.offset is not None
    with pytest.raises(TraceError, match=match):
        goheap.replay(path)
    return e.value.offset


@pytest.mark.parametrize("version, match", [
    (22, "no alloc and free events"), (11, "no alloc and free events"),
    (24, "go 1.24 is not read"), (27, "go 1.27 is not read"), (99, "go 1.99 is not read")])
def test_other_versions_are_refused_by_name(put, version, match):
    assert refused(put(b"go 1.%d trace\0\0\0" % version + raw()[16:]), match) == 0


def test_a_trace_without_alloc_events_says_how_to_record(put):
    data = raw()
    kept = data[:16]
    for start, events, end, kind in batches(data):
        if kind != 49:
            kept += data[start:end]
    refused(put(kept), "GODEBUG=traceallocfree=1")


@pytest.mark.parametrize("data, match", [
    (b"go 1.26 trace\0\0\0", "no events"), (b"go 1.26 trace\0", "not a Go execution trace"),
    (b"go 1.x6 trace\0\0\0", "not a Go execution trace"), (b"\x1f\x8b", "trace"),
    (b"go 1.26 trace\0\0\0\1", "first generation"),
    (b"go 1.26 trace\0\0\0\7", "cannot begin with byte 7"),
    (b"go 1.26 trace\0\0\0\1\0\1\1\0" + bytes(50), "generation 0"),
    (b"go 1.26 trace\0\0\0\1\1\1\1\xff\xff\xff\7" + bytes(50), "the most is 65536"),
    (b"go 1.26 trace\0\0\0\1" + b"\xff" * 60, "head of a batch"),
    (b"go 1.26 trace\0\0\0\x34", "without batches")])
def test_damaged_heads(put, data, match):
    refused(put(data), match)


def test_gzip_of_another_thing(put):
    refused(put(gzip.compress(b"A text file\n" * 9)), "not a Go execution trace")
    bad = bytearray(gzip.compress(raw()))
    bad[-6] ^= 1
    refused(put(bytes(bad)), "gzip file is damaged")
    refused(put(gzip.compress(raw()) + b"more"), "goes on after its end")


# ---- damage --------------------------------------------------------------------------


def attempt(path):
    """Opens what may be damaged: the repairs, or the error."""
    try:
        with Trace.open(path) as t:
            repairs = t.repairs
            assert t.info["counts"]["alloc"] >= 0
            return repairs
    except TraceError as e:
        assert e.path == os.fspath(path) and e.offset is not None and e.message
        return None


@pytest.mark.parametrize("name", SAMPLES)
def test_cut_at_each_batch(put, name):
    data = raw(name)
    places = [start for start, _, _, _ in batches(data)]
    ends = [b for a, b, c, kind in batches(data) if kind == 52]
    outcomes = set()
    for at in places:
        for cut in (at, at + 1, at + 5):
            repairs = attempt(put(data[:cut]))
            if repairs is None:
                outcomes.add("refused")
            elif "cut_bytes" in repairs:
                outcomes.add("repaired")
                assert 0 < repairs["cut_bytes"] < cut
            else:
                # Where a generation ends nothing is missing that can be known.
                assert name != "go1.26" or cut in ends or cut >= len(data)
    assert {"refused", "repaired"} <= outcomes


def test_a_cut_generation_leaves_the_ones_before(put):
    data = raw()
    first = [c for _, _, c, kind in batches(data) if kind == 52][0]
    with Trace.open(put(data[:first])) as t:
        want = t.info["counts"]
        assert t.repairs.get("cut_bytes") is None
    with Trace.open(put(data[:first + 1000])) as t:
        assert t.info["counts"] == want and t.repairs["cut_bytes"] == 1000
    with Trace.open(put(gzip.compress(data)[:-9])) as t:
        assert t.repairs["gzip_cut"] == 1


def mutate(data, r):
    data = bytearray(data)
    for _ in range(r.choice((1, 1, 2, 8))):
        at, kind = r.randrange(len(data)), r.randrange(5)
        if kind == 0:
            data[at] ^= 1 << r.randrange(8)
        elif kind == 1:
            data[at] = r.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            del data[at:at + r.randrange(1, 40)]
        elif kind == 3:
            data[at:at] = r.randbytes(r.randrange(1, 40))
        else:
            other = r.randrange(len(data))
            data[at:at + 300] = data[other:other + 300]
    return bytes(data)


@pytest.mark.parametrize("name", SAMPLES)
def test_mutated_traces(put, name):
    # make fuzz-traces does it 10,000 times over.
    r = random.Random(name)
    opened = sum(attempt(put(mutate(raw(name), r))) is not None for _ in range(60))
    assert 0 < opened < 60


def leb(v):
    out = bytearray()
    while v >= 128:
        out.append(v & 127 | 128)
        v >>= 7
    return bytes(out) + bytes([v])


def batch(data, kind=b"\1"):
    return kind + b"\1\1\1" + leb(len(data)) + data


def made(events):
    """A trace of one generation of one thread with these events."""
    out = b"go 1.26 trace\0\0\0"
    chunk = b""
    for e in [*events, None]:
        if e is None or len(chunk) > 60000:
            out += batch(chunk)
            chunk = b""
        chunk += e or b""
    out += batch(b"\x32\x08" + leb(10**9) + b"\x33\0\0\0\0")  # a clock in ns
    return out + batch(b"\1\0" + leb(8192) + b"\x08" + leb(2048), b"\x31\1") + b"\x34"


def span(page, kind=4, pages=1):
    return b"\x81\1" + leb(page) + leb(pages) + leb(kind)


def alloc(granule):
    return b"\x84\1" + leb(granule) + b"\0"


def free(granule):
    return b"\x85\1" + leb(granule)


def repairs_of(put, *events):
    with Trace.open(put(made(events))) as t:
        return t.info["counts"], t.repairs


# A span of two pages is taken over by one that begins a page before, and freed then.
TAKEN_OVER = (span(2, 6, 2), alloc(3072), span(1, 6, 2), b"\x82\1" + leb(2), alloc(2048))

# A large span comes before the end of a small one in its pages, of two objects.
COVERED = (span(4), alloc(4096), alloc(4097), span(1, 2, 5), alloc(1024), free(4096),
           b"\x82\1" + leb(4))


def test_repairs(put):
    counts, repairs = repairs_of(put, span(1), alloc(1024), alloc(1024), free(1024), free(1024))
    assert repairs == {"alloc_over_live": 1, "free_not_live": 1}
    assert (counts["alloc"], counts["free"]) == (2, 2)
    # What lives in a span that goes away, or is taken over, ends with it.
    gone = b"\x82\1" + leb(1)
    counts, repairs = repairs_of(put, span(1), alloc(1024), alloc(1025), gone, gone, alloc(1024))
    assert repairs == {"object_live_at_span_free": 2, "span_free_unknown": 1,
                       "alloc_outside_heap_span": 1}
    assert (counts["alloc"], counts["free"]) == (2, 2)
    counts, repairs = repairs_of(put, span(1, 6, 2), alloc(2048), span(2), alloc(2048), free(9))
    assert repairs == {"span_alloc_over_live_span": 1, "object_live_at_span_free": 1,
                       "free_outside_heap_span": 1}
    assert (counts["alloc"], counts["free"]) == (2, 1)
    # So it does if only its last page is, and its free, which comes late, is nobody's.
    counts, repairs = repairs_of(put, *TAKEN_OVER)
    assert repairs == {"span_alloc_over_live_span": 1, "object_live_at_span_free": 1,
                       "span_free_unknown": 1}
    assert (counts["alloc"], counts["free"], counts["span_free"]) == (2, 1, 0)
    # Objects of a span that a large one covers are freed as if it weren't there.
    counts, repairs = repairs_of(put, *COVERED)
    assert repairs == {"object_live_at_span_free": 1}
    assert (counts["alloc"], counts["free"], counts["span_free"]) == (3, 2, 1)
    known = b"\x83\1" + leb(1024) + b"\5"  # an object that exists, of a type unknown
    counts, repairs = repairs_of(put, span(1), known, known)
    assert repairs == {"exist_twice": 1, "type_unknown": 1} and counts["exist"] == 1


def test_a_tiny_block_is_filled(put):
    counts, repairs = repairs_of(put, span(1, 10), alloc(1024), alloc(1025), alloc(1026))
    assert (counts["alloc"], counts["tiny"], repairs) == (2, 1, {})


@pytest.mark.parametrize("event", [span(1, 400), span(1, 4, 0), span(1, 4, 17),
                                   span(1, 0, 1 << 40), span((1 << 64) - 1)])
def test_impossible_spans(put, event):
    refused(put(made([event])), "is impossible")


def test_memory_is_bounded(put):
    # Spans for a thousand objects each that hold one: 4 KiB for 12 bytes.
    refused(put(made(span(i) + alloc(i << 10) for i in range(1, 100_000))),
            "more memory than a sound trace")


def test_a_large_trace_is_not_held(put):
    tracemalloc.start()
    try:
        with Trace.open(sample("go1.26")):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


# ---- the command line ------------------------------------------------------------------


def test_convert(tmp_path, capsys):
    out = tmp_path / "x.ghtrace"
    assert cli.main(["convert", sample("go1.26"), "-o", str(out), "--note", "a note"]) == 0
    text = capsys.readouterr().out
    assert "repairs: none" in text and "1 of them forced" in text
    with Trace.open(out) as t:
        assert t.info["note"] == "a note" and t.info["GOGC"] == "100"
    stats = tmp_path / "stats.json"
    stats.write_text('{"GOGC": "20", "End": {"Sys": 5}}')
    assert cli.main(["convert", sample("go1.26"), "-o", str(out), "--stats", str(stats),
                     "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["GOGC"] == "20" and made["End"] == {"Sys": 5} and made["repairs"] == {}
    assert made["bytes_out"] == out.stat().st_size


@pytest.mark.parametrize("args, words", [
    (["none.trace"], "none.trace"), (["."], "irectory"),
    ([__file__], "not a Go execution trace"),
    ([sample("go1.26"), "--stats", __file__], "not JSON")])
def test_convert_refuses_in_one_line(tmp_path, capsys, args, words):
    out = tmp_path / "x.ghtrace"
    assert cli.main(["convert", *args, "-o", str(out)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("goheap convert: ") and words in err and err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_failed_convert_leaves_the_old_file(tmp_path, put):
    out = tmp_path / "x.ghtrace"
    out.write_bytes(b"old")
    with pytest.raises(TraceError):
        convert(put(raw()[:5000]), out)
    assert out.read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == ["x.ghtrace", "x.trace"]


def test_convert_by_python_m(tmp_path):
    out = tmp_path / "x.ghtrace"
    subprocess.run([sys.executable, "-m", "goheap", "convert", sample("go1.23"), "-o", out],
                   check=True, capture_output=True)
    assert out.read_bytes()[:8] == b"GHTRACE1"


# ---- with Go -----------------------------------------------------------------------------


@pytest.mark.skipif(not (os.environ.get("GOHEAP_LONG") and reference.goroot()),
                    reason="needs Go and GOHEAP_LONG=1 (make check-tools)")
def test_the_goldens_are_what_gos_parser_says(tmp_path):
    program = reference.build(tmp_path)
    for name in SAMPLES:
        (tmp_path / "x.trace").write_bytes(raw(name))
        subprocess.run([program, tmp_path / "x.trace", tmp_path / "x.ghtrace"], check=True)
        d = reference.digests(tmp_path / "x.ghtrace")
        d["types"] = len(d["types"])
        assert d == golden()[name + ".trace.gz"]


# name, package (or the sample), arguments, environment
RECORDED = [
    ("gofmt", "cmd/gofmt", ["-l", "{root}/src/net"], {"GOGC": "20", "GOMAXPROCS": "2"}),
    ("gofmt-strconv", "cmd/gofmt", ["-d", "{root}/src/strconv"],
     {"GOGC": "100", "GOMAXPROCS": "4"}),
    ("sample", None, ["{tmp}/x.trace"], {"GOGC": "100", "GOMAXPROCS": "1"}),
    ("test-fmt", "go test", ["-run", "XXX", "-bench", "Sprintf", "-benchtime", "500x", "fmt"],
     {"GOGC": "10", "GOMAXPROCS": "3"}),
]


@pytest.fixture(scope="module")
def parser(tmp_path_factory):
    return reference.build(tmp_path_factory.mktemp("reference"))


@pytest.mark.skipif(not (os.environ.get("GOHEAP_LONG") and reference.goroot()),
                    reason="needs Go and GOHEAP_LONG=1 (make check-tools)")
@pytest.mark.parametrize("events", [TAKEN_OVER, COVERED], ids=["taken over", "covered"])
def test_repairs_are_those_of_the_reference(events, tmp_path, parser, put):
    trace = put(made(events))
    subprocess.run([parser, trace, tmp_path / "want.ghtrace"], check=True)
    convert(trace, tmp_path / "got.ghtrace")
    want, got = (reference.digests(tmp_path / f"{x}.ghtrace") for x in ("want", "got"))
    assert got["columns"] == want["columns"] and got["anomalies"] == want["anomalies"]


@pytest.mark.skipif(not (os.environ.get("GOHEAP_LONG") and reference.goroot()),
                    reason="needs Go and GOHEAP_LONG=1 (make check-tools)")
@pytest.mark.parametrize("name, package, args, env", RECORDED, ids=[r[0] for r in RECORDED])
def test_recorded_here_and_equal_to_gos_parser(name, package, args, env, tmp_path, parser):
    words = {"root": reference.goroot(), "tmp": tmp_path}
    program, trace = os.fspath(tmp_path / "program"), os.fspath(tmp_path / "x.trace")
    command = [program]
    if package is None:
        subprocess.run(["go", "build", "-o", program, os.path.join(HERE, "sample.go")], check=True)
    elif package == "go test":
        command = ["go", "test", f"-trace={trace}", f"-outputdir={tmp_path}"]
    else:
        record.build(package, program)
    # Now and then, on a busy machine, Go's tracer writes what Go's own reader refuses: events
    # in an order that can't be, or bytes that are no batch where one begins. There is then
    # nothing to be equal to.
    for _ in range(5):
        subprocess.run([*command, *(a.format(**words) for a in args)],
                       stdout=subprocess.DEVNULL, cwd=tmp_path,
                       env={**os.environ, **env, "GODEBUG": "traceallocfree=1",
                            "GOHEAP_TRACE": trace})
        read = subprocess.run([parser, trace, tmp_path / "want.ghtrace"], text=True,
                              stderr=subprocess.PIPE)
        if " read: " not in read.stderr:
            break
    assert read.returncode == 0, read.stderr
    convert(trace, tmp_path / "got.ghtrace")
    want, got = (reference.digests(tmp_path / f"{x}.ghtrace") for x in ("want", "got"))
    assert want["counts"]["alloc"] > 1000
    for c in want["columns"]:
        assert got["columns"][c] == want["columns"][c], c
    assert got == want
