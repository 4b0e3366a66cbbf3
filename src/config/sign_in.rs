//! `[sign_in]`: providers of OpenID Connect at which people sign in, and which addresses may be asked for them.
//!
//! # Security
//! Providers come with secrets, and so from a file of their own or from the environment. `allow` is the only hole in the rule
//! that issuers are public https addresses.

use serde::Deserialize;

use super::reader::Reader;
use super::secret::Secret;
use super::webhooks::allow_entry;
use crate::webhook::endpoint::{AllowList, PublicUrl};

/// `[sign_in]`
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Where people sign in.
    pub providers: Vec<Provider>,
    /// What may be asked although it is no public address by https.
    pub allow: AllowList,
}

/// A provider at which people of one tenant sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name in addresses of ours.
    pub name: String,
    /// What is on the button.
    pub label: String,
    /// Its own name: an https URL.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// Our secret there; `None`: a public client.
    pub client_secret: Option<Secret>,
    /// Whose people sign in there: id or name.
    pub tenant: String,
    /// `viewer`, `agent` or `approver`: what somebody may do who was not invited; `None`: nobody comes so.
    pub first_role: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    label: Option<String>,
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    tenant: String,
    first_role: Option<String>,
}

const MOST: usize = 20;

impl SignIn {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let allowed = "HOST, HOST:PORT without a scheme or wildcard, or a network such as 10.1.0.0/16, not all";
        let allow: AllowList = reader.list("sign_in.allow", allowed, allow_entry).into_iter().collect();
        let key = if reader.is_set("sign_in.providers_file") { "sign_in.providers_file" } else { "sign_in.providers" };
        let text = reader.secret("sign_in.providers", "sign_in.providers_file", 1);
        let providers = match text.map(|text| read(text.expose(), &allow)) {
            None => Vec::new(),
            Some(Ok(providers)) => providers,
            Some(Err(fault)) => {
                reader.fault(key, &fault);
                Vec::new()
            }
        };
        Self { providers, allow }
    }
}

/// Reads the `[[provider]]` tables; what is wrong is said without what stands there.
fn read(text: &str, allow: &AllowList) -> Result<Vec<Provider>, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line =
            error.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
        format!("line {line}: {}", error.message())
    })?;
    if file.provider.len() > MOST {
        return Err(format!("has more than {MOST} providers"));
    }
    let mut providers: Vec<Provider> = Vec::new();
    for (number, raw) in (1..).zip(file.provider) {
        let provider = check(raw, allow).map_err(|what| format!("provider {number}: {what}"))?;
        if providers.iter().any(|other| other.name == provider.name) {
            return Err(format!("provider {number}: another has the name {}", provider.name));
        }
        providers.push(provider);
    }
    Ok(providers)
}

fn check(raw: Raw, allow: &AllowList) -> Result<Provider, &'static str> {
    let is_name = !raw.name.is_empty()
        && raw.name.len() <= 40
        && raw.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_name {
        return Err("name must be 1 to 40 of a-z, 0-9 and -");
    }
    if raw.issuer.contains(['?', '#']) || PublicUrl::parse(&raw.issuer, allow).is_err() {
        return Err("issuer must be a public https URL without a query, or its host be in sign_in.allow");
    }
    if raw.client_id.is_empty() || raw.tenant.is_empty() {
        return Err("client_id and tenant must not be empty");
    }
    if !raw.first_role.as_deref().is_none_or(|role| ["viewer", "agent", "approver"].contains(&role)) {
        return Err("first_role must be viewer, agent or approver, or be left out");
    }
    let label = raw.label.filter(|label| !label.trim().is_empty());
    Ok(Provider {
        label: label.unwrap_or_else(|| format!("Sign in with {}", raw.name)),
        name: raw.name,
        issuer: raw.issuer,
        client_id: raw.client_id,
        client_secret: raw.client_secret.filter(|secret| !secret.is_empty()).map(Secret::new),
        tenant: raw.tenant,
        first_role: raw.first_role,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[provider]]\nname = \"acme\"\nissuer = \"https://login.acme.example\"\nclient_id = \"connex\"\n\
                        client_secret = \"hunter2\"\ntenant = \"acme\"\n";

    fn fault(text: &str) -> String {
        read(text, &AllowList::default()).unwrap_err()
    }

    #[test]
    fn providers_are_read_and_without_a_role_nobody_comes_uninvited() {
        let providers = read(GOOD, &AllowList::default()).unwrap();
        assert_eq!((providers.len(), providers[0].label.as_str()), (1, "Sign in with acme"));
        assert_eq!((providers[0].first_role.clone(), providers[0].client_secret.is_some()), (None, true));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        let twice = format!("{GOOD}{GOOD}");
        for (text, words) in [
            (GOOD.replace("tenant", "tenants"), "line 6"),
            (GOOD.replace("\"hunter2\"", "\"hunter2"), "line 5"),
            (GOOD.replace("https:", "http:"), "issuer must be"),
            (GOOD.replace("login.acme.example", "10.0.0.1"), "issuer must be"),
            (GOOD.replace("name = \"acme\"", "name = \"A b\""), "name must be"),
            (format!("{GOOD}first_role = \"owner\"\n"), "first_role must be"),
            (twice, "provider 2: another"),
        ] {
            let fault = fault(&text);
            assert!(fault.contains(words) && !fault.contains("hunter2"), "{fault}");
        }
    }
}
