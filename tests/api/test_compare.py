"""compare_with_go: our interpreter of scripts in real Go, shipped with the package."""
import json
import os
import runpy
import shutil
from pathlib import Path

import pytest

import goheap
from goheap import Script, cli, gocompare

ORACLE = Path(__file__).parents[1] / "oracle"
SCRIPTS = sorted((ORACLE / "scripts").glob("*.txt"))
TEXT = "goheap-script 1\nalloc 0 100 noscan\ngc\nstats end\n"

tools = pytest.mark.skipif(not (os.environ.get("GOHEAP_TOOLS") and shutil.which("go")),
                           reason="make check-tools, and Go")


def test_the_package_has_the_oracles_files():
    """The tests' build.sh and compare.py take them from there, too."""
    data = Path(goheap.__file__).parent / "data" / "oracle"
    assert {f.name for f in data.iterdir() if f.is_file()} == {*gocompare.FILES, "compare.py"}
    ours = runpy.run_path(str(ORACLE / "compare.py"), run_name="oracle")
    assert ours["R"] == gocompare._rules()["R"] and len(ours["R"]) > 10


def fake_go(tmp_path, text):
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\n" + text)
    go.chmod(0o755)
    return go


@pytest.mark.parametrize("text, words", [
    ("echo go1.25.3\n", ["go1.25.3", "go1.26"]), ("echo broken >&2; exit 2\n", ["broken"]),
    ('[ "$2" = GOVERSION ] && { echo go1.26.8; exit 0; }\n'
     '[ "$1" = env ] && { echo /nowhere; exit 0; }\necho no compiler >&2; exit 1\n',
     ["build", "no compiler"])])
def test_a_go_that_does_not_do(tmp_path, text, words, capsys):
    go = fake_go(tmp_path, text)
    with pytest.raises(goheap.HeapError) as e:
        Script(TEXT).compare_with_go(go=go)
    assert all(w in str(e.value) for w in words)
    script = tmp_path / "x.txt"
    script.write_text(TEXT)
    assert cli.main(["compare", str(script), "--go", str(go)]) == 4
    assert words[0] in capsys.readouterr().err


def test_no_go_wrong_level_wrong_script(tmp_path, capsys):
    with pytest.raises(goheap.HeapError, match="no-such-go"):
        Script(TEXT).compare_with_go(go="no-such-go")
    with pytest.raises(ValueError, match='"core", "layout" or "all"'):
        Script(TEXT).compare_with_go(level="exact")
    script = tmp_path / "x.txt"
    script.write_text("goheap-script 1\nnonsense\n")
    assert cli.main(["compare", str(script), "/nonexistent"]) == 3
    assert capsys.readouterr().err.count("\n") == 2


def test_differences_are_told(monkeypatch, tmp_path, capsys):
    theirs = json.loads(Script(TEXT).run().to_json())
    theirs["stats"]["end"]["mem"]["Mallocs"] += 1
    monkeypatch.setattr(gocompare, "in_go", lambda script, go: theirs)
    table = Script(TEXT).compare_with_go()
    assert [(d.figure, d.level) for d in table] == [("/stats/end/mem/Mallocs", "core")]
    assert int(table.row(0).go.split()[-1]) == int(table.row(0).goheap) + 1
    script = tmp_path / "x.txt"
    script.write_text(TEXT)
    assert cli.main(["compare", str(script)]) == 1
    out = capsys.readouterr().out
    assert "1 differences" in out and "/stats/end/mem/Mallocs" in out
    assert cli.main(["compare", str(script), "--json"]) == 1
    (d,) = json.loads(capsys.readouterr().out)
    assert d["differences"][0]["figure"] == "/stats/end/mem/Mallocs"
    theirs["stats"]["end"]["mem"]["Mallocs"] -= 1
    assert cli.main(["compare", str(script)]) == 0


@tools
def test_public_scripts_have_no_core_difference_on_the_exact_lane(capsys):
    exact = [str(p) for p in SCRIPTS if "\nlane exact\n" in p.read_text()]
    assert len(exact) >= 20
    assert cli.main(["compare", *exact]) == 0, capsys.readouterr().out
