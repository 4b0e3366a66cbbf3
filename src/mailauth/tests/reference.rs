//! Our verdicts on signatures and seals against those of dkimpy, which made them.
//!
//! `tests/verify/dkim_samples.py` prints the mail with its verdicts; `./tests/run` installs what it needs into `tests/.tools`.
//! `CONNEX_TEST_PYTHON` names another Python.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Samples {
    zone: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    name: String,
    mail: String,
    /// Whether each signature is good, by its selector.
    signatures: BTreeMap<String, bool>,
    chain: String,
}

impl Sample {
    /// What we should come to: dkimpy's verdict, but for what we leave to nobody (`l=`, which lets others add text).
    fn wanted(&self) -> (BTreeMap<String, Outcome>, Option<bool>) {
        let outcome = |is_good: bool| match is_good {
            _ if self.name.contains("l=") => Outcome::Policy,
            true => Outcome::Pass,
            false => Outcome::Fail,
        };
        let signatures = self.signatures.iter().map(|(selector, is_good)| (selector.clone(), outcome(*is_good)));
        (signatures.collect(), (self.chain != "none").then_some(self.chain == "pass"))
    }
}

/// The same of our results. A signature that cannot be verified is as bad as one that fails.
fn found(authentication: &Authentication) -> (BTreeMap<String, Outcome>, Option<bool>) {
    let of = |method| authentication.results.iter().filter(move |result| result.method == method);
    let outcome = |result: &MethodResult| match result.result {
        outcome @ (Outcome::Pass | Outcome::Policy) => outcome,
        Outcome::Fail | Outcome::Permerror => Outcome::Fail,
        other => panic!("{other:?}: {result:?}"),
    };
    let signatures = of(Method::Dkim).filter(|result| result.result != Outcome::None);
    let signatures = signatures.map(|result| (result.selector.clone().unwrap_or_default(), outcome(result)));
    (signatures.collect(), of(Method::Arc).next().map(|result| result.result == Outcome::Pass))
}

fn samples() -> Samples {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let python = std::env::var_os("CONNEX_TEST_PYTHON")
        .map_or_else(|| folder.join(".tools/venv/bin/python"), std::path::PathBuf::from);
    let output = Command::new(&python).arg(folder.join("verify/dkim_samples.py")).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}; run ./tests/run", python.display()));
    assert!(output.status.success(), "run ./tests/run: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn mail_signed_and_sealed_by_dkimpy_is_judged_as_dkimpy_judges_it() {
    let (scene, Samples { zone, samples }) = (scene(), samples());
    for (name, record) in &zone {
        scene.zone.txt(name, record);
    }
    let authenticator = scene.authenticator();
    let (mut others, mut counts) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for sample in &samples {
        let mail = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &sample.mail).unwrap();
        let (ours, theirs) = (found(&scene.check_by(&authenticator, mail).await), sample.wanted());
        for is_good in theirs.0.values().map(|outcome| *outcome == Outcome::Pass) {
            *counts.entry(if is_good { "good signatures" } else { "bad signatures" }).or_default() += 1;
        }
        if let Some(is_good) = theirs.1 {
            *counts.entry(if is_good { "good chains" } else { "bad chains" }).or_default() += 1;
        }
        if ours != theirs {
            others.push(format!("{}: ours {ours:?}, dkimpy's {theirs:?}", sample.name));
        }
    }
    assert!(others.is_empty(), "{} of {}:\n{}", others.len(), samples.len(), others.join("\n"));
    let enough = [("bad chains", 10), ("bad signatures", 90), ("good chains", 10), ("good signatures", 150)];
    assert!(enough.iter().all(|(of, least)| counts.get(of).is_some_and(|count| count >= least)), "{counts:?}");
}
