"""Runs the exporter beside real programs. The binary is $METASTUDIO_EXPORTER."""

import os
import re
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest
import requests

from cloud_proxy import CloudProxy

BINARY = os.environ["METASTUDIO_EXPORTER"]
# Seconds that a test waits for a program.
TIMEOUT = 60
# The programs get no other variables of this process, in particular no proxy.
ENVIRONMENT = {"PATH": os.environ["PATH"], "TZ": "UTC"}
ACCESS_KEY = "SIMULATEDACCESSKEY01"
SECRET_KEY = "simulated/Secret+Key000000000000000000001"
# A port of the system's choice.
LISTEN = "--web.listen-address=127.0.0.1:0"


class Running:
    """A running program, and its standard output and standard error."""

    def __init__(self, directory, *command):
        self.path = directory / "output.txt"
        self.output = open(self.path, "w")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT, env=ENVIRONMENT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def text(self):
        return self.path.read_text()

    def assert_running(self):
        assert self.process.poll() is None, self.text()

    def find(self, pattern):
        """Waits for a pattern in the output. Returns its first group."""

        def search():
            self.assert_running()
            return re.search(pattern, self.text())

        return wait_for(search, f"{pattern} in the output").group(1)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.output.close()


def wait_for(condition, what, timeout=TIMEOUT):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"timed out after {timeout} s waiting for {what}")


def wait_until_ready(address):
    """Waits until an exporter has tried to poll every project once."""
    wait_for(lambda: requests.get(f"{address}/-/ready").status_code == 200, f"{address} to be ready")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def simulated_cloud(directory, *faults):
    """The address of a simulated cloud with these faults."""
    with Running(directory, BINARY, "simulate", LISTEN, *faults) as running:
        yield running.find(r"is at (http://[0-9.:]+)")


@pytest.fixture(scope="session")
def simulator(tmp_path_factory):
    """The address of a simulated cloud without faults."""
    with simulated_cloud(tmp_path_factory.mktemp("simulator")) as address:
        yield address


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The address of a demo that has polled all its projects, and the address of its cloud. The polls of one project fail."""
    with Running(tmp_path_factory.mktemp("demo"), BINARY, "demo", LISTEN) as running:
        exporter = running.find(r"status page +(http://[0-9.:]+)/")
        cloud = running.find(r"simulated cloud \(at (http://[0-9.:]+)\)")
        wait_until_ready(exporter)
        yield exporter, cloud


@pytest.fixture(scope="session")
def cloud_proxy(simulator, tmp_path_factory):
    """A proxy that leads every host of the cloud to the simulated cloud."""
    return CloudProxy(simulator, tmp_path_factory.mktemp("cloud_proxy"))


@pytest.fixture(scope="session")
def chart():
    """The loaded Helm chart."""
    # Imported here, because other tests do not need Helm.
    import helm_python

    from chart import CHART

    with helm_python.Chart.load(CHART) as chart:
        yield chart
