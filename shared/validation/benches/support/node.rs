//! The same events through Node and ajv with the official schemas.
use std::{path::PathBuf, process::Command};

fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_dir())
}

/// Prints what Node takes for the same events and how many times as much that is as `ours`
/// (microseconds per event), or why it is left out; gives back what it takes.
pub(crate) fn compare(events: &[String], ours: f64) -> Option<f64> {
    let (Some(schemas), Some(ajv)) = (folder("CALIPER_SCHEMAS"), folder("AJV")) else {
        println!(
            "Node + ajv: left out (CALIPER_SCHEMAS and AJV name no folders, see benches/validate.rs)"
        );
        return None;
    };
    let file = std::env::temp_dir().join(format!("vernier-bench-{}.jsonl", std::process::id()));
    std::fs::write(&file, events.join("\n"))
        .expect("the folder for temporary files can be written");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/support/ajv.js");
    let output = Command::new("node")
        .arg(script)
        .args([&file, &schemas, &ajv])
        .output();
    let _ = std::fs::remove_file(&file);
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            println!(
                "Node + ajv: failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            return None;
        }
        Err(error) => {
            println!("Node + ajv: left out (node: {error})");
            return None;
        }
    };
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let micros = result["micros"].as_f64()?;
    println!(
        "JSON.parse + ajv, official schemas   {micros:8.3} µs/event ({} of {} accepted)",
        result["passed"], result["count"]
    );
    println!(
        "Node + ajv / validation              {:8.1}   (wanted: at least 20)",
        micros / ours
    );
    Some(micros)
}
