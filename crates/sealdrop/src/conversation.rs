//! From the slips that a clue found to a conversation: every check of docs/protocol.md, "Reading slips".

use std::collections::{BTreeMap, BTreeSet};

use sealdrop_client::feed::FoundSlip;
use sealdrop_client::{Rosters, Standing};
use sealdrop_core::key::BoxKey;
use sealdrop_core::phrase::ReporterKeys;
use sealdrop_core::slip::message::{Assembly, Date, Envelope, Message, MessageError};
use sealdrop_core::slip::{Part, PartKind};
use sealdrop_core::time::Window;
use sealdrop_open::{Identity, SlipError, open_slip};

/// What was said to one reporter, in the order of the log, but what a member numbered lower before what they numbered higher.
#[derive(Default)]
pub(crate) struct Conversation {
    pub(crate) said: Vec<Said>,
    /// Windows of slips that are the conversation's and that no member signed.
    pub(crate) forged: Vec<Window>,
    /// Windows of slips that cannot be checked, with the epoch of the roster that the server does not show.
    pub(crate) unchecked: Vec<(Window, u64)>,
    /// How many slips were left out because what they were signed under was past.
    pub(crate) stale: usize,
}

/// What became of a date by `today`, a day like those in it: `met`, `overdue` or `promised`.
pub(crate) fn fate(date: &Date, today: &str) -> &'static str {
    match &date.met {
        Some(_) => "met",
        None if date.on.as_str() < today => "overdue",
        None => "promised",
    }
}

/// A message, or the parts of one that came so far.
pub(crate) struct Said {
    assembly: Assembly,
    /// That of its first part.
    pub(crate) window: Window,
    /// Whether all of it was logged while its member was one.
    pub(crate) standing: Standing,
}

/// A state that the maintainers gave.
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) since: Window,
}

impl Conversation {
    /// Opens and checks the slips. What others copied or relayed is ignored; what is forged is counted.
    pub(crate) fn read<'f>(
        found: impl IntoIterator<Item = &'f FoundSlip>,
        rosters: &Rosters,
        keys: &ReporterKeys,
        box_key: &BoxKey,
        window_length: u64,
    ) -> Self {
        let identity = Identity::new(&keys.identity);
        let mut conversation = Self::default();
        for FoundSlip { window, slip } in found {
            let start = window.start(window_length);
            let mut epoch = None;
            let voice = |part: &Part| {
                epoch = Some(part.epoch);
                rosters.voice(part.epoch, &part.member)
            };
            let part = match open_slip(slip, &identity, voice) {
                Ok(part) => part,
                Err(SlipError::Part(_)) => {
                    match epoch {
                        Some(epoch) if rosters.is_past(epoch, start) => conversation.stale += 1,
                        Some(epoch) if rosters.of(epoch).is_none() => {
                            conversation.unchecked.push((*window, epoch));
                        }
                        _ => conversation.forged.push(*window),
                    }
                    continue;
                }
                Err(_) => continue,
            };
            if part.box_key != *box_key || part.conversation != keys.conversation {
                continue;
            }
            if rosters.is_past(part.epoch, start) {
                conversation.stale += 1;
                continue;
            }
            let standing = rosters.standing(part.epoch, &part.member, start);
            conversation.add(part, *window, standing);
        }
        conversation.sort();
        conversation
    }

    /// By place, within a window by number: a segment does not keep the order.
    fn sort(&mut self) {
        let mut said = std::mem::take(&mut self.said);
        let place = |one: &Said| {
            let is_later = |other: &&Said| {
                let (one, other_envelope) = (one.envelope(), other.envelope());
                other.is_of_the_team()
                    && other_envelope.member == one.member
                    && other_envelope.number > one.number
            };
            let later = said.iter().filter(is_later).map(|later| later.window);
            later.fold(one.window, Window::min)
        };
        let places: BTreeMap<[u8; 16], Window> = said
            .iter()
            .map(|said| (said.envelope().message, place(said)))
            .collect();
        said.sort_by_key(|said| {
            let envelope = said.envelope();
            (
                places.get(&envelope.message).copied(),
                envelope.number,
                envelope.message,
            )
        });
        self.said = said;
    }

    fn add(&mut self, part: Part, window: Window, standing: Standing) {
        let same = |said: &&mut Said| said.assembly.envelope.message == part.message;
        for said in self.said.iter_mut().filter(same) {
            let before = said.assembly.here();
            if said.assembly.add(part.clone()) {
                // A part that was there before is a replay, and changes nothing.
                if standing != Standing::Team && said.assembly.here() != before {
                    said.standing = standing;
                }
                return;
            }
        }
        self.said.push(Said {
            assembly: Assembly::new(part),
            window,
            standing,
        });
    }

    /// The messages that are the team's, and whole.
    fn of_the_team(&self) -> impl Iterator<Item = (&Said, Message)> {
        let ours = self.said.iter().filter(|said| said.is_of_the_team());
        ours.filter_map(|said| Some((said, said.message()?.ok()?)))
    }

    /// The ids of the messages that are whole, whoever they are from.
    pub(crate) fn whole(&self) -> BTreeSet<[u8; 16]> {
        let whole = self.said.iter().filter(|said| said.message().is_some());
        whole.map(|said| said.envelope().message).collect()
    }

    /// The state that the report is in, as the maintainers said last.
    pub(crate) fn state(&self) -> Option<State> {
        let stated = |(said, message): (&Said, Message)| {
            let fallback = match said.kind() {
                PartKind::Ack => "received",
                PartKind::Closed => "closed",
                PartKind::Status => "",
                _ => return None,
            };
            let name = message.state.unwrap_or_else(|| fallback.into());
            let since = said.window;
            (!name.is_empty()).then_some((said.kind(), State { name, since }))
        };
        // A later acknowledgement, of a follow-up, takes nothing back.
        let mut state: Option<State> = None;
        for (kind, next) in self.of_the_team().filter_map(stated) {
            if kind != PartKind::Ack || state.is_none() {
                state = Some(next);
            }
        }
        state
    }

    /// The dates that hold now, in the order of time: a later message replaces what it names.
    pub(crate) fn dates(&self) -> Vec<Date> {
        let mut dates = BTreeMap::new();
        for (_, message) in self.of_the_team() {
            let named = message.dates.into_iter();
            dates.extend(named.map(|date| (date.what.clone(), date)));
        }
        let mut dates: Vec<Date> = dates.into_values().collect();
        dates.sort_by(|a, b| a.on.cmp(&b.on));
        dates
    }
}

impl Said {
    pub(crate) fn is_of_the_team(&self) -> bool {
        self.standing == Standing::Team
    }

    pub(crate) fn envelope(&self) -> &Envelope {
        &self.assembly.envelope
    }

    pub(crate) fn kind(&self) -> PartKind {
        self.assembly.envelope.kind
    }

    /// How many parts are here, and of how many.
    pub(crate) fn parts(&self) -> (u64, u64) {
        (self.assembly.here(), self.assembly.parts)
    }

    /// The message; `None` until every part is here.
    pub(crate) fn message(&self) -> Option<Result<Message, MessageError>> {
        self.assembly.message()
    }
}
