//! Limits, suppressions and switches, with every owner, policy, evidence and domain state.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use super::{Change, EVIDENCE, set_domain};
use crate::governance::facts::{DomainState, Fact, Quota, Standing, TrustBand};
use crate::governance::fixture::{NOW, Scene, check_golden, mailbox};
use crate::governance::{IdentityOwner, ReplyPolicy, Ruling};

/// Each fact of the standing with what it may be besides harmless; the last is always unknown.
const STANDING: [(&str, &[Change<Standing>]); 6] = [
    (
        "suppressed",
        &[
            |standing| standing.suppressed = Fact::Known(vec![mailbox("Ann@BUYER.example")]),
            |standing| standing.suppressed = Fact::Unknown,
        ],
    ),
    (
        "auto_reply_rate",
        &[
            |standing| standing.is_over_auto_reply_rate = Fact::Known(true),
            |standing| standing.is_over_auto_reply_rate = Fact::Unknown,
        ],
    ),
    (
        "similar",
        &[
            |standing| standing.similar_to_new_recipients = Fact::Known(1_000),
            |standing| standing.similar_to_new_recipients = Fact::Unknown,
        ],
    ),
    (
        "quota",
        &[
            |standing| standing.quota = Fact::Known(Quota::UsedUpUntil(NOW.plus(Duration::from_secs(1)))),
            |standing| standing.quota = Fact::Unknown,
        ],
    ),
    (
        "band",
        &[
            |standing| standing.trust_band = Fact::Known(TrustBand::Blocked),
            |standing| standing.trust_band = Fact::Unknown,
        ],
    ),
    ("paused", &[|standing| standing.is_paused = Fact::Known(true), |standing| standing.is_paused = Fact::Unknown]),
];

/// One choice for each fact: 0 is harmless, 1 is against the message, 2 is unknown.
type Choice = [usize; STANDING.len()];

fn every_choice() -> Vec<Choice> {
    let mut choices = vec![[0; STANDING.len()]];
    for place in 0..STANDING.len() {
        choices = choices
            .into_iter()
            .flat_map(|choice| {
                (0..3).map(move |value| {
                    let mut next = choice;
                    next[place] = value;
                    next
                })
            })
            .collect();
    }
    choices
}

fn give(scene: &mut Scene, choice: Choice) {
    for ((_, changes), value) in STANDING.iter().zip(choice) {
        if let Some(change) = value.checked_sub(1).and_then(|place| changes.get(place)) {
            change(&mut scene.facts.standing);
        }
    }
}

/// The choices in which at most one fact is not harmless, with a name each.
fn single_choices() -> Vec<(String, Choice)> {
    let mut choices = vec![("harmless".to_owned(), [0; STANDING.len()])];
    for (place, (name, _)) in STANDING.iter().enumerate() {
        for (value, word) in [(1, "against"), (2, "unknown")] {
            let mut choice = [0; STANDING.len()];
            choice[place] = value;
            choices.push((format!("{name} {word}"), choice));
        }
    }
    choices
}

#[test]
fn owner_policy_evidence_domain_and_each_standing_are_judged_as_written_down() {
    let singles = single_choices();
    let mut table = String::new();
    let mut released = 0;
    for owner in IdentityOwner::ALL {
        for policy in ReplyPolicy::ALL {
            for (evidence, with) in EVIDENCE {
                for domain in DomainState::ALL.map(Some).into_iter().chain([None]) {
                    let mut scene = Scene::of(owner, policy);
                    with(&mut scene);
                    set_domain(&mut scene, domain);
                    let domain = domain.map_or("unknown", DomainState::as_str);
                    let (owner, policy) = (owner.as_str(), policy.as_str());
                    writeln!(table, "{owner} {policy} approval {evidence} domain {domain}").unwrap();
                    let plain: BTreeSet<_> = scene.verdict().codes().into_iter().collect();
                    for (name, choice) in &singles {
                        let mut scene = scene.clone();
                        give(&mut scene, *choice);
                        let verdict = scene.verdict();
                        let is_released = scene.release().is_ok();
                        released += usize::from(is_released);
                        // What a person said yes to is no automatic answer, whatever the rate of these.
                        let may_pass = name == "harmless" || name.starts_with("auto_reply_rate");
                        assert!(!is_released || (verdict.ruling() == Ruling::Release && may_pass), "{name}");
                        let added: Vec<_> = verdict.codes().into_iter().filter(|code| !plain.contains(code)).collect();
                        writeln!(table, "    {name}: {} {}", verdict.ruling().as_str(), added.join(" ")).unwrap();
                    }
                }
            }
        }
    }
    assert!(released > 0, "a table in which nothing is released shows nothing");
    check_golden("standing.txt", &table.replace(" \n", "\n"));
}

/// With the table above this is every combination: no fact of the standing hides, or makes up for, another one.
#[test]
fn what_several_facts_of_the_standing_say_is_all_that_each_says() {
    let choices = every_choice();
    assert_eq!(choices.len(), 729);
    for (owner, policy) in [
        (IdentityOwner::Connex, ReplyPolicy::HumanApproval),
        (IdentityOwner::CustomerDomain, ReplyPolicy::PolicyAuto),
        (IdentityOwner::SourceApp, ReplyPolicy::SourceAppOnly),
    ] {
        let base = Scene::of(owner, policy);
        let codes = |choice: Choice| -> (Ruling, BTreeSet<String>) {
            let mut scene = base.clone();
            give(&mut scene, choice);
            let verdict = scene.verdict();
            (verdict.ruling(), verdict.codes().into_iter().map(str::to_owned).collect())
        };
        let singles: Vec<[(Ruling, BTreeSet<String>); 3]> = (0..STANDING.len())
            .map(|place| {
                [0, 1, 2].map(|value| {
                    let mut choice = [0; STANDING.len()];
                    choice[place] = value;
                    codes(choice)
                })
            })
            .collect();
        for choice in &choices {
            let parts = singles.iter().zip(choice).filter_map(|(values, value)| values.get(*value));
            let (rulings, named): (Vec<_>, Vec<_>) = parts.cloned().unzip();
            let expected = (rulings.into_iter().max().unwrap(), named.into_iter().flatten().collect());
            assert_eq!(codes(*choice), expected, "{owner:?} {policy:?} {choice:?}");
        }
    }
}
