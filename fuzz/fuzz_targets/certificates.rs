//! The names of a client certificate: a name is found only if the certificate has it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metastudio_exporter::server::fuzzing::has_name;

/// Names, each with its bytes in a certificate: the kind, the length, the name.
const NAMES: [(&str, &[u8]); 4] = [
    ("prometheus.example", b"\x82\x12prometheus.example"),
    ("a@example.org", b"\x81\x0da@example.org"),
    ("spiffe://example/a", b"\x86\x12spiffe://example/a"),
    ("192.0.2.7", &[0x87, 4, 192, 0, 2, 7]),
];

fuzz_target!(|certificate: &[u8]| {
    for (name, bytes) in NAMES {
        let is_there = certificate.windows(bytes.len()).any(|window| window == bytes);
        assert!(is_there || !has_name(certificate, name), "{name}");
    }
});
