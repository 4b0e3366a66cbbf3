//! `[submission]`: where programs hand mail in to be sent, which becomes drafts.

use std::net::SocketAddr;

use super::reader::Reader;
use super::smtp::LEAST_MESSAGE;

/// `[submission]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Addresses with STARTTLS.
    pub listen: Vec<SocketAddr>,
    /// Addresses with TLS from the first byte.
    pub listen_tls: Vec<SocketAddr>,
    /// Octets of a message.
    pub message_size: u64,
}

/// What a draft may be: it is read, judged and shown as a whole.
const MOST: u64 = 32 << 20;

impl Submission {
    pub(super) fn read(reader: &mut Reader<'_>, has_tls: bool) -> Self {
        let submission = Self {
            listen: reader.addresses("submission.listen"),
            listen_tls: reader.addresses("submission.listen_tls"),
            message_size: reader.size("submission.message_size", LEAST_MESSAGE..=MOST),
        };
        for (key, addresses) in
            [("submission.listen", &submission.listen), ("submission.listen_tls", &submission.listen_tls)]
        {
            // RFC 8314 §3.3: an API key is never sent in the clear, not on loopback either.
            if !addresses.is_empty() && !has_tls {
                reader.fault(key, "needs tls.cert_file and tls.key_file, or acme.directory, or must be empty");
            }
        }
        submission
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Loader;

    #[test]
    fn a_submission_door_needs_a_certificate_also_on_loopback() {
        for key in ["listen", "listen_tls"] {
            let text = format!("[submission]\n{key} = [\"127.0.0.1:2587\"]\n");
            let faults = Loader::new().text("test", &text).load().unwrap_err().to_string();
            assert!(faults.contains(&format!("submission.{key}")) && faults.contains("tls.cert_file"), "{faults}");
        }
        let config = Loader::new().load().unwrap();
        assert!(config.submission.listen.is_empty() && config.submission.listen_tls.is_empty());
        assert_eq!(config.submission.message_size, 10 << 20);
    }
}
