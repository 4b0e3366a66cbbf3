//! Signed messages against a name server on loopback.

use std::time::Duration;

use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use mail_auth::{AuthenticationResults, DkimOutput};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::dns::ResolverSettings;
use crate::dns::zone::{Trouble, Zone};
use crate::ids::SessionId;
use crate::mail::address::ReversePath;
use crate::mail::authentication::{FailurePolicy, RequestedPolicy};
use crate::mail::envelope::{BodyKind, Envelope, MilterEnvelope, Origin};
use crate::mail::message::{self, Limits};

mod hostile;
mod policies;
mod reference;
mod signed;

const PEER: &str = "192.0.2.25";
const SIGNED: [&str; 4] = ["From", "To", "Subject", "Message-ID"];
const MAIL: &str = "From: Ann <ann@lakeside.example>\r\nTo: deals@in.example\r\nSubject: Next steps\r\n\
                    Message-ID: <1@lakeside.example>\r\n\r\nCan you send proof of funds?\r\n";

struct Key {
    pkcs8: Vec<u8>,
    record: String,
}

impl Key {
    fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap().as_ref().to_vec();
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap();
        let public = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pair.public_key().as_ref());
        Self { pkcs8, record: format!("v=DKIM1; k=ed25519; p={public}") }
    }

    fn key(&self) -> Ed25519Key {
        Ed25519Key::from_pkcs8_der(&self.pkcs8).unwrap()
    }

    /// `mail`, signed by `domain` with the selector `s`.
    fn sign(&self, domain: &str, mail: &str) -> String {
        self.sign_with(domain, mail, |template| template)
    }

    fn sign_with(
        &self,
        domain: &str,
        mail: &str,
        change: impl FnOnce(DkimSigner<Ed25519Key, mail_auth::dkim::Done>) -> DkimSigner<Ed25519Key, mail_auth::dkim::Done>,
    ) -> String {
        let signer = DkimSigner::from_key(self.key()).domain(domain).selector("s").headers(SIGNED);
        let signature = change(signer).sign(mail.as_bytes()).unwrap();
        format!("{}{mail}", signature.to_header())
    }
}

struct Scene {
    zone: Zone,
    key: Key,
    settings: Settings,
    peer: &'static str,
    mail_from: &'static str,
    helo: &'static str,
    milter: Option<Box<MilterEnvelope>>,
}

/// A name server that knows lakeside.example: its key, its mail server, and a policy of reject.
fn scene() -> Scene {
    let zone = Zone::start().unwrap();
    let key = Key::new();
    zone.txt("s._domainkey.lakeside.example", &key.record)
        .txt("lakeside.example", "v=spf1 ip4:192.0.2.25 -all")
        .txt("_dmarc.lakeside.example", "v=DMARC1; p=reject; sp=quarantine; adkim=r; aspf=r");
    let settings = Settings {
        authserv_id: Domain::parse("mx.in.example").unwrap(),
        budget: Duration::from_secs(5),
        signatures: 10,
        relays: vec!["127.0.0.0/8".parse().unwrap()],
        forwarders: Vec::new(),
        sealers: Vec::new(),
    };
    Scene {
        zone,
        key,
        settings,
        peer: PEER,
        mail_from: "ann@lakeside.example",
        helo: "mx.lakeside.example",
        milter: None,
    }
}

impl Scene {
    fn authenticator(&self) -> Authenticator {
        let settings =
            ResolverSettings { servers: vec![self.zone.address()], timeout: self.settings.budget / 4, attempts: 1 };
        Authenticator::new(&Resolver::new(&settings).unwrap(), self.settings.clone())
    }

    fn manifest(&self) -> Manifest {
        let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
        Manifest {
            id: clock.mint(),
            received_at: clock.now(),
            envelope: Envelope {
                reverse_path: ReversePath::try_from(self.mail_from.to_owned()).unwrap(),
                forward_paths: Vec::new(),
                body: BodyKind::SevenBit,
                smtputf8: false,
                envelope_id: None,
                returned: None,
            },
            origin: Origin {
                door: if self.milter.is_some() { Door::Milter } else { Door::Smtp },
                session: clock.mint::<SessionId>(),
                peer: Some(self.peer.parse().unwrap()),
                proxy: None,
                helo: self.helo.into(),
                tls: None,
                authenticated: None,
                certificate: None,
                provider: None,
                client: None,
            },
            defects: Vec::new(),
            quiet: false,
            milter: self.milter.clone(),
            verdict: crate::mail::envelope::Verdict::NotAsked,
        }
    }

    async fn check(&self, mail: impl AsRef<[u8]>) -> Authentication {
        self.check_by(&self.authenticator(), mail).await
    }

    async fn check_by(&self, authenticator: &Authenticator, mail: impl AsRef<[u8]>) -> Authentication {
        let bytes = mail.as_ref();
        authenticator.check(bytes, &message::read(bytes, &Limits::default()), &self.manifest()).await
    }
}

/// `method=result` of each result, in order, with what tells two of one method apart.
fn told(authentication: &Authentication) -> Vec<String> {
    let one = |result: &MethodResult| {
        let helo = if result.identity == Identity::Helo { ".helo" } else { "" };
        format!("{}{helo}={}", result.method.as_str(), result.result.as_str())
    };
    authentication.results.iter().map(one).collect()
}

fn of(authentication: &Authentication, method: Method) -> &MethodResult {
    authentication.results.iter().find(|result| result.method == method).unwrap()
}
