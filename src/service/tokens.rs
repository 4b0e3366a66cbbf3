//! Secrets that we make for others to hold: in the address of a route, in the record that proves a domain.

use ring::digest::{SHA256, digest};

/// Letters of a token: 128 bits in base32.
pub const TOKEN_LETTERS: usize = 26;

/// SHA-256 of a route token in lower case: what the store is asked for, so that no comparison sees the secret.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest(&SHA256, token.to_ascii_lowercase().as_bytes()).as_ref());
    hash
}

/// A new token: 128 random bits in base32, lower case.
#[must_use]
pub fn new_token() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0u8; 16];
    crate::clock::random_bytes(&mut random);
    let bits = u128::from_be_bytes(random);
    (0..TOKEN_LETTERS)
        .map(|place| usize::try_from((bits >> (5 * place)) & 31).unwrap_or(0))
        .filter_map(|digit| ALPHABET.get(digit).copied().map(char::from))
        .collect()
}
