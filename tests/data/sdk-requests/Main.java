// The package for MetaStudio on Maven Central is older than ShowUsageData, so this uses the client of the core.
import com.huaweicloud.sdk.core.auth.BasicCredentials;
import com.huaweicloud.sdk.core.http.*;
import com.huaweicloud.sdk.core.impl.DefaultHttpClient;
import java.util.List;

public class Main {
    static final String PROJECT = "0123456789abcdef0123456789abcdef";

    static HttpClient client = new DefaultHttpClient(HttpConfig.getDefaultHttpConfig());
    static String endpoint;

    static HttpRequest.HttpRequestBuilder usage(String end) {
        return HttpRequest.newBuilder().withEndpoint(endpoint).withMethod(HttpMethod.GET)
            .withPath("/v1/{project_id}/data-analysis").withContentType("application/json")
            .addQueryParam("start_time", List.of("2025-11-01T00:00:00Z")).addQueryParam("end_time", List.of(end));
    }

    static void send(String token, HttpRequest.HttpRequestBuilder builder) {
        BasicCredentials credentials = new BasicCredentials().withAk("EXAMPLEAK0000000001X")
            .withSk("ExampleSecretKey/NotReal+0000000000000001").withProjectId(PROJECT).withSecurityToken(token);
        HttpRequest signed = credentials.processAuthRequest(builder.build(), client).join();
        int status = client.syncInvokeHttp(signed).getStatusCode();
        if (status != 200) {
            throw new IllegalStateException("status " + status);
        }
    }

    public static void main(String[] arguments) {
        endpoint = arguments[0];
        send(null, usage("2025-11-08T00:00:00+08:00")
            .addQueryParam("limit", List.of("1000")).addQueryParam("offset", List.of("0")));
        send(null, usage("2025-11-08T00:00:00Z").addQueryParam("user_id", List.of("u 1&=/+~*'()用户"))
            .addQueryParam("resource_type", List.of("")).addHeader("X-App-UserId", "app user-1"));
        send("a/token+of==many.parts", usage("2025-11-08T00:00:00Z"));
        send(null, HttpRequest.newBuilder().withEndpoint(endpoint).withMethod(HttpMethod.PUT)
            .withPath("/v1/{project_id}/hot-questions/{question}").withContentType("application/json")
            .addPathParam("question", "q 1 问题")
            .withBodyAsString("{\"hot_question\":\"多少钱？ <&>\"}"));
        System.exit(0);
    }
}
