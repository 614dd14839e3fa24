"""Runs the exporter beside real programs. The binary is $METASTUDIO_EXPORTER."""

import os
import re
import socket
import subprocess
import time

import pytest
import requests

BINARY = os.environ["METASTUDIO_EXPORTER"]
PATIENCE = 60
# Nothing of this process' environment, in particular no proxy, comes between the programs.
ENVIRONMENT = {"PATH": os.environ["PATH"], "TZ": "UTC"}
ACCESS_KEY = "SIMULATEDACCESSKEY01"
SECRET_KEY = "simulated/Secret+Key000000000000000000001"


class Running:
    """A program and what it says on standard output and standard error."""

    def __init__(self, directory, *command):
        self.path = directory / "output.txt"
        self.output = open(self.path, "w")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT, env=ENVIRONMENT)

    def text(self):
        return self.path.read_text()

    def find(self, pattern):
        """The first group of a pattern, once the program has said it."""

        def search():
            assert self.process.poll() is None, self.text()
            return re.search(pattern, self.text())

        return wait_for(search, f"{pattern} in the output").group(1)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.output.close()


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def simulator(tmp_path_factory):
    """The address of a simulated cloud."""
    running = Running(tmp_path_factory.mktemp("simulator"), BINARY, "simulate", "--web.listen-address=127.0.0.1:0")
    yield running.find(r"is at (http://[0-9.:]+)")
    running.stop()


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A demo whose projects have all been polled: its own address, and its cloud's."""
    running = Running(tmp_path_factory.mktemp("demo"), BINARY, "demo", "--web.listen-address=127.0.0.1:0")
    exporter = running.find(r"status page +(http://[0-9.:]+)/")
    cloud = running.find(r"simulated cloud \(at (http://[0-9.:]+)\)")
    wait_for(lambda: requests.get(f"{exporter}/-/ready").status_code == 200, "the demo to be ready")
    yield exporter, cloud
    running.stop()
