//! Sizes and durations as people write them: `100MiB`, `5m`.

use std::time::Duration;

/// What a size may look like, for faults.
pub const SIZE_FORM: &str = "a size in bytes, or with KiB, MiB or GiB, such as 512KiB or 100MiB";

/// What a duration may look like, for faults.
pub const DURATION_FORM: &str = "a number with ms, s, m, h or d, such as 500ms, 30s or 5m";

/// Reads a size; `None` when the text is none, or is too large for 64 bits.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Reads a duration; `None` when the text is none, or is longer than 10 years.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let duration = Duration::from_millis(number.checked_mul(millis)?);
    (duration <= LONGEST).then_some(duration)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Far enough from the end of time that a moment plus a duration never overflows.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_and_exact() {
        for (text, want) in [("0", Some(0)), ("2048", Some(2048)), ("512KiB", Some(524_288)), ("1 GiB", Some(1 << 30))]
        {
            assert_eq!(parse_size(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "-1", "100MB", "1.5GiB", "99999999999GiB", "18446744073709551616", "10kib"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        for text in ["", "5", "5 minutes", "-5s", "1e3s", "99999999999999999999s", "4000d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
