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

/// Bytes of a text that are looked at together.
const CHUNK: usize = 64;
/// Bytes of a token that are copied together.
const COPIED: usize = 16;

/// Finds the tokens of texts that are ASCII, many bytes at a time: what is indexed is mostly of that kind, and long.
#[derive(Debug, Default)]
pub struct AsciiWords {
    /// The text in lower case, with zeros behind it.
    lower: Vec<u8>,
}

/// A token of a text that is ASCII, in lower case.
#[derive(Debug, Clone, Copy)]
pub struct AsciiWord<'a> {
    /// From its first byte on, with at least [`COPIED`] bytes.
    text: &'a [u8],
    len: usize,
}

impl AsciiWord<'_> {
    /// All of it as a number, where it is short: two of them are equal where the words are.
    #[inline]
    pub fn short(self) -> Option<u128> {
        let bytes: &[u8; COPIED] = self.text[..COPIED].try_into().expect("sixteen bytes");
        let unused = 8 * COPIED.checked_sub(self.len)? as u32;
        // A word has one byte at least.
        Some(u128::from_le_bytes(*bytes) & (u128::MAX >> unused))
    }

    /// Appends it.
    #[inline]
    pub fn append_to(self, out: &mut Vec<u8>) {
        if self.len > COPIED {
            return out.extend_from_slice(&self.text[..self.len]);
        }
        // A copy of a fixed length takes no call.
        let head: &[u8; COPIED] = self.text[..COPIED].try_into().expect("sixteen bytes");
        out.extend_from_slice(head);
        out.truncate(out.len() - COPIED + self.len);
    }
}

impl AsciiWords {
    /// Calls `each` with the tokens of a text, in order: those that [`words`] finds. False, and nothing is called, where it is not ASCII.
    #[inline]
    pub fn each(&mut self, text: &str, mut each: impl FnMut(AsciiWord<'_>)) -> bool {
        if !text.is_ascii() {
            return false;
        }
        self.lower.clear();
        self.lower.extend_from_slice(text.as_bytes());
        self.lower.make_ascii_lowercase();
        self.lower.resize(text.len() + CHUNK + COPIED, 0);
        let mut begun = None;
        // Zeros follow the text, so that a chunk at the end is whole and the last token ends before the last of them.
        for at in (0..=text.len()).step_by(CHUNK) {
            let chunk = &self.lower[at..at + CHUNK];
            let eights = chunk.as_chunks::<8>().0.iter().enumerate();
            let inside = eights.fold(0, |bits, (i, eight)| bits | in_words(*eight) << (8 * i));
            let mut edges = inside ^ (inside << 1 | u64::from(begun.is_some()));
            while edges != 0 {
                let edge = at + edges.trailing_zeros() as usize;
                edges &= edges - 1;
                match begun.take() {
                    None => begun = Some(edge),
                    Some(start) => each(AsciiWord { text: &self.lower[start..], len: edge - start }),
                }
            }
        }
        true
    }
}

/// Which of eight bytes below 0x80 are lower-case letters, digits or `_`: a bit for each, the first one lowest.
#[inline]
fn in_words(eight: [u8; 8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let bytes = u64::from_le_bytes(eight);
    // The highest bit of each byte says whether it is in a range; nothing is carried from one to the next.
    let within = |from: u8, to: u8| {
        (bytes + EACH * (0x80 - from as u64)) & !(bytes + EACH * (0x7f - to as u64)) & (EACH << 7)
    };
    let inside = within(b'a', b'z') | within(b'0', b'9') | within(b'_', b'_');
    // Brings the eight bits together in the highest byte.
    (inside >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check_ascii(text: &str) {
        let mut found = Vec::new();
        let is_ascii = AsciiWords::default().each(text, |word| {
            let mut bytes = b"before".to_vec();
            word.append_to(&mut bytes);
            let bytes = bytes.split_off(6);
            let padded = [bytes.as_slice(), &[0; COPIED]].concat();
            let number = u128::from_le_bytes(padded[..COPIED].try_into().unwrap());
            assert_eq!(word.short(), (bytes.len() <= COPIED).then_some(number));
            found.push(String::from_utf8(bytes).unwrap());
        });
        assert_eq!(is_ascii, text.is_ascii());
        assert_eq!(found, if is_ascii { words(text).collect() } else { Vec::new() }, "{text}");
    }

    #[test]
    fn every_byte_is_known() {
        for byte in 0..=0x7f_u8 {
            check_ascii(&format!("a{} {0}{0}", byte as char));
        }
        for len in 0..200 {
            check_ascii(&"x".repeat(len));
            check_ascii(&format!("{} Y_9", " ".repeat(len)));
        }
    }

    proptest! {
        #[test]
        fn ascii_words_are_words(text in "[ -~]{0,300}", other in "\\PC{0,9}") {
            check_ascii(&text);
            check_ascii(&format!("{text}{other}"));
        }
    }

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
