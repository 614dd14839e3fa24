"""Polls with the official SDK. Prints the CPU seconds and the wall-clock seconds of the polls."""

import sys
import time
from decimal import Decimal

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkmetastudio.v1 import MetaStudioClient, ShowUsageDataRequest

endpoint, project_id, access_key, secret_key, polls = sys.argv[1:]
credentials = BasicCredentials(access_key, secret_key, project_id)
client = MetaStudioClient.new_builder().with_credentials(credentials).with_endpoint(endpoint).build()


def poll():
    request = ShowUsageDataRequest(start_time="2025-11-01T00:00:00Z", end_time="2025-12-01T00:00:00Z", limit=1000)
    sums = {}
    for bucket in client.show_usage_data(request).time_list:
        for row in bucket.resources_usage:
            key = (row.resource_type, row.business_type, row.unit)
            sums[key] = sums.get(key, Decimal(0)) + Decimal(repr(row.usage))
    assert sums


# Not measured: it opens the connection.
poll()
cpu, wall = time.process_time(), time.perf_counter()
for _ in range(int(polls)):
    poll()
print(time.process_time() - cpu, time.perf_counter() - wall)
