//! Every order in which people, the gate, two senders, the peer and crashes can act on one draft with two recipients, gone
//! through to the end, and what must be true of each world that can come about.
//!
//! The rules, the gate's two doors and the tables of steps are the real ones. What the store does in one transaction is one
//! step here; what a sender knows is lost with it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::facts::{DomainState, Fact};
use super::fixture::{NOW, Scene, ago, mailbox};
use super::gate::{Draft, Refused, ReleaseRow, Transmission, readmit};
use super::lifecycle::{DraftEvent, DraftState, TransmissionEvent, TransmissionState};
use super::verdict::Ruling;
use super::{IdentityOwner, ReplyPolicy};

/// A recipient of the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Line {
    state: TransmissionState,
    /// The end of data is committed as begun.
    began: bool,
    /// It was tried before.
    tried: bool,
    holder: Option<usize>,
    /// How often the peer took the message for it: what nobody here can see.
    taken: u8,
}

/// What the peer did, as the sender saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reply {
    Taken,
    Later,
    Never,
    Nothing,
}

/// What a sender is at; the recipients that it means are a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sender {
    Idle,
    Claimed(u8),
    Admitted(u8),
    Began(u8),
    Answered(u8, Reply),
}

/// What the gate goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Known {
    version: u8,
    /// The version that a person said yes to.
    approved: Option<u8>,
    /// A person's message came after the yes.
    is_stale: bool,
    is_paused: bool,
    has_domain_failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    draft: DraftState,
    known: Known,
    /// The version that was released, and whether that is over.
    release: Option<(u8, bool)>,
    lines: [Line; 2],
    senders: [Sender; 2],
    /// How much may still happen: edits and messages, crashes, switches.
    left: [u8; 3],
}

/// What came of asking the second door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    PutBack,
    Revoke(DraftEvent),
}

/// What is known, the version that was released, and how far its recipients came.
type AtDoor = (Known, u8, [TransmissionState; 2]);

/// The real rules, asked once for each different case.
struct Gate {
    owner: IdentityOwner,
    rulings: RefCell<HashMap<Known, Ruling>>,
    doors: RefCell<HashMap<AtDoor, Door>>,
}

impl Gate {
    fn scene(&self, known: Known) -> Scene {
        let written = |version: u8| {
            let mut scene = Scene::of(self.owner, ReplyPolicy::HumanApproval);
            scene.send_to(&["ann@buyer.example", "bob@buyer.example"]);
            scene.write(&[], if version == 1 { "See you on Tuesday." } else { "See you on Monday." });
            scene
        };
        let mut scene = written(known.version);
        let yes = known.approved.map(|version| written(version).approval());
        scene.facts.approvals = Fact::Known(yes.into_iter().collect());
        scene.facts.thread.participants = Fact::Known(vec![mailbox("ann@buyer.example"), mailbox("bob@buyer.example")]);
        let since = Duration::from_mins(if known.is_stale { 10 } else { 60 });
        scene.facts.thread.last_message_from_person = Fact::Known(Some(ago(since)));
        scene.facts.standing.is_paused = Fact::Known(known.is_paused);
        if let (true, Fact::Known(domain)) = (known.has_domain_failed, &mut scene.facts.domain) {
            domain.state = DomainState::Failed;
        }
        scene
    }

    fn ruling(&self, known: Known) -> Ruling {
        *self.rulings.borrow_mut().entry(known).or_insert_with(|| self.scene(known).verdict().ruling())
    }

    /// The first door: whether it lets the version out.
    fn releases(&self, known: Known) -> bool {
        self.scene(known).release().is_ok()
    }

