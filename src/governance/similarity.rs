//! Whether two texts are nearly the same: near-equal words to many strangers are a mailing, whatever each one is called.
//!
//! A text becomes 64 bits in which every run of three words has its part (simhash, Charikar 2002): texts that share most of
//! their runs differ in few bits. It is no identity: equal bits prove nothing, and only counts come of it.

/// What a text looks like.
#[must_use]
pub fn likeness(text: &str) -> u64 {
    let lower = text.to_lowercase();
    // Names, numbers and links are what a mailing changes from one recipient to the next.
    let words: Vec<&str> = lower
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty() && !word.chars().any(char::is_numeric))
        .collect();
    let mut weights = [0i64; 64];
    let mut count = |run: &[&str]| {
        let hash = hash(run);
        for (place, weight) in weights.iter_mut().enumerate() {
            *weight += if hash >> place & 1 == 1 { 1 } else { -1 };
        }
    };
    if words.len() < RUN {
        count(&words);
    } else {
        words.windows(RUN).for_each(&mut count);
    }
    weights.iter().enumerate().fold(0, |bits, (place, weight)| bits | u64::from(*weight > 0) << place)
}

/// Whether two texts are nearly the same, by what they look like.
#[must_use]
pub const fn is_near(one: u64, other: u64) -> bool {
    (one ^ other).count_ones() <= NEAR
}

/// Words of a run.
const RUN: usize = 3;
/// Bits in which near-equal texts may differ.
const NEAR: u32 = 16;

/// FNV-1a with a last mix (Fowler, Noll, Vo; finaliser of splitmix64): spread, not secret.
fn hash(run: &[&str]) -> u64 {
    let bytes = run.iter().flat_map(|word| word.bytes().chain(std::iter::once(b' ')));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PITCH: &str = "Dear {name}, we would like to show you how our new platform helps companies like {company} to \
answer their mail in half the time. Would you have twenty minutes next week for a short call with one of our people? We \
work with many firms of your trade, and they tell us that they would not go back. Kind regards, Peter";

    #[test]
    fn a_mailing_with_other_names_is_nearly_the_same() {
        let to = |name: &str, company: &str| likeness(&PITCH.replace("{name}", name).replace("{company}", company));
        let first = to("Ann", "Lakeside Homes");
        for (name, company) in [("Bob", "Harbor"), ("Maria Luisa", "Ocean & Sons 24"), ("Dr. Chen", "Northwind")] {
            assert!(is_near(first, to(name, company)), "{name}: {}", (first ^ to(name, company)).count_ones());
        }
    }

    #[test]
    fn answers_to_different_questions_are_not() {
        let texts = [
            "Thank you for your message. The apartment on the second floor is still free, you can see it on Tuesday at four.",
            "Good morning, we have received the papers and will look at them before the end of the week. Best regards",
            "The meeting was moved to the big room on the ground floor because the projector there works again.",
            PITCH,
        ];
        for (place, one) in texts.iter().enumerate() {
            for other in texts.iter().skip(place + 1) {
                assert!(!is_near(likeness(one), likeness(other)), "{one}\n{other}");
            }
        }
    }

    #[test]
    fn any_text_has_a_likeness() {
        for text in ["", " ", "a", "12 34", "🙂🙂🙂", "x\0y"] {
            assert!(is_near(likeness(text), likeness(text)));
        }
    }
}
