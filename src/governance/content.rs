//! What the words of a version say: secrets, commitments, borrowed names, links.
//!
//! Patterns only, the same answer for the same bytes. What cannot be read here counts as risky, never as harmless.
//!
//! Standards: Unicode UAX #15 (NFKC), UTS #39 §5 (mixed scripts).

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::{Regex, RegexSet};
use unicode_normalization::UnicodeNormalization;

use crate::contract::answer::Risk;
use crate::mail::address::{Domain, Mailbox};

/// Whether a text holds an API key, a private key or a password.
pub(super) fn has_secret(text: &str) -> bool {
    SECRETS.is_match(text) || (text.contains(is_invisible) && SECRETS.is_match(&without_invisible(text)))
}

/// The risk class of a text: `high` for commitment, money, legal or contract language; `low` only for text in a language
/// whose words are known here, without links.
pub(super) fn risk(text: &str) -> Risk {
    let plain = plain(text);
    if AMOUNTS.is_match(&plain) || COMMITMENTS.is_match(&words(&plain)) {
        return Risk::High;
    }
    if plain.len() <= LONGEST_LOW && is_readable(&plain) && link_hosts(&plain).is_empty() {
        Risk::Low
    } else {
        Risk::Medium
    }
}

/// Whether a text has one of these phrases, each word of it as a whole; cases and spaces do not matter.
pub(super) fn has_phrase<'p>(text: &str, phrases: impl IntoIterator<Item = &'p String>) -> bool {
    let mut phrases = phrases.into_iter().peekable();
    phrases.peek().is_some() && {
        let text = words(&plain(text));
        phrases.any(|phrase| {
            let phrase = words(&plain(phrase));
            !phrase.trim().is_empty() && text.contains(&phrase)
        })
    }
}

/// Whether the text is in a language whose commitment words are known here. Guessing needs some length, so that a short
/// text has to be made of everyday words.
fn is_readable(plain: &str) -> bool {
    let spaced = words(plain);
    let (common, all) = spaced
        .split_whitespace()
        .fold((0, 0), |(common, all), word| (common + usize::from(COMMON.contains(word)), all + 1));
    common * 2 >= all
        || whatlang::detect(plain).is_some_and(|guess| guess.is_reliable() && LANGUAGES.contains(&guess.lang()))
}

/// Whether a display name claims another address or domain than the From's, or holds confusable characters.
pub(super) fn is_spoof(display_name: &str, author: &Mailbox) -> bool {
    display_name.chars().any(is_deceptive) || has_mixed_scripts(display_name) || claims_another(display_name, author)
}

/// The hosts of every link, and the domains of every `mailto:` and Content-ID, in a text.
pub(super) fn link_hosts(text: &str) -> Vec<Domain> {
    let found = LINKS.captures_iter(text);
    let hosts = found.filter_map(|link| link.get(1).or_else(|| link.get(2)).map(|host| host.as_str()));
    hosts
        .filter_map(|host| {
            let host = host.rsplit('@').next().unwrap_or(host);
            Domain::parse(host.split(':').next().unwrap_or(host)).ok()
        })
        .collect()
}

/// Whether `domain` is one of `domains` or below one.
pub(super) fn is_within(domain: &Domain, domains: &[Domain]) -> bool {
    domains.iter().any(|outer| {
        domain == outer || domain.as_str().strip_suffix(outer.as_str()).is_some_and(|below| below.ends_with('.'))
    })
}

/// Domains that a header value names behind an `@`, in a link, or alone.
pub(super) fn named_domains(value: &str) -> Vec<Domain> {
    DOMAINS.find_iter(value).filter_map(|found| Domain::parse(found.as_str()).ok()).collect()
}

fn claims_another(display_name: &str, author: &Mailbox) -> bool {
    let name: String = display_name.nfkc().collect();
    let own_address = author.key();
    name.split(|letter: char| letter.is_whitespace() || "<>()[]\"',;|/".contains(letter)).any(|token| {
        let token = token.trim_matches(['.', ':', '!', '?']);
        if token.contains('@') {
            return Mailbox::parse(token).map_or(true, |mailbox| mailbox.key() != own_address);
        }
        looks_like_domain(token) && Domain::parse(token).map_or(true, |domain| domain != *author.domain())
    })
}

