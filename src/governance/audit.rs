//! What was decided and by whom, as a chain in which nothing can be changed, removed, put in or exchanged unseen.
//!
//! Each row's hash is over the row and the hash before it; a head names the newest. Whoever keeps a head outside of the
//! database finds every change of a row at or before it, and rows that are missing. What a row holds of persons is in its
//! detail, of which the chain has the SHA-256 alone: it can be erased, and the chain still shows that nothing else was.
//!
//! Standards: FIPS 180-4 (SHA-256).

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::approval::Actor;
use super::signature::{PublicKey, SigningKey};
use crate::clock::Timestamp;
use crate::ids::TenantId;

/// Who did what is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Somebody with an account, a key or an agent's name.
    Actor(Actor),
    /// The operator, by a command on the machine.
    Operator,
    /// The gateway by itself, as its rules and times say.
    Gateway,
}

impl fmt::Display for Who {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor(Actor::User { user }) => write!(formatter, "user:{user}"),
            Self::Actor(Actor::Issued { issuer, subject }) => write!(formatter, "issued:{issuer}#{subject}"),
            Self::Actor(Actor::Key { key }) => write!(formatter, "key:{key}"),
            Self::Actor(Actor::Agent { agent }) => write!(formatter, "agent:{agent}"),
            Self::Actor(Actor::Template { template, version }) => write!(formatter, "template:{template}#{version}"),
            Self::Operator => formatter.write_str("operator"),
            Self::Gateway => formatter.write_str("gateway"),
        }
    }
}

/// SHA-256 of a row and all before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// From its octets.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the first row of a tenant's chain follows.
    #[must_use]
    pub fn beginning(tenant: TenantId) -> Self {
        Self(hash(&[b"connex audit beginning 1", tenant.to_string().as_bytes()]))
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for ChainHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::str::FromStr for ChainHash {
    type Err = super::version::InvalidContentHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        super::version::read_hex(text).map(Self)
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place: 1, 2, 3 … without gaps.
    pub number: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who did it, as [`Who`] is written.
    pub actor: String,
    /// What was done: a word.
    pub action: String,
    /// To what: an id.
    pub subject: String,
    /// SHA-256 of the detail.
    pub detail_digest: [u8; 32],
}

impl Entry {
    /// Its hash behind `before`.
    #[must_use]
    pub fn hash(&self, tenant: TenantId, before: ChainHash) -> ChainHash {
        ChainHash(hash(&[
            b"connex audit row 1",
            tenant.to_string().as_bytes(),
            &self.number.to_be_bytes(),
            &self.at.as_micros().to_be_bytes(),
            self.actor.as_bytes(),
            self.action.as_bytes(),
            self.subject.as_bytes(),
            &self.detail_digest,
            before.as_bytes(),
        ]))
    }
}

/// SHA-256 of a detail.
#[must_use]
pub fn digest(detail: &str) -> [u8; 32] {
    hash(&[b"connex audit detail 1", detail.as_bytes()])
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The subject under which what is about a person's address is recorded. The chain is over it, so that it is no address; the
/// address is in the detail, which can be erased.
#[must_use]
pub fn subject_of_address(address_key: &str) -> String {
    let digest = hash(&[b"connex audit address 1", address_key.as_bytes()]);
    format!("address:{}", to_hex(&digest))
}

/// The newest row of a chain, to be kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// Whose chain it is.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// How many rows it has.
    pub number: u64,
    /// The hash of the newest, in hexadecimal.
    pub hash: String,
    /// When the head was taken, RFC 3339.
    pub taken_at: String,
    /// The public key of the gateway that signed it, base64.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Its signature (Ed25519), base64.
    #[serde(default)]
    pub signature: Option<String>,
}

impl Head {
    /// What a signature of it is over.
    #[must_use]
    pub fn signed_text(&self) -> String {
        format!("connex audit head 1\n{}\n{}\n{}\n{}\n", self.tenant, self.number, self.hash, self.taken_at)
    }

    /// The same with the gateway's signature.
    #[must_use]
    pub fn signed(mut self, key: &SigningKey) -> Self {
        self.public_key = Some(key.public().to_string());
        self.signature = Some(key.sign(&self.signed_text()));
        self
    }

    /// Whether it is what `key` signed.
    ///
    /// # Errors
    /// [`Unsigned`].
    pub fn check(&self, key: &PublicKey) -> Result<(), Unsigned> {
        let (Some(named), Some(signature)) = (&self.public_key, &self.signature) else { return Err(Unsigned::Bare) };
        if *named != key.to_string() {
            return Err(Unsigned::Key(named.clone()));
        }
        if key.has_signed(&self.signed_text(), signature) { Ok(()) } else { Err(Unsigned::Changed) }
    }
}

/// Why a head is not one that the gateway gave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// It has no signature.
    #[error("the head is not signed")]
    Bare,
    /// Another key signed it.
    #[error("the head was signed by another key: {0}")]
    Key(String),
    /// It is not what was signed.
    #[error("the head is not what was signed")]
    Changed,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A number is not the one behind the last.
    #[error("row {found} follows row {last}: rows are missing, put in or exchanged")]
    Gap {
        /// The last good row.
        last: u64,
        /// The number found.
        found: u64,
    },
    /// A row is not what it was when it was recorded, or does not follow the row before.
    #[error("row {number} was changed, or the row before it was exchanged")]
    Changed {
        /// The row.
        number: u64,
    },
    /// A row's detail is not what it was.
    #[error("the detail of row {number} was changed")]
    Detail {
        /// The row.
        number: u64,
    },
    /// The chain is shorter than the head.
    #[error("the chain ends at row {last}, and the head is of row {head}: rows were cut off")]
    CutOff {
        /// The last row.
        last: u64,
        /// The row of the head.
        head: u64,
    },
    /// The row of the head has another hash.
    #[error("row {number} is not the one of the head: the chain was made anew")]
    Forked {
        /// The row.
        number: u64,
    },
    /// The head is of another tenant.
    #[error("the head is of another tenant")]
    Foreign,
}

