//! The signing of a request.

use std::hint::black_box;

use metastudio_exporter::cloud::transport::signing;

/// Signs the request for a page.
pub fn sign() -> String {
    let query = signing::canonical_query(black_box(&[
        ("start_time", "2025-11-01T00:00:00Z"),
        ("end_time", "2025-12-01T00:00:00Z"),
        ("limit", "1000"),
        ("offset", "0"),
    ]));
    let headers = [
        ("x-project-id", "5f0d1e2c3b4a59687786a5b4c3d2e101"),
        ("host", "metastudio.cn-north-4.myhuaweicloud.com"),
        ("x-sdk-date", "20251201T000000Z"),
    ];
    let request = signing::Request {
        method: "GET",
        path: "/v1/5f0d1e2c3b4a59687786a5b4c3d2e101/data-analysis",
        query: &query,
        headers: black_box(&headers),
        body: b"",
    };
    signing::authorization("BENCHMARKACCESSKEY", "benchmarksecretkeybenchmarksecretkey0000", headers[2].1, &request)
}