/// `paypal.com` and `PAYPAL.COM` do; `J.R.Smith`, `Dr.Lee` and `2.5` do not: their last part is no top-level domain in
/// the way that people write one.
fn looks_like_domain(token: &str) -> bool {
    let Some((front, last)) = token.rsplit_once('.') else { return false };
    let letters = |test: fn(char) -> bool| last.chars().all(test);
    let is_top = last.chars().count() >= 2 && letters(char::is_alphabetic);
    let is_lower = !last.chars().any(char::is_uppercase);
    let is_upper = !token.chars().any(char::is_lowercase);
    is_top && (is_lower || is_upper) && !front.is_empty() && front.split('.').all(|label| !label.is_empty())
}

/// Controls, invisible and direction characters, and letters that only look like plain ones.
fn is_deceptive(letter: char) -> bool {
    letter.is_control()
        || is_invisible(letter)
        || matches!(u32::from(letter),
        0x2024 | 0x2044 | 0x2215 | 0xFE52 | 0xFE6B     // leader dot, slashes, small full stop, small @
        | 0xFF01..=0xFF5E                              // full-width ASCII
        | 0x2100..=0x2115 | 0x2117..=0x211F | 0x2123..=0x214F | 0x1D400..=0x1D7FF          // letter-like and mathematical letters
        | 0x0250..=0x02AF | 0x1D00..=0x1DBF            // phonetic letters and small capitals
        | 0x2C80..=0x2CFF | 0xA4D0..=0xA4FF | 0x10400..=0x1044F                             // Coptic, Lisu and Deseret
        | 0xE000..=0xF8FF)
}

fn is_invisible(letter: char) -> bool {
    matches!(u32::from(letter),
        0x00AD | 0x034F | 0x061C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180E | 0x200B..=0x200F
        | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0E | 0xFEFF | 0xFFA0 | 0xE0000..=0xE0FFF)
}

/// Whether one word mixes alphabets that share shapes, or a word of look-alikes stands beside Latin words.
fn has_mixed_scripts(name: &str) -> bool {
    let words = || name.split(|letter: char| !letter.is_alphabetic() && !is_combining(letter));
    let has_latin = name.chars().any(|letter| script(letter) == Some(Script::Latin));
    words().any(|word| {
        let mut scripts = word.chars().filter_map(script);
        let Some(first) = scripts.next() else { return false };
        let is_mixed = scripts.any(|other| other != first);
        let is_lookalike = first != Script::Latin && has_latin && word.chars().all(looks_latin);
        is_mixed || is_lookalike
    })
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Cherokee,
}

fn script(letter: char) -> Option<Script> {
    match u32::from(letter) {
        0x41..=0x5A | 0x61..=0x7A | 0xC0..=0x24F | 0x1E00..=0x1EFF => Some(Script::Latin),
        0x370..=0x3FF | 0x1F00..=0x1FFF => Some(Script::Greek),
        0x400..=0x52F | 0x1C80..=0x1C8F | 0x2DE0..=0x2DFF | 0xA640..=0xA69F => Some(Script::Cyrillic),
        0x530..=0x58F => Some(Script::Armenian),
        0x13A0..=0x13FF | 0xAB70..=0xABBF => Some(Script::Cherokee),
        _ => None,
    }
}

const fn is_combining(letter: char) -> bool {
    matches!(letter as u32, 0x300..=0x36F)
}

/// Letters of other alphabets that a reader takes for Latin ones.
fn looks_latin(letter: char) -> bool {
    "аеорсухіјѕһԁԛԝАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧοναρυικτ".contains(letter)
}

fn without_invisible(text: &str) -> String {
    text.chars().filter(|letter| !is_invisible(*letter)).collect()
}

/// As a reader takes it in: compatibility forms folded, invisible characters gone, white space single, lower case.
fn plain(text: &str) -> String {
    // UAX #15 §1.1: no form of normalisation changes ASCII, and nothing in it is invisible here.
    if text.is_ascii() { single_spaced(&text.to_ascii_lowercase()) } else { single_spaced(&folded(text)) }
}

fn folded(text: &str) -> String {
    without_invisible(text).nfkc().flat_map(char::to_lowercase).collect()
}

fn single_spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(word);
    }
    spaced
}

