//! What crates may depend on, and why they do.

use crate::tree::{self, Violation, line_at, report};
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, PackageId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use toml_edit::{Document, Item, TableLike};

/// The resolved graph for this machine, as Cargo.lock has it.
fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        MetadataCommand::new()
            .manifest_path(tree::root().join("Cargo.toml"))
            .features(CargoOpt::AllFeatures)
            // Only what this machine builds is downloaded here.
            .other_options([
                "--locked".to_owned(),
                "--filter-platform".to_owned(),
                platform,
            ])
            .exec()
            .unwrap_or_else(|e| panic!("cargo metadata --locked: {e}"))
    })
}

/// The names of all packages in a package's normal dependency tree, each with the way to it.
fn normal_tree(package: &str) -> BTreeMap<String, String> {
    let metadata = metadata();
    let resolve = metadata
        .resolve
        .as_ref()
        .expect("metadata has the resolved graph");
    let names: BTreeMap<&PackageId, &str> = metadata
        .packages
        .iter()
        .map(|p| (&p.id, p.name.as_str()))
        .collect();
    let start = metadata
        .workspace_packages()
        .into_iter()
        .find(|p| p.name.as_str() == package);
    let start = start.unwrap_or_else(|| panic!("no workspace member {package}"));
    let mut open = vec![(&start.id, package.to_owned())];
    let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
    let mut found = BTreeMap::new();
    while let Some((id, way)) = open.pop() {
        let Some(node) = resolve
            .nodes
            .iter()
            .find(|n| &n.id == id)
            .filter(|_| seen.insert(id))
        else {
            continue;
        };
        for dependency in &node.deps {
            if dependency
                .dep_kinds
                .iter()
                .any(|k| k.kind == DependencyKind::Normal)
            {
                let name = names[&dependency.pkg];
                let way = format!("{way} > {name}");
                found.entry(name.to_owned()).or_insert_with(|| way.clone());
                open.push((&dependency.pkg, way));
            }
        }
    }
    found
}

/// What has a runtime, a network, a clock or a cloud behind it.
fn is_impure(name: &str) -> bool {
    let families = [
        "tokio", "aws", "hyper", "futures", "async-", "lambda", "tracing",
    ];
    let names = [
        "reqwest", "ureq", "h2", "rustls", "mio", "socket2", "jiff", "chrono", "time",
    ];
    families.iter().any(|f| name.starts_with(f)) || names.contains(&name)
}

fn members(folder: &str) -> Vec<String> {
    tree::folders(folder)
        .into_iter()
        .map(|name| format!("vernier-{name}"))
        .collect()
}

#[test]
fn validation_is_pure() {
    let tree = normal_tree("vernier-validation");
    assert!(
        tree.contains_key("serde"),
        "the walk found nothing: {tree:?}"
    );
    let of = |(name, way): (&String, &String)| {
        Violation::new(
            "shared/validation/Cargo.toml",
            1,
            format!("depends on {name}: {way}"),
        )
    };
    let found = tree
        .iter()
        .filter(|(name, _)| is_impure(name))
        .map(of)
        .collect();
    report(
        "validation has no runtime, no network, no clock and no AWS among its dependencies",
        found,
    );
    assert!(
        normal_tree("vernier-input")
            .keys()
            .any(|name| is_impure(name)),
        "the rule finds nothing anywhere"
    );
}

#[test]
fn the_sdk_is_beneath_nothing_shared() {
    let mut found = Vec::new();
    for name in members("shared").iter().filter(|n| *n != "vernier-aws") {
        let sdk = normal_tree(name).into_iter();
        let sdk = sdk.filter(|(name, _)| name.starts_with("aws-") || name == "vernier-aws");
        found.extend(sdk.map(|(_, way)| Violation::new(format!("{name}/Cargo.toml"), 1, way)));
    }
    report("no shared crate but vernier-aws depends on the SDK", found);
    assert!(
        normal_tree("vernier-aws").contains_key("aws-sdk-dynamodb"),
        "the rule finds nothing anywhere"
    );
}

#[test]
fn fakes_are_for_tests() {
    let mut found = Vec::new();
    for name in members("functions").into_iter().chain(
        [
            "vernier-aws",
            "vernier-cli",
            "vernier-ledger",
            "vernier-web",
        ]
        .map(str::to_owned),
    ) {
        if let Some(way) = normal_tree(&name).get("vernier-fakes") {
            found.push(Violation::new(format!("{name}/Cargo.toml"), 1, way.clone()));
        }
    }
    report("nothing that is deployed depends on the fakes", found);
    assert!(
        normal_tree("vernier-tests").contains_key("vernier-fakes"),
        "the rule finds nothing anywhere"
    );
}

