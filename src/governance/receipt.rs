//! The receipt of a release: who let what out, as whom, by which rules, in a form that anybody can check without this gateway.
//!
//! What is signed is the receipt as canonical JSON. It names no recipient and holds nothing of the message: the content hash
//! stands for both. The audit row before that of the release ties it into the chain, and the row of the release holds the
//! receipt's SHA-256.
//!
//! Standards: RFC 8785 (canonical JSON: here no numbers but whole ones, and no names but plain letters), RFC 8032 (Ed25519).

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::{ChainHash, to_hex};
use super::signature::{ALGORITHM, PublicKey, SigningKey};

/// The form of receipts.
pub const FORMAT: &str = "connex-receipt-1";
/// Octets of a receipt's file at most; one has some 1,500.
pub const LARGEST: usize = 64 * 1024;

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// `connex-receipt-1`.
    pub format: String,
    /// Where the gateway was reached.
    pub gateway: String,
    /// The release.
    pub release: String,
    /// The draft.
    pub draft: String,
    /// Its version.
    pub version: u32,
    /// The tenant.
    pub tenant: String,
    /// SHA-256 over reverse-path, recipients and the unsigned message, in hexadecimal.
    pub content_hash: String,
    /// How many recipients it was released to.
    pub recipients: u32,
    /// `direct`, to the recipients' own servers, or `relay:` and which.
    pub route: String,
    /// As whom it is sent.
    pub identity: ReceiptIdentity,
    /// `person` or `policy`.
    pub allowed_by: String,
    /// The approvals by which it was released; none where policy let it out.
    pub approvals: Vec<ReceiptApproval>,
    /// The version of the tenant's policy.
    pub policy_version: String,
    /// What the gate said.
    pub verdict: ReceiptVerdict,
    /// When, RFC 3339.
    pub released_at: String,
    /// Its place in the tenant's audit log.
    pub audit: ReceiptPlace,
}

/// The sender identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiptIdentity {
    /// `connex` or `customer_domain`.
    pub owner: String,
    /// The mailbox.
    pub mailbox: String,
    /// Its address; null where it was not known.
    pub address: Option<String>,
    /// The domain that signs.
    pub domain: Option<String>,
}

/// A person's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiptApproval {
    /// The question.
    pub approval: String,
    /// Who said it: a kind and an id.
    pub by: String,
    /// When, RFC 3339.
    pub decided_at: String,
    /// Codes of the holds that the person was shown and accepted.
    pub accepted: Vec<String>,
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiptVerdict {
    /// `release`.
    pub ruling: String,
    /// Codes of the rules that spoke against it.
    pub reasons: Vec<String>,
}

/// A place in an audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiptPlace {
    /// The row of the release.
    pub number: u64,
    /// The hash of the row before, in hexadecimal.
    pub previous_hash: String,
}

impl Receipt {
    /// What is signed: canonical JSON.
    ///
    /// # Errors
    /// None that can happen: every field is text, a list or a whole number.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        // The names of an object are sorted by this.
        serde_json::to_value(self).and_then(|value| serde_json::to_string(&value))
    }
}

/// A receipt with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedReceipt {
    /// What it says.
    pub receipt: Receipt,
    /// Who says so.
    pub signature: ReceiptSignature,
}

/// A signature over the receipt as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiptSignature {
    /// `Ed25519`.
    pub algorithm: String,
    /// The gateway's public key, base64.
    pub public_key: String,
    /// The signature, base64.
    pub value: String,
}

/// Why a receipt is not what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    /// It cannot be read.
    #[error("is no receipt: {0}")]
    Unreadable(String),
    /// Of another form or algorithm.
    #[error("is of a form that is not known here")]
    Form,
    /// Another key than the one that is trusted signed it.
    #[error("was signed by another key than the one that was given: {0}")]
    Key(String),
    /// The signature is not one of this text.
    #[error("is not what was signed: it was changed, or never was a receipt of this key")]
    Signature,
}

