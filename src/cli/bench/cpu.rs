//! How much processor time was spent, where the operating system tells (Linux).

use std::time::Duration;

/// Processor time of this process since its start, user and system, all threads; `None` where it is not told.
pub(super) fn of_process() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // proc(5): the name in parentheses may hold anything; the fields behind it begin with the third.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(user.saturating_add(system).saturating_mul(MILLIS_PER_TICK)))
}

/// Processor time of the calling thread; `None` where it is not told.
pub(super) fn of_thread() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_ascii_whitespace().next()?.parse().ok()?))
}

/// USER_HZ is 100 on every Linux that this program is built for.
const MILLIS_PER_TICK: u64 = 10;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted() {
        let (process, thread) = (of_process().unwrap(), of_thread().unwrap());
        let mut hash = vec![0u8; 1 << 16];
        while of_thread().unwrap() - thread < Duration::from_millis(30) {
            let digest = ring::digest::digest(&ring::digest::SHA256, &hash);
            hash[..32].copy_from_slice(digest.as_ref());
        }
        assert!(of_process().unwrap() - process >= Duration::from_millis(20));
    }
}