/// Follows a chain row by row.
#[derive(Debug)]
pub struct Walk<'h> {
    tenant: TenantId,
    head: Option<&'h Head>,
    last: u64,
    hash: ChainHash,
}

impl<'h> Walk<'h> {
    /// From the beginning, towards a head that was kept, if there is one.
    ///
    /// # Errors
    /// [`Broken::Foreign`].
    pub fn new(tenant: TenantId, head: Option<&'h Head>) -> Result<Self, Broken> {
        if head.is_some_and(|head| head.tenant != tenant) {
            return Err(Broken::Foreign);
        }
        Ok(Self { tenant, head, last: 0, hash: ChainHash::beginning(tenant) })
    }

    /// The next row, with the hash that is stored for it and its detail, where that was not erased.
    ///
    /// # Errors
    /// [`Broken`] at the first row that is not as it was recorded.
    pub fn take(&mut self, entry: &Entry, stored: ChainHash, detail: Option<&str>) -> Result<(), Broken> {
        let number = entry.number;
        if Some(number) != self.last.checked_add(1) {
            return Err(Broken::Gap { last: self.last, found: number });
        }
        if entry.hash(self.tenant, self.hash) != stored {
            return Err(Broken::Changed { number });
        }
        if detail.is_some_and(|detail| digest(detail) != entry.detail_digest) {
            return Err(Broken::Detail { number });
        }
        (self.last, self.hash) = (number, stored);
        match self.head {
            Some(head) if head.number == number && head.hash != stored.to_string() => Err(Broken::Forked { number }),
            _ => Ok(()),
        }
    }

    /// The end of the chain: how many rows it has, and the hash of the newest.
    ///
    /// # Errors
    /// [`Broken::CutOff`].
    pub fn end(self) -> Result<(u64, ChainHash), Broken> {
        match self.head {
            Some(head) if head.number > self.last => Err(Broken::CutOff { last: self.last, head: head.number }),
            _ => Ok((self.last, self.hash)),
        }
    }
}

