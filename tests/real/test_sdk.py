"""The official SDK accepts the simulator, and computes the same signatures as the exporter."""

import http.server
import json
import subprocess
import threading
from datetime import datetime, timezone
from urllib.parse import parse_qsl, urlsplit

import pytest
from huaweicloudsdkbss.v2 import (
    BssClient,
    ListFreeResourceInfosReq,
    ListFreeResourceInfosRequest,
    ListMeasureUnitsRequest,
)
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from huaweicloudsdkiam.v3 import IamClient, KeystoneListAuthDomainsRequest
from huaweicloudsdkmetastudio.v1 import (
    ListDigitalHumanVideoRequest,
    ListSmartLiveJobsRequest,
    ListTenantResourcesRequest,
    ListUserQuotasRequest,
    ShowTenantServiceConfigsRequest,
    ShowUsageDataRequest,
)

import sdk
from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, SECRET_KEY, simulated_cloud

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
END = datetime(2026, 2, 1, tzinfo=timezone.utc)


def test_the_simulator_accepts_signatures_of_the_sdk(simulator):
    for project in sdk.PROJECTS:
        sums = sdk.minutes(simulator, project, START, END)
        assert sums and all(value > 0 for value in sums.values()), sums
    live = sdk.minutes(simulator, "live-commerce", START, END)
    assert set(live) == {("", "LIVE_2D"), ("video_time_2d_model", "VIDEO_2D")}


def test_the_simulator_accepts_every_parameter_of_the_sdk(simulator):
    request = ShowUsageDataRequest(
        limit=2,
        offset=1,
        start_time="2026-01-01T00:00:00+08:00",
        end_time="2026-01-08T00:00:00Z",
        user_id="user-a",
        resource_type="video_time_2d_model",
        business_type="VIDEO_2D",
        unit="MIN",
        x_app_user_id="someone",
    )
    response = sdk.client(simulator, "studio-prod").show_usage_data(request)
    assert len(response.time_list) == 2
    rows = [row for bucket in response.time_list for row in bucket.resources_usage]
    assert {(row.resource_type, row.business_type, row.unit) for row in rows} == {
        ("video_time_2d_model", "VIDEO_2D", "MIN")
    }


def unknown_fields(raw, model):
    """The fields of an answer that the model of the SDK lacks."""
    if isinstance(raw, list):
        return {name for item, of in zip(raw, model, strict=True) for name in unknown_fields(item, of)}
    if not isinstance(raw, dict):
        return set()
    known = model.attribute_map
    nested = {name for key in raw if key in known for name in unknown_fields(raw[key], getattr(model, key))}
    return nested | (set(raw) - set(known))


def test_the_models_of_the_sdk_accept_every_field_of_the_lists(tmp_path):
    with simulated_cloud(tmp_path, "--service=users=1,sessions=1,isolation") as address:
        client = sdk.client(address, "studio-prod")
        answers = [
            client.list_tenant_resources(ListTenantResourcesRequest(resource_source="PURCHASED", limit=100)),
            client.list_user_quotas(ListUserQuotasRequest(limit=100)),
            client.list_smart_live_jobs(ListSmartLiveJobsRequest(state="PROCESSING", limit=100)),
            client.list_digital_human_video(ListDigitalHumanVideoRequest(state="WAITING,PROCESSING", limit=100)),
            client.show_tenant_service_configs(ShowTenantServiceConfigsRequest()),
        ]
    for answer in answers:
        assert not unknown_fields(json.loads(answer.raw_content), answer), answer
    packages, users, live, videos, configs = answers
    assert packages.count == len(packages.resources) > 5
    assert users.assets[-1].quota.video_time_2d_model == 10
    assert "ONDEMAND" in {job.used_resource_type for job in live.smart_live_jobs}
    assert "WAITING" in {job.state for job in videos.jobs}
    assert configs.sub_account_control_config.separately_controlled is True


def account_client(kind, address, domain_id):
    credentials = GlobalCredentials(ACCESS_KEY, SECRET_KEY, domain_id)
    return kind.new_builder().with_credentials(credentials).with_endpoint(address).build()


