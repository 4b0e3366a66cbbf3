//! An OpenID Connect provider on loopback, for tests: one person, who is signed in at once, and tokens as a test wants them.
//!
//! The tests of the real program use the same file.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use serde_json::{Map, Value, json};

/// A key that signs tokens.
pub enum SigningKey {
    /// Ed25519.
    Ed(Ed25519KeyPair),
    /// P-256.
    Ec(EcdsaKeyPair),
    /// RSA.
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    pub fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    pub fn p256() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &signature::ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    /// Of a PEM file.
    pub fn rsa(pem: &str) -> Self {
        let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(text).unwrap();
        let pair = if pem.contains("BEGIN RSA") { RsaKeyPair::from_der(&der) } else { RsaKeyPair::from_pkcs8(&der) };
        Self::Rsa(Box::new(pair.unwrap()))
    }

    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed(_) => "EdDSA",
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    /// Its public half as a JWK.
    pub fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "x": text(pair.public_key().as_ref()) })
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": text(&point[1..33]), "y": text(&point[33..]) })
            }
            Self::Rsa(pair) => {
                let key: signature::RsaPublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({ "kty": "RSA", "kid": id, "alg": "RS256", "n": text(&key.n), "e": text(&key.e) })
            }
        }
    }

    /// The signature over a text.
    pub fn sign(&self, text: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ed(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
            Self::Ec(pair) => pair.sign(&random, text.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut tag = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut tag).unwrap();
                tag
            }
        }
    }
}

/// Header and claims as the part of a token that is signed.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// What a test may change.
pub struct State {
    /// Name of the key, and the key that signs.
    pub key: (String, SigningKey),
    /// What the next tokens say beside what they must; null takes a claim away.
    pub claims: Map<String, Value>,
    /// What is said to be the time, in seconds.
    pub now: i64,
    /// How often its keys were fetched.
    pub key_fetches: usize,
    /// Where browsers are sent in place of what they were sent with, when the gateway does not know its own port.
    pub back: Option<String>,
    /// What each code is for: nonce and PKCE challenge.
    codes: HashMap<String, (String, String)>,
}

/// A provider that runs; it stops listening when dropped.
pub struct Provider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Our name and secret there; what stands in a form-encoded header is encoded once more.
pub const CLIENT: (&str, &str) = ("connex", "a secret: of two");

impl Provider {
    pub fn start(now: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            key: ("k1".into(), SigningKey::p256()),
            claims: Map::new(),
            now,
            key_fetches: 0,
            back: None,
            codes: HashMap::new(),
        }));
        let is_over = Arc::new(AtomicBool::new(false));
        let (serving, over) = (Arc::clone(&state), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&serving);
                // A browser opens connections over which it says nothing.
                std::thread::spawn(move || serve(&stream, address, &state));
            }
        });
        Self { address, state, is_over, thread: Some(thread) }
    }

    /// Its name.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next tokens say this too.
    pub fn say(&self, claims: Value) {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        self.state().claims = claims;
    }

    /// A token of its user, made now for `audience` in answer to `nonce`.
    pub fn token(&self, audience: &str, nonce: &str) -> String {
        token(&self.issuer(), &self.state(), audience, nonce)
    }
}

#[allow(clippy::disallowed_methods, reason = "it wakes its own thread")]
impl Drop for Provider {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn token(issuer: &str, state: &State, audience: &str, nonce: &str) -> String {
    let (id, key) = &state.key;
    let mut claims = json!({ "iss": issuer, "sub": "ann", "aud": audience, "exp": state.now + 300, "iat": state.now,
        "auth_time": state.now - 5, "nonce": nonce });
    for (name, value) in &state.claims {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    let signed = unsigned(&json!({ "alg": key.algorithm(), "kid": id, "typ": "JWT" }), &claims);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(&signed)))
}

fn serve(mut stream: &TcpStream, address: SocketAddr, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut line, mut length, mut authorization) = (String::new(), 0, String::new());
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    let url = url::Url::parse(&format!("http://{address}{target}")).ok()?;
    let (status, more, text) = answer(&url, &authorization, &body, &mut state.lock().unwrap());
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(text.as_bytes()).ok()
}

fn answer(url: &url::Url, authorization: &str, body: &str, state: &mut State) -> (u16, String, String) {
    let issuer = url.origin().ascii_serialization();
    let json = |value: &Value| (200, String::new(), value.to_string());
    let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
    match url.path() {
        "/.well-known/openid-configuration" => json(&json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
            "authorization_response_iss_parameter_supported": true,
        })),
        "/keys" => {
            state.key_fetches += 1;
            json(&json!({ "keys": [{ "kty": "oct", "k": "AA" }, state.key.1.jwk(&state.key.0)] }))
        }
        "/authorize" => {
            assert_eq!((query["response_type"].as_str(), query["code_challenge_method"].as_str()), ("code", "S256"));
            assert_eq!(query["client_id"], CLIENT.0);
            let code = format!("code-{}", state.codes.len());
            state.codes.insert(code.clone(), (query["nonce"].clone(), query["code_challenge"].clone()));
            let back = state.back.clone().unwrap_or_else(|| query["redirect_uri"].clone());
            let mut back = url::Url::parse(&back).unwrap();
            back.query_pairs_mut()
                .append_pair("code", &code)
                .append_pair("state", &query["state"])
                .append_pair("iss", &issuer);
            (302, format!("location: {back}\r\n"), String::new())
        }
        "/token" => {
            let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            let digest = ring::digest::digest(&ring::digest::SHA256, form["code_verifier"].as_bytes());
            let basic = format!("Basic {}", STANDARD.encode(format!("{}:a+secret%3A+of+two", CLIENT.0)));
            // A code counts once, for whoever asked for it.
            match state.codes.remove(&form["code"]) {
                Some((nonce, challenge)) if challenge == URL_SAFE_NO_PAD.encode(digest) && authorization == basic => {
                    state.codes.insert(format!("used-{}", form["code"]), (String::new(), String::new()));
                    json(
                        &json!({ "id_token": token(&issuer, state, CLIENT.0, &nonce), "access_token": "x", "token_type": "Bearer" }),
                    )
                }
                _ => (400, String::new(), r#"{"error":"invalid_grant"}"#.to_owned()),
            }
        }
        _ => (404, String::new(), "{}".to_owned()),
    }
}