/// Each field goes in behind its length, so that no octet can move from one to another.
fn hash(fields: &[&[u8]]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for field in fields {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENANT: TenantId = TenantId::from_bits(7);

    type Row = (Entry, ChainHash, Option<String>);

    fn chain(count: u64) -> Vec<Row> {
        let mut before = ChainHash::beginning(TENANT);
        (1..=count)
            .map(|number| {
                let detail = format!("{{\"n\":{number}}}");
                let entry = Entry {
                    number,
                    at: Timestamp::from_micros(1_000 + i64::try_from(number).unwrap()),
                    actor: Who::Gateway.to_string(),
                    action: "draft.released".into(),
                    subject: format!("drf_{number}"),
                    detail_digest: digest(&detail),
                };
                before = entry.hash(TENANT, before);
                (entry, before, Some(detail))
            })
            .collect()
    }

    fn head_of(rows: &[Row]) -> Head {
        let (entry, hash, _) = rows.last().unwrap();
        let taken_at = "2026-01-01T00:00:00Z".into();
        Head {
            tenant: TENANT,
            number: entry.number,
            hash: hash.to_string(),
            taken_at,
            public_key: None,
            signature: None,
        }
    }

    #[test]
    fn a_head_is_only_what_its_gateway_signed() {
        let (key, other) = (SigningKey::of(&[1; 32]), SigningKey::of(&[2; 32]));
        let bare = head_of(&chain(2));
        let head = bare.clone().signed(&key);
        assert_eq!(head.check(&key.public()), Ok(()));
        assert_eq!(bare.check(&key.public()), Err(Unsigned::Bare));
        assert_eq!(head.check(&other.public()), Err(Unsigned::Key(key.public().to_string())));
        let renamed = Head { public_key: Some(other.public().to_string()), ..head.clone() };
        assert_eq!(renamed.check(&other.public()), Err(Unsigned::Changed));
        for changed in [
            Head { tenant: TenantId::from_bits(8), ..head.clone() },
            Head { number: 1, ..head.clone() },
            Head { hash: "00".repeat(32), ..head.clone() },
            Head { taken_at: "2027-01-01T00:00:00Z".into(), ..head.clone() },
        ] {
            assert_eq!(changed.check(&key.public()), Err(Unsigned::Changed));
        }
    }

    fn walk(rows: &[Row], head: Option<&Head>) -> Result<(u64, ChainHash), Broken> {
        let mut walk = Walk::new(TENANT, head)?;
        for (entry, hash, detail) in rows {
            walk.take(entry, *hash, detail.as_deref())?;
        }
        walk.end()
    }

    #[test]
    fn a_whole_chain_is_followed_to_its_end_and_may_have_grown_since_the_head() {
        let rows = chain(5);
        assert_eq!(walk(&rows, None).unwrap().0, 5);
        assert_eq!(walk(&rows, Some(&head_of(&rows[..3]))).unwrap().0, 5);
        assert_eq!(walk(&[], None).unwrap(), (0, ChainHash::beginning(TENANT)));
    }

    #[test]
    fn what_was_cut_off_or_made_anew_is_found_by_the_head() {
        let rows = chain(5);
        let head = head_of(&rows);
        assert_eq!(walk(&rows[..4], Some(&head)), Err(Broken::CutOff { last: 4, head: 5 }));
        // Whoever owns the database can make a chain that is good in itself.
        let mut other = chain(5);
        let (entry, _, detail) = other.pop().unwrap();
        let entry = Entry { actor: "operator".into(), ..entry };
        let hash = entry.hash(TENANT, other.last().unwrap().1);
        other.push((entry, hash, detail));
        assert!(walk(&other, None).is_ok());
        assert_eq!(walk(&other, Some(&head)), Err(Broken::Forked { number: 5 }));
        assert_eq!(Walk::new(TenantId::from_bits(8), Some(&head)).err(), Some(Broken::Foreign));
    }

    #[test]
    fn an_erased_detail_leaves_the_chain_whole_and_a_changed_one_does_not() {
        let mut rows = chain(3);
        rows[1].2 = None;
        assert!(walk(&rows, None).is_ok());
        rows[1].2 = Some("{}".into());
        assert_eq!(walk(&rows, None), Err(Broken::Detail { number: 2 }));
    }

    proptest! {
        #[test]
        fn any_change_of_any_row_is_found(place in 0usize..6, what in 0u8..7, other in 0usize..6) {
            let mut rows = chain(6);
            let head = head_of(&rows);
            match what {
                0 => rows[place].0.actor.push('x'),
                1 => rows[place].0.action.push('x'),
                2 => rows[place].0.subject.push('x'),
                3 => rows[place].0.at = Timestamp::from_micros(0),
                4 => rows[place].0.detail_digest[0] ^= 1,
                5 => { rows.remove(place); }
                _ => {
                    prop_assume!(place != other);
                    rows.swap(place, other);
                }
            }
            prop_assert!(walk(&rows, Some(&head)).is_err());
        }
    }
}
