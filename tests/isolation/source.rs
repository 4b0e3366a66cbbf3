//! Texts of a source file as statements: what belongs to one constant, macro or string.

use std::collections::BTreeMap;

/// A piece of source.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

/// All statements of a file, with white space made one blank. Items for tests alone are left out.
pub fn texts(source: &str) -> Vec<String> {
    let tokens = without_tests(&tokens(source));
    let mut constants: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut loose = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let (name, length) = match token {
            Token::Word(word)
                if word == "const" && matches!(tokens.get(at + 1), Some(Token::Word(next)) if next != "fn") =>
            {
                (tokens.get(at + 1), item(&tokens[at..], ';'))
            }
            Token::Word(word) if word == "macro_rules" => (None, item(&tokens[at..], '}')),
            Token::Word(word) if word == "concat" => (None, item(&tokens[at..], ')')),
            Token::Text(_) => (None, 1),
            _ => (None, 0),
        };
        let inside = &tokens[at..at + length];
        let text: Vec<&str> = inside
            .iter()
            .filter_map(|token| if let Token::Text(text) = token { Some(&**text) } else { None })
            .collect();
        let text = text.join(" ");
        match name {
            Some(Token::Word(name)) => constants.entry(name.clone()).or_default().push(text),
            _ if length > 0 => loose.push(text),
            _ => {}
        }
        at += length.max(1);
    }
    let mut used = Vec::new();
    let mut found: Vec<String> = loose.iter().flat_map(|text| put_together(text, &constants, &mut used)).collect();
    // What is only a part of others is judged there.
    found.extend(constants.into_iter().filter(|(name, _)| !used.contains(name)).flat_map(|(_, texts)| texts));
    found.iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// `text` with each constant of that name in place of `{NAME}`; what else is in braces is not known here.
fn put_together(text: &str, constants: &BTreeMap<String, Vec<String>>, used: &mut Vec<String>) -> Vec<String> {
    let mut whole = vec![String::new()];
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}').unwrap_or((behind, ""));
        let unknown = vec![" ".to_owned()];
        let parts = constants.get(name).inspect(|_| used.push(name.to_owned())).unwrap_or(&unknown);
        whole = whole.iter().flat_map(|whole| parts.iter().map(move |part| format!("{whole}{before}{part}"))).collect();
        rest = behind;
    }
    whole.iter().map(|whole| format!("{whole}{rest}")).collect()
}

/// How many tokens the item has: to the first `end` outside of brackets, or that closes the first bracket.
fn item(tokens: &[Token], end: char) -> usize {
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate() {
        let Token::Mark(mark) = token else { continue };
        match mark {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if *mark == end && depth == 0 {
            return place + 1;
        }
    }
    tokens.len()
}

/// Without what follows `#[cfg(test)]` up to its end.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let marker = super::source::tokens("#[cfg(test)]");
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&marker) {
            at += marker.len();
            let rest = &tokens[at..];
            let (block, line) = (item(rest, '}'), item(rest, ';'));
            at += block.min(line);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut index = 0;
    while index < chars.len() {
        match at(index) {
            '/' if at(index + 1) == '/' => {
                while index < chars.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '"' => {
                let (text, end) = text_at(&chars, index + 1);
                tokens.push(Token::Text(text));
                index = end;
            }
            'r' if at(index + 1) == '"' || (at(index + 1) == '#' && at(index + 2) == '"') => {
                panic!("a raw string: teach the scanner to read it")
            }
            '\'' if at(index + 1) == '\\' => index += 4,
            '\'' if at(index + 2) == '\'' => index += 3,
            c if c.is_alphanumeric() || c == '_' => {
                let word: String = chars[index..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                index += word.chars().count();
                tokens.push(Token::Word(word));
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(Token::Mark(c));
                }
                index += 1;
            }
        }
    }
    tokens
}

/// The string that begins at `start`, and where what is behind it begins.
fn text_at(chars: &[char], start: usize) -> (String, usize) {
    let mut text = String::new();
    let mut index = start;
    while let Some(c) = chars.get(index) {
        match c {
            '"' => return (text, index + 1),
            '\\' if chars.get(index + 1) == Some(&'\n') => {
                index += 2;
                while chars.get(index).is_some_and(|c| c.is_whitespace()) {
                    index += 1;
                }
                continue;
            }
            '\\' => {
                index += 1;
                text.extend(chars.get(index));
            }
            c => text.push(*c),
        }
        index += 1;
    }
    panic!("a string without an end")
}

#[test]
fn constants_macros_and_formats_are_read_whole() {
    let source = r#"
        const KEY: &str = "SELECT a FROM api_keys";
        fn f() { const FIND: &str = "SELECT \
            1"; g(format!("{KEY} WHERE hash = $1"), '"', '\'', "x"); }
        fn h() { const FIND: &str = "SELECT 2"; concat!("UPDATE t", m!("SET"), "WHERE"); }
        macro_rules! m { ($x:expr) => { concat!("DELETE", $x, "FROM t") } }
        // "SELECT 3"
        #[cfg(test)]
        mod tests { const T: &str = "SELECT 4"; }
        #[cfg(test)]
        use x;
        const LAST: &str = "SELECT 5";
    "#;
    let found = texts(source);
    for whole in [
        "SELECT a FROM api_keys WHERE hash = $1",
        "SELECT 1",
        "SELECT 2",
        "UPDATE t SET WHERE",
        "DELETE FROM t",
        "SELECT 5",
    ] {
        assert!(found.iter().any(|text| text == whole), "{whole} in {found:?}");
    }
    assert_eq!(found.len(), 7, "and `x`: {found:?}");
}
