//! The real rules and doors, asked about what a world knows; and what in it can be mixed up with what is another's.

use std::cell::RefCell;
use std::time::Duration;

use super::Map;
use crate::governance::chain::Link;
use crate::governance::facts::{DomainState, Fact};
use crate::governance::fixture::{NOW, OTHER_TENANT, Scene, TENANT, ago, domain, mailbox, person};
use crate::governance::gate::{Draft, Refused, ReleaseRow, ReleaseTerms, Transmission, readmit};
use crate::governance::lifecycle::{DraftEvent, TransmissionState};
use crate::governance::role::Role;
use crate::governance::{Approval, Evidence, IdentityOwner, Policy, ReplyPolicy, Ruling};
use crate::ids::{ApprovalId, DraftId, MailboxId};

/// What the gate goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Known {
    pub(super) version: u8,
    /// The version that a person said yes to.
    pub(super) approved: Option<u8>,
    /// A person's message came after the yes.
    pub(super) is_stale: bool,
    pub(super) is_paused: bool,
    pub(super) has_domain_failed: bool,
    /// The first recipient's address is suppressed.
    pub(super) is_suppressed: bool,
    /// The policy asks for a higher role by now than that of who said yes.
    pub(super) is_stricter: bool,
    pub(super) mixed: Mixed,
}

/// What is mixed up with what is another's: for each of [`PARTS`], which of the wrong ones stands there; 0 for the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mixed(pub(super) [u8; PARTS.len()]);

/// A part that can be mixed up, in how many ways, and whether it is the content's (an edit) or the facts'.
pub(super) struct Part {
    pub(super) ways: u8,
    pub(super) is_content: bool,
}

const FROM: usize = 0;
const REPLY_TO: usize = 1;
const MESSAGE_ID: usize = 2;
const LINK: usize = 3;
const REVERSE_PATH: usize = 4;
pub(super) const MAILBOX: usize = 5;
pub(super) const DOMAIN: usize = 6;
pub(super) const YES: usize = 7;
pub(super) const ROW: usize = 8;
/// The way of the domain that is the tenant's own, or the platform's.
const DOMAIN_OF_OURS: u8 = 3;

/// Of the content: 1 the tenant's address of the other kind, 2 another tenant's customer address, 3 its platform address.
/// Of the facts: a mailbox of another tenant (1 with our address, 2 with its own), a domain (1 the same name as another
/// tenant's, 2 another tenant's, 3 the other kind of ours), a yes (1 of another tenant, 2 to another draft, 3 of the author),
/// and a release (1 of another tenant, 2 of another draft).
pub(super) const PARTS: [Part; 9] = {
    const fn content() -> Part {
        Part { ways: 3, is_content: true }
    }
    const fn facts(ways: u8) -> Part {
        Part { ways, is_content: false }
    }
    [content(), content(), content(), content(), content(), facts(2), facts(3), facts(3), facts(2)]
};

impl Mixed {
    pub(super) const NOTHING: Self = Self([0; PARTS.len()]);

    /// The same with the right facts.
    fn of_content(self) -> Self {
        let mut content = self;
        PARTS.iter().zip(&mut content.0).filter(|(part, _)| !part.is_content).for_each(|(_, place)| *place = 0);
        content
    }
}

/// What came of asking the second door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Open,
    PutBack,
    Revoke(DraftEvent),
}

/// What is known, the version that was released and whether by policy, and how far its recipients came.
type AtDoor<const L: usize> = (Known, (u8, bool), [TransmissionState; L]);

/// The real rules, asked once for each different case; and what of them, or of the log, is left out on purpose.
pub(super) struct Gate<const L: usize> {
    pub(super) owner: IdentityOwner,
    pub(super) reply: ReplyPolicy,
    /// Rules that are not asked.
    pub(super) without: &'static [&'static str],
    /// Rows that are not written.
    pub(super) unlogged: Option<Link>,
    rulings: RefCell<Map<Known, Ruling>>,
    released: RefCell<Map<Known, Option<bool>>>,
    doors: RefCell<Map<AtDoor<L>, Door>>,
}

impl<const L: usize> Gate<L> {
    pub(super) fn new(owner: IdentityOwner, reply: ReplyPolicy) -> Self {
        let (rulings, released, doors) = Default::default();
        Self { owner, reply, without: &[], unlogged: None, rulings, released, doors }
    }

