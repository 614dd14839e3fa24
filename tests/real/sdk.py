"""The official SDK, which reads the expected usage from the cloud."""

from datetime import timezone
from decimal import Decimal

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkmetastudio.v1 import MetaStudioClient, ShowUsageDataRequest

from conftest import ACCESS_KEY, SECRET_KEY

PROJECTS = {
    "studio-prod": "5f0d1e2c3b4a59687786a5b4c3d2e101",
    "live-commerce": "5f0d1e2c3b4a59687786a5b4c3d2e102",
    "campaign": "5f0d1e2c3b4a59687786a5b4c3d2e103",
}


def client(endpoint, project, access_key=ACCESS_KEY, secret_key=SECRET_KEY):
    credentials = BasicCredentials(access_key, secret_key, PROJECTS.get(project, project))
    return MetaStudioClient.new_builder().with_credentials(credentials).with_endpoint(endpoint).build()


def minutes(endpoint, project, start, end):
    """Usage from start to end by (resource type, business type)."""
    text = [time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") for time in (start, end)]
    request = ShowUsageDataRequest(start_time=text[0], end_time=text[1], limit=1000)
    response = client(endpoint, project).show_usage_data(request)
    sums = {}
    for bucket in response.time_list:
        for row in bucket.resources_usage:
            key = (row.resource_type or "", row.business_type)
            factor = {"MIN": 1, "HOUR": 60}[row.unit]
            sums[key] = sums.get(key, Decimal(0)) + Decimal(repr(row.usage)) * factor
    assert response.count == len(response.time_list)
    return {key: float(value) for key, value in sums.items()}
