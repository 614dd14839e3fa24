//! Removes secrets from texts of the cloud, and limits their length. All texts of the cloud pass through this module
//! before they are in a message or a label.

use std::{borrow::Cow, cmp::Reverse};

use secrecy::{ExposeSecret, SecretString};

use crate::text::invisible;

/// Maximum length of a text of the cloud. The longest documented type has 64 characters, and a message of the gateway
/// has about 100. A message is cut after this many characters. A label with more bytes is refused, because a cut label
/// could equal another label.
pub(crate) const MAX_TEXT: usize = 256;

/// The secrets of a request, which the cloud may repeat in its response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Vec<SecretString>);

impl<'a> FromIterator<&'a SecretString> for Secrets {
    fn from_iter<I: IntoIterator<Item = &'a SecretString>>(secrets: I) -> Self {
        let mut all = Vec::new();
        for secret in secrets {
            let secret = secret.expose_secret().trim();
            // JSON escapes some characters.
            let json = serde_json::Value::from(secret).to_string();
            let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
            for form in [Some(secret), inner.filter(|inner| *inner != secret)].into_iter().flatten() {
                // Messages are on one line, so the secret is searched for in that form.
                let form = on_one_line(form);
                if !form.trim().is_empty() {
                    all.push(SecretString::from(form.trim()));
                }
            }
        }
        // The longest is first, because one secret may be a part of another.
        all.sort_by_key(|secret| Reverse(secret.expose_secret().len()));
        Secrets(all)
    }
}

impl Secrets {
    /// These secrets, and another text that no message may show.
    pub fn and(self, text: &str) -> Self {
        [&SecretString::from(text)].into_iter().chain(&self.0).collect()
    }

    /// A text of the cloud on one line, without secrets and with at most [`MAX_TEXT`] characters. A removed secret
    /// counts as one character.
    pub fn shown(&self, text: &str) -> String {
        let line = on_one_line(text);
        let mut rest = line.trim();
        let mut shown = String::new();
        for _ in 0..MAX_TEXT {
            if let Some(after) = self.after_secret(rest) {
                shown += "<secret>";
                rest = after;
                continue;
            }
            let mut chars = rest.chars();
            let Some(next) = chars.next() else { return shown };
            shown.push(next);
            rest = chars.as_str();
        }
        if rest.is_empty() { shown } else { shown + "…" }
    }

    /// The rest of a text that begins with a secret.
    fn after_secret<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.0.iter().find_map(|secret| text.strip_prefix(secret.expose_secret()))
    }

    /// A label of the cloud. It is unchanged unless it contains a secret or an invisible character.
    pub fn label<'t>(&self, label: Cow<'t, str>) -> Cow<'t, str> {
        let is_secret = self.0.iter().any(|secret| label.contains(secret.expose_secret()));
        if is_secret || label.contains(|character| invisible(character).is_some()) {
            self.shown(&label).into()
        } else {
            label
        }
    }
}

/// A text with a space in place of each invisible character.
fn on_one_line(text: &str) -> String {
    text.replace(|character| invisible(character).is_some(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(secrets: &[&str]) -> Secrets {
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
        secrets.iter().collect()
    }

    #[test]
    fn texts_from_outside_are_one_short_line() {
        let shown = |text: &str| Secrets::default().shown(text);
        assert_eq!(shown(" a\nb\u{1b}[31m "), "a b [31m");
        assert_eq!(shown("a\u{202e}b\u{2028}c"), "a b c");
        assert_eq!(shown(&"é".repeat(MAX_TEXT)), "é".repeat(MAX_TEXT));
        assert_eq!(shown(&"é".repeat(MAX_TEXT + 1)), "é".repeat(MAX_TEXT) + "…");
    }

    #[test]
    fn no_secret_is_shown() {
        let secrets = secrets(&["AKAK", "AKAKSKSK", "a \"quoted\" password", ""]);
        assert_eq!(secrets.shown("AK: AKAK, SK: AKAKSKSK."), "AK: <secret>, SK: <secret>.");
        assert_eq!(secrets.shown(r#"{"p":"a \"quoted\" password"}"#), r#"{"p":"<secret>"}"#);
        assert_eq!(self::secrets(&[" a pass phrase "]).shown(" a pass\nphrase "), "<secret>");
        assert_eq!(self::secrets(&["a\u{200d}b"]).shown("(a\u{200d}b)"), "(<secret>)");
        assert_eq!(self::secrets(&["a\0b"]).shown(r#"a b, "a\u0000b""#), r#"<secret>, "<secret>""#);
        assert_eq!(self::secrets(&["\u{200b}"]).shown("a b"), "a b");
        // A secret across the end is not cut into a part that would be shown.
        let long = "-".repeat(MAX_TEXT - 2);
        assert_eq!(secrets.shown(&format!("{long}AKAKSKSK")), format!("{long}<secret>"));
        assert_eq!(secrets.shown(&"AKAKSKSK".repeat(1000)), "<secret>".repeat(MAX_TEXT) + "…");
        assert!(!format!("{secrets:?}").contains("AK"), "{secrets:?}");
    }

    #[test]
    fn a_label_is_unchanged_unless_it_contains_a_secret_or_an_unseen_character() {
        let secrets = secrets(&["AKAK"]);
        assert_eq!(secrets.label(" VIDEO 2D".into()), " VIDEO 2D");
        assert_eq!(secrets.label("\u{1b}[2J".into()), "[2J");
        assert_eq!(secrets.label("VIDEO\u{202e}\u{2028}2D".into()), "VIDEO  2D");
        assert_eq!(secrets.label("a-AKAK".into()), "a-<secret>");
    }
}