    /// The tenant's own address as `place` 0, and those that are wrong in its stead.
    fn address(&self, place: u8) -> &'static str {
        let own = match self.owner {
            IdentityOwner::CustomerDomain => ["deals@customer.example", "deals@platform.example"],
            IdentityOwner::Connex | IdentityOwner::SourceApp => ["deals@platform.example", "deals@customer.example"],
        };
        match place {
            0 | 1 => own[usize::from(place)],
            2 => "sales@other.example",
            _ => "sales@platform.example",
        }
    }

    fn domain_of(&self, place: u8) -> &'static str {
        self.address(place).split_once('@').unwrap().1
    }

    fn written(&self, known: Known) -> Scene {
        let mixed = known.mixed.0;
        let mut scene = Scene::of(self.owner, self.reply);
        let names = ["ann@buyer.example", "bob@buyer.example", "cid@buyer.example"];
        scene.send_to(names.get(..L).unwrap());
        let days = ["Tuesday", "Monday", "Friday", "Sunday", "Wednesday", "Thursday", "Saturday"];
        let mut text = format!("Thank you, Ann. See you on {}.", days[usize::from(known.version) % days.len()]);
        let from = format!("Deals <{}>", self.address(mixed[FROM]));
        let reply_to = self.address(mixed[REPLY_TO]).to_owned();
        let id = format!("<1.2@{}>", self.domain_of(mixed[MESSAGE_ID]));
        let mut fields = vec![("From", from.as_str()), ("Message-ID", id.as_str())];
        if mixed[REPLY_TO] != 0 {
            fields.push(("Reply-To", &reply_to));
        }
        if mixed[LINK] != 0 {
            text = format!("{text} https://www.{}/", self.domain_of(mixed[LINK]));
        }
        scene.write(&fields, &text);
        scene.set_reverse_path(self.address(mixed[REVERSE_PATH]));
        scene.facts.thread.participants = Fact::Known(names.map(mailbox).into());
        scene
    }

    fn scene(&self, known: Known) -> Scene {
        let mixed = known.mixed.0;
        let mut scene = self.written(known);
        let yes = known.approved.map(|version| {
            let yes = self.written(Known { version, ..known }).approval();
            match mixed[YES] {
                1 => Approval { tenant: OTHER_TENANT, ..yes },
                2 => Approval { draft: DraftId::from_bits(44), ..yes },
                3 => Approval { approver: person(1), ..yes },
                _ => yes,
            }
        });
        scene.facts.approvals = Fact::Known(yes.into_iter().collect());
        scene.facts.approver_roles =
            Fact::Known([1, 2].map(|user| (crate::ids::UserId::from_bits(user), Role::Approver)).into());
        let since = Duration::from_mins(if known.is_stale { 10 } else { 60 });
        scene.facts.thread.last_message_from_person = Fact::Known(Some(ago(since)));
        scene.facts.standing.is_paused = Fact::Known(known.is_paused);
        let suppressed = known.is_suppressed.then(|| mailbox("ann@buyer.example"));
        scene.facts.standing.suppressed = Fact::Known(suppressed.into_iter().collect());
        if known.is_stricter {
            scene.facts.policy =
                Fact::Known(Policy { version: "v2".into(), approver: Role::Owner, ..Policy::default() });
        }
        let Fact::Known(of_domain) = &mut scene.facts.domain else { panic!("the scene has a domain") };
        if known.has_domain_failed {
            of_domain.state = DomainState::Failed;
        }
        match mixed[DOMAIN] {
            1 => of_domain.tenant = Some(OTHER_TENANT),
            2 => (of_domain.name, of_domain.tenant) = (domain("other.example"), Some(OTHER_TENANT)),
            DOMAIN_OF_OURS => {
                let is_customers = self.owner == IdentityOwner::CustomerDomain;
                of_domain.name = domain(self.domain_of(1));
                of_domain.tenant = (!is_customers).then_some(TENANT);
            }
            _ => {}
        }
        if mixed[MAILBOX] != 0 {
            let Fact::Known(of_mailbox) = &mut scene.facts.mailbox else { panic!("the scene has a mailbox") };
            (of_mailbox.id, of_mailbox.tenant) = (MailboxId::from_bits(33), OTHER_TENANT);
            scene.version.mailbox = of_mailbox.id;
            if mixed[MAILBOX] == 2 {
                of_mailbox.addresses = vec![mailbox(self.address(2)), mailbox(self.address(3))];
            }
        }
        scene
    }

    /// What the rules say that are asked.
    fn judge(&self, scene: &Scene) -> Ruling {
        let verdict = scene.verdict();
        let asked = verdict.reasons().iter().filter(|reason| !self.without.contains(&reason.code));
        asked.map(|reason| reason.ruling).max().unwrap_or(Ruling::Release)
    }

    pub(super) fn ruling(&self, known: Known) -> Ruling {
        if let Some(ruling) = self.rulings.borrow().get(&known) {
            return *ruling;
        }
        let ruling = self.judge(&self.scene(known));
        self.rulings.borrow_mut().insert(known, ruling);
        ruling
    }

    /// The first door: whether it lets the version out, and then whether by policy alone.
    pub(super) fn releases(&self, known: Known) -> Option<bool> {
        *self.released.borrow_mut().entry(known).or_insert_with(|| {
            let scene = self.scene(known);
            if !self.without.is_empty() {
                return (self.judge(&scene) == Ruling::Release).then_some(self.reply == ReplyPolicy::PolicyAuto);
            }
            // As who asks for a release does: with the yes on record, and else by policy.
            let by_person = scene.facts.approvals.known().and_then(|yes| {
                let approved = Draft::new(scene.version.clone()).approve(yes.first()?).ok()?;
                approved.release(Scene::terms(), &scene.facts, NOW).ok()
            });
            let by_policy = || {
                let approved = Draft::new(scene.version.clone()).approve_by_policy("default");
                approved.release(Scene::terms(), &scene.facts, NOW).ok()
            };
            let (_, row) = by_person.or_else(by_policy)?;
            Some(matches!(row.evidence, Evidence::Policy { .. }))
        })
    }

    /// The second door, at the moment of sending, for what was released as this version.
    pub(super) fn admits(&self, known: Known, released: (u8, bool), states: [TransmissionState; L]) -> Door {
        *self.doors.borrow_mut().entry((known, released, states)).or_insert_with(|| {
            // Who is done does not hold the others up.
            let is_suppressed = known.is_suppressed && states.first().is_some_and(|state| state.is_waiting());
            let scene = self.scene(Known { is_suppressed, ..known });
            if !self.without.is_empty() {
                // Which release it is asks no rule, but the door itself.
                return match self.judge(&scene) {
                    Ruling::Release if known.mixed.0[ROW] == 0 => Door::Open,
                    _ => Door::Revoke(DraftEvent::Deny),
                };
            }
            let row = self.row(known, released, states);
            match readmit(&row, Draft::new(scene.version), &scene.facts, NOW) {
                Ok(_) => Door::Open,
                Err(Refused::NothingLeft) => Door::PutBack,
                Err(Refused::Verdict(verdict)) if verdict.codes() == ["sending_paused"] => Door::PutBack,
                Err(Refused::Verdict(verdict)) => Door::Revoke(match verdict.ruling() {
                    Ruling::Deny => DraftEvent::Deny,
                    Ruling::Handoff => DraftEvent::HandOff,
                    Ruling::Hold | Ruling::Release => DraftEvent::Hold,
                }),
                Err(Refused::Evidence) => Door::Revoke(DraftEvent::Hold),
                Err(Refused::Expired) => Door::Revoke(DraftEvent::Expire),
                Err(Refused::ContentChanged | Refused::OwnerChanged) => Door::Revoke(DraftEvent::Deny),
            }
        })
    }

    /// What is stored of the release: data, and by itself no permission.
    fn row(&self, known: Known, (version, is_by_policy): (u8, bool), states: [TransmissionState; L]) -> ReleaseRow {
        let before = self.written(Known { version, mixed: known.mixed.of_content(), ..known }).version;
        let recipients = before.content.recipients().iter().zip(states);
        let ReleaseTerms { id, expires_at } = Scene::terms();
        let row = ReleaseRow {
            id,
            draft: before.draft,
            tenant: before.tenant,
            mailbox: before.mailbox,
            content_hash: before.content.hash(),
            evidence: match is_by_policy {
                true => Evidence::Policy { version: "default".into() },
                false => Evidence::Person { approval: ApprovalId::from_bits(9) },
            },
            policy_version: "default".into(),
            owner: self.owner,
            released_at: NOW,
            expires_at,
            transmissions: recipients.map(|(to, state)| Transmission { recipient: to.clone(), state }).collect(),
        };
        match known.mixed.0[ROW] {
            1 => ReleaseRow { tenant: OTHER_TENANT, ..row },
            2 => ReleaseRow { draft: DraftId::from_bits(44), ..row },
            _ => row,
        }
    }

    /// Invariants 4 and 5 of what leaves: what it shows, judged by names alone and by none of the rules; and by what it was
    /// let out.
    pub(super) fn check_shown(&self, mixed: Mixed) {
        let shown = |part: usize| self.domain_of(mixed.0[part]);
        let visible = [FROM, REPLY_TO, MESSAGE_ID, REVERSE_PATH];
        match self.owner {
            IdentityOwner::CustomerDomain => {
                let leaks = visible.iter().chain([&LINK]).any(|part| shown(*part) == "platform.example");
                assert!(!leaks, "a customer's message shows a platform domain: {mixed:?}");
            }
            IdentityOwner::Connex => {
                let leaks = visible.iter().any(|part| shown(*part) != "platform.example");
                assert!(!leaks, "a platform mailbox shows a customer's domain: {mixed:?}");
            }
            IdentityOwner::SourceApp => panic!("it leaves for the source app"),
        }
        let of_others = [FROM, REPLY_TO, REVERSE_PATH].iter().any(|part| mixed.0[*part] >= 2);
        assert!(!of_others, "it shows another tenant's address: {mixed:?}");
    }

    /// Invariant 5 of a door that opened.
    pub(super) fn check_used(&self, known: Known, is_by_policy: bool, is_second: bool) {
        let used = |part: usize| known.mixed.0[part] == 0;
        let is_domain_own = [0, DOMAIN_OF_OURS].contains(&known.mixed.0[DOMAIN]);
        assert!(used(MAILBOX) && is_domain_own, "by what is another's: {known:?}");
        assert!(is_by_policy || used(YES), "by a yes that is another's: {known:?}");
        assert!(!is_second || used(ROW), "by a release that is another's: {known:?}");
    }
}
