//! The documented types of usage (contract, 1.4).

use crate::config::{read::Node, suggestion::nearest};

/// The business types of the API page and of its sibling API.
pub(in crate::config) const BUSINESS_TYPES: [&str; 13] = [
    "LIVE_2D",
    "VIDEO_2D",
    "VOICE_CLONE",
    "SYNTHETICS_SOUND",
    "ASSET_MANAGER",
    "MODELING_2D",
    "CHAT_2D",
    "BUSINESS_CARD_2D",
    "PICTURE_2D",
    "MODELING_3D",
    "VDS_3D",
    "TTSA_3D",
    "FLEXUS_2D",
];

/// The resource types of the API page, and the short ids of its sibling APIs.
pub(in crate::config) const RESOURCE_TYPES: [&str; 8] = [
    "video_time_2d_model",
    "video_time_flexus_2d_model",
    "voice_clone_flexus",
    "modeling_count_2d_model_flexus",
    "modeling_count_2d_model",
    "voice_clone_basic",
    "voice_clone_middle",
    "voice_clone_advance",
];

/// A resource type may also be a billing code. The documented list of these is incomplete.
const BILLING_CODE: &str = "hws.resource.type.";

/// Reads a business type. One that is not documented is a warning, because it may match no row.
pub(super) fn business_type(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    if !BUSINESS_TYPES.contains(&text.as_str()) {
        node.warning(not_documented("business type", &text, &BUSINESS_TYPES));
    }
    Some(text)
}

/// Reads a resource type, in the same way.
pub(super) fn resource_type(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    if !RESOURCE_TYPES.contains(&text.as_str()) && !text.starts_with(BILLING_CODE) {
        node.warning(not_documented("resource type", &text, &RESOURCE_TYPES));
    }
    Some(text)
}

fn not_documented(kind: &str, text: &str, documented: &[&str]) -> String {
    let meant = match nearest(text, documented) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("documented are {}", documented.join(", ")),
    };
    format!("this is no documented {kind} and may match no usage; {meant}")
}
