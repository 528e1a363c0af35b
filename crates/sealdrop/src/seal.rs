//! `sealdrop seal`, and what it shares with `submit`: from a form and attachments to something that gives the bytes of a drop.

use sealdrop_client::show;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use rand_core::Rng as _;
use sealdrop_client::{Blocks, BoxFile, ClientError, Source, VerifiedBox, system};
use sealdrop_core::address::Address;
use sealdrop_core::drop::{FileKey, SealError, Sealed, Sealer};
use sealdrop_core::log::saved::SavedKey;
use sealdrop_core::phrase::{Phrase, ReporterKeys};
use sealdrop_core::report::{Report, ReportError};

use crate::attachment::Attachment;
use crate::cli::{ReportArgs, SealArgs};
use crate::failure::Failure;
use crate::fields;
use crate::files::{self, NewFile};
use crate::form::Form;
use crate::interrupt::{self, Interrupt};
use crate::letter::Letter;
use crate::network;
use crate::output::{Output, word};
use crate::progress::Progress;
use crate::prompt::{self, Wish};
use crate::receipt;
use crate::record::{self, Record};
use crate::review;

/// The largest saved box: what the client takes from a server.
pub(crate) const MAX_BOX_FILE: usize = 2 << 20;

pub(crate) fn run(args: &SealArgs, output: &Output) -> Result<(), Failure> {
    let address = network::address(&args.address)?;
    let record_path = record::path(&args.output);
    let mut written = vec![
        ("--output", args.output.as_path()),
        ("what is kept beside --output", &record_path),
    ];
    written.extend(args.key.as_deref().map(|path| ("--key", path)));
    files::expect_different(&written)?;
    files::expect_new(&args.output)?;
    Record::expect_new(&args.output)?;
    args.key.as_deref().map(files::expect_new).transpose()?;
    let the_box = network::verify_box(read_box(&args.box_file)?, &address, false)?;
    let letter = Letter::report();
    let (draft, _) = Draft::prepare(&args.report, letter, &address, &the_box, (&[], ""), output)?;
    let interrupt = Interrupt::catch();
    let mut drop_file = NewFile::create(&args.output)?;
    let record_file = Record::create(&args.output)?;
    let key_file = args.key.as_deref().map(NewFile::create).transpose()?;
    draft.write(&mut drop_file, &interrupt, output)?;
    if let Some(mut file) = key_file {
        file.write(draft.saved_key().to_json().as_bytes())?;
        file.keep()?;
    }
    Record::keep(record_file, &args.output, &address, &the_box)?;
    drop_file.keep()?;
    let phrase = draft.phrase.words();
    let record = record::path(&args.output);
    let text = format!(
        "Sealed to {} for box {}: {} ({}).\n\n{}\nNext, where there is a network, with {} beside it:\n  sealdrop post '{address}' {} --receipt receipt.json\n",
        review::members_count(the_box.roster()),
        address.box_key.fingerprint(),
        args.output.display(),
        show::bytes(draft.size()),
        receipt::phrase_text(&phrase, output),
        record.display(),
        word(&args.output),
    );
    let fields = fields! {
        "box": address.box_key.to_string(),
        "epoch": the_box.roster().epoch(),
        "drop": args.output.display().to_string(),
        "record": record.display().to_string(),
        "size": draft.size(),
        "key": args.key.as_ref().map(|path| path.display().to_string()),
        "phrase": phrase.as_str(),
    };
    output.result(&text, fields);
    Ok(())
}

/// Reads what `sealdrop box -o` saved.
pub(crate) fn read_box(path: &Path) -> Result<BoxFile, Failure> {
    BoxFile::parse(&files::read(path, MAX_BOX_FILE)?).map_err(|error| {
        Failure::usage(format!("{} is {error}", path.display()))
            .hint("make it where there is a network: sealdrop box ADDRESS -o box.json")
    })
}

/// A report that is ready to be sealed.
pub(crate) struct Draft {
    form: Form,
    pub(crate) letter: Letter,
    pub(crate) phrase: Arc<Phrase>,
    keys: ReporterKeys,
    file_key: FileKey,
    nonce: [u8; 16],
    report: Report,
    attachments: Vec<Attachment>,
    the_box: VerifiedBox,
    size: u64,
    /// Whether somebody typed some of it, which is nowhere else.
    is_written: bool,
    /// What else to say at the review.
    note: &'static str,
}

