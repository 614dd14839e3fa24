//! Suggests a name for a misspelt one.

/// Names that are less similar are not suggested. The similarity of equal names is 1.
const LEAST_SIMILARITY: f64 = 0.8;

/// The candidate that is most similar to a text, in any case of letters; `None` if none is similar.
pub(super) fn nearest<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let text = text.to_lowercase();
    let similarity = |name: &str| strsim::jaro_winkler(&text, &name.to_lowercase());
    let rated = candidates.iter().map(|name| (similarity(name), *name));
    let (best, name) = rated.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best >= LEAST_SIMILARITY).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_suggested() {
        let names = ["LIVE_2D", "VIDEO_2D", "interval", "region"];
        for (text, meant) in [
            ("video_2d", Some("VIDEO_2D")),
            ("live", Some("LIVE_2D")),
            ("regoin", Some("region")),
            ("intervall", Some("interval")),
            ("password", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, &names), meant, "{text}");
        }
    }
}
