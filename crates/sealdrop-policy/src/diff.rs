//! What differs between two policies, path by path. docs/policy.md.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::policy::Policy;

/// One value that is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where: `clocks.ack`, `channels.0.uri`.
    pub path: String,
    /// What it was; `None` if it was not there.
    pub before: Option<String>,
    /// What it is; `None` if it is not there any more.
    pub after: Option<String>,
}

impl Policy {
    /// What `later` says otherwise. What neither writes down is not compared: it has the same default.
    #[must_use]
    pub fn changes(&self, later: &Self) -> Vec<Change> {
        let (before, mut after) = (values(self), values(later));
        let mut changes = Vec::new();
        for (path, value) in before {
            let now = after.remove(&path);
            if now.as_ref() != Some(&value) {
                changes.push(Change {
                    path,
                    before: Some(value),
                    after: now,
                });
            }
        }
        let new = after.into_iter().map(|(path, value)| Change {
            path,
            before: None,
            after: Some(value),
        });
        changes.extend(new);
        changes.sort_by(|one, other| one.path.cmp(&other.path));
        changes
    }
}

fn values(policy: &Policy) -> BTreeMap<String, String> {
    let json = serde_json::to_value(&**policy).expect("a policy is always JSON");
    let mut values = BTreeMap::new();
    flatten("", &json, &mut values);
    values
}

fn flatten(path: &str, value: &Value, values: &mut BTreeMap<String, String>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(&below(name), value, values);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                flatten(&below(&at.to_string()), value, values);
            }
        }
        Value::String(text) => drop(values.insert(path.into(), text.clone())),
        Value::Bool(_) | Value::Number(_) => drop(values.insert(path.into(), value.to_string())),
    }
}
