//! Budgets: minutes that a project may use in a window.

use super::{Series, Window};

/// A limit for the minutes of a project, or for a part of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// The window that the limit is for.
    pub window: Window,
    /// The limit; greater than 0.
    pub minutes: f64,
    /// Only usage of this `resource_type` counts; `None` counts all.
    pub resource_type: Option<String>,
    /// Only usage of this `business_type` counts; `None` counts all.
    pub business_type: Option<String>,
    /// Only usage of this user counts; `None` counts all users.
    pub user_id: Option<String>,
}

/// A limit for the minutes of several projects together.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedBudget {
    /// The label `budget`; unique.
    pub name: String,
    /// The limit. It is for all users.
    pub limit: Budget,
}

impl Budget {
    /// Whether the usage of a series counts towards this budget.
    pub fn covers(&self, series: &Series) -> bool {
        let fits = |selector: &Option<String>, value: &str| selector.as_ref().is_none_or(|selector| selector == value);
        fits(&self.resource_type, &series.resource_type)
            && fits(&self.business_type, &series.business_type)
            && fits(&self.user_id, series.user_id.as_deref().unwrap_or_default())
    }
}
