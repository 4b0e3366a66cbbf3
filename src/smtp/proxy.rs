//! The header with which a load balancer says whose connection it passes on: PROXY protocol, versions 1 and 2.
//!
//! Pure: bytes in, the client's address out. It must never wait, keep anything, or look at more than a header may have.
//! Who may send a header, and how long it may take, is the listener's business.
//!
//! Standard: The PROXY protocol, versions 1 and 2 (haproxy, `doc/proxy-protocol.txt`, 2020-03-05).
//!
//! # Security
//! What the header says is believed as if the kernel had said it: it must be read from listed peers alone, and in full
//! before the first octet of the mail protocol. Its extensions (TLVs) are stepped over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the header says about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The balancer's own connection, or one whose client it does not name: the peer is who it is (§2.1, §2.2).
    Unnamed,
    /// A client at this address.
    At(IpAddr),
}

/// How far the bytes have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// They may become a header.
    Incomplete,
    /// They begin with a header of so many octets.
    Whole {
        /// Octets of the header; what follows them is of the mail protocol.
        length: usize,
        /// The client.
        client: Client,
    },
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// They begin otherwise than either version.
    #[error("no PROXY protocol header came first")]
    Missing,
    /// A line of version 1 that is no such line, or does not end within [`LONGEST_V1`].
    #[error("the header of version 1 cannot be read")]
    Version1,
    /// A version, command, family or length that version 2 does not have.
    #[error("the header of version 2 cannot be read")]
    Version2,
    /// More octets than [`LONGEST`].
    #[error("the header is too long")]
    TooLong,
}

/// The longest line of version 1, CRLF included (§2.1).
pub const LONGEST_V1: usize = 107;
/// The longest header that is read: a balancer's addresses and extensions fit a segment that no network cuts (§2).
pub const LONGEST: usize = 536;

/// How version 2 begins (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Octets of version 2 before its addresses.
const FIXED: usize = 16;

/// Reads the header at the beginning of `bytes`.
///
/// # Errors
/// They are no header, whatever may follow.
pub fn read(bytes: &[u8]) -> Result<Header, Fault> {
    if begins(bytes, b"PROXY ") {
        return version_1(bytes);
    }
    if begins(bytes, SIGNATURE) {
        return version_2(bytes);
    }
    Err(Fault::Missing)
}

/// Whether `bytes` begin with `start`, as far as both go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted)
}

fn version_1(bytes: &[u8]) -> Result<Header, Fault> {
    let within = bytes.get(..LONGEST_V1).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if bytes.len() < LONGEST_V1 { Ok(Header::Incomplete) } else { Err(Fault::Version1) };
    };
    let line = within.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Fault::Version1)?;
    let line = std::str::from_utf8(line).map_err(|_| Fault::Version1)?;
    let client = line.strip_prefix("PROXY ").and_then(client_of_line).ok_or(Fault::Version1)?;
    Ok(Header::Whole { length: end.saturating_add(1), client })
}

/// `TCP4 SOURCE DESTINATION PORT PORT`, `TCP6 …`, or `UNKNOWN` with anything behind it (§2.1).
fn client_of_line(line: &str) -> Option<Client> {
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(Client::Unnamed);
    }
    let words: Vec<&str> = line.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = words.as_slice() else { return None };
    for port in [source_port, destination_port] {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse::<u16>().ok().filter(|_| is_number)?;
    }
    let source: IpAddr = match *family {
        "TCP4" => (source.parse::<Ipv4Addr>().ok()?, destination.parse::<Ipv4Addr>().ok()?).0.into(),
        "TCP6" => (source.parse::<Ipv6Addr>().ok()?, destination.parse::<Ipv6Addr>().ok()?).0.into(),
        _ => return None,
    };
    Some(Client::At(source.to_canonical()))
}

