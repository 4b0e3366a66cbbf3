//! What certificates of the configuration mean for mail.

use super::report::Finding;
use crate::acme::storage::Failure;
use crate::clock::Timestamp;
use crate::tls::OwnCertificate;

const CHECK: &str = "certificate";

/// Judges one pair of files; `hostname` where it is the one that is shown to clients that name no host.
pub(super) fn judge(
    file: &str,
    read: &Result<OwnCertificate, String>,
    hostname: Option<&str>,
    now: Timestamp,
) -> Vec<Finding> {
    let certificate = match read {
        Ok(certificate) => certificate,
        Err(why) => {
            return vec![Finding::problem(
                CHECK,
                format!("{file}: {why}"),
                "put certificate chain and key in place, readable by the user of the service",
            )];
        }
    };
    let (ends, days) = (certificate.ends(), certificate.ends().since(now).as_secs() / 86_400);
    let mut found = vec![if now >= ends {
        Finding::problem(CHECK, format!("{file} ended {ends}"), "renew it; the program reads it again by itself")
    } else if now < certificate.begins() {
        Finding::problem(CHECK, format!("{file} begins {}", certificate.begins()), "set the clock, or wait")
    } else if certificate.is_ending(now) {
        Finding::problem(CHECK, format!("{file} ends in {days} days"), "renew it; the program reads it again by itself")
    } else {
        Finding::good(CHECK, format!("{file} is valid for {days} days"))
    }];
    if let Some(host) = hostname.filter(|host| !certificate.is_for(host)) {
        let names = certificate.names().join(" ");
        let what = format!("{file} is for {names}, and not for {host}");
        found.push(Finding::problem(
            CHECK,
            what,
            "get one that names server.hostname, or set server.hostname to a name in it",
        ));
    }
    found
}

/// Judges orders at an ACME authority that failed, the last of them when it was looked.
pub(super) fn judge_orders(failure: &Failure) -> Finding {
    let Failure { since, at, attempts, error } = failure;
    let what = format!("{attempts} orders at acme.directory failed since {since}, the last {at}: {error}");
    let remedy = "have every host of acme.domains lead to acme.http_listen on port 80, then `systemctl reload` it";
    Finding::problem(CHECK, what, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_a_problem_with_a_remedy() {
        let found = judge("x.pem", &Err("no such file".to_owned()), None, Timestamp::from_micros(0));
        assert_eq!((found[0].level, found[0].remedy.is_some()), (Level::Problem, true));
    }
}
