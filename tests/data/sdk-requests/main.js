// There is no package for MetaStudio, so this uses the client of the core, as the packages for other services do.
const { BasicCredentials } = require("@huaweicloud/huaweicloud-sdk-core");
const { ClientBuilder } = require("@huaweicloud/huaweicloud-sdk-core/ClientBuilder");

const project = "0123456789abcdef0123456789abcdef";
const usage = "/v1/{project_id}/data-analysis";

function client(securityToken) {
  const ak = "EXAMPLEAK0000000001X";
  const sk = "ExampleSecretKey/NotReal+0000000000000001";
  const credentials = new BasicCredentials({ ak, sk, securityToken, projectId: project });
  return new ClientBuilder((client) => client).withEndpoint(process.argv[2]).withCredential(credentials).build();
}

function send(client, method, url, { headers = {}, ...options }) {
  return client.sendRequest({ method, url, headers, contentType: "application/json", pathParams: {}, queryParams: {}, ...options });
}

async function main() {
  await send(client(), "GET", usage, {
    queryParams: { start_time: "2025-11-01T00:00:00Z", end_time: "2025-11-08T00:00:00+08:00", limit: 1000, offset: 0 },
  });
  await send(client(), "GET", usage, {
    queryParams: {
      start_time: "2025-11-01T00:00:00Z", end_time: "2025-11-08T00:00:00Z",
      user_id: "u 1&=/+~*'()用户", resource_type: "",
    },
    headers: { "X-App-UserId": "app user-1" },
  });
  await send(client("a/token+of==many.parts"), "GET", usage, {
    queryParams: { start_time: "2025-11-01T00:00:00Z", end_time: "2025-11-08T00:00:00Z" },
  });
  // Without characters to encode: this SDK encodes them twice in the signed path, and the gateway decodes them once.
  await send(client(), "PUT", "/v1/{project_id}/hot-questions/{question}", {
    pathParams: { question: "q-1" }, data: { hot_question: "多少钱？ <&>" },
  });
}

main();
