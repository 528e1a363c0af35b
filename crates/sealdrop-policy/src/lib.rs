//! `policy.toml`: what a project asks of reporters and promises them, so that programs can keep it. docs/policy.md.
//!
//! Read [`Policy::parse`] first, which refuses what cannot be kept and says where and why; then [`Policy::lint`], which says what will disappoint somebody.
//! [`schema`] has the types. Like the core, this reads no clock, file or network: the day of today comes from the caller.

pub mod clock;
mod diff;
pub mod fields;
mod finding;
pub mod form;
pub mod import;
mod lint;
mod policy;
pub mod render;
mod rule;
pub mod schema;

pub use diff::Change;
pub use finding::{Finding, Severity};
pub use lint::Surroundings;
pub use policy::{MAX_POLICY, Policy};
pub use rule::Rule;
