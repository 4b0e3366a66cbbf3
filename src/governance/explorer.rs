//! Every order in which people, the gate, senders, the peer and crashes can act on one draft, gone through to the end, and
//! what must be true of each world that can come about: all invariants of the rules about who may send what.
//!
//! The rules, the gate's two doors and the tables of steps are the real ones. What the store does in one transaction is one
//! step here, with the rows of the audit log that it adds; what a sender knows is lost with it. What is mixed up with what is
//! another tenant's, and what shows another's domain, are steps too.
//!
//! | invariant | where it is checked |
//! |---|---|
//! | 1 nothing for the source app, 2 a release and once for each recipient, 6 crashes | [`World::check`] |
//! | 3 a verdict, and a yes that counts | at both doors: [`World::check_door`] |
//! | 4 no platform domain beside a customer's, nor the other way round | [`World::check`], by [`Gate::check_shown`] |
//! | 5 nothing of another tenant | at both doors, by [`Gate::check_used`] |
//! | 7 the whole chain in the log before it leaves | [`World::check`], by [`Chain`] |

mod gate;
mod histories;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use self::gate::{Door, Gate, Known, Mixed, PARTS};
use super::chain::Link;
use super::chain::reading::{Chain, LogRow};
use super::lifecycle::{DraftEvent, DraftState, TransmissionEvent, TransmissionState};
use super::verdict::Ruling;
use super::{IdentityOwner, ReplyPolicy};

/// Worlds are hashed by the million, and nobody chooses them to collide.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
            self.write_u64(word);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World<const L: usize, const S: usize> {
    draft: DraftState,
    known: Known,
    release: Option<Release>,
    lines: [Line; L],
    senders: [Sender; S],
    /// What the audit log amounts to.
    chain: Chain<u8>,
    /// How much may still happen: edits and messages, crashes, switches, and what is mixed up.
    left: Left,
}

/// What was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Release {
    version: u8,
    is_by_policy: bool,
    is_over: bool,
}

type Left = [u8; 4];

const UNTRIED: Line = Line { state: TransmissionState::Pending, began: false, tried: false, holder: None, taken: 0 };

impl<const L: usize, const S: usize> World<L, S> {
    fn begin(left: Left, gate: &Gate<L>) -> Self {
        let known = Known {
            version: 1,
            approved: None,
            is_stale: false,
            is_paused: false,
            has_domain_failed: false,
            is_suppressed: false,
            is_stricter: false,
            mixed: Mixed::NOTHING,
        };
        let (draft, chain) = (DraftState::Draft, Chain::empty());
        let new = Self { draft, known, release: None, lines: [UNTRIED; L], senders: [Sender::Idle; S], chain, left };
        new.logged(Link::Created, gate)
    }

    /// With a row in the audit log: about the present version, or what was released of it.
    fn logged(self, link: Link, gate: &Gate<L>) -> Self {
        self.logged_of(link, 0, gate)
    }

    fn logged_of(mut self, link: Link, mask: u8, gate: &Gate<L>) -> Self {
        if gate.unlogged != Some(link) {
            let is_by_policy = self.release.is_some_and(|release| release.is_by_policy);
            let content = Some(self.known.version);
            self.chain = self.chain.behind(LogRow { link, content, places: u64::from(mask), is_by_policy });
        }
        self
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
        (0..L).filter(move |place| mask & (1 << place) != 0)
    }

