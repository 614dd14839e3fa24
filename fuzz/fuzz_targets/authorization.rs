//! The header `Authorization`: only the name and the password of the user, in base64, are accepted.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use metastudio_exporter::server::fuzzing::User;
use metastudio_exporter_fuzz::block_on;

/// The password is `a:b`, and the hash has the lowest cost.
static USER: LazyLock<User> = LazyLock::new(|| User::new("alice", HASH).unwrap());
const HASH: &str = "$2y$04$oPqSLb2RM0O8lPnckZq3dOZOddrC2uk8EOpTukv2zGFAIOu3BmwKC";
/// `alice:a:b` in base64.
const LOGIN: &str = "YWxpY2U6YTpi";

fuzz_target!(|header: &[u8]| {
    let is_login = std::str::from_utf8(header).is_ok_and(|header| {
        let scheme = header.get(..6).unwrap_or_default();
        scheme.eq_ignore_ascii_case("basic ") && header[6..].trim() == LOGIN
    });
    assert_eq!(block_on(USER.is_in(header)), is_login);
});
