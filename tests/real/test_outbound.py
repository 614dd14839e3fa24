"""The versions of TLS that the exporter accepts from the cloud."""

import ssl
import subprocess

import pytest

from cloud_proxy import HOSTS, CloudProxy
from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, SECRET_KEY

CONFIG = "projects: [{name: a, region: cn-north-4, project_id: 5f0d1e2c3b4a59687786a5b4c3d2e101}]\n"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("version", ["TLSv1_1", "TLSv1_2", "TLSv1_3"])
def test_tls_is_version_1_2_or_later(version, simulator, tmp_path):
    cloud_proxy = CloudProxy(simulator, tmp_path)
    cloud_proxy.context.set_ciphers("ALL:@SECLEVEL=0")
    cloud_proxy.context.minimum_version = cloud_proxy.context.maximum_version = ssl.TLSVersion[version]
    # The proxy really speaks this version.
    proxy = cloud_proxy.variables()["HTTPS_PROXY"].removeprefix("http://")
    flag = "-" + version.lower().replace("tlsv", "tls").removesuffix("_0")
    command = ["openssl", "s_client", flag, "-cipher", "ALL:@SECLEVEL=0"]
    command += ["-proxy", proxy, "-connect", f"{HOSTS[0]}:443"]
    spoken = subprocess.run(command, input="", capture_output=True, text=True).stdout
    assert f"Protocol  : {version.replace('_', '.')}" in spoken or f"New, {version.replace('_', '.')}" in spoken, spoken

    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    keys = {"HUAWEICLOUD_SDK_AK": ACCESS_KEY, "HUAWEICLOUD_SDK_SK": SECRET_KEY}
    ran = subprocess.run(
        [BINARY, "check", "--online", "--config.file", config],
        env=ENVIRONMENT | keys | cloud_proxy.variables(),
        capture_output=True,
        text=True,
    )
    if version == "TLSv1_1":
        assert ran.returncode == 1
        assert "FAIL  TLS" in ran.stdout and "TLS 1.2 or later" in ran.stdout, ran.stdout
    else:
        assert ran.returncode == 0, ran.stdout
