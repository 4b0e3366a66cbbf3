//! Tokens as issuers sign them, and as attackers would like them to count; issuers that misbehave.

pub(crate) mod provider;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::claims::ClaimFault;
use super::jose::{KeySet, Token, TokenFault};
use super::*;
use crate::clock::{Clock, Timestamp};
use crate::dns::{Resolver, ResolverSettings};
use crate::webhook::deliver::ClientSettings;
use crate::webhook::endpoint::AllowList;
use crate::webhook::fetch::Fetcher;
use provider::{Provider, SigningKey, unsigned};

const NOW: i64 = 1_795_600_000;

fn clock() -> Clock {
    Clock::fixed(Timestamp::from_micros(NOW * 1_000_000))
}

/// Issuers on loopback, which only this list lets anybody ask.
pub(crate) fn issuers(clock: Clock, allow: &[&str]) -> Issuers {
    let settings = ResolverSettings {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        timeout: Duration::from_millis(50),
        attempts: 1,
    };
    let allow: AllowList = allow.iter().map(|entry| entry.parse().unwrap()).collect();
    let resolver = Resolver::new(&settings).unwrap();
    Issuers::new(Fetcher::new(&ClientSettings::default(), &resolver, &allow).unwrap(), clock)
}

fn keys() -> Vec<SigningKey> {
    vec![SigningKey::rsa(include_str!("../outbound/tests/rsa2048.pem")), SigningKey::p256(), SigningKey::ed25519()]
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let text = unsigned(header, claims);
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(key.sign(&text)))
}

fn check(set: &KeySet, token: &str) -> Result<(), TokenFault> {
    set.check(&Token::read(token)?)
}

#[test]
fn a_token_counts_by_the_key_that_it_names_and_the_algorithm_of_that_key_alone() {
    let keys = keys();
    let jwks: Vec<Value> = keys.iter().enumerate().map(|(place, key)| key.jwk(&format!("k{place}"))).collect();
    let all = set(&jwks);
    assert_eq!(all.len(), 3);
    for (place, key) in keys.iter().enumerate() {
        let header = json!({ "alg": key.algorithm(), "kid": format!("k{place}") });
        let good = signed(key, &header, &json!({}));
        assert_eq!(check(&all, &good), Ok(()), "{header}");
        let nameless = signed(key, &json!({ "alg": key.algorithm() }), &json!({}));
        assert_eq!(check(&all, &nameless), Ok(()), "the only key of its algorithm");
        let other = signed(key, &json!({ "alg": key.algorithm(), "kid": "k9" }), &json!({}));
        assert_eq!(check(&all, &other), Err(TokenFault::UnknownKey));
        let borrowed =
            signed(key, &json!({ "alg": key.algorithm(), "kid": format!("k{}", (place + 1) % 3) }), &json!({}));
        assert_eq!(check(&all, &borrowed), Err(TokenFault::UnknownKey), "a key is for one algorithm");
        let (head, rest) = good.split_once('.').unwrap();
        let changed = format!("{head}.{}.{}", URL_SAFE_NO_PAD.encode("{\"a\":1}"), rest.split_once('.').unwrap().1);
        assert_eq!(check(&all, &changed), Err(TokenFault::Signature));
        let stranger =
            [SigningKey::rsa(include_str!("../outbound/tests/rsa2048.pem")), SigningKey::p256(), SigningKey::ed25519()];
        if place > 0 {
            assert_eq!(check(&all, &signed(&stranger[place], &header, &json!({}))), Err(TokenFault::Signature));
        }
    }
}

#[test]
fn nothing_that_anybody_could_sign_counts() {
    let key = SigningKey::rsa(include_str!("../outbound/tests/rsa2048.pem"));
    let jwk = key.jwk("k");
    let all = set(&[jwk.clone(), json!({ "kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0" })]);
    assert_eq!(all.len(), 1, "a shared secret is no key here");
    // The public key as the secret of an HMAC: the old confusion of algorithms.
    let text = unsigned(&json!({ "alg": "HS256", "kid": "k" }), &json!({}));
    for secret in
        [jwk["n"].as_str().unwrap().as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap()]
    {
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret), text.as_bytes());
        let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(check(&all, &token), Err(TokenFault::Algorithm));
    }
    for none in ["none", "None", "nOnE", "", "RS512", "PS256"] {
        let text = unsigned(&json!({ "alg": none, "kid": "k" }), &json!({}));
        assert_eq!(check(&all, &format!("{text}.")), Err(TokenFault::Algorithm), "{none}");
    }
    let unsigned = format!("{}.", unsigned(&json!({ "alg": "RS256", "kid": "k" }), &json!({})));
    assert_eq!(check(&all, &unsigned), Err(TokenFault::Signature));
    for header in [json!({ "alg": "RS256", "typ": "at+jwt" }), json!({ "alg": "RS256", "crit": ["b64"], "b64": false })]
    {
        assert_eq!(check(&all, &signed(&key, &header, &json!({}))), Err(TokenFault::Kind), "{header}");
    }
    // A key of the attacker's own in the header is not looked at.
    let own = SigningKey::p256();
    let header = json!({ "alg": "ES256", "kid": "k", "jwk": own.jwk("k"), "jku": "https://evil.example/keys" });
    assert_eq!(check(&all, &signed(&own, &header, &json!({}))), Err(TokenFault::UnknownKey));
    let encryption = json!({ "kty": "RSA", "kid": "k", "use": "enc", "n": jwk["n"], "e": jwk["e"] });
    assert!(set(&[encryption]).is_empty());
}

