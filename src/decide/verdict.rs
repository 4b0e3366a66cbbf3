//! From fired signals to one status: machine mail first, abuse second, then the status that the text supports best.
//!
//! Scores are small integers and never leave this module; confidence is their coarse public form. Where nothing is
//! supported, or two statuses that differ in approval are close, the verdict is `unclear`: a person reads it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::DataError;
use super::matter::{Automated, Matter};
use super::signals::{Fired, Signals};
use super::taxonomy::{StatusId, Taxonomy};

/// The status of a message and how sure that is.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) status: StatusId,
    pub(super) confidence: f64,
    pub(super) abstained: bool,
    pub(super) automated: Option<Automated>,
    /// Abuse signals, strongest first.
    pub(super) abuse: Vec<Fired>,
}

/// Rules between statuses, from `precedence.toml`.
#[derive(Debug)]
pub(super) struct Precedence {
    /// Where both are supported, the first is what the message is about.
    over: Vec<(StatusId, Vec<StatusId>)>,
    out_of_office: StatusId,
    auto_acknowledgement: StatusId,
    delivery_failed: StatusId,
    notification: StatusId,
    unclear: StatusId,
    agent_task: StatusId,
    unsubscribe: StatusId,
}

/// Support that a status needs before it is named at all.
const LEAST_SUPPORT: i32 = 3;
/// Support at which phrases of a machine need no header to be believed.
const MACHINE_SUPPORT: i32 = 7;
/// Octets of new text above which words alone make no bounce: a newsletter tells of failed deliveries, too.
const LONGEST_BOUNCE: usize = 4 * 1024;
/// Support at which abuse is the status.
const ABUSE_SUPPORT: i32 = 7;
/// Support at which abuse is reported.
const ABUSE_REPORTED: i32 = 4;
/// Confidence in thousandths below which a person is asked.
const LEAST_CONFIDENCE: i32 = 550;

impl Precedence {
    pub(super) fn read(file: &str, taxonomy: &Taxonomy) -> Result<Self, DataError> {
        let file: PrecedenceFile =
            toml::from_str(file).map_err(|error| DataError::File("precedence".to_owned(), Box::new(error)))?;
        let mut over = Vec::new();
        for (strong, weak) in &file.over {
            let weak = weak.iter().map(|name| taxonomy.id(name)).collect::<Result<Vec<_>, _>>()?;
            over.push((taxonomy.id(strong)?, weak));
        }
        Ok(Self {
            over,
            out_of_office: taxonomy.id("out_of_office")?,
            auto_acknowledgement: taxonomy.id("auto_acknowledgement")?,
            delivery_failed: taxonomy.id("delivery_failed")?,
            notification: taxonomy.id("notification")?,
            unclear: taxonomy.id("unclear")?,
            agent_task: taxonomy.id("agent_task_requested")?,
            unsubscribe: taxonomy.id("unsubscribe_requested")?,
        })
    }

    /// Weighs what fired.
    pub(super) fn weigh(
        &self,
        taxonomy: &Taxonomy,
        signals: &Signals,
        fired: &BTreeMap<usize, Fired>,
        matter: &Matter<'_>,
    ) -> Verdict {
        let mut scores = Scores::add_up(signals, fired, taxonomy.len());
        let is_in = |status: StatusId, area: &str| taxonomy.status(status).is_some_and(|s| s.area == area);
        let abuse = reported_abuse(signals, fired, |status| is_in(status, "abuse"));
        let automated = matter.automated.or_else(|| automated_by_event(matter.event_type));
        if automated != Some(Automated::Bounce) && matter.visible_text.len() > LONGEST_BOUNCE {
            scores.divide(self.delivery_failed, 8);
        }
        let abusive = scores.best(|status| is_in(status, "abuse"));
        if let Some((status, score)) = abusive
            && score >= ABUSE_SUPPORT
        {
            let rest = scores.best(|other| is_in(other, "abuse") && other != status).map_or(0, |best| best.1);
            return Verdict { status, confidence: confidence(score, rest), abstained: false, automated, abuse };
        }
        if let Some((status, confidence)) = self.machine(&mut scores, automated, matter.event_type) {
            let automated = automated.or_else(|| self.automated_by_status(status));
            return Verdict { status, confidence, abstained: false, automated, abuse };
        }
        for (strong, weak) in &self.over {
            if scores.of(*strong) >= LEAST_SUPPORT {
                weak.iter().for_each(|status| scores.divide(*status, 4));
            }
        }
        let (status, confidence, abstained) = self.best_status(taxonomy, &scores, |status| is_in(status, "abuse"));
        let automated = automated.or_else(|| self.automated_by_status(status));
        Verdict { status, confidence, abstained, automated, abuse }
    }

    fn best_status(
        &self,
        taxonomy: &Taxonomy,
        scores: &Scores,
        is_abuse: impl Fn(StatusId) -> bool,
    ) -> (StatusId, f64, bool) {
        let candidate = |status: StatusId| status != self.unclear && !is_abuse(status);
        let Some((status, score)) = scores.best(candidate) else {
            return (self.unclear, confidence(0, 0), true);
        };
        let second = scores.best(|other| candidate(other) && other != status);
        let rest = second.map_or(0, |best| best.1);
        let sure = confidence_in_thousandths(score, rest);
        let approval = |id: StatusId| taxonomy.status(id).is_some_and(|s| s.approval_required);
        let split = second.is_some_and(|(other, rest)| rest * 6 > score * 5 && approval(other) != approval(status));
        if score < LEAST_SUPPORT || sure < LEAST_CONFIDENCE || split {
            return (self.unclear, f64::from(sure.min(LEAST_CONFIDENCE) / 2) / 1000.0, true);
        }
        (status, f64::from(sure) / 1000.0, false)
    }

