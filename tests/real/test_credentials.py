"""The official SDK gets credentials from the simulator. The exporter reads the same variables and files as the SDK."""

import subprocess

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.auth.internal import MetadataAccessor
from huaweicloudsdkcore.auth.provider import (
    EnvCredentialProvider,
    MetadataCredentialProvider,
    OidcStsCredentialProvider,
    PodIdentityCredentialProvider,
    ProfileCredentialProvider,
)
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkiam.v3 import (
    AuthScope,
    AuthScopeProject,
    IamClient,
    KeystoneCreateUserTokenByPasswordRequest,
    KeystoneCreateUserTokenByPasswordRequestBody,
    PwdAuth,
    PwdIdentity,
    PwdPassword,
    PwdPasswordUser,
    PwdPasswordUserDomain,
)
from huaweicloudsdkmetastudio.v1 import MetaStudioClient, ShowUsageDataRequest

import sdk
from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, SECRET_KEY

REQUEST = ShowUsageDataRequest(start_time="2026-01-01T00:00:00Z", end_time="2026-02-01T00:00:00Z", limit=1000)


def environment_of(source, simulator, directory):
    """The variables that the SDK and the exporter read for a source. Writes the file that they name."""
    token = directory / "token"
    if source == "environment":
        return {"HUAWEICLOUD_SDK_AK": ACCESS_KEY, "HUAWEICLOUD_SDK_SK": SECRET_KEY}
    if source == "profile":
        home = directory / ".huaweicloud"
        home.mkdir()
        (home / "credentials").write_text(f"[basic]\nak = {ACCESS_KEY}\nsk = {SECRET_KEY}\n")
        return {"HOME": str(directory)}
    if source == "oidc":
        token.write_text("simulated-id-token\n")
        return {
            "HUAWEICLOUD_OIDC_PROVIDER_URN": "iam::simulated:oidcProvider:cluster",
            "HUAWEICLOUD_OIDC_AGENCY_URN": "iam::simulated:agency:exporter",
            "HUAWEICLOUD_OIDC_TOKEN_FILE": str(token),
            "HUAWEICLOUD_SDK_STS_ENDPOINT": simulator,
        }
    token.write_text("simulated-pod-token\n")
    return {
        "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{simulator}/v1/pod-identity",
        "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }


PROVIDERS = {
    "environment": EnvCredentialProvider,
    "profile": ProfileCredentialProvider,
    "oidc": OidcStsCredentialProvider,
    "pod identity": PodIdentityCredentialProvider,
}


@pytest.mark.parametrize("source", PROVIDERS)
def test_the_sdk_and_the_exporter_read_the_same_variables(source, simulator, tmp_path, monkeypatch):
    variables = environment_of(source, simulator, tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    credentials = PROVIDERS[source].get_basic().get_credentials()
    credentials.project_id = sdk.PROJECTS["campaign"]
    client = MetaStudioClient.new_builder().with_credentials(credentials).with_endpoint(simulator).build()
    assert client.show_usage_data(REQUEST).count > 0

    config = tmp_path / "config.yaml"
    config.write_text(f"projects: [{{name: a, region: cn-north-4, endpoint: '{simulator}'}}]\n")
    ran = subprocess.run(
        [BINARY, "once", "--config.file", config],
        env=ENVIRONMENT | variables | {"HUAWEICLOUD_SDK_IAM_ENDPOINT": simulator},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    # The exporter has looked up the default project of the region.
    assert f'project_id="{sdk.PROJECTS["studio-prod"]}"' in ran.stdout


def test_the_sdk_reads_the_metadata_service(simulator, monkeypatch):
    monkeypatch.setattr(MetadataAccessor, "_METADATA_ENDPOINT", simulator)
    credentials = MetadataCredentialProvider.get_basic().get_credentials()
    assert credentials.ak.startswith("HSTSIMULATED") and credentials.security_token
    credentials.project_id = sdk.PROJECTS["campaign"]
    client = MetaStudioClient.new_builder().with_credentials(credentials).with_endpoint(simulator).build()
    assert client.show_usage_data(REQUEST).count > 0


def test_the_sdk_looks_up_the_id_of_a_project(simulator):
    credentials = BasicCredentials(ACCESS_KEY, SECRET_KEY).with_iam_endpoint(simulator)
    region = Region("cn-north-4", simulator)
    client = MetaStudioClient.new_builder().with_credentials(credentials).with_region(region).build()
    assert client.show_usage_data(REQUEST).count > 0
    assert credentials.project_id == sdk.PROJECTS["studio-prod"]


def issue_token(simulator, password, **project):
    user = PwdPasswordUser(domain=PwdPasswordUserDomain(name="simulated"), name="robot", password=password)
    identity = PwdIdentity(methods=["password"], password=PwdPassword(user=user))
    body = KeystoneCreateUserTokenByPasswordRequestBody(
        auth=PwdAuth(identity=identity, scope=AuthScope(project=AuthScopeProject(**project)))
    )
    # Issuing a token needs no key, but the SDK requires one.
    credentials = GlobalCredentials(ACCESS_KEY, SECRET_KEY, "simulated")
    client = IamClient.new_builder().with_credentials(credentials).with_endpoint(simulator).build()
    request = KeystoneCreateUserTokenByPasswordRequest(nocatalog="true", body=body)
    return client.keystone_create_user_token_by_password(request)


@pytest.mark.parametrize("project", [{"id": sdk.PROJECTS["studio-prod"]}, {"name": "cn-north-4"}], ids=["id", "name"])
def test_the_exporter_uses_a_token_that_the_sdk_obtained(simulator, tmp_path, project):
    answer = issue_token(simulator, "simulated-password", **project)
    assert answer.token.project.id == sdk.PROJECTS["studio-prod"]
    (tmp_path / "token").write_text(answer.x_subject_token)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"""credentials: {{given: {{token: {{file: token}}}}}}
projects: [{{name: a, endpoint: '{simulator}', project_id: {sdk.PROJECTS["studio-prod"]}}}]
"""
    )
    ran = subprocess.run([BINARY, "once", "--config.file", config], env=ENVIRONMENT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_the_simulator_refuses_a_token_for_a_wrong_password(simulator):
    with pytest.raises(ClientRequestException) as caught:
        issue_token(simulator, "wrong", name="cn-north-4")
    assert caught.value.status_code == 401
    assert caught.value.error_msg == "The username or password is wrong."
