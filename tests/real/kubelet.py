"""Runs the program of a pod as a kubelet does: with its files, variables, arguments and probes."""

import re
import socket
import warnings
from pathlib import Path

import requests
import urllib3

from conftest import BINARY, ENVIRONMENT, Running


class Pod:
    """A pod of a rendered template.

    `configmaps` and `secrets` are contents by name. The files of the pod are below `directory` instead of /.
    """

    def __init__(self, directory, template, configmaps, secrets, name="pod-0"):
        self.directory, self.spec, self.name = directory, template["spec"], name
        self.configmaps, self.secrets = configmaps, secrets
        [self.container] = self.spec["containers"]
        self.mounts = [mount["mountPath"] for mount in self.container.get("volumeMounts", [])]
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes", [])}
        assert {mount["name"] for mount in self.container.get("volumeMounts", [])} == set(volumes)
        directory.mkdir()
        for mount in self.container.get("volumeMounts", []):
            target = Path(f"{directory}{mount['mountPath']}")
            target.mkdir(parents=True)
            for name, content in self.files(volumes[mount["name"]]).items():
                (target / name).write_text(self.moved(content))

    def files(self, volume):
        if "emptyDir" in volume:
            return {}
        if "configMap" in volume:
            return self.configmaps[volume["configMap"]["name"]]
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440
            return self.secrets[volume["secret"]["secretName"]]
        found = {}
        for source in volume["projected"]["sources"]:
            if "secret" in source:
                found |= self.secrets[source["secret"]["name"]]
            else:
                found[source["serviceAccountToken"]["path"]] = "token"
        return found

    def moved(self, text):
        """The text with the paths of the pod below `directory`."""
        paths = "|".join(f"{re.escape(path)}(?=/|$)" for path in self.mounts)
        return re.sub(paths, lambda path: f"{self.directory}{path[0]}", text) if paths else text

    def command(self, more=()):
        """The command. It listens on 127.0.0.1 only, on a port of the system's choice."""
        variables = dict(more)
        for variable in self.container.get("env", []):
            reference = variable["valueFrom"]["secretKeyRef"]
            variables[variable["name"]] = self.secrets[reference["name"]][reference["key"]]
        arguments = [self.moved(argument) for argument in self.container["args"]]
        port = [port["containerPort"] for port in self.container.get("ports", [])]
        listen = [argument for argument in arguments if argument.startswith("--web.listen-address=")]
        assert listen == [f"--web.listen-address=:{number}" for number in port]
        arguments = [re.sub(r"(?<=address=):\d+$", "127.0.0.1:0", argument) for argument in arguments]
        environment = ENVIRONMENT | variables | {"HOSTNAME": self.name}
        return ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), BINARY, *arguments]

    def start(self, more=()):
        self.running = Running(self.directory, *self.command(more))
        self.port = int(self.running.find(r"address[=\": ]+127\.0\.0\.1:(\d+)"))
        return self

    def stop(self):
        self.running.stop()

    def probe(self, name):
        """Whether a probe succeeds."""
        probe = self.container[name]
        if "tcpSocket" in probe:
            assert probe["tcpSocket"]["port"] == "http"
            with socket.create_connection(("127.0.0.1", self.port), probe["timeoutSeconds"]):
                return True
        request = probe["httpGet"]
        assert request["port"] == "http"
        url = f"{request.get('scheme', 'HTTP').lower()}://127.0.0.1:{self.port}{request['path']}"
        # The kubelet does not verify certificates.
        with warnings.catch_warnings(action="ignore", category=urllib3.exceptions.InsecureRequestWarning):
            return 200 <= requests.get(url, timeout=probe["timeoutSeconds"], verify=False).status_code < 400