    /// The second door, at the moment of sending, for what was released as this version.
    fn admits(&self, known: Known, released: u8, states: [TransmissionState; 2]) -> Door {
        *self.doors.borrow_mut().entry((known, released, states)).or_insert_with(|| {
            let scene = self.scene(known);
            let before = Known { version: released, approved: Some(released), ..known };
            let before = Known { is_stale: false, is_paused: false, has_domain_failed: false, ..before };
            let Ok((_, row)) = self.scene(before).release() else { return Door::Revoke(DraftEvent::Deny) };
            let lines = row.transmissions.iter().zip(states);
            let transmissions = lines.map(|(line, state)| Transmission { state, ..line.clone() }).collect();
            match readmit(&ReleaseRow { transmissions, ..row }, Draft::new(scene.version), &scene.facts, NOW) {
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
}

const UNTRIED: Line = Line { state: TransmissionState::Pending, began: false, tried: false, holder: None, taken: 0 };

/// An edit or a message, two crashes, one switch. With two of each there are 1.9 million worlds, which all hold too.
const LEFT: [u8; 3] = [1, 2, 1];

impl World {
    const fn begin() -> Self {
        let known = Known { version: 1, approved: None, is_stale: false, is_paused: false, has_domain_failed: false };
        Self {
            draft: DraftState::Draft,
            known,
            release: None,
            lines: [UNTRIED; 2],
            senders: [Sender::Idle; 2],
            left: LEFT,
        }
    }

    fn after(mut self, event: DraftEvent) -> Option<Self> {
        self.draft = self.draft.next(event).ok()?;
        Some(self)
    }

    /// Spends one of what may still happen.
    fn spending(mut self, which: usize) -> Option<Self> {
        self.left[which] = self.left[which].checked_sub(1)?;
        Some(self)
    }

    fn each(mask: u8) -> impl Iterator<Item = usize> {
        (0..2).filter(move |place| mask & (1 << place) != 0)
    }

    /// `end_release`: nothing more is sent under it.
    fn over(mut self) -> Self {
        let Some((version, false)) = self.release else { return self };
        self.release = Some((version, true));
        for line in &mut self.lines {
            if line.state.is_open() && !line.began {
                *line = Line { state: TransmissionState::Rejected, holder: None, ..*line };
            }
        }
        self
    }

    /// `settle`: what the recipients amount to.
    fn settled(mut self) -> Self {
        if let Some(event) = DraftEvent::of_transmissions(&self.lines.map(|line| line.state)) {
            self.release = self.release.map(|(version, _)| (version, true));
            self.draft = self.draft.next(event).unwrap();
        }
        self
    }

    fn by_people(self, gate: &Gate) -> Vec<Self> {
        let mut next = Vec::new();
        let known = self.known;
        if let Some(mut edited) = self.after(DraftEvent::Edit).and_then(|world| world.spending(0)) {
            edited.known = Known { version: 2, approved: None, is_stale: false, ..known };
            next.push(edited);
        }
        if let Some(mut written) = self.spending(0) {
            written.known.is_stale = known.approved.is_some();
            next.push(written);
        }
        for switched in [
            Known { is_paused: !known.is_paused, ..known },
            Known { has_domain_failed: !known.has_domain_failed, ..known },
        ] {
            next.extend(self.spending(2).map(|world| Self { known: switched, ..world }));
        }
        if self.draft == DraftState::PendingApproval {
            let known = Known { approved: Some(known.version), is_stale: false, ..known };
            next.extend(Self { known, ..self }.after(DraftEvent::Approve));
        }
        if matches!(self.draft, DraftState::Draft | DraftState::Approved) {
            next.extend(self.asked(gate));
        }
        for event in [DraftEvent::Withdraw, DraftEvent::Cancel, DraftEvent::Expire] {
            let known = Known { approved: None, ..known };
            next.extend(Self { known, ..self }.after(event).map(Self::over));
        }
        next
    }

    fn asked(self, gate: &Gate) -> Option<Self> {
        let event = match gate.ruling(self.known) {
            Ruling::Release => DraftEvent::Release,
            Ruling::Hold => DraftEvent::Hold,
            Ruling::Handoff => DraftEvent::HandOff,
            Ruling::Deny => DraftEvent::Deny,
        };
        let mut world = self.after(event)?;
        if event == DraftEvent::Release {
            let known = self.known;
            assert!(gate.releases(known), "the door is narrower than the verdict: {self:?}");
            assert_ne!(gate.owner, IdentityOwner::SourceApp, "{self:?}");
            assert_eq!(
                (known.approved, known.is_stale, known.is_paused),
                (Some(known.version), false, false),
                "{self:?}"
            );
            assert!(!known.has_domain_failed || gate.owner != IdentityOwner::CustomerDomain, "{self:?}");
            (world.release, world.lines) = (Some((known.version, false)), [UNTRIED; 2]);
        }
        Some(world)
    }

    fn by_sender(self, sender: usize, gate: &Gate) -> Vec<Self> {
        let at = |world: Self, sender_is: Sender| {
            let mut world = world;
            world.senders[sender] = sender_is;
            world
        };
        let mut next = Vec::new();
        if self.senders[sender] != Sender::Idle {
            next.extend(self.spending(1).map(|world| at(world, Sender::Idle)));
        }
        match self.senders[sender] {
            Sender::Idle => next.extend(self.claimed(sender)),
            Sender::Claimed(mask) => next.push(self.admitted(sender, mask, gate)),
            Sender::Admitted(mask) => {
                next.push(at(self.ended(sender, mask, TransmissionEvent::Defer), Sender::Idle));
                next.push(self.begun(sender, mask));
            }
            Sender::Began(mask) => {
                let mut taken = self;
                Self::each(mask).for_each(|place| taken.lines[place].taken += 1);
                next.extend([Reply::Taken, Reply::Nothing].map(|reply| at(taken, Sender::Answered(mask, reply))));
                let refused = [Reply::Later, Reply::Never, Reply::Nothing];
                next.extend(refused.map(|reply| at(self, Sender::Answered(mask, reply))));
            }
            Sender::Answered(mask, reply) => {
                let event = match reply {
                    Reply::Taken => TransmissionEvent::Accept,
                    Reply::Later => TransmissionEvent::Defer,
                    Reply::Never => TransmissionEvent::Reject,
                    Reply::Nothing => TransmissionEvent::LostAfterEndOfData,
                };
                next.push(at(self.ended(sender, mask, event), Sender::Idle));
            }
        }
        next
    }

    fn holds(&self, sender: usize, place: usize) -> bool {
        let line = self.lines[place];
        line.holder == Some(sender) && line.state == TransmissionState::InFlight
    }

    fn claimed(mut self, sender: usize) -> Option<Self> {
        self.release?;
        let mut mask = 0;
        for (place, line) in self.lines.iter_mut().enumerate().filter(|(_, line)| line.state.is_waiting()) {
            let state = line.state.next(TransmissionEvent::Claim).unwrap();
            *line = Line { state, holder: Some(sender), began: false, ..*line };
            mask |= 1 << place;
        }
        self.senders[sender] = Sender::Claimed(mask);
        (mask != 0).then_some(self)
    }

    fn admitted(mut self, sender: usize, mask: u8, gate: &Gate) -> Self {
        self.senders[sender] = Sender::Idle;
        let Some((released, false)) = self.release else { return self };
        let mut states = self.lines.map(|line| line.state);
        for place in Self::each(mask) {
            let tried = self.lines[place].tried;
            states[place] = if tried { TransmissionState::Deferred } else { TransmissionState::Pending };
        }
        match gate.admits(self.known, released, states) {
            Door::Open => {
                let is_first = states.iter().all(|state| *state == TransmissionState::Pending);
                let Known { version, approved, is_stale, is_paused, has_domain_failed } = self.known;
                assert!(!is_paused && version == released && approved == Some(version), "{self:?}");
                assert!(!has_domain_failed || gate.owner != IdentityOwner::CustomerDomain, "{self:?}");
                assert!(!is_first || !is_stale, "{self:?}");
                // `begin_sending`: of those that it still holds.
                if !Self::each(mask).any(|place| self.holds(sender, place)) {
                    return self;
                }
                if self.draft != DraftState::Sending {
                    let Some(sending) = self.after(DraftEvent::BeginSending) else { return self };
                    self = sending;
                }
                self.senders[sender] = Sender::Admitted(mask);
            }
            Door::PutBack => {
                for place in Self::each(mask).filter(|place| self.holds(sender, *place)).collect::<Vec<_>>() {
                    self.lines[place] = Line { state: states[place], holder: None, ..self.lines[place] };
                }
            }
            Door::Revoke(event) => match self.after(event) {
                Some(revoked) => self = revoked.over(),
                // It is being sent to others already: the rest is given up.
                None => self = self.over().settled(),
            },
        }
        self
    }

    /// `begin_end_of_data`: all of them, or none.
    fn begun(mut self, sender: usize, mask: u8) -> Self {
        let is_open = matches!(self.release, Some((_, false)));
        if !is_open || !Self::each(mask).all(|place| self.holds(sender, place)) {
            self.senders[sender] = Sender::Idle;
            return self;
        }
        Self::each(mask).for_each(|place| self.lines[place].began = true);
        self.senders[sender] = Sender::Began(mask);
        self
    }

    /// `finish_transmissions`, and what a lease that ran out does: of those that are still held.
    fn ended(mut self, sender: usize, mask: u8, event: TransmissionEvent) -> Self {
        let held: Vec<usize> = Self::each(mask).filter(|place| self.holds(sender, *place)).collect();
        for place in &held {
            let line = self.lines[*place];
            let mut state = line.state.next(event).unwrap();
            if state.is_waiting() && matches!(self.release, Some((_, true))) {
                state = state.next(TransmissionEvent::GiveUp).unwrap();
            }
            let tried = line.tried || state == TransmissionState::Deferred;
            self.lines[*place] = Line { state, holder: None, tried, ..line };
        }
        if held.is_empty() { self } else { self.settled() }
    }

    /// The lease of one recipient runs out: its sender is lost, or slow.
    fn without_leases(self) -> Vec<Self> {
        let in_flight = (0..2).filter(|place| self.lines[*place].state == TransmissionState::InFlight);
        let lost = in_flight.map(|place| {
            let line = self.lines[place];
            let event = match line.began {
                true => TransmissionEvent::LostAfterEndOfData,
                false => TransmissionEvent::LostBeforeEndOfData,
            };
            self.ended(line.holder.unwrap(), 1 << place, event)
        });
        lost.collect()
    }

    fn next(self, gate: &Gate) -> Vec<Self> {
        let mut next = self.by_people(gate);
        next.extend((0..2).flat_map(|sender| self.by_sender(sender, gate)));
        next.extend(self.without_leases());
        next
    }

    /// What must be true of every world.
    fn check(&self, owner: IdentityOwner) {
        assert!(owner != IdentityOwner::SourceApp || self.release.is_none(), "released for the source app: {self:?}");
        for line in self.lines {
            assert!(line.taken <= 1, "sent twice: {self:?}");
            match line.state {
                TransmissionState::Accepted => assert_eq!(line.taken, 1, "told as sent, and was not: {self:?}"),
                TransmissionState::Pending | TransmissionState::Deferred | TransmissionState::Rejected => {
                    assert_eq!(line.taken, 0, "sent, and not told: {self:?}");
                }
                TransmissionState::InFlight => assert!(line.taken == 0 || line.began, "{self:?}"),
                TransmissionState::Unknown => assert!(line.began, "{self:?}"),
            }
        }
        let taken = self.lines.map(|line| line.taken);
        match self.draft {
            DraftState::Sent => assert_eq!(taken, [1, 1], "{self:?}"),
            DraftState::PartlySent => assert_eq!(taken[0] + taken[1], 1, "{self:?}"),
            DraftState::Unknown => {
                assert!(self.lines.iter().any(|line| line.state == TransmissionState::Unknown), "{self:?}");
            }
            DraftState::Sending => assert!(self.release.is_some(), "{self:?}"),
            _ => assert_eq!(taken, [0, 0], "sent, and the draft does not say so: {self:?}"),
        }
    }

    /// Where it comes to when every lease runs out, nothing stands against it, and one sender works undisturbed.
    fn left_alone(mut self, gate: &Gate) -> Self {
        self.senders = [Sender::Idle; 2];
        (self.known.is_paused, self.known.has_domain_failed) = (false, false);
        for _ in 0..24 {
            if let Some(next) = self.without_leases().pop() {
                self = next;
                continue;
            }
            let Some(claimed) = self.claimed(0) else { break };
            let Sender::Claimed(mask) = claimed.senders[0] else { unreachable!() };
            self = claimed.admitted(0, mask, gate);
            if self.senders[0] == Sender::Admitted(mask) {
                self = self.begun(0, mask);
                Self::each(mask).for_each(|place| self.lines[place].taken += 1);
                self = self.ended(0, mask, TransmissionEvent::Accept);
                self.senders[0] = Sender::Idle;
            }
        }
        self
    }
}

/// All worlds that can come about for an identity of this owner.
fn explore(owner: IdentityOwner) -> HashSet<World> {
    let gate = Gate { owner, rulings: RefCell::default(), doors: RefCell::default() };
    let (mut seen, mut waiting) = (HashSet::from([World::begin()]), VecDeque::from([World::begin()]));
    while let Some(world) = waiting.pop_front() {
        world.check(owner);
        let end = world.left_alone(&gate);
        end.check(owner);
        assert!(
            !end.lines.iter().any(|line| line.state.is_open()) || end.release.is_none(),
            "stuck: {world:?} {end:?}"
        );
        for next in world.next(&gate) {
            if seen.insert(next) {
                waiting.push_back(next);
            }
        }
    }
    seen
}

#[test]
fn no_order_of_events_sends_twice_unreported_or_what_the_gate_did_not_let_out() {
    for owner in [IdentityOwner::Connex, IdentityOwner::CustomerDomain] {
        let worlds = explore(owner);
        println!("{owner:?}: {} worlds", worlds.len());
        // It did go everywhere that there is to go.
        for state in
            DraftState::ALL.iter().filter(|state| !matches!(state, DraftState::Bounced | DraftState::HandedOff))
        {
            let is_there = worlds.iter().any(|world| world.draft == *state);
            assert!(
                is_there || (*state == DraftState::Denied && owner == IdentityOwner::Connex),
                "{owner:?} {state:?}"
            );
        }
        let is_reported =
            |world: &&World| world.lines.iter().any(|line| line.taken == 1 && line.state == TransmissionState::Unknown);
        assert!(worlds.iter().any(|world| is_reported(&world)), "an answer was lost");
    }
}

#[test]
fn no_order_of_events_sends_for_the_source_app() {
    let worlds = explore(IdentityOwner::SourceApp);
    assert!(worlds.iter().any(|world| world.draft == DraftState::HandedOff));
    assert!(worlds.iter().all(|world| world.lines == [UNTRIED; 2]));
}
