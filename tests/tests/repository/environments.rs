//! samconfig.toml: what a bare `sam deploy` takes is the dev environment.

use std::collections::BTreeMap;

/// The lines of each table whose name begins so, by the rest of its name.
fn tables<'t>(text: &'t str, environment: &str) -> BTreeMap<&'t str, Vec<&'t str>> {
    let mut tables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            let own = name.strip_prefix(environment);
            current = own.and_then(|rest| rest.strip_prefix('.'));
        } else if let Some(name) = current.filter(|_| !line.starts_with('#')) {
            tables.entry(name).or_default().push(line);
        }
    }
    tables
}

#[test]
fn a_bare_deploy_takes_the_dev_environment() {
    let text = crate::tree::text("samconfig.toml");
    let dev = tables(&text, "dev");
    assert!(dev.contains_key("deploy.parameters"));
    assert_eq!(tables(&text, "default"), dev, "default and dev differ");
    for environment in ["local", "prod"] {
        assert!(
            tables(&text, environment).contains_key("deploy.parameters"),
            "{environment}"
        );
    }
}
