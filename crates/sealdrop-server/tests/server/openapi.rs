//! docs/openapi.yaml and the router say the same.

use std::collections::BTreeSet;

#[test]
fn the_openapi_file_and_the_router_have_the_same_requests() {
    let yaml = include_str!("../../../../docs/openapi.yaml");
    let mut described = BTreeSet::new();
    let mut path = String::new();
    let paths = yaml
        .lines()
        .skip_while(|line| *line != "paths:")
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with(' '));
    for line in paths {
        if let Some(name) = line
            .strip_prefix("  /")
            .and_then(|line| line.strip_suffix(':'))
        {
            path = format!("/{name}");
        } else if let Some(method) = line
            .strip_prefix("    ")
            .and_then(|line| line.strip_suffix(':'))
            .filter(|name| ["get", "put", "post", "head", "patch", "delete"].contains(name))
        {
            assert!(
                described.insert((method.to_uppercase(), path.clone())),
                "{method} {path} stands twice"
            );
        }
    }
    let routed: BTreeSet<_> = sealdrop_server::route_table()
        .into_iter()
        .map(|(method, path)| (method, path.replace("{*", "{")))
        .collect();
    assert_eq!(described, routed);
}
