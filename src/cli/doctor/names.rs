//! What DNS says of our names, and what it means for mail.

use std::net::IpAddr;

use super::report::Finding;

const CHECK: &str = "dns";

/// What DNS says of one of our names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its addresses, or why there is none.
    pub(super) addresses: Result<Vec<IpAddr>, String>,
    /// Mail exchangers of a domain, best first (RFC 5321 §5.1); none for a host.
    pub(super) exchangers: Option<Result<Vec<String>, String>>,
    /// For each address of a host: the names that it has.
    pub(super) reverse: Vec<(IpAddr, Vec<String>)>,
}

/// Judges what is said of `server.hostname`.
pub(super) fn judge_host(host: &str, facts: &Facts) -> Vec<Finding> {
    let addresses = match &facts.addresses {
        Err(why) => {
            return vec![Finding::problem(
                CHECK,
                format!("server.hostname: {why}"),
                format!("add an A or AAAA record for {host}, or correct server.hostname"),
            )];
        }
        Ok(addresses) => addresses,
    };
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut found = vec![Finding::good(CHECK, format!("{host} is {}", shown.join(" ")))];
    for (address, names) in &facts.reverse {
        if names.iter().any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host)) {
            found.push(Finding::good(CHECK, format!("{address} is {host}")));
        } else {
            let known = if names.is_empty() { "has no name".to_owned() } else { format!("is {}", names.join(" ")) };
            let remedy =
                format!("ask whom the address is from for a PTR record to {host}; receivers of mail look at it");
            found.push(Finding::note(CHECK, format!("{address} {known}"), remedy));
        }
    }
    found
}

/// Judges what is said of a domain on which addresses are given out.
pub(super) fn judge_domain(domain: &str, host: &str, facts: &Facts) -> Finding {
    let remedy = || format!("add `{domain}. MX 10 {host}.` to its zone");
    match (&facts.exchangers, &facts.addresses) {
        (Some(Ok(names)), _) if names.iter().any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host)) => {
            Finding::good(CHECK, format!("mail for {domain} goes to {host}"))
        }
        (Some(Ok(names)), _) if !names.is_empty() => {
            let what = format!("mail for {domain} goes to {}, and not to {host}", names.join(" "));
            Finding::note(CHECK, what, format!("right where those hand it on to this gateway; otherwise {}", remedy()))
        }
        // RFC 5321 §5.1: without a record, the domain's own address is where its mail goes.
        (_, Ok(_)) => Finding::note(CHECK, format!("{domain} has no MX record, only an address"), remedy()),
        (_, Err(why)) => Finding::problem(CHECK, format!("{domain} takes no mail: {why}"), remedy()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    fn facts(addresses: bool, exchangers: &[&str]) -> Facts {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        Facts {
            addresses: if addresses { Ok(vec![address]) } else { Err("no address".to_owned()) },
            exchangers: Some(Ok(exchangers.iter().map(|name| (*name).to_owned()).collect())),
            reverse: vec![(address, vec!["mx.example.".to_owned()])],
        }
    }

    #[test]
    fn a_host_needs_an_address_and_should_have_its_name_back() {
        let levels = |host: &str, facts: &Facts| judge_host(host, facts).iter().map(|it| it.level).collect::<Vec<_>>();
        assert_eq!(levels("mx.example", &facts(true, &[])), [Level::Good, Level::Good]);
        assert_eq!(levels("other.example", &facts(true, &[])), [Level::Good, Level::Note]);
        assert_eq!(levels("mx.example", &facts(false, &[])), [Level::Problem]);
    }

    #[test]
    fn a_domain_should_send_its_mail_here() {
        let level = |facts: &Facts| judge_domain("example", "mx.example", facts).level;
        assert_eq!(level(&facts(false, &["mx.example."])), Level::Good);
        assert_eq!(level(&facts(false, &["mx.elsewhere."])), Level::Note);
        assert_eq!(level(&facts(true, &[])), Level::Note);
        assert_eq!(level(&facts(false, &[])), Level::Problem);
    }
}