#[test]
fn functions_do_not_depend_on_each_other_or_on_the_sdk() {
    let functions = members("functions");
    let mut found = Vec::new();
    for package in metadata().workspace_packages() {
        let name = package.name.as_str();
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal)
        {
            let sdk = dependency.name.starts_with("aws-")
                && !["vernier-aws", "vernier-tests"].contains(&name);
            let other =
                functions.iter().any(|f| *f == name) && functions.contains(&dependency.name);
            if sdk || other {
                let manifest = tree::relative(package.manifest_path.as_std_path());
                found.push(Violation::new(
                    manifest,
                    1,
                    format!("depends on {}", dependency.name),
                ));
            }
        }
    }
    report(
        "functions stand alone, and only vernier-aws depends on the SDK",
        found,
    );
}

/// Packages that need no reason: the project's stack, decided once.
fn is_fixed(name: &str) -> bool {
    let fixed = [
        "lambda_runtime",
        "aws_lambda_events",
        "serde",
        "serde_json",
        "tokio",
        "jsonschema",
    ];
    fixed.contains(&name) || name.starts_with("aws-sdk-") || name.starts_with("vernier-")
}

/// One dependency of a manifest: its line, and whether a comment says why it is there.
struct Entry {
    name: String,
    line: usize,
    has_reason: bool,
}

fn dependency_tables(document: &dyn TableLike) -> Vec<&dyn TableLike> {
    let mut tables = Vec::new();
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        tables.extend(document.get(kind).and_then(Item::as_table_like));
    }
    if let Some(targets) = document.get("target").and_then(Item::as_table_like) {
        tables.extend(
            targets
                .iter()
                .filter_map(|(_, t)| t.as_table_like())
                .flat_map(dependency_tables),
        );
    }
    tables.extend(
        document
            .get("workspace")
            .and_then(Item::as_table_like)
            .into_iter()
            .flat_map(dependency_tables),
    );
    tables
}

/// The end of the last value in an item.
fn end_of(item: &Item) -> Option<usize> {
    let own = item.span().map(|s| s.end);
    match item.as_table_like() {
        Some(table) => table.iter().filter_map(|(_, i)| end_of(i)).max().max(own),
        None => own,
    }
}

fn entries(path: &str, text: &str) -> Vec<Entry> {
    let document = Document::parse(text).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut found = Vec::new();
    for table in dependency_tables(document.as_table()) {
        for (name, item) in table.iter() {
            let end = end_of(item).unwrap_or_else(|| panic!("{path}: {name} has no place"));
            let line = line_at(text, end);
            let behind = text[end..].lines().next().unwrap_or_default();
            let trailing = behind
                .split_once('#')
                .is_some_and(|(_, comment)| !comment.trim().is_empty());
            found.push(Entry {
                name: name.to_owned(),
                line,
                has_reason: trailing || is_named_above(text, line, name),
            });
        }
    }
    found
}

/// Whether the comment over a block of entries names this one.
fn is_named_above(text: &str, line: usize, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let above = lines[..line - 1].iter().rev();
    let block = above.skip_while(|l| !l.starts_with('#') && !l.starts_with('[') && !l.is_empty());
    block.take_while(|l| l.starts_with('#')).any(|l| {
        l.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'))
            .any(|w| w == name)
    })
}

fn without_reason(path: &str, text: &str, root: &[Entry]) -> Vec<Violation> {
    let in_root = |name: &str| root.iter().any(|e| e.name == name && e.has_reason);
    entries(path, text)
        .into_iter()
        .filter(|e| !e.has_reason && !is_fixed(&e.name) && !in_root(&e.name))
        .map(|e| Violation::new(path, e.line, format!("{} has no reason", e.name)))
        .collect()
}

#[test]
fn every_dependency_has_a_reason() {
    let root = entries("Cargo.toml", &tree::text("Cargo.toml"));
    let manifests = tree::texts()
        .into_iter()
        .filter(|(path, _)| path.ends_with("/Cargo.toml"));
    let found = manifests
        .flat_map(|(path, text)| without_reason(&path, &text, &root))
        .collect();
    report(
        "a comment says why each dependency is there, beside it or in the root's Cargo.toml",
        found,
    );
}

#[test]
fn a_missing_reason_is_found() {
    let root = entries(
        "Cargo.toml",
        "[workspace.dependencies]\n# named: for a reason\nnamed = \"1\"\nplain = \"1\"\n",
    );
    let text = "[dependencies]\nnamed.workspace = true\nplain.workspace = true\nother = { version = \"1\", features = [\n    \"x\",\n] } # because\nserde = \"1\"\n\n[dev-dependencies]\nbare = \"2\"\n";
    let found = without_reason("a/Cargo.toml", text, &root);
    assert_eq!(
        found,
        [
            Violation::new("a/Cargo.toml", 3, "plain has no reason"),
            Violation::new("a/Cargo.toml", 10, "bare has no reason")
        ]
    );
}
