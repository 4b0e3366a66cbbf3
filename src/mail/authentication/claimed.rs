//! Authentication-Results fields that came with a message: what somebody says to have found.
//!
//! A field is only text: anybody can write one. It is read here without being believed; who may be believed is decided by
//! the peer that handed the message over, or by the seal of an ARC chain. Reading is linear and bounded.
//!
//! Standards: RFC 8601 §2.2 (syntax), §5 (fields in our own name), RFC 8617 §4.1.1 (`i=` in front).

/// Fields of one message that are read.
pub const MAX_FIELDS: usize = 100;
/// Results of one field, and properties of one result, that are kept.
const MAX_RESULTS: usize = 100;
const MAX_PROPERTIES: usize = 20;

/// What one field says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// Who says so, in lower case.
    pub authserv_id: String,
    /// What it says, in order.
    results: Vec<Claimed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Claimed {
    method: String,
    result: String,
    properties: Vec<(String, String)>,
}

impl Claim {
    /// Reads the value of an Authentication-Results field; `None` where it is none.
    #[must_use]
    pub fn read(value: &str) -> Option<Self> {
        Self::of(&segments(value)?)
    }

    /// Reads the value of an ARC-Authentication-Results field, whose instance stands in front.
    #[must_use]
    pub fn read_sealed(value: &str) -> Option<Self> {
        let segments = segments(value)?;
        let (instance, rest) = segments.split_first()?;
        matches!(instance.as_slice(), [name, equals, _] if name.eq_ignore_ascii_case("i") && equals == "=")
            .then(|| Self::of(rest))
            .flatten()
    }

    fn of(segments: &[Vec<String>]) -> Option<Self> {
        let (head, rest) = segments.split_first()?;
        // The id, and perhaps a version behind it.
        let id = head.first().filter(|_| head.len() <= 2)?;
        let results = rest.iter().take(MAX_RESULTS).filter_map(|segment| Claimed::of(segment)).collect();
        Some(Self { authserv_id: id.trim_end_matches('.').to_ascii_lowercase(), results })
    }

    /// Whether it says that DMARC passed for an author at `domain` (an A-label in lower case).
    #[must_use]
    pub fn has_dmarc_pass_for(&self, domain: &str) -> bool {
        let mut dmarc = self.results.iter().filter(|one| one.method == "dmarc").peekable();
        let is_for = |one: &Claimed| {
            one.properties.iter().any(|(name, value)| {
                let claimed = value.rsplit_once('@').map_or(value.as_str(), |(_, domain)| domain);
                name == "header.from" && claimed.trim_end_matches('.').eq_ignore_ascii_case(domain)
            })
        };
        // Two that contradict one another say nothing.
        dmarc.peek().is_some() && dmarc.all(|one| one.result == "pass" && is_for(one))
    }
}

impl Claimed {
    fn of(segment: &[String]) -> Option<Self> {
        let [method, equals, result, rest @ ..] = segment else { return None };
        if equals != "=" {
            return None;
        }
        let method = method.split('/').next().unwrap_or_default().to_ascii_lowercase();
        let mut properties = Vec::new();
        for window in rest.windows(3) {
            if let [name, equals, value] = window
                && equals == "="
                && properties.len() < MAX_PROPERTIES
            {
                properties.push((name.to_ascii_lowercase(), value.clone()));
            }
        }
        Some(Self { method, result: result.to_ascii_lowercase(), properties })
    }
}

/// All fields of one message, from the top.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    read: Vec<Claim>,
    unreadable: Vec<String>,
}

impl Claims {
    /// Reads the values of a message's Authentication-Results fields, from the top.
    #[must_use]
    pub fn of<'a>(values: impl IntoIterator<Item = &'a String>) -> Self {
        let mut claims = Self::default();
        for value in values.into_iter().take(MAX_FIELDS) {
            match Claim::read(value) {
                Some(claim) => claims.read.push(claim),
                None => claims.unreadable.push(value.to_ascii_lowercase()),
            }
        }
        claims
    }

    /// Whether one of them is in the name of `own_id`: a forgery, since ours are never in the bytes (RFC 8601 §5). One that
    /// cannot be read and names us counts: another reader may read it.
    #[must_use]
    pub fn has_forged(&self, own_id: &str) -> bool {
        let own_id = own_id.to_ascii_lowercase();
        self.read.iter().any(|claim| claim.authserv_id == own_id)
            || self.unreadable.iter().any(|value| value.contains(&own_id))
    }

    /// The topmost field in the name of `id`.
    #[must_use]
    pub fn by(&self, id: &str) -> Option<&Claim> {
        self.read.iter().find(|claim| claim.authserv_id.eq_ignore_ascii_case(id))
    }
}

/// The words between semicolons, comments left out and quotes taken off; `=` is a word of its own. `None` where a comment or
/// a quoted string does not end.
fn segments(value: &str) -> Option<Vec<Vec<String>>> {
    let mut segments = vec![Vec::new()];
    let mut word = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '(' => {
                skip_comment(&mut letters)?;
                end_word(&mut segments, &mut word);
            }
            '"' => quoted(&mut letters, &mut word)?,
            ';' => {
                end_word(&mut segments, &mut word);
                segments.push(Vec::new());
            }
            '=' => {
                end_word(&mut segments, &mut word);
                segments.last_mut()?.push("=".to_owned());
            }
            blank if blank.is_whitespace() => end_word(&mut segments, &mut word),
            other => word.push(other),
        }
    }
    end_word(&mut segments, &mut word);
    Some(segments)
}

fn end_word(segments: &mut [Vec<String>], word: &mut String) {
    if let Some(segment) = segments.last_mut().filter(|_| !word.is_empty()) {
        segment.push(std::mem::take(word));
    }
}

fn skip_comment(letters: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1_usize;
    while depth > 0 {
        match letters.next()? {
            '\\' => {
                letters.next()?;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    Some(())
}

fn quoted(letters: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match letters.next()? {
            '\\' => word.push(letters.next()?),
            '"' => return Some(()),
            other => word.push(other),
        }
    }
}
