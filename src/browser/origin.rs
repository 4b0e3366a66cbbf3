//! Whether a request that changes something comes from a page of this gateway.
//!
//! Browsers say so themselves: `Sec-Fetch-Site` in all that are current, over HTTPS and on loopback, and `Origin` for
//! those that do not (which is `null` for pages that tell no referrer, as ours). A page cannot set either. Where both are
//! missing nobody is believed.

use ::http::{HeaderMap, header};

/// Scheme, host and port of the address at which this gateway is reached (RFC 6454 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// That of a URL; one that has none matches nothing.
    #[must_use]
    pub fn of(url: &str) -> Self {
        Self(url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default())
    }

    /// Whether browsers reach this gateway by TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Whether a request comes from a page of ours.
    #[must_use]
    pub fn sent(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        if let Some(site) = text("sec-fetch-site") {
            return site == "same-origin";
        }
        let Some(origin) = text(header::ORIGIN.as_str()) else { return false };
        // The name that the browser has in its address bar, whatever the configuration calls this gateway.
        let host = text(header::HOST.as_str()).unwrap_or_default();
        let is_here = !host.is_empty() && origin.split_once("://").is_some_and(|(_, authority)| authority == host);
        is_here || (!self.0.is_empty() && origin == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_the_same_origin_is_believed() {
        let own = Origin::of("https://gate.example/");
        let sent = |pairs: &[(&'static str, &'static str)]| {
            let headers: HeaderMap =
                pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            own.sent(&headers)
        };
        let host = ("host", "inner:8080");
        for right in [
            vec![("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-site", "same-origin"), ("origin", "https://gate.example")],
            vec![("origin", "https://gate.example"), host],
            vec![("origin", "http://inner:8080"), host],
        ] {
            assert!(sent(&right), "{right:?}");
        }
        for wrong in [
            vec![],
            vec![host],
            vec![("sec-fetch-site", "same-site")],
            vec![("sec-fetch-site", "cross-site"), ("origin", "https://gate.example")],
            vec![("sec-fetch-site", "none")],
            vec![("origin", "null"), host],
            vec![("origin", "https://gate.example.evil.example"), host],
            vec![("origin", "http://gate.example"), host],
            vec![("origin", "https://other.example"), host],
        ] {
            assert!(!sent(&wrong), "{wrong:?}");
        }
        assert!(own.is_https() && !Origin::of("http://localhost:8080").is_https());
    }
}
