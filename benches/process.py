#!/usr/bin/env python3
"""What the process takes: memory for so many series, and under many scrapers; the time to the first complete scrape; a
reload, and polling, of many projects. Prints Markdown. Everything stays on 127.0.0.1.

    cargo build --release
    benches/process.py [--projects 10,300,3000,10000] [--scale 10000] [--minutes 3]
"""

import argparse
import re
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from scrape import BINARY, Exporter, fetch, free_port, load, spread, started


def kilobytes(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def series_of(text):
    return sum(not line.startswith(b"#") for line in text.splitlines())


def first_scrapes(rounds):
    """Milliseconds from the start of a demo to its first complete scrape."""
    times = []
    for _ in range(rounds):
        address = f"127.0.0.1:{free_port()}"
        start = time.perf_counter()
        process = subprocess.Popen([BINARY, "demo", f"--web.listen-address={address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/-/ready").close()
                fetch(f"http://{address}/metrics", "gzip")
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.001)
        times.append((time.perf_counter() - start) * 1e3)
        process.terminate()
        process.wait()
    return times


def idle(directory, cloud, rounds):
    """KiB that are resident with ten projects, after their polls and a scrape, in so many processes."""
    sizes = []
    for _ in range(rounds):
        exporter = Exporter(directory, cloud, 10)
        fetch(exporter.url, "gzip")
        sizes.append(kilobytes(exporter.process.pid))
        exporter.stop()
    return sizes


def memory(directory, cloud, projects):
    exporter = Exporter(directory, cloud, projects)
    pid = exporter.process.pid
    polled = kilobytes(pid)
    fetch(exporter.url, "gzip")
    compressed = kilobytes(pid)
    series = series_of(fetch(exporter.url, "identity"))
    both = kilobytes(pid)
    load(exporter, "gzip", 32, 5)
    first = kilobytes(pid)
    load(exporter, "gzip", 32, 10)
    second = kilobytes(pid)
    exporter.stop()
    return series, polled, compressed, both, first, second


def samples(text, name):
    return [float(value) for value in re.findall(rf"^{name}{{[^}}]*}} (\S+)$", text.decode(), re.M)]


def scale(directory, cloud, projects, minutes):
    """Many projects in one process, polled every minute, for so many minutes."""
    allowed = projects / 50
    exporter = Exporter(directory, cloud, projects, interval="1m", windows="today", rate=allowed)
    # At the start all are polled at once; within one and a half intervals, each has its own place.
    time.sleep(90)
    before, start = samples(fetch(exporter.url, "identity"), "metastudio_polls_total"), time.monotonic()
    ages, costs = [], []
    while time.monotonic() < start + minutes * 60:
        time.sleep(15)
        begin = time.perf_counter()
        text = fetch(exporter.url, "identity")
        costs.append((time.perf_counter() - begin) * 1e3)
        now = time.time()
        ages += [now - at for at in samples(text, "metastudio_poll_last_success_timestamp_seconds")]
    elapsed = time.monotonic() - start
    after = samples(fetch(exporter.url, "identity"), "metastudio_polls_total")
    failures = sum(samples(text, "metastudio_poll_failures_total"))
    rate = (sum(after) - sum(before)) / elapsed
    exporter.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 60
    reloaded = None
    while reloaded is None and time.monotonic() < deadline:
        time.sleep(0.2)
        reloaded = re.search(r'message="configuration reloaded".* duration=(\S+)', exporter.log.read_text())
    size = kilobytes(exporter.process.pid)
    exporter.stop()
    print(f"### {projects:,} projects in one process, polled every minute\n")
    print(f"Each project has one window. The run takes {minutes} min. The simulated cloud and the scrapes run on the same machine.\n")
    print("| what | figure |\n|---|---:|")
    print(f"| time until all projects are polled once, s; {allowed:,.0f} requests a second allow 50 | {exporter.seconds_to_ready:.1f} |")
    print(f"| polls a second; the interval needs {projects / 60:,.1f} | {rate:,.1f} |")
    print(f"| age of the oldest usage in {len(costs)} scrapes, s | {max(ages):.0f} |")
    print(f"| failed polls | {failures:.0f} |")
    print(f"| scrape without compression, ms, median (largest) | {statistics.median(costs):.0f} ({max(costs):.0f}) |")
    print(f"| reload without changes, s | {float(reloaded.group(1)):.2f} |")
    print(f"| memory, MiB | {size / 1024:.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--projects", default="10,300,3000,10000")
    parser.add_argument("--scale", type=int, default=10_000)
    parser.add_argument("--minutes", type=int, default=3)
    flags = parser.parse_args()
    size = Path(BINARY).stat().st_size
    times = first_scrapes(9)
    print("### The process\n")
    print("Medians of 9 (smallest–largest).\n")
    print("| what | figure |\n|---|---:|")
    print(f"| program, MiB | {size / 1048576:.2f} |")
    print(f"| time from the start of the demo to its first complete scrape, ms | {spread(times, 0)} |")
    with tempfile.TemporaryDirectory() as path:
        directory = Path(path)
        command = [BINARY, "simulate", "--web.listen-address=127.0.0.1:0"]
        simulator, cloud, _ = started(command, r"is at (http://\S+)", directory)
        try:
            print(f"| memory with 10 projects, MiB (RSS) | {spread([size / 1024 for size in idle(directory, cloud, 9)], 2)} |\n")
            print("Memory in KiB (RSS): after the polls, after a scrape with gzip, after another scrape without compression, and after 5 and")
            print('15 s of 32 scrapers. Bytes a series: growth of the column "both" since the first row, for each additional series.\n')
            print("| projects | series | polled | gzip | both | 32 scrapers, 5 s | 15 s | bytes a series |")
            print("|---:|---:|---:|---:|---:|---:|---:|---:|")
            first = None
            for projects in map(int, flags.projects.split(",")):
                series, polled, compressed, both, busy, busier = memory(directory, cloud, projects)
                first = first or (series, both)
                each = f"{(both - first[1]) * 1024 / (series - first[0]):.0f}" if series > first[0] else ""
                print(
                    f"| {projects:,} | {series:,} | {polled:,} | {compressed:,} | {both:,} | {busy:,} | {busier:,} | {each} |",
                    flush=True,
                )
            print()
            if flags.scale:
                scale(directory, cloud, flags.scale, flags.minutes)
        finally:
            simulator.terminate()


if __name__ == "__main__":
    main()
