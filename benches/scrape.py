#!/usr/bin/env python3
"""Compares the cost of a scrape with nginx, which serves the same bytes from a file.

    cargo build --release
    benches/scrape.py [--rounds 9] [--seconds 2] [--series 160,16000,160000]

Needs nginx and wrk (Debian: nginx-light, wrk). Both servers run at the same time, and take turns under load. A figure
is the median of the rounds, with the smallest and the largest. CPU is user and system time of the server's processes,
for each request that wrk counts. Prints Markdown. All connections are on 127.0.0.1.
"""

import argparse
import gzip
import itertools
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
BINARY = os.environ.get("METASTUDIO_EXPORTER", ROOT / "target/release/metastudio-exporter")
KEYS = "access_key: SIMULATEDACCESSKEY01, secret_key: simulated/Secret+Key000000000000000000001"
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
TICKS = os.sysconf("SC_CLK_TCK")
# nginx serves a body of megabytes faster without sendfile.
NGINX = """
daemon off; worker_processes auto; pid nginx.pid; error_log stderr error;
events {{ worker_connections 256; }}
http {{
    access_log off; keepalive_requests 1000000000; tcp_nopush off; gzip_static on; sendfile {sendfile};
    client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
    server {{ listen 127.0.0.1:{port}; root {root}; default_type "text/plain; version=0.0.4; charset=utf-8"; }}
}}
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def started(command, pattern, directory):
    """Waits for a pattern in the output. Returns the program, the first group of the match, and the file."""
    output = directory / f"{Path(command[0]).name}-{free_port()}.log"
    environment = {"PATH": os.environ["PATH"]}
    process = subprocess.Popen(command, stdout=open(output, "w"), stderr=subprocess.STDOUT, env=environment)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = re.search(pattern, output.read_text())
        if found:
            return process, found.group(1), output
        time.sleep(0.05)
    raise SystemExit(f"{command}: {output.read_text()}")


@contextmanager
def simulated_cloud(directory):
    """The address of a simulated cloud."""
    command = [BINARY, "simulate", "--web.listen-address=127.0.0.1:0"]
    process, address, _ = started(command, r"is at (http://\S+)", directory)
    try:
        yield address
    finally:
        process.terminate()


def fetch(url, encoding):
    request = urllib.request.Request(url, headers={"Accept": ACCEPT, "Accept-Encoding": encoding})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def series_of(text):
    return sum(not line.startswith(b"#") for line in text.splitlines())


class Exporter:
    """An exporter that has polled this many projects. With the default interval it does not poll again."""

    WINDOWS = "today, yesterday, this_month"

    def __init__(self, directory, cloud, projects, interval="24h", windows=WINDOWS, rate=1000, ca_file="null"):
        config = directory / f"config-{projects}.yaml"
        lines = [
            f"poll: {{interval: {interval}, concurrency: 32}}",
            f"api: {{requests_per_second: {rate}, ca_file: {ca_file}}}",
            f"windows: [{windows}]",
            f"credentials: {{main: {{{KEYS}}}}}",
            "projects:",
        ]
        for n in range(projects):
            project_id = f"5f0d1e2c3b4a59687786a5b4c3d2e10{n % 3 + 1}"
            lines.append(f"  - {{name: project-{n:05}, region: cn-north-4, endpoint: '{cloud}',")
            lines.append(f"     project_id: {project_id}}}")
        config.write_text("\n".join(lines) + "\n")
        command = [BINARY, f"--config.file={config}", "--web.listen-address=127.0.0.1:0"]
        start = time.monotonic()
        self.process, address, self.log = started(command, r"address=(127\.0\.0\.1:\d+)", directory)
        self.url = f"http://{address}/metrics"
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/-/ready")
                break
            except urllib.error.HTTPError:
                time.sleep(0.1)
        self.seconds_to_ready = time.monotonic() - start

    def pids(self):
        return [self.process.pid]

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Nginx:
    """nginx with the response body of the exporter, as it is and compressed."""

    def __init__(self, directory, text, compressed):
        root = directory / f"www-{len(text)}"
        root.mkdir()
        (root / "metrics").write_bytes(text)
        (root / "metrics.gz").write_bytes(compressed)
        port = free_port()
        config = root / "nginx.conf"
        config.write_text(NGINX.format(port=port, root=root, sendfile="off" if len(text) > 1 << 20 else "on"))
        self.process = subprocess.Popen(["nginx", "-p", f"{root}/", "-c", config], stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}/metrics"
        for _ in range(100):
            try:
                fetch(self.url, "identity")
                break
            except OSError:
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def pids(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]


def cpu_seconds(pids):
    fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split() for pid in pids]
    return sum(int(field[11]) + int(field[12]) for field in fields) / TICKS


def load(server, encoding, connections, seconds):
    """Returns the requests per second, and the microseconds of CPU for each request."""
    before = cpu_seconds(server.pids())
    command = ["wrk", "-t1", "--timeout=30s", f"-c{connections}", f"-d{seconds}s", "-H", f"Accept: {ACCEPT}"]
    output = subprocess.run(
        [*command, "-H", f"Accept-Encoding: {encoding}", server.url], capture_output=True, text=True, check=True
    ).stdout
    used = cpu_seconds(server.pids()) - before
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    assert "Non-2xx" not in output and "Socket errors" not in output, output
    return float(re.search(r"Requests/sec: +([\d.]+)", output).group(1)), used / requests * 1e6


def spread(values, digits):
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def compare(exporter, nginx, encoding, connections, flags):
    """The exporter's and nginx's requests a second, and their microseconds of CPU, of each round."""
    rounds = [
        [load(server, encoding, connections, flags.seconds) for server in (exporter, nginx)]
        for _ in range(flags.rounds)
    ]
    return [[[one[server][figure] for one in rounds] for server in (0, 1)] for figure in (0, 1)]


def print_rows(directory, cloud, projects, flags):
    """The rows of the table for a number of projects, one for each encoding and number of connections."""
    exporter = Exporter(directory, cloud, projects)
    nginx = None
    try:
        bodies = {encoding: fetch(exporter.url, encoding) for encoding in ("gzip", "identity")}
        text = bodies["identity"]
        assert gzip.decompress(bodies["gzip"]).splitlines()[-1] == text.splitlines()[-1]
        nginx = Nginx(directory, text, bodies["gzip"])
        for encoding, connections in itertools.product(bodies, [1, 32]):
            figures = [f"{series_of(text):,}", encoding, f"{len(bodies[encoding]):,}", str(connections)]
            for ours, theirs in compare(exporter, nginx, encoding, connections, flags):
                ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
                figures += [spread(ours, 0), spread(theirs, 0), spread(ratios, 2)]
            print("|", " | ".join(figures), "|", flush=True)
    finally:
        for server in filter(None, (nginx, exporter)):
            server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--series", default="160,16000,160000")
    flags = parser.parse_args()
    print(
        f"Median (smallest–largest) of {flags.rounds} rounds of {flags.seconds} s. CPU is the processor time of the"
        " server per request."
    )
    print("The load generator runs on the same machine.\n")
    columns = ["series", "encoding", "bytes", "connections", "exporter, req/s", "nginx, req/s", "ratio"]
    columns += ["exporter, CPU µs", "nginx, CPU µs", "ratio"]
    print("|", " | ".join(columns), "|")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as path:
        directory = Path(path)
        # nginx's workers may run as another user.
        directory.chmod(0o755)
        with simulated_cloud(directory) as cloud:
            for wanted in map(int, flags.series.split(",")):
                # A project of the simulated cloud has 53 series on average, with three windows.
                print_rows(directory, cloud, max(1, round(wanted / 53)), flags)


if __name__ == "__main__":
    main()