/// Its words alone, with one space on both sides of each.
fn words(plain: &str) -> String {
    let mut words = String::with_capacity(plain.len() + 2);
    words.push(' ');
    for word in plain.split(|letter: char| !letter.is_alphanumeric() && !is_combining(letter)) {
        if !word.is_empty() {
            words.push_str(word);
            words.push(' ');
        }
    }
    words
}

/// Octets of text above which nothing is of low risk: nobody skims that much for a promise.
const LONGEST_LOW: usize = 8 * 1024;

/// Words of courtesy and grammar, by language; none that alone says yes to anything.
const COMMON_WORDS: &str = "\
    a an and any are as at be best but by can dear for from good great have he hello hi how i if in is it kind let look me \
    meet morning my nice no not of on or our please regards see she so soon thank thanks that the their then there they \
    this to today tomorrow us was we week well were what when with you your \
    aber am auf bei bis dank danke das dein der die du ein eine es für grüße grüßen guten hallo ich ihnen ihr im ist liebe \
    lieber mit morgen nicht oder sehr sie tag um und uns viele vielen von war wir zu zum \
    au avec bien bonjour ce cordialement dans de des du elle en est et il je la le les merci mais nous ou pas pour que sont \
    sur un une vous à \
    buenos con del días el es esta gracias hola las los más muy no nos para pero por que saludos se su un una usted y \
    bom com da das de dia do dos é em mais mas na não no nos o obrigada obrigado olá os para por que se sua um uma você \
    buongiorno che ci con cordiali della di e gentile grazie i il in la le lei ma mi non per saluti si sono un una \
    bedankt dag dank dat de een en goede groet groeten het hoi ik is je met naar niet of op tot u van voor wij zijn";

static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| COMMON_WORDS.split_whitespace().collect());

/// Languages whose commitment words are in the list below.
const LANGUAGES: [whatlang::Lang; 7] = [
    whatlang::Lang::Eng,
    whatlang::Lang::Deu,
    whatlang::Lang::Fra,
    whatlang::Lang::Spa,
    whatlang::Lang::Ita,
    whatlang::Lang::Por,
    whatlang::Lang::Nld,
];

#[expect(clippy::expect_used, reason = "constant, built by every test of this module")]
static SECRETS: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new([
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
        r"\bcxk_(?:live|test)_[0-9A-Za-z]{36}\b",
        r"\bwhs[ek]c?_[0-9A-Za-z+/=]{24,}",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[0-9A-Za-z]{36,}",
        r"\bgithub_pat_[0-9A-Za-z_]{40,}",
        r"\bglpat-[0-9A-Za-z_-]{20,}",
        r"\bxox[abeprs]-[0-9A-Za-z-]{10,}",
        r"\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,}",
        r"\bsk-[0-9A-Za-z_-]{20,}",
        r"\bAIza[0-9A-Za-z_-]{35}",
        r"\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}",
        r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}",
        r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@]{1,64}:[^\s/@]{3,64}@",
        // A word for a secret, a sign of assignment, and something with a digit or sign in it behind.
        r#"(?i)\b(?:password|passwd|passphrase|passwort|kennwort|mot de passe|contraseña|senha|wachtwoord|pwd|api[ _-]?key|secret(?:[ _-]?key)?|access[ _-]?token)\b\s*(?:is|ist|est|es|è|é)?\s*[:=]\s*["']?[^\s"'<>]*[0-9!#$%&*+@^][^\s"'<>]*"#,
        r#"(?i)\b(?:password|passphrase|passwort|kennwort|pwd|pin)\s+(?:is|ist)\s+["']?[^\s"'<>]*[0-9!#$%&*+@^][^\s"'<>]*"#,
    ])
    .expect("valid patterns")
});

/// Amounts of money and account numbers, in lower case.
#[expect(clippy::expect_used, reason = "constant, built by every test of this module")]
static AMOUNTS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        "[$€£¥₹₽] ?[0-9]|[0-9] ?[$€£¥₹₽]",
        "|(?:usd|eur|gbp|chf|jpy|cad|aud|brl) ?[0-9]",
        "|[0-9] ?(?:usd|eur|gbp|chf|jpy|cad|aud|brl|dollar|euro|pounds)",
        "|[a-z]{2}[0-9]{2}(?: ?[0-9a-z]{4}){3,7}", // IBAN
    ))
    .expect("a valid pattern")
});