#[test]
fn claims_count_for_us_now_and_in_answer_to_our_question() {
    let good = json!({ "iss": "https://a.example", "sub": "ann", "aud": "us", "exp": NOW + 60, "iat": NOW, "nonce": "n",
        "auth_time": NOW - 100, "email": "ann@a.example", "email_verified": true });
    let read = |claims: &Value, since: Option<i64>| {
        let expected = Expected {
            issuer: "https://a.example",
            audience: "us",
            nonce: "n",
            authenticated_since: since.map(|since| Timestamp::from_micros(since * 1_000_000)),
            now: clock().now(),
        };
        Claims::read(claims.to_string().as_bytes(), &expected)
    };
    let claims = read(&good, Some(NOW - 600)).unwrap();
    assert_eq!((claims.subject.as_str(), claims.verified_email.as_deref()), ("ann", Some("ann@a.example")));
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    for (name, value, fault) in [
        ("iss", json!("https://a.example/"), ClaimFault::Issuer),
        ("aud", json!("them"), ClaimFault::Audience),
        ("aud", json!(["them"]), ClaimFault::Audience),
        ("aud", json!(["us", "them"]), ClaimFault::Audience),
        ("azp", json!("them"), ClaimFault::Audience),
        ("exp", json!(NOW - 61), ClaimFault::Expired),
        ("iat", json!(NOW + 120), ClaimFault::Future),
        ("nbf", json!(NOW + 120), ClaimFault::Future),
        ("nonce", json!("m"), ClaimFault::Nonce),
        ("nonce", Value::Null, ClaimFault::Nonce),
        ("auth_time", json!(NOW - 601), ClaimFault::AuthTime),
        ("auth_time", json!(NOW + 120), ClaimFault::AuthTime),
        ("auth_time", Value::Null, ClaimFault::AuthTime),
        ("sub", json!(""), ClaimFault::Form),
        ("sub", json!("a\nb"), ClaimFault::Form),
        ("exp", json!("tomorrow"), ClaimFault::Form),
        ("exp", json!(1e300), ClaimFault::Form),
        ("exp", json!(-1), ClaimFault::Form),
    ] {
        assert_eq!(read(&with(name, value.clone()), Some(NOW - 600)), Err(fault), "{name} {value}");
    }
    let mut several = with("aud", json!(["us", "them"]));
    several["azp"] = json!("us");
    read(&several, None).unwrap();
    for unproved in [json!(false), json!("false"), json!(1), Value::Null] {
        assert_eq!(read(&with("email_verified", unproved), None).unwrap().verified_email, None);
    }
}

proptest! {
    #[test]
    fn any_text_is_a_token_or_a_fault(text in "[A-Za-z0-9_.=-]{0,200}", header in ".{0,60}", claims in ".{0,60}") {
        let _ = Token::read(&text);
        let made = format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&claims));
        let _ = Token::read(&made);
        let _ = KeySet::parse(claims.as_bytes());
        let expected = Expected { issuer: "i", audience: "a", nonce: "n", authenticated_since: None, now: clock().now() };
        let _ = Claims::read(claims.as_bytes(), &expected);
    }
}

#[tokio::test]
async fn an_unknown_key_is_looked_up_once_and_not_again_for_a_while() {
    let (provider, clock) = (Provider::start(NOW), clock());
    let issuers = issuers(clock.clone(), &["127.0.0.1"]);
    let issuer = provider.issuer();
    let verify = async || {
        let token = provider.token("us", "n");
        let expected =
            Expected { issuer: &issuer, audience: "us", nonce: "n", authenticated_since: None, now: clock.now() };
        issuers.verify(&token, &expected).await
    };
    assert_eq!(verify().await.unwrap().subject, "ann");
    assert_eq!(verify().await.unwrap().subject, "ann");
    assert_eq!(provider.state().key_fetches, 1);
    provider.state().key = ("k2".into(), SigningKey::ed25519());
    assert_eq!(verify().await.unwrap().subject, "ann", "the issuer has a new key");
    assert_eq!(provider.state().key_fetches, 2);
    // Tokens with keys that nobody has make nobody ask for more.
    let stranger = SigningKey::p256();
    let token = signed(&stranger, &json!({ "alg": "ES256", "kid": "k3" }), &json!({}));
    let expected =
        Expected { issuer: &issuer, audience: "us", nonce: "n", authenticated_since: None, now: clock.now() };
    for _ in 0..5 {
        assert_eq!(issuers.verify(&token, &expected).await, Err(TokenFault::UnknownKey.into()));
    }
    assert_eq!(provider.state().key_fetches, 2);
    clock.advance(Duration::from_secs(31));
    assert_eq!(issuers.verify(&token, &expected).await, Err(TokenFault::UnknownKey.into()));
    assert_eq!(provider.state().key_fetches, 3);
}

#[tokio::test]
async fn an_issuer_is_asked_at_public_addresses_alone_and_believed_for_itself() {
    let provider = Provider::start(NOW);
    let refused = issuers(clock(), &[]).metadata(&provider.issuer()).await;
    assert!(matches!(refused, Err(OidcError::Address { .. })), "{refused:?}");
    assert!(issuers(clock(), &[]).check_address("https://169.254.169.254").is_err());
    let issuers = issuers(clock(), &["127.0.0.1"]);
    let metadata = issuers.metadata(&provider.issuer()).await.unwrap();
    assert_eq!((metadata.issuer.as_str(), metadata.tells_issuer), (provider.issuer().as_str(), true));
    // Its document names another than who was asked.
    let slash = format!("{}/", provider.issuer());
    assert!(matches!(issuers.metadata(&slash).await, Err(OidcError::Document(_))));
    let nobody = issuers.metadata("http://127.0.0.1:9").await.unwrap_err();
    assert!(nobody.is_temporary(), "{nobody}");
}
