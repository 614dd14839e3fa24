"""A proxy that leads every host of Huawei Cloud to the simulator, with a certificate for these hosts."""

import socket
import ssl
import subprocess
import threading

HOSTS = [f"{service}.cn-north-4.myhuaweicloud.com" for service in ("metastudio", "iam", "sts")]


def self_signed(certificate, key, names):
    """Writes the certificate and the key of a server with these subject alternative names."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    # By default, openssl makes a CA certificate, which a server must not use.
    extensions = ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
    command = [*command.split(), *extensions, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)


class CloudProxy:
    """`connected` are the hosts and ports that clients have asked for."""

    def __init__(self, simulator, directory):
        self.certificate = directory / "certificate.pem"
        key = directory / "key.pem"
        self_signed(self.certificate, key, ",".join(f"DNS:{host}" for host in HOSTS))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.simulator = simulator.removeprefix("http://").split(":")
        self.connected = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def variables(self):
        """The variables that make the exporter use this proxy."""
        port = self.listener.getsockname()[1]
        return {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "METASTUDIO_API__CA_FILE": str(self.certificate)}

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return
            head += byte
        method, target, _ = head.decode().split(" ", 2)
        assert method == "CONNECT", head
        self.connected.append(target)
        client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        client = self.context.wrap_socket(client, server_side=True)
        server = socket.create_connection((self.simulator[0], int(self.simulator[1])))
        threading.Thread(target=pump, args=[server, client], daemon=True).start()
        pump(client, server)


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
