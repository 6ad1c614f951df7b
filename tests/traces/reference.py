"""The reference converter, built with the parser of the Go that is installed."""
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def goroot():
    """The Go distribution's folder, or None."""
    if not shutil.which("go"):
        return None
    root = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True).stdout.strip()
    return root if os.path.isdir(os.path.join(root, "src/internal/trace/tracev2")) else None


def build(folder):
    """Builds it in folder; returns the program's path."""
    source = os.path.join(folder, "ref")
    shutil.copytree(os.path.join(HERE, "ref"), source)
    parser = os.path.join(goroot(), "src/internal/trace")
    for part in ("", "tracev2", "version", "internal/tracev1"):
        os.makedirs(os.path.join(source, "trace", part), exist_ok=True)
        for name in os.listdir(os.path.join(parser, part)):
            if name.endswith(".go") and not name.endswith("_test.go"):
                with open(os.path.join(parser, part, name)) as f:
                    text = f.read()
                with open(os.path.join(source, "trace", part, name), "w") as f:
                    f.write(text.replace('"internal/trace', '"reference/trace'))
    program = os.path.join(folder, "reference")
    subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True,
                   env={**os.environ, "GOFLAGS": "", "GOWORK": "off"})
    return program


def digests(path):
    """What a GHTRACE1 file holds, short: of each column the bytes' digest."""
    import hashlib

    from goheap.trace import TraceFile
    with TraceFile(path) as t:
        columns = {}
        for i, c in enumerate(t.columns):
            h, reader = hashlib.sha256(), t.reader(i)
            while not reader.ended:
                h.update(reader.read()[0])
            columns[c.name] = [c.enc, c.count, h.hexdigest()]
        keys = ("ops", "class_to_size", "types", "counts", "anomalies", "info", "bytes",
                "duration_ns")
        # Through JSON and back, so that a golden compares equal.
        return json.loads(json.dumps({"columns": columns, **{k: t.header[k] for k in keys}}))


if __name__ == "__main__":  # reference.py golden.json x.trace.gz ...: a new golden
    import gzip
    import tempfile
    with tempfile.TemporaryDirectory() as tmp:
        program, golden = build(tmp), {}
        for path in sys.argv[2:]:
            raw, out = os.path.join(tmp, "x.trace"), os.path.join(tmp, "x.ghtrace")
            with gzip.open(path) as f, open(raw, "wb") as g:
                g.write(f.read())
            subprocess.run([program, raw, out], check=True)
            d = digests(out)
            d["types"] = len(d["types"])
            golden[os.path.basename(path)] = d
    with open(sys.argv[1], "w") as f:
        f.write(json.dumps(golden, separators=(",", ":")).replace("],", "],\n").replace("},", "},\n") + "\n")
