//! What is wrong with settings, field by field: they are refused whole, so that nobody obeys half of them.

use super::{Policy, QuietHours, Scope};
use crate::governance::role::Role;
use crate::mail::address::{Domain, Mailbox};

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// JSON pointer (RFC 6901) to the field.
    pub pointer: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

const MOST_SCOPES: usize = 500;
const MOST_WORDS: usize = 500;
const MOST_ENTRIES: usize = 5_000;
const LONGEST: usize = 320;
/// More than a message may have anyway.
const MOST_RECIPIENTS: u32 = 1_000;

/// Collects what is wrong.
#[derive(Default)]
struct Faults(Vec<PolicyFault>);

impl Faults {
    fn add(&mut self, pointer: String, message: &str) {
        self.0.push(PolicyFault { pointer, message: message.to_owned() });
    }

    fn words(&mut self, at: &str, name: &str, words: &[String]) {
        if words.len() > MOST_WORDS {
            self.add(format!("{at}/{name}"), "has more than 500 entries");
        }
        for (place, word) in words.iter().enumerate() {
            if word.len() > LONGEST || !word.chars().any(char::is_alphanumeric) {
                self.add(format!("{at}/{name}/{place}"), "must have letters, and at most 320 octets");
            }
        }
    }

    fn entries(&mut self, at: &str, name: &str, entries: &[String]) {
        if entries.len() > MOST_ENTRIES {
            self.add(format!("{at}/{name}"), "has more than 5000 entries");
        }
        for (place, entry) in entries.iter().enumerate() {
            let is_good =
                if entry.contains('@') { Mailbox::parse(entry).is_ok() } else { Domain::parse(entry).is_ok() };
            if !is_good {
                self.add(format!("{at}/{name}/{place}"), "must be an address, or a domain");
            }
        }
    }

    fn quiet(&mut self, at: &str, hours: Option<&QuietHours>) {
        let Some(hours) = hours else { return };
        match hours.minutes() {
            None => self.add(format!("{at}/quietHours"), "`from` and `to` must be times as 20:00"),
            Some((from, to)) if from == to => {
                self.add(format!("{at}/quietHours"), "`from` and `to` are the same: pause sending instead");
            }
            Some(_) => {}
        }
    }

    fn approver(&mut self, at: &str, role: Option<Role>) {
        if role.is_some_and(|role| role < Role::Approver) {
            self.add(format!("{at}/approver"), "must be approver, admin or owner: others never approve");
        }
    }

    fn recipients(&mut self, at: &str, count: Option<u32>) {
        if count.is_some_and(|count| count == 0 || count > MOST_RECIPIENTS) {
            self.add(format!("{at}/recipients"), "must be 1 to 1000");
        }
    }

    fn scope(&mut self, at: &str, scope: &Scope) {
        let named = [&scope.mailbox, &scope.agent, &scope.app, &scope.recipient_domain];
        if named.iter().filter(|name| name.is_some()).count() != 1 {
            self.add(at.to_owned(), "must name one of mailbox, agent, app and recipientDomain");
        }
        if named.iter().copied().flatten().any(|name| name.is_empty() || name.len() > LONGEST) {
            self.add(at.to_owned(), "names nobody");
        }
        let is_bad_mailbox = |text: &String| text.contains('@') && Mailbox::parse(text).is_err();
        if scope.mailbox.as_ref().is_some_and(is_bad_mailbox) {
            self.add(format!("{at}/mailbox"), "must be an address, or the id of a mailbox");
        }
        if scope.recipient_domain.is_some() && scope.domain().is_none() {
            self.add(format!("{at}/recipientDomain"), "must be a domain");
        }
        for (name, flag) in [("fourEyes", scope.four_eyes), ("participantsOnly", scope.participants_only)] {
            if flag == Some(false) {
                self.add(format!("{at}/{name}"), "must be true or left out: a scope can only be stricter");
            }
        }
        self.recipients(at, scope.recipients);
        self.approver(at, scope.approver);
        self.words(at, "riskWords", &scope.risk_words);
        self.words(at, "automaticTemplates", scope.automatic_templates.as_deref().unwrap_or_default());
        self.entries(at, "allow", &scope.allow);
        self.entries(at, "block", &scope.block);
        self.quiet(at, scope.quiet_hours.as_ref());
    }
}

impl Policy {
    /// Everything that is wrong with it; whether there is such a time zone is not known here.
    #[must_use]
    pub fn faults(&self) -> Vec<PolicyFault> {
        let mut faults = Faults::default();
        faults.recipients("", Some(self.recipients));
        faults.approver("", Some(self.approver));
        faults.words("", "riskWords", &self.risk_words);
        faults.words("", "automaticTemplates", self.automatic_templates.as_deref().unwrap_or_default());
        faults.entries("", "allow", &self.allow);
        faults.entries("", "block", &self.block);
        faults.quiet("", self.quiet_hours.as_ref());
        if self.scopes.len() > MOST_SCOPES {
            faults.add("/scopes".to_owned(), "has more than 500 entries");
        }
        for (place, scope) in self.scopes.iter().enumerate() {
            faults.scope(&format!("/scopes/{place}"), scope);
        }
        faults.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(policy: &Policy) -> Vec<String> {
        policy.faults().into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn the_default_has_no_fault_and_each_fault_is_told_where_it_is() {
        assert_eq!(pointers(&Policy::default()), [""; 0]);
        let scope = |change: fn(&mut Scope)| {
            let mut scope = Scope { agent: Some("a".into()), ..Scope::default() };
            change(&mut scope);
            pointers(&Policy {
                scopes: vec![Scope { app: Some("crm".into()), ..Scope::default() }, scope],
                ..Policy::default()
            })
        };
        assert_eq!(scope(|_| {}), [""; 0]);
        assert_eq!(scope(|scope| scope.app = Some("crm".into())), ["/scopes/1"]);
        assert_eq!(scope(|scope| scope.agent = None), ["/scopes/1"]);
        assert_eq!(scope(|scope| scope.agent = Some(String::new())), ["/scopes/1"]);
        assert_eq!(scope(|scope| scope.four_eyes = Some(false)), ["/scopes/1/fourEyes"]);
        assert_eq!(scope(|scope| scope.allow = vec!["a b".into()]), ["/scopes/1/allow/0"]);
        assert_eq!(scope(|scope| scope.block = vec!["@".into()]), ["/scopes/1/block/0"]);
        assert_eq!(scope(|scope| scope.risk_words = vec!["ok".into(), "...".into()]), ["/scopes/1/riskWords/1"]);
        assert_eq!(scope(|scope| scope.approver = Some(Role::Agent)), ["/scopes/1/approver"]);
        assert_eq!(scope(|scope| scope.recipients = Some(0)), ["/scopes/1/recipients"]);
        let night = |from: &str, to: &str| Some(QuietHours { from: from.into(), to: to.into() });
        assert_eq!(pointers(&Policy { quiet_hours: night("25:00", "07:00"), ..Policy::default() }), ["/quietHours"]);
        assert_eq!(pointers(&Policy { quiet_hours: night("07:00", "07:00"), ..Policy::default() }), ["/quietHours"]);
        assert_eq!(pointers(&Policy { approver: Role::Viewer, ..Policy::default() }), ["/approver"]);
    }
}
