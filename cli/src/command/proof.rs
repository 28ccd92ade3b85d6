//! The subcommand `vernier proof`: the offline check of a proof that the API handed out.

use super::{FINDINGS, Format, output};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use vernier_archive::canonical;
use vernier_archive::keys::PublicKey;
use vernier_archive::proof::InclusionProof;
use vernier_archive::proof4::{BLIND_PROOF_VERSION, BlindProof};
use vernier_archive::row::{Row, disposition_word};
use vernier_archive::seal::Seal;
use vernier_ledger::digest::Fingerprint;

/// Check a proof that an event is sealed: a public key is all it needs.
///
/// FILE is what GET /events/{id}/proof answered, with the seal in it; - is the standard input. Checked are the seal's spelling and
/// signature, and that the row leads to the seal's root: of a seal of version 4 through its part. Whether the seal is
/// one of the tenant's chain, its hash tells, which is printed: newer seals name it, and vernier verify finds it.
///
/// A proof of version 2 may leave out what the event said: then it shows that the ledger took something under this
/// receipt, and no more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier proof answer.json --key seals.pub.pem
  vernier proof answer.json --key seals.pub.pem --event event.json    and that it is this very event
  curl -s -H \"Authorization: Bearer $TOKEN\" $API/events/$ID/proof | vernier proof - --key seals.pub.pem

Exit codes: 0 it is proved, 1 it is not, 2 wrong usage, or a file that cannot be read.")]
pub(super) struct Args {
    /// What the service answered
    #[arg(value_name = "FILE")]
    answer: PathBuf,
    /// Public key that seals are signed with (SubjectPublicKeyInfo, PEM or DER); may be given several times
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// The event as it was sent, which must be the proved one; white space between its members does not matter
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
}

/// Checks the proof of a file against a public key, and says whether it holds.
///
/// # Errors
/// A file cannot be read, or the answer is none.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let mut keys = Vec::with_capacity(args.keys.len());
    for path in &args.keys {
        let read = || Ok::<_, anyhow::Error>(PublicKey::read(&fs::read(path)?)?);
        keys.push(read().with_context(|| path.display().to_string())?);
    }
    let named = || args.answer.display().to_string();
    let answer: Value =
        serde_json::from_slice(&bytes_of(args).with_context(named)?).with_context(named)?;
    let event = match &args.event {
        Some(path) => Some(fs::read_to_string(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let shown = check(&answer, &keys, event.as_deref());
    match (format, &shown) {
        (Format::Json, Ok(shown)) => output::json(shown)?,
        (Format::Json, Err(why)) => output::json(&json!({"proved": false, "why": why}))?,
        (Format::Text, Ok(shown)) => output::line(text(shown))?,
        (Format::Text, Err(why)) => output::line(format!("NOT PROVED: {why}"))?,
    }
    Ok(ExitCode::from(if shown.is_ok() { 0 } else { FINDINGS }))
}

fn bytes_of(args: &Args) -> anyhow::Result<Vec<u8>> {
    if args.answer.as_os_str() != "-" {
        return Ok(fs::read(&args.answer)?);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the proof shows; else in words why it shows nothing.
fn check(answer: &Value, keys: &[PublicKey], event: Option<&str>) -> Result<Value, String> {
    let lacking = |name: &str| format!("the answer has no {name}");
    let part = |name: &str| answer.get(name).ok_or_else(|| lacking(name));
    // Whoever stored the answer may have spelled it anew; a seal has one spelling.
    let seal = canonical::to_bytes(part("seal")?).and_then(|bytes| Seal::read(&bytes));
    let seal = seal.map_err(|e| e.to_string())?;
    let is_signed = |key: &PublicKey| seal.is_signed_by(key).unwrap_or(false);
    if !keys.iter().any(is_signed) {
        let key = &seal.signature.key;
        return Err(format!(
            "the seal is not signed by the given key (it names the key {key})"
        ));
    }
    let proof = part("proof")?.clone();
    let no_proof = |e: serde_json::Error| format!("no proof: {e}");
    if proof["vernier_proof"] == BLIND_PROOF_VERSION {
        let proof: BlindProof = serde_json::from_value(proof).map_err(no_proof)?;
        let shown = proof.verify(&seal).map_err(|e| e.to_string())?;
        let row = shown.row().map_err(|e| e.to_string())?;
        return described(&seal, &row, shown.is_whole(), event);
    }
    let proof: InclusionProof = serde_json::from_value(proof).map_err(no_proof)?;
    let shown = proof.verify(&seal).map_err(|e| e.to_string())?;
    let row = shown.row().map_err(|e| e.to_string())?;
    described(&seal, &row, true, event)
}

fn described(
    seal: &Seal,
    row: &Row<'_>,
    is_whole: bool,
    event: Option<&str>,
) -> Result<Value, String> {
    if let Some(event) = event {
        let mut compacted = Vec::new();
        vernier_validation::compact(event, &mut compacted);
        if !is_whole {
            return Err("the proof does not show what the event said".to_owned());
        }
        if Fingerprint::of(&compacted).0 != row.fingerprint {
            return Err("it is another event than the given one".to_owned());
        }
    }
    let hash = seal.hash().map_err(|e| e.to_string())?;
    let fingerprint = is_whole.then(|| Fingerprint(row.fingerprint).hex());
    Ok(json!({
        "proved": true,
        "tenant": seal.tenant,
        "sequence": seal.sequence,
        "seal": Fingerprint(hash).hex(),
        "receipt": row.receipt,
        "index": row.index,
        "received_at": row.received_at.rfc3339(),
        "sensor": row.sensor,
        "disposition": disposition_word(row.disposition),
        "id": row.id,
        "type": row.type_name,
        "actor": row.actor,
        "fingerprint": fingerprint,
    }))
}

fn text(shown: &Value) -> String {
    let names = [
        "tenant",
        "sequence",
        "seal",
        "receipt",
        "index",
        "received_at",
        "sensor",
        "disposition",
        "id",
        "type",
        "actor",
        "fingerprint",
    ];
    let line = |name: &&str| match &shown[*name] {
        Value::Null => None,
        Value::String(text) => Some(format!("{name:<12} {text}")),
        other => Some(format!("{name:<12} {other}")),
    };
    let mut lines: Vec<String> = names.iter().filter_map(line).collect();
    if shown["fingerprint"].is_null() {
        lines.push("what the event said is not shown".to_owned());
    }
    lines.push("proved".to_owned());
    lines.join("\n")
}
