"""Random scripts on real Go and on our heap; names every difference.

    python tests/oracle/fuzz.py [--count N] [--seed S] [--lane exact|pacer|multi]

Needs Go 1.26.8 (build.sh) and an installed goheap; without Go it says
"skipped: no go". A script depends on its seed alone: S, S+1, ... A script that
differs is kept in --keep with both results. Exit code 1: some differed.

Some figures of Go vary from run to run, so on a difference Go runs again, up to
eight times, and only what lies outside all its runs counts."""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

import compare
import run_suite
from goheap import Script
from goheap._core import size_classes

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES = [c[0] for c in size_classes()]
EDGES = [504, 512, 520, 1024, 2048, 8192, 32752, 32760, 32768, 32776]


class Region:
    """Slots base..base+n-1, filled together. words: words that every object has,
    0 if unknown; mask: of all of them; full: no slot is nil."""

    def __init__(self, base, n):
        self.base, self.n = base, n
        self.words, self.mask, self.full = 0, "none", False

    def filled(self, n, words, mask):
        if n == self.n:
            self.words, self.mask, self.full = words, mask, True
        elif n > 0:
            self.words = min(self.words, words)
            self.mask = mask if mask == self.mask else "none"


class Generator:
    """Scripts that Go can run: no store outside an object, no load from nil."""

    def __init__(self, seed, lane=None, gcmode="stw"):
        self.gcmode = gcmode
        self.r = r = random.Random(seed)
        self.lane = lane or r.choice(["exact"] * 5 + ["pacer"] * 3 + ["multi"] * 2)
        self.name = "fuzz_%s_%d" % (self.lane, seed)
        self.procs = r.choice([2, 2, 3, 4, 6]) if self.lane == "multi" else 1
        self.slots = r.choice([16, 1000, 1024, 4096, 8192, 20000, 65536, 300000])
        self.objects = r.choice([500, 5000, 30000])        # at most, about
        self.bytes = 200 << 20
        if self.lane == "pacer":
            self.objects, self.bytes = 3 * self.objects, 2 * self.bytes
        self.labels = self.types = 0
        self.lines, self.regions, base = [], [], 0
        while base < self.slots and len(self.regions) < 12:
            n = min(r.choice([1, 2, 7, 20, 60, 200, 1000, 3000]), self.slots - base)
            self.regions.append(Region(base, n))
            base += n
        self.used = base

    def say(self, text, *args):
        self.lines.append(text % args if args else text)

    def label(self):
        self.labels += 1
        return "l%d" % self.labels

    def region(self):
        return self.r.choice(self.regions)

    def take(self, n, size):
        """n objects of the size, or as many as are still to be had."""
        n = min(n, self.objects // 4 + 1, (16 << 20) // size + 1, self.bytes // 2 // size + 1)
        self.objects -= n
        self.bytes -= n * size
        return n

    # ---- parts of a line ------------------------------------------------------

    def size(self, top=1 << 25):
        """Mostly at or next to the boundary of a size class."""
        r = self.r
        kind = r.random()
        if kind < .15:
            n = r.randint(1, 16)
        elif kind < .6:
            n = r.choice(CLASSES) + r.choice([-9, -8, -7, -1, 0, 0, 0, 1, 7, 8])
        elif kind < .8:
            n = r.choice(EDGES) + r.randint(-9, 9)
        elif kind < .9:
            n = r.randint(1, 4000)
        else:
            n = int(2 ** r.uniform(5, 20 if r.random() < .9 else 24)) + r.randint(-1, 1)
        return max(1, min(n, top))

    def pointer_mask(self, words):
        r = self.r
        pick = r.random()
        if pick < .45:
            return r.choice(["all", "none", "0", "0"])
        if pick < .6:
            return "%d" % (words - 1)
        if pick < .75:
            a = r.randrange(words)
            return "%d-%d/%d" % (a, r.randint(a, words + 3), r.randint(1, 70))
        return ",".join(map(str, sorted({r.randrange(words) for _ in range(r.randint(1, 6))})))

    def place(self, g):
        return self.r.choice(["%d+$i", "$i+%d", "(%d+$i)", "%d-(0-$i)", "$i*3/3+%d", "%d+$i%%1000000"]) % g.base

    def loop(self, n, line):
        if n == 1 and self.r.random() < .7:
            self.say(line.replace("$i", "0"))
            return
        self.say("repeat i %d", n)
        self.say(line)
        self.say("end")

    # ---- operations: each appends some lines ------------------------------------

    def alloc(self):
        r, g, size = self.r, self.region(), self.size()
        scan = r.random() < .5
        step = r.choice([0, 0, 0, 1, 8, 8, 16])
        if scan:
            size, step = -(-size // 8) * 8, step // 8 * 8
        text = "%d+$i%%%d*%d" % (size, r.choice([2, 5, 50, 100]), step) if step else "%d" % size
        n = self.take(g.n, size + 100 * step)
        mask = self.pointer_mask(size // 8) if scan else "none"
        self.loop(n, "alloc %s %s %s" % (self.place(g), text, "ptrs=" + mask if scan else "noscan"))
        # A tiny object need not lie at a word.
        g.filled(n, size // 8 if scan or size >= 16 else 0, mask)

    def alloc_type(self):
        r, g = self.r, self.region()
        array = r.random() < .6
        size = -(-self.size(r.choice([16, 64, 600]) if array else 1 << 20) // 8) * 8
        mask = self.pointer_mask(size // 8)
        name = "t%d" % (self.types % 9)                    # may be declared again
        self.types += 1
        self.say("type %s %d ptr=%s", name, size, mask)
        count = r.choice([1, 2, 3, 10, 63, 64, 65, 500, 5000]) if array else 1
        n = self.take(g.n, size * count)
        if not array:
            self.loop(n, "alloctype %s %s" % (self.place(g), name))
        elif r.random() < .3:
            self.loop(n, "allocarray %s %s $i%%%d+1" % (self.place(g), name, count))
        else:
            self.loop(n, "allocarray %s %s %d" % (self.place(g), name, count))
        g.filled(n, size // 8, mask)

    def mixed(self):
        """Several sizes in turn, in nested loops."""
        r = self.r
        gs = r.sample(self.regions, min(len(self.regions), r.randint(2, 3)))
        n = self.take(min(g.n for g in gs), 6000)
        self.say("repeat jj %d", r.randint(1, 3))
        self.say("repeat k %d-%d", n, r.randint(0, 1))
        for g in gs:
            size = self.size(2000)
            if r.random() < .5:
                self.say("alloc %d+$k %d noscan", g.base, size)
            else:
                self.say("alloc %d+$k %d ptrs=0", g.base, -(-size // 8) * 8)
            g.words, g.mask = min(g.words, size // 8 if size >= 16 else 0), "none"
        self.say("end")
        self.say("end")

    def random(self):
        r, g = self.r, self.region()
        kind = r.random()
        if kind < .7:
            a, b = (1, 15) if kind < .2 else (r.choice([1, 8, 16, 100, 500, 1000]), 0)
            b = b or a + r.choice([0, 8, 100, 1000, 3000])
            dist, top = "u:%d-%d" % (a, b), b
        elif kind < .85:
            a = r.randint(0, 8)
            b = a + r.randint(0, 8)
            dist, top = "log:%d-%d" % (a, b), 2 << b
        else:
            sizes = [self.size(r.choice([1000, 40000, 1 << 19])) for _ in range(r.randint(1, 6))]
            dist, top = "list:" + ",".join(map(str, sizes)), max(sizes)
        extra = ""
        if r.random() < .7:
            extra += " scan=%d" % r.choice([0, 10, 50, 100])
            if r.random() < .5:
                extra += " mask=%s" % r.choice(["0", "all", "0,2", "0-40/3", "none", "1"])
            if r.random() < .5:
                extra += " link=%d" % r.choice([10, 50, 100])
        n = self.take(r.choice([10, 300, 3000, 20000]), top)
        self.say("random %d %d sizes=%s base=%d live=%d%s", r.randrange(1 << 40), n, dist, g.base, g.n, extra)
        g.words, g.mask = 0, "none"

    def drop(self):
        r, g = self.r, self.region()
        g.full = False
        how = r.random()
        k = r.choice([2, 3, 10])
        if how < .3:
            self.say("randdrop %d %d %d %d", r.randrange(1 << 30), g.base, g.n, r.choice([0, 5, 50, 95, 100]))
        elif how < .6 or g.n < k:
            self.loop(g.n, "drop %d+$i" % g.base)
        else:
            self.loop(g.n // k, "drop %d+$i*%d+%d" % (g.base, k, r.randrange(k)))

    def store(self):
        r, g, h = self.r, self.region(), self.region()
        if not g.words:
            return
        if r.random() < .4:
            self.say("randlink %d %d %d %d %d", r.randrange(1 << 30), g.n * r.choice([1, 1, 5]), g.base, g.n,
                     r.randint(1, min(g.words, 20)))
        elif g.full:
            word = r.choice([0, 0, g.words - 1, r.randrange(g.words)])
            value = "%d+$i*%d%%%d" % (h.base, r.choice([1, 3, 7]), h.n) if r.random() < .8 else "nil"
            self.loop(g.n, "store %d+$i.%d %s" % (g.base, word, value))

    def load(self):
        full = [g for g in self.regions if g.full and g.mask in ("0", "all")]
        g, h = self.r.choice(full or [None]), self.region()
        if g and g is not h:
            self.loop(min(g.n, h.n), "load %d+$i %d+$i.0" % (h.base, g.base))
            h.words, h.mask, h.full = 0, "none", False

    def look(self):
        r, g = self.r, self.region()
        how = r.random()
        if how < .35:
            self.say("addr %s %d %d", self.label(), g.base, g.base + min(g.n, r.choice([3, 50, 300])))
        elif how < .5:
            self.say("addrhash %s 0 %d", self.label(), self.used)
        else:
            self.say("%s %s", "peek" if how < .6 else "stats", self.label())

    def collect(self):
        self.say("freeos" if self.r.random() < .15 else "gc")

    def gogc(self):
        if self.lane == "pacer":
            self.say("gogc %s", self.r.choice(["off", "1", "5", "20", "50", "100", "100", "200", "400", "1000"]))

    def onp(self):
        if self.lane == "multi":
            self.say("onp %d", self.r.randrange(self.procs))

    def text(self):
        ops = [self.alloc] * 5 + [self.alloc_type, self.mixed, self.gogc, self.collect, self.load] * 2
        ops += [self.random, self.drop, self.store, self.look] * 3 + [self.onp] * 6
        if self.lane == "pacer":
            self.say("gogc %s", self.r.choice(["50", "100", "100", "200"]))
        for _ in range(self.r.choice([5, 15, 40, 80])):
            if self.objects > 0 and self.bytes > 0:
                self.r.choice(ops)()
        self.say("stats end")
        head = ["goheap-script 1", "title " + self.name, "lane " + self.lane, "slots %d" % self.slots,
                "procs %d" % self.procs, "gcmode " + self.gcmode]
        return "\n".join(head + self.lines) + "\n"


def run_go(oracle, path):
    env = {k: v for k, v in os.environ.items() if k not in ("GOGC", "GOMEMLIMIT")}
    env.update(GOMAXPROCS="1", GODEBUG="cpu.avx512bw=off")  # as run_suite.py
    for _ in range(5):
        r = subprocess.run([oracle, "-o", "-", path], env=env, timeout=120, capture_output=True, text=True)
        if r.returncode != 3:                              # 3: start state not reached
            break
    if r.returncode:
        raise RuntimeError("oracle: exit %d %s" % (r.returncode, r.stderr[:300]))
    return json.loads(r.stdout)


def differences(runs, ours, level, strict):
    """What compare.py finds between Go's runs and ours, and the figures looked at."""
    go = run_suite.merge(runs)
    c = compare.Compare(level, strict)
    c.walk("", go, ours, go["lane"])
    # A hash that Go itself does not repeat says nothing.
    diffs = [d for d in c.diffs if not str(d[2]).startswith("one of")]
    if go["lane"] == "multi":
        # An object of the runtime's own may open a span: its free slots are no
        # difference, though more than compare.py's tolerance.
        diffs = [d for d in diffs if not (d[0].endswith("/3") and "/spans/" in d[0])]
    return diffs, sum(c.checked.values())


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--count", type=int, default=50)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--lane", choices=["exact", "pacer", "multi"])
    ap.add_argument("--gcmode", choices=["stw", "stw-mark"], default="stw",
                    help="stw-mark: swept when needed; Go's background sweeper has a hand in it")
    ap.add_argument("--level", choices=["core", "layout"], help="default: layout for exact, else core")
    ap.add_argument("--strict", action="store_true", help="no tolerances")
    ap.add_argument("--keep", default="fuzz-differences", metavar="DIR")
    a = ap.parse_args()
    if not shutil.which("go"):
        print("skipped: no go")
        return 0
    bad = checked = again = 0
    with tempfile.TemporaryDirectory() as tmp:
        oracle = os.path.join(tmp, "oracle")
        subprocess.run(["sh", os.path.join(HERE, "build.sh"), oracle], check=True)
        for seed in range(a.seed, a.seed + a.count):
            g = Generator(seed, a.lane, a.gcmode)
            text = g.text()
            path = os.path.join(tmp, g.name + ".txt")
            with open(path, "w") as f:
                f.write(text)
            level = a.level or ("layout" if g.lane == "exact" else "core")
            ours = Script(text, title=g.name).run().data
            runs = [run_go(oracle, path)]
            diffs, n = differences(runs, ours, level, a.strict)
            while diffs and len(runs) < 8:                 # does Go repeat itself?
                runs.append(run_go(oracle, path))
                diffs, n = differences(runs, ours, level, a.strict)
            checked += n
            again += len(runs) > 1
            if diffs:
                bad += 1
                print("%s: %d differences" % (g.name, len(diffs)))
                for p, what, want, got in diffs[:4]:
                    print("  %-7s %s: want %s, got %s" % (what, p, want, got), flush=True)
                os.makedirs(a.keep, exist_ok=True)
                shutil.copy(path, a.keep)
                for kind, data in (("go", run_suite.merge(runs)), ("ours", ours)):
                    with open(os.path.join(a.keep, "%s.%s.json" % (g.name, kind)), "w") as f:
                        json.dump(data, f)
    print("%d scripts, %d figures, Go asked again for %d, %d differ" % (a.count, checked, again, bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