impl Draft {
    /// Looks at the attachments, completes the form, shows the review and asks whether to go on. `others` can be done instead with what was written, and
    /// editing it again, always. `note` is said at the end of the review.
    pub(crate) fn prepare(
        args: &ReportArgs,
        letter: Letter,
        address: &Address,
        the_box: &VerifiedBox,
        (others, note): (&[Wish], &'static str),
        output: &Output,
    ) -> Result<(Self, Wish), Failure> {
        let form = Form::from_args(args, letter.kind)?;
        let attachments = Attachment::look_at_all(&args.files.attach, args.files.strip)?;
        // What is too large for the box is so before anybody writes a report.
        let mut draft = Self::new(form, letter, attachments, the_box)?;
        let given = draft.form.clone();
        let mut form = prompt::complete(draft.form, args, draft.letter.kind, output)?;
        let others = [&[Wish::Edit], others].concat();
        loop {
            draft = Self::new(form, draft.letter, draft.attachments, the_box)?;
            draft.is_written = draft.form != given;
            draft.note = note;
            let wish = draft.reviewed(args, address, &others, output)?;
            if wish != Wish::Edit {
                return Ok((draft, wish));
            }
            form = prompt::edited_again(&draft.form, draft.letter.kind, output)?;
        }
    }

    /// The same report with the attachments as they are now, to the members as they are now: other keys, another phrase if this one was new, and another
    /// review.
    pub(crate) fn again(
        &self,
        args: &ReportArgs,
        address: &Address,
        the_box: &VerifiedBox,
        output: &Output,
    ) -> Result<(Self, Wish), Failure> {
        let attachments = Attachment::look_at_all(&args.files.attach, args.files.strip)?;
        let mut draft = Self::new(self.form.clone(), self.letter.clone(), attachments, the_box)?;
        draft.is_written = self.is_written;
        draft.note = self.note;
        let wish = draft.reviewed(args, address, &[Wish::Keep], output)?;
        Ok((draft, wish))
    }

    fn reviewed(
        &self,
        args: &ReportArgs,
        address: &Address,
        others: &[Wish],
        output: &Output,
    ) -> Result<Wish, Failure> {
        review::show(
            (&self.form, self.letter.kind),
            &self.attachments,
            self.size,
            address,
            &self.the_box,
            output,
        );
        if !self.note.is_empty() {
            output.note(self.note);
        }
        if args.yes {
            return Ok(Wish::Go);
        }
        let others = if self.is_written { others } else { &[] };
        prompt::confirm(self.letter.question(), others)
    }

    fn new(
        form: Form,
        letter: Letter,
        attachments: Vec<Attachment>,
        the_box: &VerifiedBox,
    ) -> Result<Self, Failure> {
        let mut rng = system::rng();
        let roster = the_box.roster();
        let phrase = letter
            .phrase
            .clone()
            .unwrap_or_else(|| Arc::new(Phrase::generate(&mut rng)));
        let keys = phrase.keys(roster.box_key());
        let mut report = Report::new(letter.kind, roster, &keys, &mut rng);
        report.form = form.to_fields(letter.kind);
        report.attachments = attachments.iter().map(Attachment::listed).collect();
        let file_key = FileKey::generate(&mut rng);
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let mut draft = Self {
            form,
            letter,
            phrase,
            keys,
            file_key,
            nonce,
            report,
            attachments,
            the_box: the_box.clone(),
            size: 0,
            is_written: false,
            note: "",
        };
        draft.size = draft.sealer()?.len();
        Ok(draft)
    }

    /// The length of the drop.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What it is sealed to.
    pub(crate) fn the_box(&self) -> &VerifiedBox {
        &self.the_box
    }

    /// What gives the bytes; the same each time.
    pub(crate) fn sealer(&self) -> Result<Sealer<'_>, Failure> {
        let roster = self.the_box.roster();
        Sealer::new(
            roster,
            &self.report,
            &self.keys.voice,
            &self.file_key,
            self.nonce,
        )
        .map_err(|error| match error {
            SealError::TooLarge => {
                let total: u64 = self.attachments.iter().map(|a| a.size).sum();
                Failure::refused(format!(
                    "the attachments ({}) are more than this box takes ({})",
                    show::bytes(total),
                    show::bytes(roster.max_drop())
                ))
                .hint("leave some out, or pack them tighter; nothing was sealed or sent")
            }
            SealError::Report(ReportError::TooLong) => {
                Failure::usage("the text of the report is longer than 1 MiB")
                    .hint("put the longest part into an attachment")
            }
            error => Failure::usage(format!("the report cannot be sealed: {error}")),
        })
    }

