"""goheap record: with a go command that is a few lines of shell, and with the real one."""
import gzip
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

import goheap
from goheap import Trace, cli, record

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import reference  # noqa: E402

SAMPLE = os.path.join(HERE, "go1.26.trace.gz")
REAL = pytest.mark.skipif(not (os.environ.get("GOHEAP_LONG") and reference.goroot()),
                          reason="needs Go and GOHEAP_LONG=1 (make check-tools)")


def raw():
    with gzip.open(SAMPLE) as f:
        return f.read()


@pytest.fixture
def go(tmp_path, monkeypatch):
    """A go that knows list, test and build; what it builds writes the sample's trace."""
    (tmp_path / "x.trace").write_bytes(raw())
    (tmp_path / "pkg").mkdir()
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "go"
    fake.write_text(f"""#!/bin/sh
echo "$@" "GOGC=$GOGC GODEBUG=$GODEBUG" >>{tmp_path}/log
case "$1" in
list) case "$4" in ok|bad) echo main {tmp_path}/pkg;; lib) echo lib {tmp_path}/pkg;;
      *) echo "no such package" >&2; exit 1;; esac;;
test) case "$*" in *fail*) exit 1;; *two*) exit 0;; esac
      for a; do case "$a" in -trace=*) cp {tmp_path}/x.trace "${{a#-trace=}}";; esac; done;;
build) test "$7" = bad && exit 2
       cp "$3" {tmp_path}/overlay
       printf '#!/bin/sh\\necho "$@" >%s/args; cp %s/x.trace "$GOHEAP_TRACE"; exit 3\\n' \\
           {tmp_path} {tmp_path} >"$6"; chmod +x "$6";;
esac
""")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path


def test_record_test(go, capsys):
    out = go / "o.ghtrace"
    assert cli.main(["record", "-o", str(out), "--gogc", "20", "test", "--", "-bench", ".",
                     "./x"]) == 0
    log = (go / "log").read_text()
    assert "-bench . ./x" in log and "GOGC=20" in log and "traceallocfree=1" in log
    with Trace.open(out) as t:
        assert t.info["GOGC"] == "20" and t.info["note"] == "go test -bench . ./x"
    assert "repairs: none" in capsys.readouterr().err


def test_record_run(go, capsys):
    out = go / "o.ghtrace"
    assert cli.main(["record", "-o", str(out), "--json", "run", "ok", "-l", "dir"]) == 0
    assert json.loads(capsys.readouterr().out)["GOGC"] == "100"  # from the trace's own log
    assert (go / "args").read_text() == "-l dir\n"
    ((place, hook),) = json.loads((go / "overlay").read_text())["Replace"].items()
    assert place == f"{go}/pkg/goheap_record.go" and os.path.exists(hook)
    assert goheap.replay(out, mode="stw").procs == 3


@pytest.mark.parametrize("args, words", [
    (["test", "--", "fail"], "status 1"), (["test", "--", "two"], "one package at a time"),
    (["run", "none"], "no such package"), (["run", "lib"], "not one main package"),
    (["run", "bad"], "status 2"), (["url", "ftp://x"], "not an http"),
    (["url", "http://127.0.0.1:9"], "refused")])
def test_what_fails_says_so_in_one_line(go, capsys, args, words):
    assert cli.main(["record", "-o", str(go / "o.ghtrace"), *args]) == 1
    err = capsys.readouterr().err
    assert err.startswith("goheap record: ") and words in err and err.count("\n") == 1
    assert not (go / "o.ghtrace").exists()


def test_without_go(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["record", "-o", str(tmp_path / "o"), "test"]) == 1
    assert "no go command" in capsys.readouterr().err


def test_environment_keeps_what_is_there(monkeypatch):
    monkeypatch.setenv("GODEBUG", "gctrace=1,traceallocfree=0")
    assert record.environment("50", None)["GODEBUG"] == "gctrace=1,traceallocfree=1"
    monkeypatch.delenv("GODEBUG")
    env = record.environment(None, "1GiB")
    assert env["GODEBUG"] == "traceallocfree=1" and env["GOMEMLIMIT"] == "1GiB"


class Server(http.server.BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(raw())

    def log_message(self, *args):
        pass


def test_record_url(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            base = f"http://127.0.0.1:{server.server_port}"
            for address in (base, base + "/debug/pprof/trace", base + "/debug/pprof/?x=1"):
                out = tmp_path / "o.ghtrace"
                assert cli.main(["record", "-o", str(out), "--gogc", "70", "url",
                                 "--seconds", "0.5", address]) == 0
                with Trace.open(out) as t:
                    assert t.info["GOGC"] == "70"
        finally:
            server.shutdown()
            thread.join()
    assert set(Server.asked) == {"/debug/pprof/trace?seconds=0.5"}


# ---- with Go -----------------------------------------------------------------------------


@REAL
def test_a_command_that_is_not_ours(tmp_path):
    out = tmp_path / "o.ghtrace"
    folder = os.path.join(reference.goroot(), "src", "strconv")
    record.run("cmd/gofmt", ["-l", folder], str(out), gogc="20")
    with Trace.open(out) as t:
        info = t.info
        assert t.repairs == {} and info["GOGC"] == "20" and info["MaxRSSKiB"] > 1000
        made = info["counts"]["alloc"] + info["counts"]["tiny"]
        assert abs(made - (info["End"]["Mallocs"] - info["Start"]["Mallocs"])) < 0.02 * made
        assert info["counts"]["gc_end"] - 1 <= info["End"]["NumGC"]


@REAL
def test_tests_that_are_not_ours(tmp_path):
    out = tmp_path / "o.ghtrace"
    record.test(["-run", "XXX", "-bench", "Sprintf", "-benchtime", "300x", "fmt"], str(out))
    with Trace.open(out) as t:
        # testing calls runtime.GC before each benchmark.
        assert t.info["counts"]["alloc"] > 100 and len(t.info["forced_cycles"]) > 1


SERVER = """package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
)

var kept []byte

func main() {
	// What a server that was started without it can do.
	os.Setenv("GODEBUG", "traceallocfree=1")
	go func() {
		for {
			kept = make([]byte, 10000)
		}
	}()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	http.Serve(l, nil)
}
"""


@REAL
def test_a_server(tmp_path):
    (tmp_path / "main.go").write_text(SERVER)
    (tmp_path / "go.mod").write_text("module server\n\ngo 1.23\n")
    program = tmp_path / "server"
    subprocess.run(["go", "build", "-o", program, "."], cwd=tmp_path, check=True)
    server = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        record.url(f"http://{address}", str(tmp_path / "o.ghtrace"), seconds=1)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    with Trace.open(tmp_path / "o.ghtrace") as t:
        counts = t.info["counts"]
        assert counts["exist"] > 100 and counts["alloc"] > 100 and counts["gc_begin"] > 0
