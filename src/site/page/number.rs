//! Numbers for people.

/// All digits of a number, with commas between the thousands.
pub(super) fn grouped(value: f64) -> String {
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

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_keep_every_digit() {
        for (value, text) in [(0.0, "0"), (-1234.5, "-1,234.5"), (999.0, "999"), (1e6, "1,000,000"), (0.0625, "0.0625")]
        {
            assert_eq!(grouped(value), text);
        }
    }
}