    /// A source of the bytes, for the client.
    pub(crate) fn source<'a>(&'a self, sealer: &'a Sealer<'a>) -> DraftSource<'a> {
        DraftSource {
            sealer,
            attachments: &self.attachments,
        }
    }

    pub(crate) fn saved_key(&self) -> SavedKey {
        SavedKey {
            file_key: FileKey::from_bytes(*self.file_key.expose()),
        }
    }

    /// Seals into a file.
    pub(crate) fn write(
        &self,
        file: &mut NewFile,
        interrupt: &Interrupt,
        output: &Output,
    ) -> Result<(), Failure> {
        let sealer = self.sealer()?;
        let mut sealed = sealed(&sealer, &self.attachments);
        self.copy(&mut sealed, file, interrupt, output)
    }

    /// The same when some of the bytes were sent before, as `blocks` knows. An attachment that changed since must not be sealed under their key.
    pub(crate) fn write_again(
        &self,
        blocks: &mut Blocks,
        file: &mut NewFile,
        interrupt: &Interrupt,
        output: &Output,
    ) -> Result<(), Failure> {
        let sealer = self.sealer()?;
        let mut source = self.source(&sealer);
        let mut sealed = blocks
            .reader(&mut source)
            .map_err(|error| unsealed(&error))?;
        self.copy(&mut sealed, file, interrupt, output)
    }

    fn copy(
        &self,
        sealed: &mut dyn Read,
        file: &mut NewFile,
        interrupt: &Interrupt,
        output: &Output,
    ) -> Result<(), Failure> {
        let progress = Progress::new("sealing", self.size, output);
        let mut piece = vec![0; 1 << 20];
        let mut written = 0;
        loop {
            if interrupt.is_set() {
                return Err(interrupt::stopped());
            }
            let n = sealed.read(&mut piece).map_err(|error| unsealed(&error))?;
            if n == 0 {
                break;
            }
            file.file()
                .write_all(&piece[..n])
                .map_err(|error| file.failed(&error))?;
            written += n as u64;
            progress.set(written);
        }
        Ok(())
    }
}

/// An attachment that cannot be read, or is no longer what it was.
fn unsealed(error: &io::Error) -> Failure {
    ClientError::Local(io::Error::new(error.kind(), error.to_string())).into_failure()
}

/// The failures of a client while a drop is being sealed: those of this machine name the file.
pub(crate) trait IntoFailure {
    fn into_failure(self) -> Failure;
}

impl IntoFailure for ClientError {
    fn into_failure(self) -> Failure {
        match self {
            Self::Local(error) => {
                Failure::refused(error.to_string()).hint("nothing was left with the server or on this machine; attach a copy that nobody else writes to, and repeat")
            }
            Self::Cancelled => interrupt::stopped(),
            error => error.into(),
        }
    }
}

type OpenAttachment<'a> = Box<dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>> + Send + 'a>;

fn sealed<'a>(
    sealer: &'a Sealer<'a>,
    attachments: &'a [Attachment],
) -> Sealed<'a, OpenAttachment<'a>> {
    sealer.seal(Box::new(|index: usize| attachments[index].open()) as OpenAttachment<'a>)
}

/// The bytes of a drop, sealed anew each time they are needed.
pub(crate) struct DraftSource<'a> {
    sealer: &'a Sealer<'a>,
    attachments: &'a [Attachment],
}

impl Source for DraftSource<'_> {
    fn size(&self) -> u64 {
        self.sealer.len()
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(sealed(self.sealer, self.attachments)))
    }
}