impl SignedReceipt {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Untrue::Unreadable`].
    pub fn read(text: &str) -> Result<Self, Untrue> {
        if text.len() > LARGEST {
            return Err(Untrue::Unreadable("it is too large".to_owned()));
        }
        serde_json::from_str(text).map_err(|error| Untrue::Unreadable(error.to_string()))
    }

    /// Whether it is what was signed, by the key that is trusted, or by the one that it names itself.
    ///
    /// # Errors
    /// [`Untrue`].
    pub fn check(&self, trusted: Option<&PublicKey>) -> Result<PublicKey, Untrue> {
        let Self { receipt, signature } = self;
        if receipt.format != FORMAT || signature.algorithm != ALGORITHM {
            return Err(Untrue::Form);
        }
        let key: PublicKey = signature.public_key.parse().map_err(|_| Untrue::Form)?;
        if trusted.is_some_and(|trusted| *trusted != key) {
            return Err(Untrue::Key(key.to_string()));
        }
        let text = receipt.canonical().map_err(|error| Untrue::Unreadable(error.to_string()))?;
        if key.has_signed(&text, &signature.value) { Ok(key) } else { Err(Untrue::Signature) }
    }
}

/// A receipt that waits for its place in the audit log, and the key that signs it then.
#[derive(Clone)]
pub struct Unsigned {
    /// What it will say, but for its place.
    pub receipt: Receipt,
    /// What signs it.
    pub key: std::sync::Arc<SigningKey>,
}

impl fmt::Debug for Unsigned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unsigned").field("release", &self.receipt.release).finish_non_exhaustive()
    }
}

impl Unsigned {
    /// Signs it as the row behind `before`, which has the number `last`; with the SHA-256 of what was signed, in hexadecimal.
    ///
    /// # Errors
    /// As [`Receipt::canonical`].
    pub fn sign(self, last: u64, before: ChainHash) -> Result<(SignedReceipt, String), serde_json::Error> {
        let Self { mut receipt, key } = self;
        receipt.audit = ReceiptPlace { number: last.saturating_add(1), previous_hash: before.to_string() };
        let text = receipt.canonical()?;
        let signature = ReceiptSignature {
            algorithm: ALGORITHM.to_owned(),
            public_key: key.public().to_string(),
            value: key.sign(&text),
        };
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        Ok((SignedReceipt { receipt, signature }, to_hex(digest.as_ref())))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ids::TenantId;

    /// A receipt of nothing in particular.
    pub(crate) fn unsigned(release: &str, mark: &str) -> Unsigned {
        let receipt = Receipt {
            format: FORMAT.into(),
            gateway: "https://gate.example".into(),
            release: release.into(),
            draft: "drf_1".into(),
            version: 1,
            tenant: "ten_1".into(),
            content_hash: "00".repeat(32),
            recipients: 2,
            route: "direct".into(),
            identity: ReceiptIdentity {
                owner: "connex".into(),
                mailbox: "mbx_1".into(),
                address: Some(format!("{mark}@gate.example")),
                domain: None,
            },
            allowed_by: "person".into(),
            approvals: vec![ReceiptApproval {
                approval: "apr_1".into(),
                by: "user:usr_1".into(),
                decided_at: "2026-01-01T00:00:00.000Z".into(),
                accepted: vec!["risk_high".into()],
            }],
            policy_version: "v3".into(),
            verdict: ReceiptVerdict { ruling: "release".into(), reasons: Vec::new() },
            released_at: "2026-01-01T00:00:00.000Z".into(),
            audit: ReceiptPlace { number: 0, previous_hash: String::new() },
        };
        Unsigned { receipt, key: Arc::new(SigningKey::of(&[3; 32])) }
    }

    fn signed() -> SignedReceipt {
        unsigned("rel_1", "sales").sign(6, ChainHash::beginning(TenantId::from_bits(1))).unwrap().0
    }

    #[test]
    fn what_is_signed_is_sorted_and_has_no_spaces() {
        let text = signed().receipt.canonical().unwrap();
        assert!(text.starts_with("{\"allowedBy\":\"person\",\"approvals\":[{\"accepted\":[\"risk_high\"],"), "{text}");
        assert!(text.ends_with("\"version\":1}") && text.contains("\"number\":7"), "{text}");
    }

    #[test]
    fn a_receipt_is_true_for_its_key_alone() {
        let receipt = signed();
        let (own, other) = (SigningKey::of(&[3; 32]).public(), SigningKey::of(&[4; 32]).public());
        assert_eq!(receipt.check(None).unwrap(), own);
        assert_eq!(receipt.check(Some(&own)).unwrap(), own);
        assert_eq!(receipt.check(Some(&other)), Err(Untrue::Key(own.to_string())));
        let again = SignedReceipt::read(&serde_json::to_string_pretty(&receipt).unwrap()).unwrap();
        assert_eq!(again.check(Some(&own)).unwrap(), own, "spaces and order of a file do not matter");
    }

    #[test]
    fn every_field_that_is_changed_is_found() {
        let whole = serde_json::to_value(signed()).unwrap();
        let mut pointers = Vec::new();
        leaves(&whole, String::new(), &mut pointers);
        assert!(pointers.len() > 20, "{pointers:?}");
        for pointer in pointers {
            let mut changed = whole.clone();
            let value = changed.pointer_mut(&pointer).unwrap();
            *value = match &*value {
                serde_json::Value::Number(_) => 99.into(),
                serde_json::Value::Null => "x".into(),
                other => format!("{}x", other.as_str().unwrap()).into(),
            };
            let read = SignedReceipt::read(&changed.to_string());
            assert!(read.and_then(|receipt| receipt.check(None)).is_err(), "{pointer}");
        }
        let mut more = whole;
        more["receipt"]["note"] = "x".into();
        assert!(matches!(SignedReceipt::read(&more.to_string()), Err(Untrue::Unreadable(_))));
        assert!(SignedReceipt::read(&" ".repeat(LARGEST + 1)).is_err() && SignedReceipt::read("{").is_err());
    }

    fn leaves(value: &serde_json::Value, at: String, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, field) in fields {
                    leaves(field, format!("{at}/{name}"), found);
                }
            }
            serde_json::Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    leaves(item, format!("{at}/{place}"), found);
                }
            }
            _ => found.push(at),
        }
    }
}
