//! `sealdrop submit`: from a report in somebody's head to a drop that its server has promised to log.

use std::path::{Path, PathBuf};

use sealdrop_client::{Blocks, Client, ClientError, Event, OnFailure, Sent, Source, VerifiedBox};
use sealdrop_core::address::Address;
use sealdrop_core::encoding;
use sealdrop_core::log::promise::Promise;
use serde_json::{Map, Value};

use crate::cli::{Global, SubmitArgs};
use crate::failure::Failure;
use crate::fields;
use crate::files::{self, NewFile};
use crate::interrupt::{self, Interrupt};
use crate::keep::{self, Unsent};
use crate::letter::Letter;
use crate::network;
use crate::output::{Output, Style, word};
use crate::post::FileSource;
use crate::progress::Progress;
use crate::prompt::{self, Wish};
use crate::receipt;
use crate::record::{self, Record};
use crate::review;
use crate::seal::{Draft, IntoFailure as _};

/// The status that says: not shaped as a drop for the roster of now.
const STALE: u16 = 422;
/// What whoever keeps no receipt should know before.
const NO_RECEIPT: &str = "No receipt will be kept, so nothing can show later that it was left: --receipt FILE keeps one.\n";
/// More bytes than a saved file key has.
const KEY_ROOM: usize = 1 << 10;

pub(crate) fn run(args: &SubmitArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    send(args, Letter::report(), global, output)
}

/// Sends a report, or what belongs to one: the same requests in the same order, whatever it is.
pub(crate) fn send(
    args: &SubmitArgs,
    letter: Letter,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let address = network::address(&args.address)?;
    let options = network::options(global)?;
    let client = network::client(&address.origin, options.clone(), None)?;
    // What would fail at the end fails here, before anybody writes a report.
    let key_path = args.keep.receipt.as_deref().map(files::key_path);
    let record_path = args.keep.save.as_deref().map(record::path);
    let written = [
        ("--receipt", args.keep.receipt.as_deref()),
        ("the file key of --receipt", key_path.as_deref()),
        ("--save", args.keep.save.as_deref()),
        ("what is kept beside --save", record_path.as_deref()),
    ];
    let written = written.map(|(option, path)| path.map(|path| (option, path)));
    files::expect_different(&written.into_iter().flatten().collect::<Vec<_>>())?;
    for (_, path) in written[..3].iter().flatten() {
        files::expect_new(path)?;
    }
    args.keep
        .save
        .as_deref()
        .map(Record::expect_new)
        .transpose()?;
    let mut the_box = network::fetch_box(&client, &address)?;
    let others = [Wish::Keep];
    let note = match args.keep.receipt {
        Some(_) => "",
        None => NO_RECEIPT,
    };
    let ask = (&others[..], note);
    let prepared = Draft::prepare(&args.report, letter, &address, &the_box, ask, output);
    let (mut draft, mut wish) = prepared?;

    let interrupt = Interrupt::catch();
    let submission = Submission {
        args,
        global,
        address: &address,
        client: &network::client(&address.origin, options, Some(&interrupt))?,
        interrupt: &interrupt,
        output,
    };
    loop {
        if wish == Wish::Keep {
            return submission.keep_unsent(&draft, &the_box);
        }
        match submission.attempt(&draft, &the_box)? {
            Outcome::Sent => return Ok(()),
            Outcome::Again => {}
        }
        (the_box, (draft, wish)) = loop {
            match submission.look_again(&draft) {
                Ok(again) => break again,
                Err(failure) => keep::again_or(failure, &submission).map(|_| ())?,
            }
        };
    }
}

/// What stays the same for all tries.
pub(crate) struct Submission<'a> {
    pub(crate) args: &'a SubmitArgs,
    pub(crate) global: &'a Global,
    pub(crate) address: &'a Address,
    client: &'a Client,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) output: &'a Output,
}

/// How a try ended that did not fail.
pub(crate) enum Outcome {
    Sent,
    /// The report is to be sealed anew.
    Again,
}

