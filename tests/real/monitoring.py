"""Starts Prometheus and Alertmanager as Debian packages them, each in a directory of its own."""

import subprocess

import requests

from conftest import ENVIRONMENT, TIMEOUT, Running, free_port, wait_for

# The budgets of the demo that are used up: one on every day, the other late in a month.
ALWAYS_SPENT = ("campaign", "30d")
SPENT = {ALWAYS_SPENT, ("campaign", "this_month")}


class Server(Running):
    """A running server whose port is set by a flag."""

    def __init__(self, directory, program, port, *arguments):
        directory.mkdir(exist_ok=True)
        super().__init__(directory, program, f"--web.listen-address=127.0.0.1:{port}", *arguments)
        self.url = f"http://127.0.0.1:{port}"

    def get_json(self, path, **parameters):
        """The answer; `None` if there is none, or if it is an error or not JSON."""
        self.assert_running()
        try:
            answer = requests.get(f"{self.url}{path}", params=parameters)
            return answer.json() if answer.status_code == 200 else None
        except (requests.ConnectionError, requests.JSONDecodeError):
            return None

    def wait_to_find(self, query, timeout=TIMEOUT):
        """Waits until a query of Prometheus finds series."""

        def found():
            answer = self.get_json("/api/v1/query", query=query)
            return answer and answer["data"]["result"]

        wait_for(found, query, timeout)


def start_prometheus(directory, config, *flags):
    data = f"--storage.tsdb.path={directory / 'data'}"
    return Server(directory, "prometheus", free_port(), f"--config.file={config}", data, *flags)


def start_alertmanager(directory, config, port):
    """The port is an argument, because the configuration of Prometheus contains it."""
    arguments = [f"--config.file={config}", f"--storage.path={directory / 'data'}", "--cluster.listen-address="]
    return Server(directory, "prometheus-alertmanager", port, *arguments)


def promtool(*arguments):
    checked = subprocess.run(["promtool", *arguments], env=ENVIRONMENT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