/// Commitment, money, legal and contract language, in lower case, with one space on both sides of every word: without
/// word boundaries the pattern is searched in one pass also in text beyond ASCII. A false hit costs a look of a person;
/// a miss could send a promise.
#[expect(clippy::expect_used, reason = "constant, built by every test of this module")]
static COMMITMENTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!(" (?:{}) ", COMMITMENT_WORDS.join("|"))).expect("a valid pattern"));

const COMMITMENT_WORDS: [&str; 9] = [
    // English.
    "(?:we|i) (?:hereby )?(?:agree|accept|commit|guarantee|promise|undertake|warrant|approve|authori[sz]e|confirm (?:the|your|our) (?:order|offer|purchase|terms|price))",
    "(?:we|i) (?:ll|will|shall) (?:pay|refund|reimburse|compensate|sign|deliver|buy|sell|purchase|indemnify)",
    "contracts?|agreements?|legal(?:ly)?|liab(?:le|ility)|lawsuits?|attorneys?|lawyers?|lawful|subpoenas?|settlements?|indemn[^ ]+|warrant(?:y|ies)|breach(?:es)?|damages|binding|court|litigation|gdpr|nda|non disclosure",
    "prices?|quotes?|quotations?|discounts?|refunds?|payments?|invoices?|wire transfers?|bank accounts?|deposits?|escrow|loans?|salary|compensation|purchase orders?|letters? of intent|loi|proof of funds|term sheets?|signatures?",
    // German.
    "[^ ]*vertr[aä]g[^ ]*|haft[^ ]*|rechtsanw[^ ]+|rechtlich[^ ]*|gericht[^ ]*|klage[^ ]*|schadens?ersatz|verbindlich[^ ]*|garantier[^ ]+|gewährleist[^ ]+|zusage[^ ]*|zusichern|[^ ]*rechnung[^ ]*|[^ ]*zahlung[^ ]*|überweis[^ ]+|erstatt[^ ]+|rabatt[^ ]*|[^ ]*preis[^ ]*|angebot[^ ]*|kündig[^ ]+|unterschr[^ ]+|bankverbindung|konto[^ ]*|stimmen? zu|akzeptier[^ ]+",
    // French.
    "contrats?|accords?|juridiques?|avocate?s?|tribunal|responsabilité|dommages|garanti[^ ]*|engage[^ ]*|factures?|paiements?|rembours[^ ]+|virements?|remises?|prix|devis|offres?|acceptons|signatures?|signer|résili[^ ]+",
    // Spanish and Portuguese.
    "contrat[^ ]+|acuerdos?|acordos?|legal(?:es|mente)?|abogad[^ ]+|advogad[^ ]+|demandas?|responsabilidade?|factur[^ ]+|faturas?|pagos?|pagamentos?|pagar[^ ]*|reembols[^ ]+|transfer[eê]ncias?|descuentos?|descontos?|precios?|preços?|presupuestos?|orçamentos?|ofertas?|aceptamos|aceitamos|firmas?|firmar|assinatur[^ ]+|compromet[^ ]+",
    // Italian.
    "contratt[^ ]+|accord[oi]|legal[ei]|avvocat[^ ]+|tribunale|responsabilità|danni|garanzi[^ ]+|fattur[^ ]+|pagament[^ ]+|rimbors[^ ]+|bonific[^ ]+|scont[oi]|prezz[oi]|preventiv[oi]|offert[ae]|accettiamo|firm[ae]|impegn[^ ]+",
    // Dutch.
    "contract[^ ]*|overeenkomst[^ ]*|juridisch[^ ]*|advoca[^ ]+|rechtbank|aansprakelijk[^ ]*|schadevergoeding|garantie[^ ]*|garander[^ ]+|factu[^ ]+|betaling[^ ]*|betalen|terugbetal[^ ]+|korting[^ ]*|prijs|prijzen|offerte[^ ]*|akkoord|handtekening[^ ]*|toezegg[^ ]+",
];

#[expect(clippy::expect_used, reason = "constant, built by every test of this module")]
static LINKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)(?:\b[a-z][a-z0-9+.-]*:)?//([^\s/"'<>?#\\]+)|(?:mailto:|content-id:\s*<)[^\s"'<>?@]*@([^\s"'<>?,;&]+)"#,
    )
    .expect("a valid pattern")
});

#[expect(clippy::expect_used, reason = "constant, built by every test of this module")]
static DOMAINS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)+").expect("a valid pattern"));

#[cfg(test)]
mod tests;
