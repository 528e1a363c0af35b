//! Self-tests: reports that `doctor` files, and how every desk of the box knows them. docs/protocol.md, "Self-test".

use sealdrop_core::encoding::hex;
use sealdrop_core::key::{AccessRole, SecretKey};
use sealdrop_core::note::Note;
use sealdrop_core::report::{Kind, Report};
use sealdrop_core::roster::Roster;

/// The field of the form that holds the note.
const FIELD: &str = "self-test";
/// All that a reader of another program is told.
const TITLE: &str = "Self-test by sealdrop-desk doctor; not a report";

/// Makes a report a self-test of the machine called `name`.
pub(crate) fn mark(report: &mut Report, name: &str, key: &SecretKey<AccessRole>) {
    let note = Note::new(text(report)).expect("the text is lines of printable ASCII");
    report.form.insert("title".into(), TITLE.into());
    report
        .form
        .insert(FIELD.into(), note.sign(name, key).to_string());
}

/// The machine that filed the report as a self-test, if a device of `roster`, the one it is sealed to, signed that it did.
///
/// Only the members' machines can sign so, and the signature is for this one message of a conversation that nobody else can write to. A report with anything
/// more in it than a self-test has is none, so that nothing can be carried in one.
pub(crate) fn made_by(report: &Report, roster: &Roster) -> Option<String> {
    let note = Note::parse(only_field(report, TITLE, FIELD)?.as_bytes()).ok()?;
    let mut devices = roster.devices().iter();
    let device = devices.find(|device| {
        note.verify(&device.access)
            .is_ok_and(|signed| signed == text(report))
    })?;
    (note.signatures().len() == 1).then(|| device.name().to_owned())
}

/// The field called `name` of a report that has this title, and nothing else in it.
pub(crate) fn only_field<'r>(report: &'r Report, title: &str, name: &str) -> Option<&'r str> {
    let is_bare = report.kind == Kind::Report
        && report.attachments.is_empty()
        && report.form.len() == 2
        && report.form.get("title").map(String::as_str) == Some(title);
    report
        .form
        .get(name)
        .filter(|_| is_bare)
        .map(String::as_str)
}

fn text(report: &Report) -> String {
    format!(
        "sealdrop/self-test/v1\nbox: {}\nconversation: {}\nmessage: {}\n",
        report.box_key,
        report.conversation,
        hex(&report.message)
    )
}
