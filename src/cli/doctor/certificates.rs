//! What certificates of the configuration mean for mail.

use std::time::Duration;

use super::report::Finding;
use crate::clock::Timestamp;
use crate::tls::OwnCertificate;

const CHECK: &str = "certificate";
/// So long before its end a certificate should have been renewed.
const SOON: Duration = Duration::from_secs(14 * 86_400);

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
    } else if ends.since(now) < SOON {
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
