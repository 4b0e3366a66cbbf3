use super::*;
use proptest::prelude::*;
use reqwest::header::HeaderValue;

fn headers(signed: &SignatureHeaders) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_str(&signed.id).unwrap());
    headers.insert("webhook-timestamp", HeaderValue::from_str(&signed.timestamp).unwrap());
    headers.insert("webhook-signature", HeaderValue::from_str(&signed.signature).unwrap());
    headers
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// The example that the reference libraries of Standard Webhooks carry in their tests.
#[test]
fn the_published_example_gets_the_published_signature() {
    let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let body = br#"{"test": 2432232314}"#;
    let signed =
        sign("msg_p5jXN8AQM9LWM0D4loKWxJek", body, &SigningSecrets::new(secret.clone()), seconds(1_614_265_330))
            .unwrap();
    assert_eq!(signed.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(signed.timestamp, "1614265330");
    assert_eq!(verify(&headers(&signed), body, &[secret], seconds(1_614_265_330), TOLERANCE), Ok(()));
}

#[test]
fn a_secret_reads_back_as_itself_and_is_never_shown() {
    let secret = WebhookSecret::generate();
    let text = secret.expose();
    assert_eq!(text.len(), "whsec_".len() + 44);
    assert_eq!(WebhookSecret::parse(&text).unwrap().expose(), text);
    let secrets = SigningSecrets::with_old(secret.clone(), [WebhookSecret::generate()]);
    assert_eq!(format!("{secret:?} {:?}", secrets.old), "WebhookSecret(hidden) [WebhookSecret(hidden)]");
    assert_ne!(WebhookSecret::generate().expose(), text);
}

#[test]
fn a_damaged_secret_is_refused_without_being_repeated() {
    let long = format!("whsec_{}", STANDARD.encode([0u8; 65]));
    let short = format!("whsec_{}", STANDARD.encode([0u8; 23]));
    assert_eq!(WebhookSecret::parse(&short).unwrap_err(), InvalidSecret::Length { found: 23 });
    assert_eq!(WebhookSecret::parse(&long).unwrap_err(), InvalidSecret::Length { found: 65 });
    assert_eq!(WebhookSecret::parse("whsec_?abc").unwrap_err(), InvalidSecret::Base64);
    assert_eq!(WebhookSecret::parse("whsk_abc").unwrap_err(), InvalidSecret::Prefix);
    assert!(!WebhookSecret::parse("whsec_?abc").unwrap_err().to_string().contains("?abc"));
}

#[test]
fn old_secrets_go_on_verifying_and_a_sixth_one_does_not() {
    let old: Vec<WebhookSecret> = (0..6).map(|_| WebhookSecret::generate()).collect();
    let secrets = SigningSecrets::with_old(WebhookSecret::generate(), old.clone());
    let signed = sign("evt_1", b"{}", &secrets, seconds(100)).unwrap();
    assert_eq!(signed.signature.split(' ').count(), 6);
    let check = |secret: &WebhookSecret| {
        verify(&headers(&signed), b"{}", std::slice::from_ref(secret), seconds(100), TOLERANCE)
    };
    for secret in &old[..5] {
        assert_eq!(check(secret), Ok(()));
    }
    assert_eq!(check(&old[5]), Err(SignatureError::Mismatch));
}

#[test]
fn the_time_may_be_300_seconds_off_and_not_301() {
    let secret = WebhookSecret::generate();
    let signed = sign("evt_1", b"{}", &SigningSecrets::new(secret.clone()), seconds(10_000)).unwrap();
    let at = |now| verify(&headers(&signed), b"{}", std::slice::from_ref(&secret), seconds(now), TOLERANCE);
    assert_eq!(at(10_300), Ok(()));
    assert_eq!(at(9_700), Ok(()));
    assert_eq!(at(10_301), Err(SignatureError::TooOld { seconds: 301 }));
    assert_eq!(at(9_699), Err(SignatureError::TooNew { seconds: 301 }));
}

#[test]
fn damaged_headers_are_named() {
    let secret = WebhookSecret::generate();
    let signed = sign("evt_1", b"{}", &SigningSecrets::new(secret.clone()), seconds(100)).unwrap();
    let check = |name: &'static str, value: Option<&str>| {
        let mut headers = headers(&signed);
        match value {
            Some(value) => headers.insert(name, HeaderValue::from_str(value).unwrap()),
            None => headers.remove(name),
        };
        verify(&headers, b"{}", std::slice::from_ref(&secret), seconds(100), TOLERANCE).unwrap_err()
    };
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert_eq!(check(name, None), SignatureError::Header { name });
    }
    assert_eq!(check("webhook-id", Some("evt.1")), SignatureError::Id);
    for text in ["", "1e2", "-5", "+100", "99999999999999999999", "100.0"] {
        assert_eq!(check("webhook-timestamp", Some(text)), SignatureError::Timestamp, "{text}");
    }
    let tag = signed.signature.strip_prefix("v1,").unwrap();
    for text in ["", tag, &format!("v1a,{tag}"), &format!("v1,{}", &tag[..20]), "v1,", "v1,AAAA"] {
        assert_eq!(check("webhook-signature", Some(text)), SignatureError::Mismatch, "{text}");
    }
}

