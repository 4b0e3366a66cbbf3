use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

use crate::reach::is_public;

fn parse(text: &str) -> Result<PublicUrl, InvalidUrl> {
    PublicUrl::parse(text, &AllowList::default())
}

fn allow(entries: &[&str]) -> AllowList {
    entries.iter().map(|entry| entry.parse::<AllowEntry>().unwrap()).collect()
}

fn with(entries: &[&str], text: &str) -> Result<PublicUrl, InvalidUrl> {
    PublicUrl::parse(text, &allow(entries))
}

proptest! {
    #[test]
    fn no_private_address_passes_in_any_disguise(address: u32) {
        let plain = Ipv4Addr::from(address);
        let mapped = plain.to_ipv6_mapped();
        prop_assert!(!is_public(IpAddr::V6(mapped)));
        let url = format!("https://[{mapped}]/");
        prop_assert!(parse(&url).is_err(), "{url}");
        if !is_public(IpAddr::V4(plain)) {
            for host in [address.to_string(), format!("{address:#x}"), format!("0{address:o}")] {
                let url = format!("https://{host}/");
                prop_assert!(matches!(parse(&url), Err(InvalidUrl::BlockedAddress { .. })), "{url}");
            }
        }
    }

    #[test]
    fn any_text_is_a_url_or_a_sentence(text: String) {
        let _ = parse(&text);
        let _ = text.parse::<AllowEntry>();
    }
}

#[test]
fn an_ordinary_endpoint_is_taken() {
    for text in [
        "https://hooks.example.com/connex?tenant=7",
        "https://hooks.example.com:443/",
        "https://hooks.example.com:1024/",
        "https://hooks.example.com.:8443/",
        "https://bücher.example/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:8443/",
    ] {
        assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
    }
    assert_eq!(parse("HTTPS://Hooks.Example.COM/a").unwrap().as_str(), "https://hooks.example.com/a");
}

#[test]
fn each_rule_has_its_sentence() {
    for (text, part) in [
        ("hooks.example.com", "not a URL"),
        ("", "not a URL"),
        ("https://", "not a URL"),
        ("http://hooks.example.com/", "use https"),
        ("ftp://hooks.example.com/", "not to `ftp`"),
        ("file:///etc/passwd", "names no host"),
        ("gopher://hooks.example.com/", "not to `gopher`"),
        ("https://user@hooks.example.com/", "user name or password"),
        ("https://user:pass@hooks.example.com/", "user name or password"),
        ("https://:pass@hooks.example.com/", "user name or password"),
        ("https://hooks.example.com/#part", "fragment"),
        ("https://hooks.example.com/#", "fragment"),
        ("https://hooks.example.com:80/", "port 80"),
        ("https://hooks.example.com:25/", "port 25"),
        ("https://hooks.example.com:1023/", "port 1023"),
        ("https://hooks.example.com:0/", "port 0"),
        ("https://169.254.169.254/latest/meta-data", "169.254.169.254 is not a public address"),
        ("https://[::ffff:8.8.8.8]/", "not a public address"),
        ("https://[64:ff9b::8.8.8.8]/", "not a public address"),
        ("https://[64:ff9b:1::1]/", "not a public address"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert_eq!(parse(&format!("https://a.example/{}", "a".repeat(2048))).unwrap_err(), InvalidUrl::TooLong);
}

#[test]
fn every_spelling_of_loopback_is_refused() {
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "0177.0x0.0.1",
        "127.0.0.1.",
        "127.0.0.01",
        "0",
        "0x",
        "0.0.0.0",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
    ] {
        let result = parse(&format!("https://{host}/"));
        assert!(matches!(result, Err(InvalidUrl::BlockedAddress { .. })), "{host}: {result:?}");
    }
}

#[test]
fn a_named_host_may_use_http_and_any_port() {
    assert!(with(&["127.0.0.1"], "http://127.0.0.1/").is_ok());
    assert!(with(&["127.0.0.1"], "http://2130706433:81/").is_ok());
    assert!(with(&["hooks.internal"], "http://HOOKS.internal.:80/").is_ok());
    assert!(with(&["Hooks.Internal."], "http://hooks.internal/").is_ok());
    assert!(with(&["[::1]:8080"], "http://[::1]:8080/").is_ok());
    assert!(with(&["::1"], "http://[0:0:0:0:0:0:0:1]:99/").is_ok());
    assert!(with(&["127.0.0.1"], "http://127.0.0.2/").is_err());
    assert!(with(&["hooks.internal"], "http://x.hooks.internal/").is_err());
    assert!(with(&["127.0.0.1"], "http://user@127.0.0.1/").is_err());
    assert!(with(&["127.0.0.1"], "ftp://127.0.0.1/").is_err());
}

#[test]
fn a_host_named_for_one_port_is_open_there_alone() {
    assert!(with(&["hooks.internal:8025"], "http://hooks.internal:8025/").is_ok());
    assert_eq!(with(&["hooks.internal:8025"], "http://hooks.internal:8026/").unwrap_err(), InvalidUrl::NotHttps);
    // On another port it is a host like any other: its addresses are judged.
    assert_eq!(with(&["hooks.internal:8025"], "https://hooks.internal/").unwrap().reach(), Reach::Public);
    assert_eq!(with(&["hooks.internal:8025"], "http://hooks.internal:8025/").unwrap().reach(), Reach::Named);
    assert!(with(&["127.0.0.1:8025"], "http://127.0.0.1:8026/").is_err());
}

#[test]
fn a_range_opens_addresses_but_never_metadata() {
    assert!(with(&["10.1.0.0/16"], "http://10.1.2.3:80/").is_ok());
    assert!(with(&["10.1.0.0/16"], "http://10.2.2.3/").is_err());
    for everything in ["0.0.0.0/0", "169.254.0.0/16", "169.254.169.0/24"] {
        assert!(with(&[everything], "http://169.254.169.254/").is_err(), "{everything}");
        assert!(!allow(&[everything]).permits("169.254.169.254".parse().unwrap()), "{everything}");
    }
    let all = allow(&["::/0", "0.0.0.0/0"]);
    for metadata in ["fe80::1", "fd00:ec2::254", "100.100.100.200"] {
        assert!(!all.permits(metadata.parse().unwrap()), "{metadata}");
    }
    assert!(all.permits("10.0.0.1".parse().unwrap()));
    // Named exactly, it is open.
    assert!(with(&["169.254.169.254"], "http://169.254.169.254/").is_ok());
    assert!(allow(&["169.254.169.254/32"]).permits("169.254.169.254".parse().unwrap()));
    // An address without a slash names a host in a URL; other names may not lead there.
    assert!(!allow(&["127.0.0.1"]).permits("127.0.0.1".parse().unwrap()));
}

#[test]
fn a_wrong_entry_of_the_allow_list_says_what_is_allowed() {
    for text in ["", ":80", "host:99999", "host:x", "10.0.0.0/40", "*.example", "a b", "http://host/", "host:"] {
        let error = text.parse::<AllowEntry>().unwrap_err().to_string();
        assert!(error.contains("hooks.example, 127.0.0.1:8080 or 10.1.0.0/16"), "{text}: {error}");
    }
}

#[test]
fn a_url_is_shown_without_its_path() {
    let url = parse("https://hooks.example.com/secret-token?key=1").unwrap();
    assert_eq!(format!("{url:?}"), "PublicUrl(\"https://hooks.example.com\")");
}
