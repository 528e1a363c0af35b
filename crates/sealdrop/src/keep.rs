//! A report that could not be sent is kept sealed, so that what somebody wrote is not lost; `post` sends it later.

use std::path::{Path, PathBuf};

use sealdrop_client::{Blocks, show};

use crate::failure::Failure;
use crate::fields;
use crate::files::{self, NewFile};
use crate::interrupt;
use crate::output::{Style, word};
use crate::prompt;
use crate::receipt;
use crate::record::Record;
use crate::seal::Draft;
use crate::submit::{Outcome, Submission};

/// What the files of a submission are at a time when nothing was sent.
pub(crate) struct Unsent<'a> {
    pub(crate) draft: &'a Draft,
    /// What was sent of it before.
    pub(crate) blocks: &'a mut Blocks,
    /// The sealed drop, whole, if `--save` asked for it.
    pub(crate) saved: Option<NewFile>,
    /// An empty file for its key, if `--receipt` asked for it.
    pub(crate) key: Option<NewFile>,
    /// The server says that it was sealed to an older roster.
    pub(crate) is_stale: bool,
}

/// Keeps what was not sent, and says how to send it later; the failure stays one.
pub(crate) fn keep(
    failure: Failure,
    unsent: Unsent<'_>,
    submission: &Submission<'_>,
) -> Result<Outcome, Failure> {
    let Unsent {
        draft,
        blocks,
        saved,
        key,
        is_stale,
    } = unsent;
    let written = match saved {
        Some(file) => Ok(file),
        None => match place(&failure, submission)? {
            None => return Err(failure.also(
                "the report was not kept; with --save FILE it would be, sealed, to be posted later",
            )),
            Some(mut file) => draft
                .write_again(blocks, &mut file, submission.interrupt, submission.output)
                .map(|()| file),
        },
    };
    let kept = written.and_then(|drop| {
        if let Some(mut file) = key {
            file.write(draft.saved_key().to_json().as_bytes())?;
            file.keep()?;
        }
        let record = Record::create(drop.path())?;
        Record::keep(record, drop.path(), submission.address, draft.the_box())?;
        drop.keep()
    });
    match kept {
        Ok(path) => {
            let next = match (is_stale, draft.letter.is_new()) {
                (true, true) => {
                    "the report was kept, sealed as it was; if the server is right, it has to be sealed again, which gives it another phrase"
                }
                (true, false) => {
                    "what you wrote was kept, sealed as it was; if the server is right, it has to be sealed again"
                }
                (false, _) => {
                    "the report was kept, sealed: send it later with the command above, and do not seal it a second time"
                }
            };
            Err(said(failure.also(next), &path, draft, submission))
        }
        Err(failure) => again_or(failure, submission),
    }
}

/// On a terminal, asks whether to seal the report anew, after what was wrong was put right.
pub(crate) fn again_or(failure: Failure, submission: &Submission<'_>) -> Result<Outcome, Failure> {
    if failure.exit == interrupt::EXIT || !somebody_wrote(submission) {
        return Err(failure);
    }
    submission.output.failure_note(&failure);
    let question = "Try again, with the attachments and the members as they are then?";
    if prompt::ask_yes_no(question, true)? {
        Ok(Outcome::Again)
    } else {
        Err(failure)
    }
}

/// Whether there is somebody to ask, and something that is lost with the program.
fn somebody_wrote(submission: &Submission<'_>) -> bool {
    let report = &submission.args.report;
    let is_typed = report.edit || report.from.as_deref() == Some(Path::new("-"));
    prompt::is_possible() && (!report.yes || is_typed)
}

/// Where to keep the sealed drop, if it is to be kept.
fn place(failure: &Failure, submission: &Submission<'_>) -> Result<Option<NewFile>, Failure> {
    let name = files::free_name("report", "drop");
    if !prompt::is_possible() {
        // What was written in an editor is nowhere else, and nobody can be asked.
        let edited = submission.args.report.edit;
        return edited
            .then(|| NewFile::create(Path::new(&name)))
            .transpose();
    }
    if !somebody_wrote(submission) {
        return Ok(None);
    }
    submission.output.failure_note(failure);
    loop {
        let question = "Keep the report, sealed, to send it later, as:";
        let help = "nobody but the members can open it; Esc keeps nothing, and the text is lost";
        let Some(path) = prompt::ask_name(question, &name, help)? else {
            return Ok(None);
        };
        match NewFile::create(&path) {
            Ok(file) => return Ok(Some(file)),
            Err(failure) => submission.output.failure_note(&failure),
        }
    }
}

/// What was kept, the phrase that belongs to it, and the command that sends it.
fn said(failure: Failure, path: &Path, draft: &Draft, submission: &Submission<'_>) -> Failure {
    let Submission {
        args,
        global,
        address,
        output,
        ..
    } = submission;
    let receipt = args.keep.receipt.as_deref();
    let key: Option<PathBuf> = receipt.map(files::key_path);
    let mut post = format!("{} post '{address}' {}", global.program(), word(path));
    if let Some(receipt) = receipt {
        post.push_str(&format!(" --receipt {}", word(receipt)));
    }
    let words = draft.phrase.words();
    let phrase = draft.letter.is_new().then_some(words.as_str());
    let mut text = format!(
        "{} The sealed report is {} ({}).\n",
        output.out(Style::Yellow, "Not sent, but kept."),
        path.display(),
        show::bytes(draft.size()),
    );
    if let Some(phrase) = phrase {
        text.push_str(&format!("\n{}", receipt::phrase_text(phrase, output)));
    }
    if let Some(key) = &key {
        text.push_str(&receipt::key_text(key));
    }
    text.push_str(&format!("\nLater:\n  {post}\n"));
    output.before_failure(&text);
    let mut fields = fields! {
        "state": "kept",
        "address": address.to_string(),
        "box": address.box_key.to_string(),
        "epoch": draft.the_box().roster().epoch(),
        "size": draft.size(),
        "key": key.map(|path| path.display().to_string()),
        "saved": path.display().to_string(),
        "post": post,
    };
    if let Some(phrase) = phrase {
        fields.insert("phrase".into(), phrase.into());
    }
    failure.with(fields)
}
