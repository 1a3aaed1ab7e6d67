//! Tokens of full text: maximal runs of letters, digits and `_`, folded to lower case; each CJK character is a token of its own.

/// Han, Hiragana, Katakana and Hangul, which are written without spaces. Blocks of the Unicode standard.
fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{30ff}' | '\u{3130}'..='\u{318f}'
        | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{323af}')
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The tokens of a text, in order. Each is lent until the next is asked for.
#[derive(Debug)]
pub struct Words<'a> {
    rest: &'a str,
    word: String,
}

/// Begins to read the tokens of a text.
pub fn words(text: &str) -> Words<'_> {
    Words { rest: text, word: String::new() }
}

impl Words<'_> {
    /// The next token in lower case, or `None` at the end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<&str> {
        self.word.clear();
        let bytes = self.rest.as_bytes();
        let mut at = bytes.iter().position(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80)?;
        // The common case first: a run of ASCII.
        let start = at;
        while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_') {
            at += 1;
        }
        if at == bytes.len() || bytes[at] < 0x80 {
            self.word.push_str(&self.rest[start..at]);
            self.word.make_ascii_lowercase();
            self.rest = &self.rest[at..];
            return Some(&self.word);
        }
        self.next_unicode(start)
    }

    fn next_unicode(&mut self, start: usize) -> Option<&str> {
        let mut chars = self.rest[start..].char_indices();
        let end = loop {
            match chars.next() {
                None => break self.rest.len(),
                Some((at, c)) if is_cjk(c) => {
                    if self.word.is_empty() {
                        self.word.push(c);
                        break start + at + c.len_utf8();
                    }
                    break start + at;
                }
                Some((_, c)) if in_word(c) => fold(c, &mut self.word),
                Some((at, c)) if !self.word.is_empty() => {
                    let _ = c;
                    break start + at;
                }
                Some(_) => {}
            }
        };
        self.rest = &self.rest[end..];
        (!self.word.is_empty()).then_some(&self.word)
    }

    /// Collects all tokens.
    pub fn collect(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(word) = self.next() {
            all.push(word.to_string());
        }
        all
    }
}

/// Simple folding: one character to one; what has a longer lower case stays as it is.
fn fold(c: char, out: &mut String) {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => out.push(one),
        _ => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for (text, expect) in [
            ("", vec![]),
            ("  , ", vec![]),
            ("Order 42 failed: E_TIMEOUT", vec!["order", "42", "failed", "e_timeout"]),
            ("trace-id=ab/cd", vec!["trace", "id", "ab", "cd"]),
            ("Straße ÄÖ naïve", vec!["straße", "äö", "naïve"]),
            ("支付失败 order订单", vec!["支", "付", "失", "败", "order", "订", "单"]),
            ("ひらカナ한글x", vec!["ひ", "ら", "カ", "ナ", "한", "글", "x"]),
            ("a—b “c”", vec!["a", "b", "c"]),
            ("x\u{2014}", vec!["x"]),
            ("\u{2014}\u{2014}y", vec!["y"]),
            ("abcé123 tail", vec!["abcé123", "tail"]),
        ] {
            assert_eq!(words(text).collect(), expect, "{text}");
        }
    }
}
