//! Arbitrary bytes as fields that say who sent a message: read without a panic, and nothing of them breaks our own field.
#![no_main]

use connex::mail::authentication::{
    Authentication, Claim, Claims, Identity, Method, MethodResult, Outcome, authentication_results,
};
use connex::mail::message::{Limits, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data).into_owned();
    let claims = Claims::of([&text]);
    let _ =
        (claims.has_forged("mx.example.org"), Claim::read_sealed(&text), read(data, &Limits::default()).author_doubt());
    let result =
        MethodResult::new(Method::Dkim, Outcome::Pass, Identity::Signer, &text).with_selector(&text).because(text);
    let field = authentication_results("mx.example.org", None, &Authentication::of(vec![result], None, false));
    assert_eq!(field.matches(['\r', '\n']).count(), 2);
    assert_eq!(Claim::read(&field).map(|claim| claim.authserv_id).as_deref(), Some("mx.example.org"));
});
