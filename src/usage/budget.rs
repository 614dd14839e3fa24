//! Minutes that may be used up in a window.

use super::{Series, Window};

/// A limit for the usage of a project, or of a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// The window in which it may be used up.
    pub window: Window,
    /// How much it is; greater than 0.
    pub minutes: f64,
    /// Only usage of this `resource_type` counts; `None` is all.
    pub resource_type: Option<String>,
    /// Only usage of this `business_type` counts; `None` is all.
    pub business_type: Option<String>,
    /// Only usage of this user counts; `None` is that of all.
    pub user_id: Option<String>,
}

impl Budget {
    /// Whether the usage of a series counts.
    pub fn covers(&self, series: &Series) -> bool {
        let fits = |selector: &Option<String>, value: &str| selector.as_ref().is_none_or(|selector| selector == value);
        fits(&self.resource_type, &series.resource_type)
            && fits(&self.business_type, &series.business_type)
            && fits(&self.user_id, series.user_id.as_deref().unwrap_or_default())
    }

    /// Whether another budget is for the very same usage.
    pub fn is_for_the_same(&self, other: &Budget) -> bool {
        Budget { minutes: 0.0, ..self.clone() } == Budget { minutes: 0.0, ..other.clone() }
    }
}
