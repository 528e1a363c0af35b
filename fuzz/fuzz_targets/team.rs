//! A team event: the note as it stands in a report, and its text, signed, since a fuzzer makes no signatures.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::key::{SecretKey, VoiceRole};
use sealdrop_core::note::Note;
use sealdrop_core::phrase::ConversationId;
use sealdrop_core::team::{Carrier, TeamEvent};
use sealdrop_fuzz::{BOX, ROSTER, secret};

fuzz_target!(|bytes: &[u8]| {
    let box_key = BOX.to_public();
    let carrier = Carrier {
        box_key: &box_key,
        conversation: &ConversationId([1; 16]),
        message: &[2; 16],
    };
    let voice = &ROSTER.members()[0].voice;
    let key: SecretKey<VoiceRole> = secret("alice voice");
    if let Ok(note) = Note::parse(bytes) {
        assert!(
            TeamEvent::verify(&note, voice, carrier).is_err(),
            "nobody signed it"
        );
    }
    let Ok(lines) = std::str::from_utf8(bytes) else {
        return;
    };
    let head = format!(
        "sealdrop/team/v1\nbox: {box_key}\nconversation: {}\nmessage: {}\n",
        "01".repeat(16),
        "02".repeat(16)
    );
    for text in [
        lines.to_owned(),
        format!("{head}{lines}"),
        format!("{head}grant: {lines}\n"),
    ] {
        let Ok(note) = Note::new(text) else { continue };
        let note = note.sign("alice", &key);
        if let Ok(event) = TeamEvent::verify(&note, voice, carrier) {
            let again = event.sign(carrier, "alice", &key);
            assert!(
                again.is_ok_and(|again| again == note),
                "it has two spellings"
            );
        }
    }
});
