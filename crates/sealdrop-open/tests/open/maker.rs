//! Boxes, reports and drops for the tests, all from fixed seeds.

use std::io;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_core::drop::FileKey;
use sealdrop_core::key::{BoxSecret, LogRole, SecretKey, VoiceRole};
use sealdrop_core::log::checkpoint::log_vkey;
use sealdrop_core::note::Vkey;
use sealdrop_core::phrase::{Phrase, ReporterKeys};
use sealdrop_core::recipient::{IdentitySeed, Recipient};
use sealdrop_core::report::{Attachment, Kind, Report};
use sealdrop_core::roster::{Draft, Member, Roster};
use sealdrop_core::time::Time;
use sealdrop_open::{Attachments, Context, Identity, Keys, OpenError, Opened, Quarantine};

use crate::sealed;

pub(crate) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// The file key and the nonce of every drop here.
pub(crate) fn file_key() -> (FileKey, [u8; 16]) {
    (FileKey::from_bytes([4; 16]), [8; 16])
}

pub(crate) struct TestBox {
    pub(crate) roster: Roster,
    pub(crate) identities: Vec<Identity>,
    pub(crate) keys: ReporterKeys,
}

impl TestBox {
    pub(crate) fn new(members: usize) -> Self {
        Self::with_seed(members, 1)
    }

    pub(crate) fn with_seed(members: usize, seed: u8) -> Self {
        let seeds = (0..members).map(|i| IdentitySeed::from_bytes(&[seed + 1 + i as u8; 32]));
        let seeds: Vec<_> = seeds.collect();
        Self {
            identities: seeds.iter().map(Identity::new).collect(),
            ..Self::of(seeds.iter().map(IdentitySeed::to_public), seed)
        }
    }

    /// A box of these recipients, whose identities are elsewhere.
    pub(crate) fn of(recipients: impl IntoIterator<Item = Recipient>, seed: u8) -> Self {
        let secret = BoxSecret::generate(&mut rng(seed));
        let box_key = secret.to_public();
        let log = SecretKey::<LogRole>::generate(&mut rng(seed + 100)).to_public();
        let member = |(i, recipient): (usize, Recipient)| {
            let name = format!("member{i}");
            let voice = SecretKey::<VoiceRole>::generate(&mut rng(150 + i as u8));
            Member {
                voice: Vkey::new(&name, voice.to_public()),
                name,
                role: "team".into(),
                recipient,
            }
        };
        let draft = Draft {
            box_key: box_key.clone(),
            origins: vec!["https://drop.example.org".parse().unwrap()],
            epoch: 3,
            issued: Time(1_795_000_000),
            expires: Time(1_800_000_000),
            window: 21_600,
            retention: 7_776_000,
            slips: 8,
            max_drop: 1 << 30,
            policy: [9; 32],
            log: log_vkey(&box_key, &log),
            members: recipients.into_iter().enumerate().map(member).collect(),
            devices: Vec::new(),
        };
        Self {
            roster: draft.sign(&secret).unwrap(),
            identities: Vec::new(),
            keys: Phrase::from_entropy(&[7; 16]).keys(&box_key),
        }
    }

    pub(crate) fn report(&self, text: &str, attachments: &[(&str, &[u8])]) -> Report {
        let mut report = Report::new(Kind::Report, &self.roster, &self.keys, &mut rng(5));
        report.form.insert("title".into(), "A hole".into());
        report.form.insert("description".into(), text.into());
        report.attachments = sealed::attachments(attachments);
        report
    }

    pub(crate) fn seal(&self, report: &Report, attachments: &[(&str, &[u8])]) -> Vec<u8> {
        let voice = &self.keys.voice;
        sealed::seal(&self.roster, report, voice, &file_key(), attachments)
    }

    pub(crate) fn open(
        &self,
        drop: &[u8],
        sink: &mut dyn Attachments,
    ) -> Result<Opened, OpenError> {
        self.open_with(drop, Keys::Identities(&self.identities[..1]), sink)
    }

    pub(crate) fn open_with(
        &self,
        drop: &[u8],
        keys: Keys<'_>,
        sink: &mut dyn Attachments,
    ) -> Result<Opened, OpenError> {
        let roster = |epoch| (epoch == self.roster.epoch()).then(|| self.roster.clone());
        let context = Context {
            box_key: self.roster.box_key(),
            roster: &roster,
        };
        sealdrop_open::open(drop, drop.len() as u64, keys, &context, sink)
    }

    #[track_caller]
    pub(crate) fn check_quarantined(&self, drop: &[u8], expected: Quarantine) {
        match self.open(drop, &mut Collected::default()) {
            Ok(_) => panic!("opened, expected {expected:?}"),
            Err(OpenError::Quarantine(reason)) => assert_eq!(reason, expected),
            Err(other) => panic!("{other:?}, expected {expected:?}"),
        }
    }
}

/// Keeps attachments in memory.
#[derive(Default)]
pub(crate) struct Collected(pub(crate) Vec<(String, Vec<u8>)>);

impl Attachments for Collected {
    fn writer(
        &mut self,
        _: usize,
        member: &str,
        _: &Attachment,
    ) -> io::Result<Option<Box<dyn io::Write + '_>>> {
        self.0.push((member.into(), Vec::new()));
        Ok(self
            .0
            .last_mut()
            .map(|(_, bytes)| Box::new(bytes) as Box<dyn io::Write>))
    }
}
