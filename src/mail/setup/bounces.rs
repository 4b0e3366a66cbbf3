//! Whether a host of a customer's leads here, so that reports about the customer's mail come.

use super::{Check, Purpose, Standing, Told, check};

/// What stands at a delegated host: its mail servers, or an alias to one of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldHost {
    /// Preference and name of each mail server.
    pub exchangers: Told<(u16, String)>,
    /// Targets of an alias.
    pub aliases: Told<String>,
}

/// Holds a delegated host against the names of this gateway, the one for MX first.
#[must_use]
pub fn compare_host(host: &str, gateway: &[String], held: &HeldHost) -> Check {
    let name = format!("{host}.");
    let is_ours = |found: &str| {
        let found = found.trim_end_matches('.');
        gateway.iter().any(|own| own.trim_end_matches('.').eq_ignore_ascii_case(found))
    };
    let (exchangers, aliases) = (held.exchangers.as_deref(), held.aliases.as_deref());
    let by_alias = aliases.unwrap_or_default().iter().any(|target| is_ours(target));
    // Reports that went elsewhere would be lost to us: every server is one of ours.
    let all = exchangers.unwrap_or_default();
    let by_exchanger = !all.is_empty() && all.iter().all(|(_, name)| is_ours(name));
    let standing = match (exchangers, aliases) {
        _ if by_alias || by_exchanger => Standing::Ok,
        (None, _) | (_, None) => Standing::Unknown,
        (Some([]), Some([])) => Standing::Missing,
        _ => Standing::Differs,
    };
    let mut found: Vec<String> = all.iter().map(|(preference, name)| format!("{preference} {name}")).collect();
    found.extend(aliases.unwrap_or_default().iter().map(|target| format!("CNAME {target}")));
    let own = gateway.first().map_or("localhost", String::as_str).trim_end_matches('.');
    let expected = format!("10 {own}.");
    let check = check(Purpose::BounceHost, name.clone(), "MX", found, standing).expecting(expected);
    let check = Check { zone_lines: vec![format!("{name} IN MX 10 {own}.")], ..check };
    check.noting(
        "it also needs a TXT record with the SPF of the domain, as it stands in the reverse-path of mail for it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(exchangers: Option<&[&str]>, aliases: Option<&[&str]>) -> Standing {
        let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let held = HeldHost {
            exchangers: exchangers.map(|all| names(all).into_iter().map(|name| (10, name)).collect()),
            aliases: aliases.map(names),
        };
        compare_host("bounces.acme.example", &["mx.gate.example".into(), "gate.example".into()], &held).standing
    }

    #[test]
    fn a_host_leads_here_by_its_servers_or_by_an_alias_and_not_where_one_of_them_is_elsewhere() {
        assert_eq!(standing(Some(&["MX.gate.example."]), Some(&[])), Standing::Ok);
        assert_eq!(standing(Some(&["mx.gate.example.", "gate.example."]), Some(&[])), Standing::Ok);
        assert_eq!(standing(Some(&["mx.gate.example.", "mx.other.example."]), Some(&[])), Standing::Differs);
        assert_eq!(standing(Some(&[]), Some(&["mx.gate.example."])), Standing::Ok);
        assert_eq!(standing(Some(&["mx.other.example."]), Some(&["mx.gate.example."])), Standing::Ok);
        assert_eq!(standing(Some(&[]), Some(&["mx.other.example."])), Standing::Differs);
        assert_eq!(standing(Some(&[]), Some(&[])), Standing::Missing);
        assert_eq!(standing(None, Some(&[])), Standing::Unknown);
        assert_eq!(standing(None, Some(&["mx.gate.example."])), Standing::Ok);
    }
}