def test_the_models_of_the_sdk_accept_every_field_of_the_billing_service(simulator):
    domains = account_client(IamClient, simulator, None).keystone_list_auth_domains(KeystoneListAuthDomainsRequest())
    [domain] = domains.domains
    client = account_client(BssClient, simulator, domain.id)
    packages = client.list_free_resource_infos(
        ListFreeResourceInfosRequest(x_language="en_US", body=ListFreeResourceInfosReq(limit=1000))
    )
    units = client.list_measure_units(ListMeasureUnitsRequest(x_language="en_US"))
    for answer in [domains, packages, units]:
        assert not unknown_fields(json.loads(answer.raw_content), answer), answer
    assert packages.total_count == len(packages.free_resource_packages) > 5
    assert {package.status for package in packages.free_resource_packages} == {0, 1, 2, 3, 4}
    assert {package.quota_reuse_mode for package in packages.free_resource_packages} == {1, 2}
    names = {unit.measure_id: unit.measure_name for unit in units.measure_units}
    resources = [resource for package in packages.free_resource_packages for resource in package.free_resources]
    assert {"Second", "Minute", "Hour", "GB", "Piece", "Set"} == {names.get(resource.measure_id) for resource in resources}
    # `amount` is the rest.
    assert all(float(resource.amount) <= float(resource.original_amount) for resource in resources)


def test_the_billing_service_refuses_another_account(simulator):
    with pytest.raises(ClientRequestException) as caught:
        account_client(BssClient, simulator, "f" * 32).list_measure_units(ListMeasureUnitsRequest())
    assert (caught.value.status_code, caught.value.error_code) == (403, "CBC.0151")


def test_the_simulator_refuses_requests_as_the_contract_says(simulator):
    def status_of(request=None, **keys):
        request = request or ShowUsageDataRequest(start_time="2026-01-01T00:00:00Z", end_time="2026-01-02T00:00:00Z")
        with pytest.raises(ClientRequestException) as caught:
            sdk.client(simulator, "campaign", **keys).show_usage_data(request)
        assert caught.value.request_id
        return caught.value.status_code, caught.value.error_code

    assert status_of(ShowUsageDataRequest()) == (400, "MSS.00000003")
    assert status_of(access_key="SOMEBODYELSE") == (401, "APIGW.0301")


def test_a_wrong_key_is_locked_after_five_failures(simulator):
    messages = []
    for _ in range(6):
        with pytest.raises(ClientRequestException) as caught:
            request = ShowUsageDataRequest(start_time="2026-01-01T00:00:00Z", end_time="2026-01-02T00:00:00Z")
            sdk.client(simulator, "campaign", access_key="LOCKME").show_usage_data(request)
        messages.append(caught.value.error_msg)
    assert "reach the limit" not in messages[4]
    assert "reach the limit" in messages[5]


class Recorder(http.server.BaseHTTPRequestHandler):
    """Records requests, and answers with no usage."""

    seen = []

    def do_GET(self):
        self.seen.append((self.path, list(self.headers.items())))
        body = json.dumps({"count": 0, "time_list": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_the_signer_of_the_sdk_computes_the_same_signatures(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    secret_key = "a+secret/key==with$signs"
    config = tmp_path / "config.yaml"
    config.write_text(
        f"""
credentials:
  permanent: {{access_key: {ACCESS_KEY}, secret_key: {secret_key}}}
  temporary: {{access_key: {ACCESS_KEY}, secret_key: {secret_key}, security_token: a/token+of==many.parts}}
api: {{requests_per_second: 1000, page_size: 7}}
windows: [today, 30d]
projects:
  - {{name: a, project_id: 0123456789abcdef0123456789abcdef, endpoint: "http://{host}", credentials: permanent,
     user_ids: ["u 1&=/+~*'", "用户"], app_user_id: app-user-1}}
  - {{name: b, project_id: fedcba9876543210fedcba9876543210, endpoint: "http://{host}", credentials: temporary}}
"""
    )
    subprocess.run([BINARY, "once", "--config.file", config], check=True, capture_output=True, env=ENVIRONMENT)
    server.shutdown()

    # Project a: two windows, each for two users and for all users, to prove that user_id has an effect. Project b: two
    # windows without users.
    assert len(Recorder.seen) == 2 * (2 + 1) + 2
    for target, headers in Recorder.seen:
        headers = dict(headers)
        authorization = headers.pop("authorization")
        signed = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
        expected = {"host", "x-project-id", "x-sdk-date"}
        expected |= {name for name in ("x-app-userid", "x-security-token") if name in headers}
        assert set(signed) == expected
        url = urlsplit(target)
        request = SdkRequest(
            method="GET",
            schema="http",
            host=host,
            resource_path=url.path,
            query_params=parse_qsl(url.query, strict_parsing=True),
            header_params={name: value for name, value in headers.items() if name in signed},
            body="",
        )
        again = Signer(BasicCredentials(ACCESS_KEY, secret_key)).sign(request)
        assert again.header_params["Authorization"] == authorization
        assert again.uri == target, "the query on the wire is the canonical one"
    tokens = [dict(headers).get("x-security-token") for _, headers in Recorder.seen]
    assert tokens.count("a/token+of==many.parts") == 2