    /// What a machine wrote, by structure or by words that only machines use.
    fn machine(&self, scores: &mut Scores, automated: Option<Automated>, event_type: &str) -> Option<(StatusId, f64)> {
        match automated {
            Some(Automated::Bounce) => return Some((self.delivery_failed, 0.97)),
            Some(Automated::AutoReply) => {
                let away = scores.of(self.out_of_office);
                let receipt = scores.of(self.auto_acknowledgement);
                return Some(match (away, receipt) {
                    (0, 0) => (self.auto_acknowledgement, 0.7),
                    _ if away >= receipt => (self.out_of_office, 0.95),
                    _ => (self.auto_acknowledgement, 0.93),
                });
            }
            Some(Automated::Notification) => scores.add(self.notification, 6),
            Some(Automated::List) => scores.add(self.notification, 3),
            None => {}
        }
        match event_type {
            "agent_task_created" => return Some((self.agent_task, 0.95)),
            "complaint" => return Some((self.unsubscribe, 0.8)),
            "read_receipt" => return Some((self.notification, 0.9)),
            _ => {}
        }
        let spoken = [self.delivery_failed, self.out_of_office, self.auto_acknowledgement];
        let (status, score) = scores.best(|status| spoken.contains(&status))?;
        let other = scores.best(|other| !spoken.contains(&other)).map_or(0, |best| best.1);
        (score >= MACHINE_SUPPORT && score * 2 >= other).then(|| (status, confidence(score, other / 3)))
    }

    fn automated_by_status(&self, status: StatusId) -> Option<Automated> {
        if status == self.delivery_failed {
            Some(Automated::Bounce)
        } else if status == self.out_of_office || status == self.auto_acknowledgement {
            Some(Automated::AutoReply)
        } else if status == self.notification {
            Some(Automated::Notification)
        } else {
            None
        }
    }
}

/// Support of each status. Not to be serialised: the public form is confidence.
#[derive(Debug)]
struct Scores(Vec<i32>);

impl Scores {
    /// The strongest signal counts in full, each further one half as much as the one before.
    fn add_up(signals: &Signals, fired: &BTreeMap<usize, Fired>, statuses: usize) -> Self {
        let mut by_status: Vec<Vec<i32>> = vec![Vec::new(); statuses];
        for fired in fired.values() {
            let status = signals.signal(fired.signal).and_then(|signal| signal.status);
            if let Some(list) = status.and_then(|status| by_status.get_mut(usize::from(status.0))) {
                list.push(fired.score);
            }
        }
        let total = |mut list: Vec<i32>| {
            list.sort_unstable_by_key(|score| std::cmp::Reverse(*score));
            list.into_iter().zip([1, 2, 4, 8]).map(|(score, share)| score / share).sum()
        };
        Self(by_status.into_iter().map(total).collect())
    }

    fn of(&self, status: StatusId) -> i32 {
        self.0.get(usize::from(status.0)).copied().unwrap_or(0)
    }

    fn add(&mut self, status: StatusId, support: i32) {
        if let Some(score) = self.0.get_mut(usize::from(status.0)) {
            *score += support;
        }
    }

    fn divide(&mut self, status: StatusId, by: i32) {
        if let Some(score) = self.0.get_mut(usize::from(status.0)) {
            *score /= by;
        }
    }

    /// The best supported of those statuses; the first by name where two are equal.
    fn best(&self, wanted: impl Fn(StatusId) -> bool) -> Option<(StatusId, i32)> {
        let all = self.0.iter().zip(0u8..).map(|(&score, index)| (StatusId(index), score));
        all.filter(|&(status, score)| score > 0 && wanted(status))
            .max_by_key(|&(status, score)| (score, std::cmp::Reverse(status)))
    }
}

fn reported_abuse(
    signals: &Signals,
    fired: &BTreeMap<usize, Fired>,
    is_abuse: impl Fn(StatusId) -> bool,
) -> Vec<Fired> {
    let mut abuse: Vec<Fired> = fired
        .values()
        .filter(|fired| fired.score >= ABUSE_REPORTED)
        .filter(|fired| signals.signal(fired.signal).and_then(|signal| signal.status).is_some_and(&is_abuse))
        .copied()
        .collect();
    abuse.sort_by_key(|fired| (std::cmp::Reverse(fired.score), fired.signal));
    abuse
}

fn automated_by_event(event_type: &str) -> Option<Automated> {
    match event_type {
        "bounce" => Some(Automated::Bounce),
        "auto_reply" => Some(Automated::AutoReply),
        _ => None,
    }
}

/// Grows with the support of the best status and with its lead over the next; fitted on the project's own messages.
fn confidence_in_thousandths(score: i32, second: i32) -> i32 {
    if score <= 0 {
        return 100;
    }
    let lead = (score - second).max(0) * 100 / score;
    280 + score.min(14) * 30 + lead * 22 / 10
}

fn confidence(score: i32, second: i32) -> f64 {
    f64::from(confidence_in_thousandths(score, second)) / 1000.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrecedenceFile {
    over: BTreeMap<String, Vec<String>>,
}
