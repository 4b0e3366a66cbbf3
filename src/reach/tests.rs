use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// First and last address of each refused range, with the neighbours on both sides that are public, where there are.
const RANGES: [[&str; 4]; 30] = [
    ["", "0.0.0.0", "0.255.255.255", "1.0.0.0"],
    ["9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"],
    ["100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"],
    ["126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"],
    ["169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"],
    ["172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"],
    ["191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"],
    ["192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"],
    ["192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"],
    ["192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"],
    ["198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"],
    ["198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"],
    ["203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"],
    ["223.255.255.255", "224.0.0.0", "239.255.255.255", ""],
    ["", "240.0.0.0", "255.255.255.255", ""],
    ["", "::", "::", ""],
    ["", "::1", "::1", ""],
    ["", "::127.0.0.1", "::255.255.255.255", "::1:0:0"],
    ["::fffe:ffff:ffff", "::ffff:0.0.0.0", "::ffff:255.255.255.255", "::1:0:0:0"],
    ["64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::", "64:ff9b::255.255.255.255", "64:ff9b::1:0:0"],
    ["64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:2::"],
    ["ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::"],
    ["2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2001:1::"],
    ["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"],
    ["2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"],
    ["3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"],
    ["5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5f01::"],
    ["fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::"],
    ["fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""],
    ["", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""],
];

#[test]
fn each_refused_range_ends_where_it_should() {
    for [before, first, last, behind] in RANGES {
        for refused in [first, last] {
            assert!(!is_public(refused.parse().unwrap()), "{refused} must be refused");
        }
        for open in [before, behind] {
            assert!(open.is_empty() || is_public(open.parse().unwrap()), "{open} is public");
        }
    }
}

proptest! {
    #[test]
    fn every_address_of_a_refused_range_is_refused(range in 0usize..RANGES.len(), place: u128) {
        let [_, first, last, _] = RANGES[range];
        let number = |text: &str| match text.parse().unwrap() {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let (low, high) = (number(first), number(last));
        let here = low + place % (high - low).saturating_add(1).max(1);
        let address = match first.parse().unwrap() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(here).unwrap())),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(here)),
        };
        prop_assert!(!is_public(address), "{address}");
    }
}

#[test]
fn an_opened_range_opens_no_metadata_address_unless_it_is_that_address() {
    let opened = |text: &str| -> Opened { [text.parse().unwrap()].into_iter().collect() };
    let address = |text: &str| text.parse().unwrap();
    assert!(opened("127.0.0.0/8").permit(address("127.0.0.1")));
    assert!(!opened("127.0.0.0/8").permit(address("10.0.0.1")));
    assert!(!opened("169.254.0.0/16").permit(address("169.254.169.254")));
    assert!(opened("169.254.169.254/32").permit(address("169.254.169.254")));
    assert!(Opened::default().permit(address("9.9.9.9")) && !Opened::default().contain(address("9.9.9.9")));
}
