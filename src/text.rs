//! Characters that a reader does not see, or that change the order or the lines of the text around them. A text from
//! outside with such characters could be mistaken for another text.

use std::fmt::{self, Display, Write};

/// The name of an invisible character, such as a control character or a mark of the direction of text. `None` for all
/// other characters.
pub fn invisible(character: char) -> Option<&'static str> {
    Some(match character {
        '\u{ad}' => "a soft hyphen",
        '\u{200b}' => "a zero-width space",
        '\u{200c}' => "a zero-width non-joiner",
        '\u{200d}' => "a zero-width joiner",
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "a mark of the direction of text"
        }
        '\u{2028}' | '\u{2029}' => "the end of a line",
        '\u{2060}' => "a word joiner",
        '\u{feff}' => "a byte order mark",
        '\u{e0000}'..='\u{e007f}' => "a tag",
        _ if character.is_control() => "a control character",
        _ => return None,
    })
}

/// A character with its name and its number.
pub fn named(character: char, name: &str) -> String {
    format!("{name} (U+{:04X})", u32::from(character))
}

/// Displays a value with its invisible characters as escape sequences.
pub fn escaped(value: impl Display) -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = write!(Escaping(&mut text), "{value}");
    text
}

struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match invisible(character) {
                Some(_) => self.0.extend(character.escape_unicode()),
                None => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_characters_are_escaped_and_others_are_not() {
        for text in ["plain", "\u{6570}\u{5b57}\u{4eba} e\u{301}", " \u{3000}", "\u{1f600}"] {
            assert_eq!(escaped(text), text);
        }
        for (text, shown) in [
            ("a\nb", "a\\u{a}b"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{202e}txt", "\\u{202e}txt"),
            ("\u{2028}", "\\u{2028}"),
            ("\u{200b}", "\\u{200b}"),
        ] {
            assert_eq!(escaped(text), shown);
        }
        assert_eq!(named('\u{85}', invisible('\u{85}').unwrap()), "a control character (U+0085)");
    }
}