fn version_2(bytes: &[u8]) -> Result<Header, Fault> {
    // Judged as soon as it is there: nobody waits for the rest of what is wrong already.
    let command = match bytes.get(12) {
        None => return Ok(Header::Incomplete),
        Some(0x20) => Command::Local,
        Some(0x21) => Command::Proxy,
        Some(_) => return Err(Fault::Version2),
    };
    let family = match bytes.get(13) {
        None => return Ok(Header::Incomplete),
        Some(family) => *family,
    };
    let (Some(&high), Some(&low)) = (bytes.get(14), bytes.get(15)) else { return Ok(Header::Incomplete) };
    let length = FIXED.saturating_add(usize::from(u16::from_be_bytes([high, low])));
    if length > LONGEST {
        return Err(Fault::TooLong);
    }
    let Some(addresses) = bytes.get(FIXED..length) else { return Ok(Header::Incomplete) };
    let client = match (command, family) {
        // §2.2: with LOCAL all that follows is stepped over; so it is with a protocol that is not meant for us.
        (Command::Local, _) | (Command::Proxy, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Client::Unnamed,
        (Command::Proxy, 0x11) => {
            let (source, _) = addresses.split_first_chunk::<4>().ok_or(Fault::Version2)?;
            enough(addresses, 12)?;
            Client::At(IpAddr::from(*source))
        }
        (Command::Proxy, 0x21) => {
            let (source, _) = addresses.split_first_chunk::<16>().ok_or(Fault::Version2)?;
            enough(addresses, 36)?;
            Client::At(IpAddr::from(*source).to_canonical())
        }
        (Command::Proxy, _) => return Err(Fault::Version2),
    };
    Ok(Header::Whole { length, client })
}

/// What a header of version 2 tells (§2.2).
enum Command {
    /// The balancer's own connection.
    Local,
    /// A client's.
    Proxy,
}

const fn enough(addresses: &[u8], least: usize) -> Result<(), Fault> {
    if addresses.len() < least { Err(Fault::Version2) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(address: &str) -> Client {
        Client::At(address.parse().unwrap())
    }

    fn second(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn v4() -> Vec<u8> {
        vec![192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 25]
    }

    fn v6() -> Vec<u8> {
        let address = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        [&address("2001:db8::7")[..], &address("2001:db8::1"), &[0x30, 0x39], &[0, 25]].concat()
    }

    /// Every header that is right, and whose client it names.
    fn headers() -> Vec<(Vec<u8>, Client)> {
        vec![
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 25\r\n".to_vec(), at("192.0.2.7")),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 12345 25\r\n".to_vec(), at("2001:db8::7")),
            (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 25\r\n".to_vec(), at("192.0.2.7")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Client::Unnamed),
            (b"PROXY UNKNOWN whatever follows 1 2\r\n".to_vec(), Client::Unnamed),
            (second(0x21, 0x11, &v4()), at("192.0.2.7")),
            (second(0x21, 0x21, &v6()), at("2001:db8::7")),
            (second(0x21, 0x11, &[v4(), vec![4, 0, 3, 1, 2, 3]].concat()), at("192.0.2.7")),
            (second(0x20, 0x00, &[]), Client::Unnamed),
            (second(0x20, 0x11, &v4()), Client::Unnamed),
            (second(0x21, 0x00, &[1, 2, 3]), Client::Unnamed),
            (second(0x21, 0x31, &[0; 216]), Client::Unnamed),
        ]
    }

    #[test]
    fn every_header_is_read_once_it_is_whole_and_not_before() {
        for (bytes, client) in headers() {
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Ok(Header::Incomplete), "{cut} of {bytes:?}");
            }
            for behind in [&b""[..], b"EHLO client.example\r\n", b"\r\n"] {
                let all = [&bytes, behind].concat();
                assert_eq!(read(&all), Ok(Header::Whole { length: bytes.len(), client }), "{all:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_found_as_soon_as_it_can_be() {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(LONGEST_V1 - 14));
        for (bytes, fault) in [
            (&b"E"[..], Fault::Missing),
            (b"EHLO client.example\r\n", Fault::Missing),
            (b"\x16\x03\x01\x02\x00\x01", Fault::Missing),
            (b"\r\n\r\n\0\r\nQUIT\r", Fault::Missing),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 25\n", Fault::Version1),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 12345\r\n", Fault::Version1),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 25 9\r\n", Fault::Version1),
            (b"PROXY TCP4  192.0.2.7 198.51.100.1 12345 25\r\n", Fault::Version1),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 +12 25\r\n", Fault::Version1),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n", Fault::Version1),
            (b"PROXY TCP4 192.0.2.256 198.51.100.1 12345 25\r\n", Fault::Version1),
            (b"PROXY TCP4 2001:db8::7 2001:db8::1 12345 25\r\n", Fault::Version1),
            (b"PROXY UDP4 192.0.2.7 198.51.100.1 12345 25\r\n", Fault::Version1),
            (b"PROXY \xff\r\n", Fault::Version1),
            (long.as_bytes(), Fault::Version1),
            (&second(0x11, 0x11, &v4()), Fault::Version2),
            (&second(0x22, 0x11, &v4()), Fault::Version2),
            (&second(0x21, 0x11, &v4()[..11]), Fault::Version2),
            (&second(0x21, 0x21, &v6()[..35]), Fault::Version2),
            (&second(0x21, 0x41, &v4()), Fault::Version2),
            (&second(0x21, 0x11, &[0; LONGEST - FIXED + 1])[..FIXED], Fault::TooLong),
        ] {
            assert_eq!(read(bytes), Err(fault), "{bytes:?}");
        }
        let longest = second(0x21, 0x11, &[0; LONGEST - FIXED]);
        assert_eq!(read(&longest), Ok(Header::Whole { length: LONGEST, client: at("0.0.0.0") }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_none_or_the_beginning_of_one(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"]),
        ) {
            let bytes = [start, &bytes].concat();
            match read(&bytes) {
                Ok(Header::Whole { length, .. }) => prop_assert!(length <= bytes.len() && length <= LONGEST),
                Ok(Header::Incomplete) => prop_assert!(bytes.len() < LONGEST),
                Err(_) => {}
            }
        }
    }
}