#[test]
fn only_the_first_sixteen_signatures_are_looked_at() {
    let secret = WebhookSecret::generate();
    let signed = sign("evt_1", b"{}", &SigningSecrets::new(secret.clone()), seconds(100)).unwrap();
    for (others, expected) in [(15, Ok(())), (16, Err(SignatureError::Mismatch))] {
        let signature = format!("{}{}", "v1,AAAA ".repeat(others), signed.signature);
        let headers = headers(&SignatureHeaders { signature, ..signed.clone() });
        assert_eq!(verify(&headers, b"{}", std::slice::from_ref(&secret), seconds(100), TOLERANCE), expected);
    }
}

#[test]
fn an_id_that_could_shift_the_signed_text_is_not_signed() {
    let secrets = SigningSecrets::new(WebhookSecret::generate());
    for id in ["", "a.b", "a b", "a\n", "ä", &"a".repeat(257)] {
        assert_eq!(sign(id, b"{}", &secrets, seconds(1)), Err(InvalidMessageId), "{id}");
    }
}

proptest! {
    #[test]
    fn what_was_signed_verifies_and_nothing_else_does(
        id in "[a-zA-Z0-9_]{1,40}",
        body: Vec<u8>,
        flip: proptest::sample::Index,
        time in 0i64..4_000_000_000,
    ) {
        let secret = WebhookSecret::generate();
        let signed = sign(&id, &body, &SigningSecrets::new(secret.clone()), seconds(time)).unwrap();
        let good = headers(&signed);
        prop_assert_eq!(verify(&good, &body, std::slice::from_ref(&secret), seconds(time), TOLERANCE), Ok(()));

        let mut changed = body.clone();
        if changed.is_empty() { changed.push(0) } else { changed[flip.index(body.len())] ^= 1 }
        let mismatch = Err(SignatureError::Mismatch);
        prop_assert_eq!(verify(&good, &changed, std::slice::from_ref(&secret), seconds(time), TOLERANCE), mismatch);
        let other = WebhookSecret::generate();
        prop_assert_eq!(verify(&good, &body, &[other], seconds(time), TOLERANCE), mismatch);
        let mut later = good;
        later.insert("webhook-timestamp", HeaderValue::from_str(&(time + 1).to_string()).unwrap());
        prop_assert_eq!(verify(&later, &body, &[secret], seconds(time), TOLERANCE), mismatch);
    }

    #[test]
    fn any_headers_are_refused_and_never_panic(id: Vec<u8>, time: Vec<u8>, signature: Vec<u8>, body: Vec<u8>) {
        let mut headers = HeaderMap::new();
        for (name, bytes) in [("webhook-id", &id), ("webhook-timestamp", &time), ("webhook-signature", &signature)] {
            if let Ok(value) = HeaderValue::from_bytes(bytes) {
                headers.insert(name, value);
            }
        }
        prop_assert!(verify(&headers, &body, &[WebhookSecret::generate()], seconds(0), TOLERANCE).is_err());
    }
}
