//! Arbitrary bytes as a certificate that a client shows: described within bounds, and never taken for verified.
#![no_main]

use connex::tls::describe;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let shown = describe(data);
    assert_eq!(shown.sha256.len(), 64);
    assert!(!shown.is_verified);
    assert!(shown.names.len() <= 100 && shown.names.iter().all(|name| name.len() <= 255));
    assert!(shown.subject.chars().count() <= 256 && shown.issuer.chars().count() <= 256);
});
