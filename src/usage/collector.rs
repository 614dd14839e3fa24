//! The collectors: what is asked of the cloud beside the usage. All values of the label `collector`.

use std::fmt;

/// A collector. Its failure never touches the usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collector {
    /// Packages by ListTenantResources.
    Packages,
}

impl Collector {
    /// Every collector, in the order in which they are exported.
    pub const ALL: [Collector; 1] = [Collector::Packages];

    /// The key of the configuration, and the label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Collector::Packages => "packages",
        }
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
