"""The report in a real browser. Needs plotly, and for most of it selenium and Chromium;
`make check-tools` has them."""
from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys

import pytest

import goheap as gh
from goheap import report

pytest.importorskip("plotly", reason="needs plotly, which make check-tools installs")

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TRACE = os.path.join(ROOT, "goheap/data/compile-json.gogc20.ghtrace")
EVIL = "</script><img src=x onerror=\"document.title='owned'\"><b>bold</b>"
FLAGS = ("--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
         "--disable-background-networking --disable-component-update --disable-sync "
         "--window-size=1000,1400").split()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if not driver or not chromium:
        pytest.skip("needs chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    d = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield d
    d.quit()


@pytest.fixture(scope="module")
def replay():
    return gh.replay(TRACE, gogc=100, memory_limit="48MiB", mode="virtual", series="even")


@pytest.fixture(scope="module")
def page(replay, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "page.html"
    report.write(replay, path)
    return path


def experiment():
    """A heap with a few cycles."""
    heap = gh.Heap(mode="virtual", procs=2)
    Node = gh.words("Node", 48, ptrs=[0])
    kept = [heap.new(Node) for _ in range(1000)]
    for _ in range(60000):
        heap.alloc(200)
    return heap, kept


def test_one_page_that_loads_nothing(page):
    text = page.read_text(encoding="utf-8")
    assert os.path.getsize(page) < 6 << 20
    plotly = text[text.index("<script>"):text.index("</script>")]
    ours = text.replace(plotly, "")
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", ours)
    assert "default-src 'none'" in ours and "http://" not in ours and "https://" not in ours


def test_it_says_what_was_asked_found_and_how_to_repeat(page, replay):
    text = page.read_text(encoding="utf-8")
    for words in ("48 MiB", f"{replay.automatic_gc} automatic", "GOGC", gh.GO_VERSION, "seed",
                  f"goheap replay {TRACE}", f"--memory-limit {48 << 20}"):
        assert words in text, words


def test_the_command_repeats_it(page, replay):
    text = page.read_text(encoding="utf-8")
    command = re.search(r"<pre>goheap (.*?)</pre>", text).group(1).split()
    out = subprocess.run([sys.executable, "-m", "goheap", *command, "--json"], check=True,
                         capture_output=True, text=True).stdout
    again = json.loads(out)
    assert (again["automatic_gc"], again["peak_heap_bytes"]) == (
        replay.automatic_gc, replay.peak_heap_bytes)


def drawn(d):
    """For each chart the number of marks on the page that are seen."""
    return d.execute_script("""
        return [...document.querySelectorAll('.chart')].map(c => [...c.querySelectorAll(
            '.scatterlayer path.js-line, .scatterlayer path.js-fill, .bars path')].filter(
            p => p.getAttribute('d') && p.getBoundingClientRect().width > 20).length)""")


def test_in_a_browser(browser, page):
    browser.get(page.as_uri())
    assert [e for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []
    assert all(n > 0 for n in drawn(browser)) and len(drawn(browser)) == 3


def test_a_control_changes_its_chart(browser, page):
    from selenium.webdriver.support.ui import Select
    browser.get(page.as_uri())
    title = "return document.querySelector('#chart1 .ytitle').textContent"
    path = "return document.querySelector('#chart1 path.js-line').getAttribute('d')"
    before = browser.execute_script(title), browser.execute_script(path)
    select = Select(browser.find_element("id", "chart1-choice"))
    select.select_by_visible_text("live heap")
    after = browser.execute_script(title), browser.execute_script(path)
    assert before[0] == "µs" and after[0] == "MiB" and before[1] != after[1]


def test_by_keyboard(browser, page):
    from selenium.webdriver.common.keys import Keys
    browser.get(page.as_uri())
    seen = set()
    for _ in range(40):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        seen.add(browser.execute_script("return document.activeElement.tagName"))
    assert {"SELECT", "SUMMARY"} <= seen
    summary = browser.find_element("css selector", "figure summary")
    summary.send_keys(Keys.ENTER)
    assert summary.find_element("xpath", "..").get_attribute("open") is not None


@pytest.mark.parametrize("width", [360, 768])
def test_on_a_phone(browser, page, width):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": 740, "deviceScaleFactor": 2, "mobile": True})
    try:
        browser.get(page.as_uri())
        wide, small = browser.execute_script("""
            const sizes = [...document.querySelectorAll('p,td,th,li,figcaption,summary,select')]
                .filter(e => e.textContent.trim()).map(e => parseFloat(
                    getComputedStyle(e).fontSize));
            return [document.documentElement.scrollWidth, Math.min(...sizes)]""")
        assert wide <= width and small >= 14
        chart = browser.find_element("id", "chart0")
        assert chart.size["width"] <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def luminance(color):
    r, g, b = (int(x) / 255 for x in re.findall(r"\d+", color)[:3])
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (r, g, b))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_contrast_and_alternatives(browser, page):
    browser.get(page.as_uri())
    colors = browser.execute_script("""
        return [...document.querySelectorAll('h1,h2,h3,p,td,th,figcaption,summary')].map(
            e => getComputedStyle(e).color)""")
    for color in set(colors):  # on white, or on the light grey of every second row
        assert (luminance("rgb(243,243,243)") + 0.05) / (luminance(color) + 0.05) >= 4.5, color
    for figure in browser.find_elements("css selector", "figure"):
        words = figure.find_element("css selector", "figcaption").text
        assert len(words) > 20 and figure.get_attribute("aria-labelledby")
        assert figure.find_elements("css selector", "details table tbody tr")
        assert figure.find_element("css selector", ".chart").get_attribute("aria-label")


def test_printed(browser, page):
    browser.get(page.as_uri())
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.find_element("css selector", "label.choice").is_displayed() is False
        pdf = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
        assert len(pdf["data"]) > 20000
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_hostile_name_does_no_harm(browser, tmp_path, monkeypatch):
    # Types of one's own are identifiers; those of a recording may be anything.
    census = gh.Snapshot.census
    monkeypatch.setattr(gh.Snapshot, "census", lambda self: [
        row._replace(key=EVIL) for row in census(self)])
    heap, kept = experiment()
    path = tmp_path / "heap.html"
    with heap:
        report.write(heap, path, title=EVIL)
    assert len(kept) == 1000
    browser.get(path.as_uri())
    assert browser.title == EVIL  # as text
    assert browser.find_elements("css selector", "img, main b") == []
    assert EVIL in browser.find_element("tag name", "main").text
    assert [e for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []
    assert all(n > 0 for n in drawn(browser))


def test_a_hostile_type_name_from_a_trace(browser, tmp_path):
    """The recording with every type named as an attack; its path is shown, too."""
    with open(TRACE, "rb") as f:
        raw = f.read()
    n = struct.unpack_from("<I", raw, 8)[0]
    header = json.loads(raw[12:12 + n])
    for kind in header["types"]:
        kind["name"] = EVIL
    new = json.dumps(header).encode()
    path = tmp_path / "a<img src=x onerror=alert(1)>.ghtrace"
    path.write_bytes(raw[:8] + struct.pack("<I", len(new)) + new + raw[12 + n:])
    page = tmp_path / "page.html"
    out = subprocess.run([sys.executable, "-m", "goheap", "report", str(path), "-o", str(page),
                          "--json"], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == {"page": str(page), "bytes": page.stat().st_size}
    browser.get(page.as_uri())
    assert browser.title == "goheap: Replay"
    assert browser.find_elements("css selector", "img, main b") == []
    words = browser.find_element("tag name", "main").text
    assert EVIL in words and "onerror=alert(1)" in words
    assert [e for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []
    assert all(n > 0 for n in drawn(browser))


def test_what_if(browser, tmp_path):
    """The same from the command line: map, front, calibration, advice."""
    from selenium.webdriver.support.ui import Select
    page = tmp_path / "what-if.html"
    subprocess.run([sys.executable, "-m", "goheap", "report", TRACE, "-o", str(page), "--what-if",
                    "--gogc", "100,400", "--memory-limit", "off,40MiB", "--seeds", "1",
                    "--max-rss", "120MiB"], capture_output=True, text=True, check=True)
    browser.get(page.as_uri())
    assert [e for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []
    words = browser.find_element("tag name", "main").text
    assert "How far to trust it" in words and "cycles recorded 32" in words
    assert browser.find_element("tag name", "blockquote").text.startswith("Set GOGC=")
    assert "--gogc 100,400 --memory-limit off,41943040 --seeds 1" in words
    text = "return document.querySelector('#chart0 .heatmaplayer, #chart0').textContent"
    before = browser.execute_script(text)
    Select(browser.find_element("id", "chart0-choice")).select_by_visible_text("collections")
    assert browser.execute_script(text) != before
    points = browser.execute_script(
        "return document.querySelectorAll('#chart1 .scatterlayer .points path').length")
    assert points == 4 + 1  # the settings, and the ring


def test_refusals(tmp_path):
    for more in (["--gogc", "50,100"], ["--max-rss", "1GiB"]):
        out = subprocess.run([sys.executable, "-m", "goheap", "report", TRACE, *more,
                              "-o", str(tmp_path / "x.html")], capture_output=True, text=True)
        assert out.returncode == 1 and "--what-if" in out.stderr
    with pytest.raises(TypeError, match="advice is an Advice of the WhatIf"):
        report.html(gh.Heap(), advice=3)
    with pytest.raises(TypeError, match="a Replay, a WhatIf or a Heap is needed, not 'int'"):
        report.write(3, tmp_path / "x.html")
    out = subprocess.run([sys.executable, "-m", "goheap", "report", str(tmp_path / "no.ghtrace")],
                         capture_output=True, text=True)
    assert out.returncode == 1 and out.stderr.startswith("goheap report: ")
    assert out.stderr.count("\n") == 1 and not os.path.exists("goheap-report.html")


def test_many_cycles_stay_small(tmp_path):
    with gh.Heap() as heap:
        for _ in range(3000):
            heap.collect()
        report.write(heap, tmp_path / "x.html")
    assert (tmp_path / "x.html").stat().st_size < 6 << 20
