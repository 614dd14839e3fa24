"""TLS and basic auth with curl, openssl and Prometheus, configured exactly as docs/web.md says."""

import re
import subprocess
from pathlib import Path

import pytest
import requests

from conftest import BINARY, ENVIRONMENT, LISTEN, Running, wait_for
from monitoring import start_prometheus

PAGE = (Path(__file__).parents[2] / "docs" / "web.md").read_text()
PASSWORD = "correct horse"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def sh(directory, script, **arguments):
    command = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, **arguments)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory in which the commands of the page have run."""
    directory = tmp_path_factory.mktemp("web")
    certificate, hashing, _ = blocks("sh")
    made = sh(directory, certificate)
    assert made.returncode == 0, made.stderr
    # With the password as an argument: as written, htpasswd asks for it on the terminal.
    hashed = sh(directory, hashing.replace('-nBC 10 ""', f'-nbBC 10 "" "{PASSWORD}"'))
    config = blocks("yaml")[0]
    example = re.search(r"prometheus: (\S+)", config).group(1)
    (directory / "web.yaml").write_text(config.replace(example, hashed.stdout))
    (directory / "password").write_text(PASSWORD)
    return directory


def start(directory, web="web.yaml"):
    running = Running(directory, BINARY, "demo", LISTEN, f"--web.config.file={directory / web}")
    port = running.find(r"listening address=127\.0\.0\.1:(\d+)")
    return running, f"localhost:{port}"


@pytest.fixture(scope="module")
def address(directory):
    running, address = start(directory)
    with running:
        yield address


def test_the_chinese_page_has_the_same_commands_and_keys():
    chinese = Path(__file__).parents[2] / "docs" / "web.zh-CN.md"
    code = re.compile(r"```.*?```|^\| `[^|]*`", re.DOTALL | re.MULTILINE)
    both = [code.findall(page) for page in (PAGE, chinese.read_text())]
    english, chinese = [[re.sub(r" or |, | 或 |、", " ", text) for text in found] for found in both]
    assert english == chinese and len(english) > 15


def test_the_page_is_valid(directory):
    (directory / "config.yaml").write_text("projects: [{name: a, region: cn-north-4, project_id: a}]")
    check = blocks("sh")[2].splitlines()[0].replace("metastudio-exporter", BINARY)
    keys = "HUAWEICLOUD_SDK_AK=a HUAWEICLOUD_SDK_SK=b"
    checked = sh(directory, f"{keys} {check}")
    assert checked.returncode == 0, checked.stdout


def curl(directory, address, *flags):
    command = ["curl", "-s", "--cacert", directory / "server.crt", "-o", "/dev/null"]
    command += ["-w", "%{http_code} %{http_version}"]
    return subprocess.run(
        [*command, *flags, f"https://{address}/metrics"], env=ENVIRONMENT, capture_output=True, text=True
    )


def test_curl_needs_the_user_and_the_certificate(directory, address):
    user = ["-u", f"prometheus:{PASSWORD}"]
    assert curl(directory, address, *user).stdout == "200 2"
    assert curl(directory, address, *user, "--http1.1").stdout == "200 1.1"
    assert curl(directory, address, *user, "--compressed").stdout == "200 2"
    assert curl(directory, address).stdout == "401 2"
    assert curl(directory, address, "-u", "prometheus:wrong").stdout == "401 2"
    assert curl(directory, address, "-u", "nobody:wrong").stdout == "401 2"
    assert curl(directory, address, "--cacert", "/etc/ssl/certs/ca-certificates.crt").returncode == 60
    assert requests.get(f"http://{address}/metrics").status_code == 400


def s_client(address, *flags):
    command = ["openssl", "s_client", "-connect", address, "-cipher", "ALL:@SECLEVEL=0", *flags]
    return subprocess.run(command, input="", env=ENVIRONMENT, capture_output=True, text=True).stdout


def test_openssl_negotiates_tls_1_2_or_later_and_alpn(directory, address):
    assert "New, TLSv1.3, Cipher is TLS_" in s_client(address)
    assert "New, TLSv1.2, Cipher is ECDHE-ECDSA-" in s_client(address, "-tls1_2")
    assert "Cipher is (NONE)" in s_client(address, "-tls1_1")
    assert "ALPN protocol: h2" in s_client(address, "-alpn", "h2,http/1.1")
    assert "ALPN protocol: http/1.1" in s_client(address, "-alpn", "http/1.1")


def test_openssl_negotiates_what_is_configured(directory):
    tls = "tls_server_config: {cert_file: server.crt, key_file: server.key, "
    for keys, flags, expected in [
        ("min_version: TLS13}", ["-tls1_2"], "Cipher is (NONE)"),
        ("min_version: TLS13}", [], "New, TLSv1.3"),
        ("max_version: TLS12}", ["-tls1_3"], "Cipher is (NONE)"),
        (
            "max_version: TLS12, cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]}",
            [],
            "Cipher is ECDHE-ECDSA-CHACHA20-POLY1305",
        ),
        ("curve_preferences: [CurveP384]}", [], "Server Temp Key: ECDH, secp384r1, 384 bits"),
        ("curve_preferences: [CurveP384]}", ["-groups", "X25519"], "Cipher is (NONE)"),
    ]:
        (directory / "chosen.yaml").write_text(tls + keys)
        running, address = start(directory, "chosen.yaml")
        answer = s_client(address, *flags)
        running.stop()
        assert expected in answer, (keys, flags, answer)


@pytest.fixture
def verifying(directory):
    """The address of an exporter that asks for a client certificate; the directory has one: client.crt, client.key."""
    key = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days 2"
    ca = f"{key} -keyout ca.key -out ca.crt"
    request = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=prometheus -keyout client.key"
    sign = "openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out client.crt -extfile"
    name = "subjectAltName=DNS:prometheus.example"
    assert sh(directory, f"{ca}; {request} | {sign} <(echo {name})").returncode == 0
    web = (directory / "web.yaml").read_text()
    verified = "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
    verified += "  client_allowed_sans: [prometheus.example]\n"
    (directory / "verified.yaml").write_text(web.replace("basic_auth_users:", f"{verified}basic_auth_users:"))
    running, address = start(directory, "verified.yaml")
    with running:
        yield address


def scrape_config(address, verifying):
    """The scrape of the page as written, and with one change each, as jobs of Prometheus."""
    scrape = blocks("yaml")[1]
    assert "localhost:19677" in scrape
    job = scrape.replace("scrape_configs:\n", "")
    certificate = "tls_config: {ca_file: server.crt, cert_file: client.crt, key_file: client.key}"
    jobs = {
        "as_written": job.replace("localhost:19677", address),
        "verified": job.replace("localhost:19677", verifying).replace("tls_config: {ca_file: server.crt}", certificate),
        "no_certificate": job.replace("localhost:19677", verifying),
        "no_user": job.replace("localhost:19677", address).replace("    basic_auth", "    # basic_auth"),
    }
    config = "global: {scrape_interval: 1s}\nscrape_configs:\n"
    for label, text in jobs.items():
        config += text.replace("job_name: metastudio", f"job_name: {label}")
    return config


def test_prometheus_scrapes_with_a_user_and_a_client_certificate(directory, address, verifying):
    (directory / "prometheus.yml").write_text(scrape_config(address, verifying))
    with start_prometheus(directory / "prometheus", directory / "prometheus.yml") as prometheus:

        def targets():
            answer = prometheus.get_json("/api/v1/targets")
            if answer is None:
                return None
            found = {target["labels"]["job"]: target for target in answer["data"]["activeTargets"]}
            return found if len(found) == 4 and all(t["health"] != "unknown" for t in found.values()) else None

        found = wait_for(targets, "Prometheus to have scraped all targets")
    health = {name: (target["health"], target["lastError"]) for name, target in found.items()}
    assert health["as_written"] == health["verified"] == ("up", ""), health
    assert health["no_user"] == ("down", "server returned HTTP status 401 Unauthorized")
    assert health["no_certificate"][0] == "down" and "certificate required" in health["no_certificate"][1], health
