//! Numbers for people.

use std::fmt::Display;

use rust_decimal::Decimal;

/// All digits of a number, with commas between the thousands.
pub(super) fn grouped(value: impl Display) -> String {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

/// The decimal of a sum. If the sum has at most 15 digits, the shortest decimal text of its `f64` is exactly the sum.
pub(super) fn decimal(sum: f64) -> Decimal {
    sum.to_string().parse().unwrap_or_default()
}

/// A share as a percentage, rounded to a whole number, with two exceptions. A share below 1 never becomes 100%, because
/// 100% means that nothing is left. A share above 0 never becomes 0%.
pub(super) fn percent(used: f64, whole: f64) -> String {
    let percent = (used * 100.0 / whole).round();
    if used < whole && percent >= 100.0 {
        "99%".to_owned()
    } else if used > 0.0 && percent < 1.0 {
        "<1%".to_owned()
    } else {
        format!("{}%", grouped(percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit() {
        for (value, text) in [(0.0, "0"), (-1234.5, "-1,234.5"), (999.0, "999"), (1e6, "1,000,000"), (0.0625, "0.0625")]
        {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn percentages_are_rounded_but_not_to_all_or_nothing() {
        for (used, text) in [
            (0.0, "0%"),
            (0.001, "<1%"),
            (0.5, "1%"),
            (1.4, "1%"),
            (64.5, "65%"),
            (99.4, "99%"),
            (99.999, "99%"),
            (100.0, "100%"),
            (100.4, "100%"),
            (123_456.0, "123,456%"),
        ] {
            assert_eq!(percent(used, 100.0), text, "{used}");
        }
        // The percentage of these two is a little below 100. Rounding alone would give 100%.
        assert_eq!(percent(0.3 - 5e-17, 0.3), "99%");
        assert_eq!(percent(-3.0, 100.0), "-3%");
    }
}
