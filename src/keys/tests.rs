//! The form, digest and rules of API keys.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn key(seed: u8) -> ApiKey {
    ApiKey::from_random(&[seed; 64], Environment::Live).unwrap()
}

fn record() -> KeyRecord {
    KeyRecord {
        id: KeyId::from_bits(1),
        tenant: TenantId::from_bits(2),
        digest: key(7).digest(&Pepper::new(b"pepper")),
        environment: Environment::Live,
        name: "n".into(),
        last4: key(7).last4().into(),
        scopes: Scopes::of(&[Scope::StatusEvaluate]),
        bindings: KeyBindings::default(),
        allowed_networks: vec![],
        created_at: Timestamp::from_micros(0),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

#[test]
fn a_known_key_has_the_known_checksum() {
    // CRC-32 by another hand: zlib.crc32(b"cxk_live_" + b"0" * 30), in base62.
    assert_eq!(key(0).reveal(), "cxk_live_0000000000000000000000000000004SNf9m");
}

#[test]
fn a_typo_is_found_without_a_database() {
    let text = key(3).reveal().to_owned();
    assert_eq!(ApiKey::parse(&text.replace("live_33", "live_34")).unwrap_err(), KeySyntaxError::Checksum);
    assert_eq!(ApiKey::parse(&text[..44]).unwrap_err(), KeySyntaxError::Form);
    assert_eq!(ApiKey::parse(&text.replace("cxk_live_", "cxk_prod_")).unwrap_err(), KeySyntaxError::Form);
    assert_eq!(ApiKey::parse("cxk_live_your_key_here").unwrap_err(), KeySyntaxError::Form);
    // The environment is under the checksum too: a live key cannot be passed off as a test key.
    assert_eq!(ApiKey::parse(&text.replace("_live_", "_test_")).unwrap_err(), KeySyntaxError::Checksum);
}

#[test]
fn a_digest_fits_one_key_and_one_pepper() {
    let pepper = Pepper::new(b"pepper");
    let stored = key(1).digest(&pepper);
    assert!(key(1).matches(&stored, &pepper));
    assert!(!key(2).matches(&stored, &pepper));
    assert!(!key(1).matches(&stored, &Pepper::new(b"other")));
}

#[test]
fn nothing_of_a_key_is_shown_by_debug() {
    let shown = format!("{:?} {:?} {:?}", key(5), Pepper::new(b"pepper"), record());
    assert!(!shown.contains(&key(5).reveal()[9..20]) && !shown.contains("pepper"), "{shown}");
}

#[test]
fn too_little_randomness_makes_no_key() {
    assert!(ApiKey::from_random(&[250; 64], Environment::Test).is_none());
    assert!(ApiKey::from_random(&[1; 29], Environment::Test).is_none());
}

#[test]
fn revocation_expiry_and_network_each_refuse() {
    let now = Timestamp::from_micros(10);
    assert_eq!(record().check(None, now), Ok(()));
    assert_eq!(KeyRecord { revoked_at: Some(now), ..record() }.check(None, now), Err(KeyRefusal::Revoked));
    assert_eq!(KeyRecord { expires_at: Some(now), ..record() }.check(None, now), Err(KeyRefusal::Expired));
    let later = now.plus(Duration::from_secs(1));
    assert_eq!(KeyRecord { expires_at: Some(later), ..record() }.check(None, now), Ok(()));
    let confined = KeyRecord { allowed_networks: vec!["192.0.2.0/24".parse().unwrap()], ..record() };
    assert_eq!(confined.check(Some("192.0.2.7".parse().unwrap()), now), Ok(()));
    assert_eq!(confined.check(Some("::ffff:192.0.2.7".parse().unwrap()), now), Ok(()));
    assert_eq!(confined.check(Some("198.51.100.7".parse().unwrap()), now), Err(KeyRefusal::Network));
    assert_eq!(confined.check(None, now), Err(KeyRefusal::Network));
}

#[test]
fn a_use_is_recorded_at_most_once_a_minute() {
    let last = Timestamp::from_micros(0);
    let used = KeyRecord { last_used_at: Some(last), ..record() };
    assert!(record().use_is_worth_recording(last));
    assert!(!used.use_is_worth_recording(last.plus(Duration::from_secs(59))));
    assert!(used.use_is_worth_recording(last.plus(Duration::from_mins(1))));
}

#[test]
fn bindings_confine_only_when_they_name_something() {
    assert!(KeyBindings::default().allows_app("any"));
    let bound = KeyBindings { apps: vec!["crm".into()], mailboxes: vec!["a@b.example".into()], ..Default::default() };
    assert!(bound.allows_app("crm") && !bound.allows_app("CRM") && !bound.allows_app("other"));
    assert!(bound.allows_mailbox("A@B.example") && !bound.allows_mailbox("c@b.example"));
}

#[test]
fn scopes_read_back_and_unknown_words_grant_nothing() {
    let scopes = Scopes::of(&[Scope::MessagesRaw, Scope::StatusEvaluate]);
    assert_eq!(scopes.to_string(), "status:evaluate messages:raw");
    assert_eq!(Scopes::parse("messages:raw  root:all status:evaluate"), scopes);
    assert_eq!(Scopes::parse(&Scopes::all().to_string()), Scopes::all());
    assert!(!Scopes::default().contains(Scope::EventsRead));
}

#[test]
fn keys_are_redacted_wherever_they_stand() {
    let text = format!("a {} b {}.", key(1).reveal(), "cxk_live_your_key");
    assert_eq!(redact(&text), "a cxk_… b cxk_….");
    assert_eq!(redact("plain"), "plain");
}

proptest! {
    #[test]
    fn every_made_key_reads_back(random in proptest::collection::vec(0u8..248, 30..64)) {
        let made = ApiKey::from_random(&random, Environment::Test).unwrap();
        prop_assert_eq!(made.reveal().len(), 45);
        let read = ApiKey::parse(made.reveal()).unwrap();
        prop_assert_eq!(read.environment(), Environment::Test);
        prop_assert_eq!(read.reveal(), made.reveal());
    }

    #[test]
    fn any_text_is_a_key_or_an_error(text: String) {
        let _ = ApiKey::parse(&text);
        let _ = redact(&text);
    }
}