impl Submission<'_> {
    /// Seals, sends and keeps what is to be kept; or, if it could not be sent, keeps that.
    fn attempt(&self, draft: &Draft, the_box: &VerifiedBox) -> Result<Outcome, Failure> {
        let [receipt_file, key_file, mut saved_file] = match self.create_files(the_box) {
            Ok(files) => files,
            Err(failure) => return keep::again_or(failure, self),
        };
        if let Some(file) = &mut saved_file
            && let Err(failure) = draft.write(file, self.interrupt, self.output)
        {
            return keep::again_or(failure, self);
        }
        let mut blocks = Blocks::default();
        let mut taken = false;
        let error = match self.send(draft, &mut blocks, &mut taken)? {
            Ok(sent) => {
                let promised = receipt::verify_promise(&sent, the_box, self.output);
                let files = [receipt_file, key_file, saved_file];
                return self.left(draft, the_box, Some(&sent), promised, files);
            }
            Err(error) => error,
        };
        if taken {
            let promised = Err(receipt::no_promise(&error));
            return self.left(draft, the_box, None, promised, [None, key_file, saved_file]);
        }
        let is_stale = error.status() == Some(STALE);
        let is_local = matches!(error, ClientError::Local(_));
        let is_stopped = matches!(error, ClientError::Cancelled);
        let failure = error.into_failure();
        let failure = match (is_stopped, is_stale || is_local) {
            (true, _) => return Err(failure),
            (false, true) => match keep::again_or(failure, self) {
                Err(failure) if is_stale && failure.exit != interrupt::EXIT => failure,
                done => return done,
            },
            (false, false) => failure,
        };
        let unsent = Unsent {
            draft,
            blocks: &mut blocks,
            saved: saved_file,
            key: key_file,
            is_stale,
        };
        keep::keep(failure, unsent, self)
    }

    /// Seals what somebody did not want to send now, and says how to send it later.
    fn keep_unsent(&self, draft: &Draft, the_box: &VerifiedBox) -> Result<(), Failure> {
        let [_, key, mut saved] = self.create_files(the_box)?;
        if let Some(file) = &mut saved {
            draft.write(file, self.interrupt, self.output)?;
        }
        let unsent = Unsent {
            draft,
            blocks: &mut Blocks::default(),
            saved,
            key,
            is_stale: false,
        };
        let failure = Failure {
            exit: interrupt::EXIT,
            ..Failure::refused("stopped before anything was sent")
        };
        keep::keep(failure, unsent, self).map(|_| ())
    }

    /// The files to keep: receipt, file key and drop.
    fn create_files(&self, the_box: &VerifiedBox) -> Result<[Option<NewFile>; 3], Failure> {
        let reserve = |path: Option<&Path>, len| path.map(|path| NewFile::reserve(path, len));
        let receipt = self.args.keep.receipt.as_deref();
        let key = receipt.map(files::key_path);
        Ok([
            reserve(receipt, receipt::room(the_box)).transpose()?,
            reserve(key.as_deref(), KEY_ROOM).transpose()?,
            self.args
                .keep
                .save
                .as_deref()
                .map(NewFile::create)
                .transpose()?,
        ])
    }

    /// The report, its attachments and its members as they are now.
    fn look_again(&self, draft: &Draft) -> Result<(VerifiedBox, (Draft, Wish)), Failure> {
        let the_box = network::fetch_box(self.client, self.address)?;
        let draft = draft.again(&self.args.report, self.address, &the_box, self.output)?;
        Ok((the_box, draft))
    }

    /// Sends the drop. On a terminal a failure that may pass is asked about, because the report is only in this program.
    fn send(
        &self,
        draft: &Draft,
        blocks: &mut Blocks,
        taken: &mut bool,
    ) -> Result<Result<Sent, ClientError>, Failure> {
        let sealer = draft.sealer()?;
        loop {
            let result = {
                let progress = Progress::new("sending", draft.size(), self.output);
                let mut events = |event: Event<'_>| progress.event(&event);
                let (mut saved, mut sealed);
                let source: &mut dyn Source = match &self.args.keep.save {
                    Some(path) => {
                        saved = FileSource::open(path)?;
                        &mut saved
                    }
                    None => {
                        sealed = draft.source(&sealer);
                        &mut sealed
                    }
                };
                // One set of blocks for all tries: an attachment that changed in between must not be sealed again under the same key and nonce.
                self.client
                    .send_again(source, blocks, None, OnFailure::Forget, &mut events)
            };
            let error = match result {
                Ok(sent) => return Ok(Ok(sent)),
                Err(failed) => {
                    *taken |= failed.taken;
                    failed.error
                }
            };
            if self.args.report.yes || !prompt::is_possible() || !error.is_transient() {
                return Ok(Err(error));
            }
            self.output.note(&error.to_string());
            if !prompt::ask_yes_no("Try again?", true)? {
                return Ok(Err(error));
            }
        }
    }

    /// The drop is with the server: what fails now, or was a lie, must hide neither the phrase nor the evidence.
    fn left(
        &self,
        draft: &Draft,
        the_box: &VerifiedBox,
        sent: Option<&Sent>,
        promised: Result<Promise, Failure>,
        [receipt_file, key_file, saved_file]: [Option<NewFile>; 3],
    ) -> Result<Outcome, Failure> {
        let mut unsaved = None;
        let mut keep = |file: Option<NewFile>, bytes: &[u8]| {
            let mut file = file?;
            let kept = file.write(bytes).and_then(|()| file.keep());
            kept.map_err(|failure| unsaved.get_or_insert(failure)).ok()
        };
        // The key first: nothing else can be had from the server again.
        let key = keep(key_file, draft.saved_key().to_json().as_bytes());
        let receipt = sent.map(|sent| receipt::saved(self.address, sent, the_box).to_json());
        let kept = Kept {
            is_asked: self.args.keep.receipt.is_some(),
            key,
            receipt: keep(
                receipt_file.filter(|_| receipt.is_some()),
                receipt.unwrap_or_default().as_bytes(),
            ),
            saved: keep(saved_file, b""),
        };
        let words = draft.phrase.words();
        let words = draft.letter.is_new().then_some(words.as_str());
        let (text, fields) = report(
            (&kept, self.global),
            self.address,
            the_box,
            sent,
            promised.as_ref().ok(),
            words,
            self.output,
        );
        let failure = match (promised, unsaved) {
            (Ok(_), None) => {
                self.output.result(&text, fields);
                return Ok(Outcome::Sent);
            }
            (Ok(_), Some(failure)) => failure.hint("the report itself was sent, and must not be sent again; only what is named here could not be kept"),
            (Err(failure), None) if words.is_some() => failure.also("the phrase above is the one of this report: write it down all the same"),
            (Err(failure), None) => failure,
            (Err(failure), Some(unsaved)) => failure.also(unsaved.message),
        };
        self.output.before_failure(&text);
        Err(failure.with(fields))
    }
}

