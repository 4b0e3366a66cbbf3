//! Whatever the bytes are, every way of reading them comes to an end, and the original's bytes lie within them.
#![no_main]

use connex::mail::address::{Domain, ReversePath};
use connex::mail::copy::RouteAddresses;
use connex::mail::journal::ReportFormat;
use connex::mail::message::Limits;
use connex::mail::reading::{Handed, Reader, open, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let routes = RouteAddresses::default();
    let owned: Vec<Domain> = Domain::parse("harbor.example").into_iter().collect();
    for reader in [
        Reader::Mailbox,
        Reader::Bcc,
        Reader::Forward,
        Reader::JournalPlain,
        Reader::Journal(ReportFormat::Exchange),
        Reader::Journal(ReportFormat::ExchangeLegacy),
        Reader::Journal(ReportFormat::Workmail),
    ] {
        let limits = Limits::default();
        let first = open(bytes, reader, &routes, &limits);
        let others = first.others(bytes, &limits);
        for opened in std::iter::once(first.clone()).chain(others) {
            let handed = Handed {
                own_hosts: &[],
                owned_domains: &owned,
                routes: &routes,
                reverse_path: &ReversePath::Null,
                has_null_reverse_path: true,
                forward_paths: &[],
                told: &[],
                peer_authorised: true,
                authors: &[],
                author_authenticated: false,
            };
            if let Some(original) = read(&opened, &handed).original {
                assert!(original.bytes(bytes).len() <= bytes.len());
                assert!(original.range().is_none_or(|range| range.start <= range.end && range.end <= bytes.len()));
            }
        }
    }
});
