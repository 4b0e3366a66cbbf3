//! Counts replies by door and code. Codes come from a closed set, so that a label never holds what a peer chooses.

use crate::mail::envelope::Door;

/// Counts one reply.
pub(super) fn replied(door: Door, code: u16) {
    metrics::counter!("connex_smtp_replies_total", "door" => door.as_str(), "code" => label(code)).increment(1);
}

/// The code as a label without an allocation; this is done for every reply.
const fn label(code: u16) -> &'static str {
    match code {
        214 => "214",
        220 => "220",
        221 => "221",
        235 => "235",
        250 => "250",
        252 => "252",
        334 => "334",
        354 => "354",
        421 => "421",
        450 => "450",
        451 => "451",
        452 => "452",
        454 => "454",
        500 => "500",
        501 => "501",
        502 => "502",
        503 => "503",
        504 => "504",
        530 => "530",
        535 => "535",
        538 => "538",
        550 => "550",
        552 => "552",
        553 => "553",
        554 => "554",
        555 => "555",
        _ => "other",
    }
}