/// The files that are on the disk.
struct Kept {
    /// Whether there was to be a receipt.
    is_asked: bool,
    receipt: Option<PathBuf>,
    key: Option<PathBuf>,
    saved: Option<PathBuf>,
}

/// What became of a report that the server took. Without `promise` what it answered is not to be believed, and is the evidence.
fn report(
    (kept, global): (&Kept, &Global),
    address: &Address,
    the_box: &VerifiedBox,
    sent: Option<&Sent>,
    promise: Option<&Promise>,
    phrase: Option<&str>,
    output: &Output,
) -> (String, Map<String, Value>) {
    let receipt = kept.receipt.as_deref();
    let mut text = match promise {
        Some(promise) => format!(
            "{} The server promised to log it by {}; {} can open it.\n",
            output.out(Style::Green, "Sent."),
            receipt::due(promise, the_box.roster().window_length()),
            review::members_count(the_box.roster()),
        ),
        None => format!(
            "{} The server says that it took the report, and its promise is not to be believed.\n",
            output.out(Style::Yellow, "Taken, but not promised."),
        ),
    };
    if let Some(phrase) = phrase {
        text.push_str(&format!("\n{}", receipt::phrase_text(phrase, output)));
    }
    match (receipt, promise, sent) {
        (Some(path), Some(_), _) => text.push_str(&format!("\nReceipt: {}\n", path.display())),
        (Some(path), None, _) => text.push_str(&format!(
            "\nEvidence: {} holds what the server answered; keep it.\n",
            path.display()
        )),
        (None, promise, Some(sent)) if promise.is_none() || kept.is_asked => {
            text.push_str(&receipt::shown_promise(&sent.promise));
        }
        _ => {}
    }
    if let Some(key) = &kept.key {
        text.push_str(&receipt::key_text(key));
    }
    if receipt.is_some() && promise.is_some() && kept.saved.is_none() {
        text.push_str("They prove that a drop was left, not what it says: that needs the sealed drop too, which was not kept (--save FILE keeps it).\n");
    }
    text.push_str("\nLater:\n");
    if let (Some(path), Some(_)) = (receipt, promise) {
        text.push_str(&format!(
            "  {} check --receipt {}\n",
            global.program(),
            word(path)
        ));
    }
    text.push_str(&format!(
        "  {} check '{address}'    asks for the phrase, and shows what the maintainers answered\n",
        global.program(),
    ));
    let path = |path: &Path| path.display().to_string();
    let mut fields = fields! {
        "state": if promise.is_some() { "promised" } else { "taken" },
        "address": address.to_string(),
        "box": address.box_key.to_string(),
        "epoch": the_box.roster().epoch(),
        "members": the_box.roster().members().iter().map(|member| member.name.as_str()).collect::<Vec<_>>(),
        "digest": sent.map(|sent| encoding::hex(&sent.digest)),
        "size": sent.map(|sent| sent.size),
        "window": promise.map(|promise| promise.leaf().window.0),
        "promise": sent.map(|sent| sent.promise.to_string()),
        "receipt": receipt.map(path),
        "key": kept.key.as_deref().map(path),
        "saved": kept.saved.as_deref().map(path),
    };
    if let Some(phrase) = phrase {
        fields.insert("phrase".into(), phrase.into());
    }
    (text, fields)
}
