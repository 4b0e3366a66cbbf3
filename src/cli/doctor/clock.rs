//! What this machine's clock says, against others.
//!
//! A clock that is wrong makes certificates look ended or not begun, signatures of webhooks too old for their receivers,
//! and puts nodes that share a database at odds over leases.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;

use super::report::Finding;
use crate::clock::{Clock, Timestamp};

const CHECK: &str = "clock";
/// Receivers of webhooks allow five minutes; nodes lease for seconds.
const MUCH: Duration = Duration::from_secs(5);
const SOME: Duration = Duration::from_secs(1);
const REMEDY: &str = "let systemd-timesyncd or chrony set the clock (timedatectl set-ntp true)";

/// Judges our clock against one of `whose`, read at the same moment.
pub(super) fn judge(whose: &str, own: Timestamp, other: Timestamp) -> Finding {
    let (apart, way) = if own > other { (own.since(other), "ahead of") } else { (other.since(own), "behind") };
    let what = format!("this machine is {:.1} s {way} {whose}", apart.as_secs_f64());
    if apart >= MUCH {
        Finding::problem(CHECK, what, REMEDY)
    } else if apart >= SOME {
        Finding::note(CHECK, what, REMEDY)
    } else {
        Finding::good(CHECK, format!("this machine and {whose} agree"))
    }
}

/// What to say where there is nothing to compare with.
pub(super) fn unknown() -> Finding {
    Finding::note(CHECK, "it was compared with no other", "name a time server: --time-server pool.ntp.org")
}

/// Asks a time server, and judges.
pub(super) async fn ask(server: &str) -> Finding {
    let target = if server.contains(':') { server.to_owned() } else { format!("{server}:{PORT}") };
    match tokio::time::timeout(PATIENCE, exchange(&target)).await {
        Ok(Ok((own, other))) => judge(server, own, other),
        Ok(Err(error)) => unanswered(server, &error.to_string()),
        Err(_) => unanswered(server, "no answer"),
    }
}

fn unanswered(server: &str, why: &str) -> Finding {
    Finding::note(CHECK, format!("{server}: {why}"), "name a time server that this machine may ask, by UDP on port 123")
}

/// One question and its answer (SNTP, RFC 4330 §5): our time in the middle of it, and the server's.
async fn exchange(target: &str) -> io::Result<(Timestamp, Timestamp)> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(target).await?.collect();
    let address = addresses.first().ok_or(io::ErrorKind::NotFound)?;
    let here: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(here).await?;
    socket.connect(address).await?;
    let asked = Clock::System.now();
    let question = question(asked);
    socket.send(&question).await?;
    let mut answer = [0; 68];
    loop {
        let count = socket.recv(&mut answer).await?;
        let arrived = Clock::System.now();
        // What does not belong to this question is somebody else's guess.
        if let Some(time) = answered(answer.get(..count).unwrap_or_default(), &question) {
            return Ok((asked.plus(arrived.since(asked) / 2), time?));
        }
    }
}

/// Version 4, client, and our time as what the server has to give back.
fn question(now: Timestamp) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    let micros = now.as_micros().unsigned_abs();
    let seconds = (micros / 1_000_000).wrapping_add(ERA);
    let fraction = ((micros % 1_000_000) << 32) / 1_000_000;
    let time = (seconds << 32) | fraction;
    packet[0] = 4 << 3 | 3;
    packet[40..].copy_from_slice(&time.to_be_bytes());
    packet
}

/// The server's time in an answer to `question`; `None` where it answers something else.
fn answered(answer: &[u8], question: &[u8; LENGTH]) -> Option<io::Result<Timestamp>> {
    let (&first, &stratum) = (answer.first()?, answer.get(1)?);
    if first & 7 != 4 || answer.get(24..32)? != question.get(40..)? {
        return None;
    }
    // 3: the server's own clock is not set; 0: it sends us away.
    if first >> 6 == 3 || stratum == 0 || stratum > 15 {
        return Some(Err(io::Error::other("its own clock is not set, or it does not want to be asked")));
    }
    let sent = u64::from_be_bytes(answer.get(40..LENGTH)?.try_into().ok()?);
    // From 2036 on seconds begin at 0 again (RFC 4330 §3).
    let seconds = sent >> 32;
    let seconds = if seconds < 1 << 31 { seconds + (1 << 32) } else { seconds }.saturating_sub(ERA);
    let micros = ((sent & u64::from(u32::MAX)) * 1_000_000) >> 32;
    let time = seconds.saturating_mul(1_000_000).saturating_add(micros);
    Some(Ok(Timestamp::from_micros(i64::try_from(time).unwrap_or(i64::MAX))))
}

const PORT: u16 = 123;
const LENGTH: usize = 48;
/// Seconds from 1900 to 1970.
const ERA: u64 = 2_208_988_800;
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000 + 250_000)
    }

    #[test]
    fn five_seconds_are_a_problem_and_one_is_worth_a_word() {
        for (own, level) in
            [(0, Level::Good), (2, Level::Note), (-2, Level::Note), (6, Level::Problem), (-9, Level::Problem)]
        {
            assert_eq!(judge("the database", at(1_000 + own), at(1_000)).level, level, "{own}");
        }
        assert!(judge("x", at(9), at(0)).what.contains("ahead"));
    }

    #[test]
    fn a_servers_time_is_read_only_from_the_answer_to_our_question() {
        let asked = question(at(1_795_000_000));
        let mut answer = [0; LENGTH];
        answer[..2].copy_from_slice(&[4 << 3 | 4, 2]);
        answer[24..32].copy_from_slice(&asked[40..]);
        answer[40..].copy_from_slice(&question(at(1_795_000_100))[40..]);
        let micros = |answer: &[u8]| answered(answer, &asked).map(|time| time.ok().map(Timestamp::as_micros));
        let read = micros(&answer).unwrap().unwrap();
        assert!((read - at(1_795_000_100).as_micros()).abs() <= 1, "{read}");
        for (place, value) in [(0, 4 << 3 | 3), (31, answer[31] ^ 1)] {
            let mut other = answer;
            other[place] = value;
            assert_eq!(micros(&other), None, "{place}");
        }
        for (place, value) in [(0, 3 << 6 | 4 << 3 | 4), (1, 0), (1, 16)] {
            let mut unset = answer;
            unset[place] = value;
            assert_eq!(micros(&unset), Some(None), "{place}");
        }
        for length in 0..LENGTH {
            assert_eq!(micros(&answer[..length]), None);
        }
        answer[40..44].copy_from_slice(&5u32.to_be_bytes());
        assert_eq!(micros(&answer).unwrap().unwrap() / 1_000_000, (1 << 32) + 5 - 2_208_988_800, "after 2036");
    }
}