    /// `end_release`: nothing more is sent under it.
    fn over(mut self) -> Self {
        let Some(release @ Release { is_over: false, .. }) = self.release else { return self };
        self.release = Some(Release { is_over: true, ..release });
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
            self.release = self.release.map(|release| Release { is_over: true, ..release });
            self.draft = self.draft.next(event).unwrap();
        }
        self
    }

    fn by_people(self, gate: &Gate<L>) -> Vec<Self> {
        let mut next = Vec::new();
        let known = self.known;
        next.extend(self.spending(0).and_then(|world| world.edited(known.mixed, gate)));
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
            let yes = Self { known, ..self }.after(DraftEvent::Approve);
            next.extend(yes.map(|world| world.logged(Link::Approved, gate)));
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

    /// A new version, in which this is mixed up.
    fn edited(self, mixed: Mixed, gate: &Gate<L>) -> Option<Self> {
        let mut edited = self.after(DraftEvent::Edit)?;
        let version = self.known.version + 1;
        edited.known = Known { version, approved: None, is_stale: false, mixed, ..self.known };
        Some(edited.logged(Link::Edited, gate))
    }

    /// What stands against it, or is another's, or is right again.
    fn mixed_up(self, gate: &Gate<L>) -> Vec<Self> {
        let Some(world) = self.spending(3) else { return Vec::new() };
        let known = self.known;
        let mut next = vec![
            Self { known: Known { is_suppressed: !known.is_suppressed, ..known }, ..world },
            Self { known: Known { is_stricter: !known.is_stricter, ..known }, ..world },
        ];
        for (place, part) in PARTS.iter().enumerate().rev() {
            for way in (0..=part.ways).filter(|way| *way != known.mixed.0[place]) {
                let mut mixed = known.mixed;
                mixed.0[place] = way;
                match part.is_content {
                    true => next.extend(world.edited(mixed, gate)),
                    false => next.push(Self { known: Known { mixed, ..known }, ..world }),
                }
            }
        }
        next
    }

    fn asked(self, gate: &Gate<L>) -> Option<Self> {
        let (event, link) = match gate.ruling(self.known) {
            Ruling::Release => (DraftEvent::Release, Some(Link::Released)),
            Ruling::Hold => (DraftEvent::Hold, Some(Link::Asked)),
            Ruling::Handoff => (DraftEvent::HandOff, None),
            Ruling::Deny => (DraftEvent::Deny, None),
        };
        let mut world = self.after(event)?;
        if event == DraftEvent::Release {
            let is_by_policy = gate.releases(self.known);
            let is_by_policy =
                is_by_policy.unwrap_or_else(|| panic!("the door is narrower than the verdict: {self:?}"));
            self.check_door(is_by_policy, true, gate);
            gate.check_used(self.known, is_by_policy, false);
            world.release = Some(Release { version: self.known.version, is_by_policy, is_over: false });
            world.lines = [UNTRIED; L];
        }
        Some(match link {
            Some(link) => world.logged(link, gate),
            None => world,
        })
    }

    /// Invariants 1 and 3 of a door that opened; `is_first` where nothing of it was sent yet.
    fn check_door(&self, is_by_policy: bool, is_first: bool, gate: &Gate<L>) {
        let known = self.known;
        assert_ne!(gate.owner, IdentityOwner::SourceApp, "let out for the source app: {self:?}");
        assert!(!known.is_paused, "let out in a pause: {self:?}");
        assert!(!known.has_domain_failed || gate.owner != IdentityOwner::CustomerDomain, "{self:?}");
        assert!(!is_by_policy || gate.reply == ReplyPolicy::PolicyAuto, "let out by policy: {self:?}");
        if !is_by_policy {
            assert!(known.approved == Some(known.version) && !known.is_stricter, "let out without a yes: {self:?}");
            assert!(!is_first || !known.is_stale, "let out by a yes that is stale: {self:?}");
        }
    }

    fn by_sender(self, sender: usize, gate: &Gate<L>) -> Vec<Self> {
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
                next.push(at(self.ended(sender, mask, TransmissionEvent::Defer, gate), Sender::Idle));
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
                next.push(at(self.ended(sender, mask, event, gate), Sender::Idle));
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

    fn admitted(mut self, sender: usize, mask: u8, gate: &Gate<L>) -> Self {
        self.senders[sender] = Sender::Idle;
        let Some(release @ Release { is_over: false, .. }) = self.release else { return self };
        // As `before_claim`: who is not held is not this sender's.
        let states: [TransmissionState; L] = std::array::from_fn(|place| match self.lines[place] {
            line if mask & (1 << place) != 0 && line.tried && self.draft == DraftState::Sending => {
                TransmissionState::Deferred
            }
            _ if mask & (1 << place) != 0 => TransmissionState::Pending,
            line if line.state.is_waiting() => TransmissionState::InFlight,
            line => line.state,
        });
        match gate.admits(self.known, (release.version, release.is_by_policy), states) {
            Door::Open => {
                let is_untouched = |state: &TransmissionState| {
                    matches!(state, TransmissionState::Pending | TransmissionState::InFlight)
                };
                assert_eq!(self.known.version, release.version, "{self:?}");
                self.check_door(release.is_by_policy, states.iter().all(is_untouched), gate);
                gate.check_used(self.known, release.is_by_policy, true);
                // `begin_sending`: of those that it still holds.
                if !Self::each(mask).any(|place| self.holds(sender, place)) {
                    return self;
                }
                if self.draft != DraftState::Sending {
                    let Some(sending) = self.after(DraftEvent::BeginSending) else { return self };
                    self = sending;
                }
                self = self.logged_of(Link::Sending, mask, gate);
                self.senders[sender] = Sender::Admitted(mask);
            }
            Door::PutBack => {
                for place in Self::each(mask).filter(|place| self.holds(sender, *place)).collect::<Vec<_>>() {
                    self.lines[place] = Line { state: states[place], holder: None, ..self.lines[place] };
                }
            }
            Door::Revoke(event) => match self.after(event) {
                Some(revoked) if event == DraftEvent::Hold => self = revoked.over().logged(Link::Asked, gate),
                Some(revoked) => self = revoked.over(),
                // It is being sent to others already: the rest is given up.
                None => self = self.over().settled(),
            },
        }
        self
    }

    /// `begin_end_of_data`: all of them, or none.
    fn begun(mut self, sender: usize, mask: u8) -> Self {
        let is_open = matches!(self.release, Some(Release { is_over: false, .. }));
        if !is_open || !Self::each(mask).all(|place| self.holds(sender, place)) {
            self.senders[sender] = Sender::Idle;
            return self;
        }
        Self::each(mask).for_each(|place| self.lines[place].began = true);
        self.senders[sender] = Sender::Began(mask);
        self
    }

    /// `finish_transmissions`, and what a lease that ran out does: of those that are still held.
    fn ended(mut self, sender: usize, mask: u8, event: TransmissionEvent, gate: &Gate<L>) -> Self {
        let held: Vec<usize> = Self::each(mask).filter(|place| self.holds(sender, *place)).collect();
        for place in &held {
            let line = self.lines[*place];
            let mut state = line.state.next(event).unwrap();
            if state.is_waiting() && matches!(self.release, Some(Release { is_over: true, .. })) {
                state = state.next(TransmissionEvent::GiveUp).unwrap();
            }
            let tried = line.tried || state == TransmissionState::Deferred;
            self.lines[*place] = Line { state, holder: None, tried, ..line };
        }
        if held.is_empty() {
            return self;
        }
        let mask = held.iter().fold(0, |mask, place| mask | (1 << place));
        self.logged_of(Link::Tried, mask, gate).settled()
    }

    /// The lease of one recipient runs out: its sender is lost, or slow.
    fn without_leases(self, gate: &Gate<L>) -> Vec<Self> {
        let in_flight = (0..L).filter(|place| self.lines[*place].state == TransmissionState::InFlight);
        let lost = in_flight.map(|place| {
            let line = self.lines[place];
            let event = match line.began {
                true => TransmissionEvent::LostAfterEndOfData,
                false => TransmissionEvent::LostBeforeEndOfData,
            };
            self.ended(line.holder.unwrap(), 1 << place, event, gate)
        });
        lost.collect()
    }

    /// What can come next: by people, by what is mixed up, and by senders, the peer and time.
    fn next(self, gate: &Gate<L>) -> [Vec<Self>; 3] {
        let senders = (0..S).flat_map(|sender| self.by_sender(sender, gate));
        [self.by_people(gate), self.mixed_up(gate), senders.chain(self.without_leases(gate)).collect()]
    }

    /// What must be true of every world.
    fn check(&self, gate: &Gate<L>) {
        let is_source_apps = gate.owner == IdentityOwner::SourceApp;
        assert!(!is_source_apps || self.release.is_none(), "released for the source app: {self:?}");
        for (place, line) in self.lines.iter().enumerate() {
            assert!(line.taken <= 1, "sent twice: {self:?}");
            match line.state {
                TransmissionState::Accepted => assert_eq!(line.taken, 1, "told as sent, and was not: {self:?}"),
                TransmissionState::Pending | TransmissionState::Deferred | TransmissionState::Rejected => {
                    assert_eq!(line.taken, 0, "sent, and not told: {self:?}");
                }
                TransmissionState::InFlight => {
                    assert!(line.taken == 0 || line.began, "{self:?}");
                    let is_on_record = self.release.is_some_and(|one| self.chain.lets_leave(&one.version, place));
                    assert!(line.taken == 0 || is_on_record, "it left without its chain in the log: {self:?}");
                }
                TransmissionState::Unknown => assert!(line.began, "{self:?}"),
            }
        }
        let taken = self.lines.map(|line| usize::from(line.taken));
        if taken.iter().sum::<usize>() > 0 {
            gate.check_shown(self.known.mixed);
        }
        match self.draft {
            DraftState::Sent => assert_eq!(taken, [1; L], "{self:?}"),
            DraftState::PartlySent => assert!((1..L).contains(&taken.iter().sum()), "{self:?}"),
            DraftState::Unknown => {
                assert!(self.lines.iter().any(|line| line.state == TransmissionState::Unknown), "{self:?}");
            }
            DraftState::Sending => assert!(self.release.is_some(), "{self:?}"),
            _ => assert_eq!(taken, [0; L], "sent, and the draft does not say so: {self:?}"),
        }
    }

    /// Where it comes to when every lease runs out, nothing stands against it, and one sender works undisturbed.
    fn left_alone(mut self, gate: &Gate<L>) -> Self {
        self.senders = [Sender::Idle; S];
        (self.known.is_paused, self.known.has_domain_failed) = (false, false);
        for _ in 0..24 {
            if let Some(next) = self.without_leases(gate).pop() {
                self = next;
                continue;
            }
            let Some(claimed) = self.claimed(0) else { break };
            let Sender::Claimed(mask) = claimed.senders[0] else { unreachable!() };
            self = claimed.admitted(0, mask, gate);
            if self.senders[0] == Sender::Admitted(mask) {
                self = self.begun(0, mask);
                Self::each(mask).for_each(|place| self.lines[place].taken += 1);
                self.check(gate);
                self = self.ended(0, mask, TransmissionEvent::Accept, gate);
                self.senders[0] = Sender::Idle;
            }
        }
        self
    }

    /// What must be true of it, and of where it comes to by itself.
    fn check_all(self, gate: &Gate<L>) {
        self.check(gate);
        let end = self.left_alone(gate);
        end.check(gate);
        let is_over = end.release.is_none() || !end.lines.iter().any(|line| line.state.is_open());
        assert!(is_over, "stuck: {self:?} {end:?}");
    }
}

/// All worlds that can come about.
fn explore<const L: usize, const S: usize>(
    gate: &Gate<L>,
    left: Left,
) -> HashSet<World<L, S>, BuildHasherDefault<Quick>> {
    let begin = World::begin(left, gate);
    let mut seen = HashSet::default();
    seen.insert(begin);
    let mut waiting = VecDeque::from([begin]);
    while let Some(world) = waiting.pop_front() {
        world.check_all(gate);
        for next in world.next(gate).into_iter().flatten() {
            if seen.insert(next) {
                waiting.push_back(next);
            }
        }
    }
    println!("{:?} {:?} {left:?}: {} worlds", gate.owner, gate.reply, seen.len());
    seen
}

fn by_people_of(owner: IdentityOwner) -> Gate<2> {
    Gate::new(owner, ReplyPolicy::HumanApproval)
}

/// An edit or a message, two crashes, one switch, with nothing mixed up.
const LEFT: Left = [1, 2, 1, 0];
/// What can be mixed up, two at a time, and nothing else.
const MIXED: Left = [0, 0, 0, 2];

#[test]
fn no_order_of_events_sends_twice_unreported_or_what_the_gate_did_not_let_out() {
    for owner in [IdentityOwner::Connex, IdentityOwner::CustomerDomain] {
        let worlds = explore::<2, 2>(&by_people_of(owner), LEFT);
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
        let is_reported = |world: &&World<2, 2>| {
            world.lines.iter().any(|line| line.taken == 1 && line.state == TransmissionState::Unknown)
        };
        assert!(worlds.iter().any(|world| is_reported(&world)), "an answer was lost");
    }
}

/// Where the policy lets it out, too: nobody is asked, and the rest is the same.
#[test]
fn no_order_of_events_sends_by_policy_what_it_does_not_let_out() {
    for owner in [IdentityOwner::Connex, IdentityOwner::CustomerDomain] {
        let worlds = explore::<1, 2>(&Gate::new(owner, ReplyPolicy::PolicyAuto), [1, 1, 2, 0]);
        let is_sent_by = |is_by_policy: bool| {
            let is_by = |release: Release| release.is_by_policy == is_by_policy;
            worlds.iter().any(|world| world.draft == DraftState::Sent && world.release.is_some_and(is_by))
        };
        assert!(is_sent_by(true) && is_sent_by(false));
    }
}

#[test]
fn no_order_of_events_sends_for_the_source_app() {
    let worlds = explore::<2, 2>(&by_people_of(IdentityOwner::SourceApp), LEFT);
    assert!(worlds.iter().any(|world| world.draft == DraftState::HandedOff));
    assert!(worlds.iter().all(|world| world.lines == [UNTRIED; 2]));
}

#[test]
fn whatever_is_mixed_up_nothing_shows_anothers_domain_and_nothing_of_another_tenant_lets_it_out() {
    for owner in [IdentityOwner::Connex, IdentityOwner::CustomerDomain] {
        let worlds = explore::<1, 1>(&Gate::new(owner, ReplyPolicy::HumanApproval), MIXED);
        for (place, part) in PARTS.iter().enumerate() {
            for way in 1..=part.ways {
                assert!(worlds.iter().any(|world| world.known.mixed.0[place] == way), "{owner:?} {place} {way}");
            }
        }
        let is_sent = |world: &&World<1, 1>| world.draft == DraftState::Sent;
        assert!(worlds.iter().any(|world| is_sent(&world) && world.known.mixed != Mixed::NOTHING), "what does no harm");
    }
}

/// Whether the worlds of a gate, or of a log, of which something is left out are told from good ones; by which words.
fn found(owner: IdentityOwner, without: &'static [&'static str], unlogged: Option<Link>) -> String {
    let mut gate = Gate::<1>::new(owner, ReplyPolicy::HumanApproval);
    (gate.without, gate.unlogged) = (without, unlogged);
    let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| explore::<1, 1>(&gate, [0, 0, 0, 1])));
    let said = looked.err().and_then(|said| said.downcast::<String>().ok());
    said.map_or_else(|| "nothing".to_owned(), |said| *said)
}

#[test]
fn a_rule_or_a_row_of_the_log_that_is_left_out_is_found() {
    let (connex, customer) = (IdentityOwner::Connex, IdentityOwner::CustomerDomain);
    for (owner, without, expected) in [
        (customer, &["platform_domain_leak"][..], "a customer's message shows a platform domain"),
        (connex, &["identity_mismatch"], "a platform mailbox shows a customer's domain"),
        (customer, &["identity_mismatch"], "it shows another tenant's address"),
        (connex, &["mailbox_inactive"], "by what is another's"),
        (customer, &["domain_unverified", "domain_keys_missing"], "by what is another's"),
        (connex, &["approval_required"], "let out without a yes"),
    ] {
        let said = found(owner, without, None);
        assert!(said.starts_with(expected), "{owner:?} without {without:?}: {said}");
    }
    for link in [Link::Created, Link::Asked, Link::Approved, Link::Released, Link::Sending] {
        let said = found(connex, &[], Some(link));
        assert!(said.starts_with("it left without its chain in the log"), "without {link:?}: {said}");
    }
}
