//! Records beside addresses: mail exchangers, texts, aliases, and the names of an address.

use std::net::IpAddr;

use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::{DnsError, Resolver, Source, absolute, read_error};

impl Resolver {
    /// Preference and name of each mail exchanger of a domain, best first (RFC 5321 §5.1); empty where it has none.
    ///
    /// # Errors
    /// [`DnsError`]
    pub async fn exchangers(&self, domain: &str) -> Result<Vec<(u16, String)>, DnsError> {
        let invalid = |_| DnsError::InvalidName { name: domain.chars().take(64).collect() };
        let name = Name::from_ascii(absolute(domain)).map_err(invalid)?;
        let mut found: Vec<(u16, String)> = Vec::new();
        for data in self.records(domain, name, RecordType::MX).await? {
            if let RData::MX(record) = data {
                found.push((record.preference, record.exchange.to_ascii()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Texts of a name (TXT, RFC 1035 §3.3.14), the strings of each put together; empty where it has none.
    ///
    /// # Errors
    /// [`DnsError`]
    pub async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        let invalid = |_| DnsError::InvalidName { name: name.chars().take(64).collect() };
        let asked = Name::from_str_relaxed(absolute(name)).map_err(invalid)?;
        let found = self.records(name, asked, RecordType::TXT).await?.into_iter().filter_map(|data| match data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        });
        Ok(found.collect())
    }

    /// The target of a name's alias (CNAME, RFC 1035 §3.3.1), whether it exists or not; empty where the name is no alias.
    ///
    /// # Errors
    /// [`DnsError`]
    pub async fn aliases(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let invalid = |_| DnsError::InvalidName { name: name.chars().take(64).collect() };
        let asked = Name::from_str_relaxed(absolute(name)).map_err(invalid)?;
        let found = self.records(name, asked, RecordType::CNAME).await?.into_iter().filter_map(|data| match data {
            RData::CNAME(target) => Some(target.0.to_ascii()),
            _ => None,
        });
        Ok(found.collect())
    }

    /// Names of an address (PTR, RFC 1035 §3.5); empty where it has none.
    ///
    /// # Errors
    /// [`DnsError`]
    pub async fn names_of(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        let found = self.records(&address.to_string(), Name::from(address), RecordType::PTR).await?;
        let names = found.into_iter().filter_map(|data| match data {
            RData::PTR(name) => Some(name.0.to_ascii()),
            _ => None,
        });
        Ok(names.collect())
    }

    async fn records(&self, shown: &str, name: Name, kind: RecordType) -> Result<Vec<RData>, DnsError> {
        let Source::Live(resolver) = &self.source else { return Ok(Vec::new()) };
        let answer = tokio::time::timeout(self.limit, resolver.lookup(name, kind)).await;
        match answer.map_err(|_| DnsError::Timeout { name: shown.to_owned() })? {
            Ok(lookup) => Ok(lookup.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) => match read_error(shown, &error) {
                DnsError::NotFound { .. } => Ok(Vec::new()),
                error => Err(error),
            },
        }
    }
}
