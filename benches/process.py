#!/usr/bin/env python3
"""Measures the process: memory by number of series and under many scrapers, the time to the first complete scrape, and
polling and reloading many projects. Prints Markdown. All connections are on 127.0.0.1.

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

from scrape import BINARY, Exporter, fetch, free_port, load, series_of, simulated_cloud, spread

# The certificates of Debian's package ca-certificates, as the CA file of the exporter.
CA_FILE = Path("/etc/ssl/certs/ca-certificates.crt")


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def first_scrapes(rounds):
    """Milliseconds from the start of a demo to its first complete scrape."""
    times = []
    for _ in range(rounds):
        address = f"127.0.0.1:{free_port()}"
        command = [BINARY, "demo", "--all-green", f"--web.listen-address={address}"]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    """Resident KiB of a process with ten projects, after the polls and one scrape; one figure for each round."""
    sizes = []
    for _ in range(rounds):
        exporter = Exporter(directory, cloud, 10)
        fetch(exporter.url, "gzip")
        sizes.append(resident_kib(exporter.process.pid))
        exporter.stop()
    return sizes


def memory(directory, cloud, projects):
    """The number of series; resident KiB at six times, as `print_memory` says."""
    exporter = Exporter(directory, cloud, projects, ca_file=CA_FILE)
    pid = exporter.process.pid
    polled = resident_kib(pid)
    fetch(exporter.url, "gzip")
    compressed = resident_kib(pid)
    series = series_of(fetch(exporter.url, "identity"))
    both = resident_kib(pid)
    load(exporter, "gzip", 32, 5)
    first = resident_kib(pid)
    load(exporter, "gzip", 32, 10)
    second = resident_kib(pid)
    for _ in range(5):
        reload_seconds(exporter)
    reloaded = resident_kib(pid)
    exporter.stop()
    return series, polled, compressed, both, first, second, reloaded


def samples(text, name):
    return [float(value) for value in re.findall(rf"^{name}{{[^}}]*}} (\S+)$", text.decode(), re.M)]


def print_scale(directory, cloud, projects, minutes):
    """Many projects in one process, polled every minute, for this many minutes."""
    allowed = projects / 50
    exporter = Exporter(directory, cloud, projects, interval="1m", windows="today", rate=allowed, ca_file=CA_FILE)
    # All projects are polled at the start. After one and a half intervals, their polls are spread over the interval.
    time.sleep(90)
    rate, ages, costs, failures = watch(exporter, minutes)
    reloaded = reload_seconds(exporter)
    size = resident_kib(exporter.process.pid)
    exporter.stop()
    print(f"### {projects:,} projects in one process, polled every minute\n")
    print(f"Each project has one window. The run takes {minutes} min. The simulated cloud and the scrapes run on the")
    print("same machine.\n")
    print("| what | figure |\n|---|---:|")
    first = f"time until all projects are polled once, s; at {allowed:,.0f} requests a second, this takes 50 s or more"
    print(f"| {first} | {exporter.seconds_to_ready:.1f} |")
    print(f"| polls a second; the interval needs {projects / 60:,.1f} | {rate:,.1f} |")
    print(f"| age of the oldest usage in {len(costs)} scrapes, s | {max(ages):.0f} |")
    print(f"| failed polls | {failures:.0f} |")
    print(f"| scrape without compression, ms, median (largest) | {statistics.median(costs):.0f} ({max(costs):.0f}) |")
    print(f"| reload without changes, s | {reloaded:.2f} |")
    print(f"| memory, MiB | {size / 1024:.1f} |")


def watch(exporter, minutes):
    """Returns the polls per second, the ages of all usage at each scrape, the milliseconds of each scrape, and the
    number of failed polls.
    """
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
    return (sum(after) - sum(before)) / elapsed, ages, costs, failures


def reload_seconds(exporter):
    """Reloads without changes. Returns the duration, from the log."""

    def reloads():
        return re.findall(r'msg="configuration reloaded".* duration=(\S+)', exporter.log.read_text())

    before = len(reloads())
    exporter.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.2)
        durations = reloads()
        if len(durations) > before:
            return float(durations[-1])
    raise SystemExit("no reload within 60 s")


def print_process(times):
    print("### The process\n")
    print("Medians of 9 (smallest–largest).\n")
    print("| what | figure |\n|---|---:|")
    print(f"| program, MiB | {Path(BINARY).stat().st_size / 1048576:.2f} |")
    print(f"| time from the start of the demo to its first complete scrape, ms | {spread(times, 0)} |")


def print_memory(directory, cloud, counts):
    sizes = [size / 1024 for size in idle(directory, cloud, 9)]
    print(f"| memory with 10 projects, MiB (RSS) | {spread(sizes, 2)} |\n")
    print("Memory in KiB (RSS): after the polls, after a scrape with gzip, after another scrape without compression,")
    print("after 5 and 15 s of 32 scrapers, and after 5 reloads. A reload has the old and the new configuration in memory.")
    print('Bytes a series: growth of the column "both" since the first row, for each additional series. `api.ca_file` is')
    print(f"a bundle of {CA_FILE.stat().st_size / 1000:.0f} kB.\n")
    print("| projects | series | polled | gzip | both | 32 scrapers, 5 s | 15 s | 5 reloads | bytes a series |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    first = None
    for projects in counts:
        series, polled, compressed, both, busy, busier, reloaded = memory(directory, cloud, projects)
        first = first or (series, both)
        each = f"{(both - first[1]) * 1024 / (series - first[0]):.0f}" if series > first[0] else ""
        figures = [projects, series, polled, compressed, both, busy, busier, reloaded]
        print("|", " | ".join(f"{figure:,}" for figure in figures), f"| {each} |", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--projects", default="10,300,3000,10000")
    parser.add_argument("--scale", type=int, default=10_000)
    parser.add_argument("--minutes", type=int, default=3)
    flags = parser.parse_args()
    print_process(first_scrapes(9))
    with tempfile.TemporaryDirectory() as path:
        directory = Path(path)
        with simulated_cloud(directory) as cloud:
            print_memory(directory, cloud, map(int, flags.projects.split(",")))
            if flags.scale:
                print_scale(directory, cloud, flags.scale, flags.minutes)


if __name__ == "__main__":
    main()
