//! `sealdrop post`: sends a drop that was sealed before.

use sealdrop_client::{show, system};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sealdrop_client::{
    Blocks, Client, ClientError, Event, Mark, OnFailure, SendError, Source, UploadId, VerifiedBox,
};
use sealdrop_core::address::Address;
use sealdrop_core::drop::shape;
use sealdrop_core::encoding;
use sealdrop_core::roster::MAX_MEMBERS;
use sha2::{Digest as _, Sha256};

use crate::cli::{Global, PostArgs};
use crate::failure::Failure;
use crate::fields;
use crate::files::{self, NewFile};
use crate::interrupt::{self, Interrupt};
use crate::network;
use crate::output::{Output, Style, word};
use crate::progress::Progress;
use crate::receipt;
use crate::record::{self, Record};
use crate::seal::{IntoFailure as _, read_box};

/// How many epochs without a roster are gone back for the one before.
const MAX_GAP: usize = 16;

pub(crate) fn run(args: &PostArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let address = network::address(&args.address)?;
    let options = network::options(global)?;
    let resume = args.resume.as_deref().map(parse_resume).transpose()?;
    let mut source = FileSource::open(&args.file)?;
    let record = Record::check(&mut source, &address, output)?;
    let (resume, mut blocks) = match resume {
        Some((id, mark)) => (Some(id), known_blocks(mark.as_ref(), &mut source)?),
        None => (None, Blocks::default()),
    };
    args.receipt.as_deref().map(files::expect_new).transpose()?;
    let client = network::client(&address.origin, options.clone(), None)?;
    let the_box = network::fetch_box(&client, &address)?;
    let is_guess = record.is_none() && args.box_file.is_none();
    let sealed_to = roster_of(&mut source, record, args, &address, &client, &the_box)?;
    if is_guess {
        output.note(&format!(
            "{} is not there: that the drop was sealed for this box, only its shape says.",
            record::path(&args.file).display()
        ));
    }

    let interrupt = Interrupt::catch();
    let client = network::client(&address.origin, options, Some(&interrupt))?;
    let room = receipt::room(&sealed_to);
    let reserve = |path: &PathBuf| NewFile::reserve(path, room);
    let receipt_file = args.receipt.as_ref().map(reserve).transpose()?;
    let sent = {
        let progress = Progress::new("sending", source.size, output);
        let mut events = |event: Event<'_>| progress.event(&event);
        let result = client.send_again(
            &mut source,
            &mut blocks,
            resume,
            OnFailure::Keep,
            &mut events,
        );
        result.map_err(|failed| unsent(failed, &blocks.mark(source.size), args, global))?
    };
    let promised = receipt::verify_promise(&sent, &sealed_to, output);
    // Whatever it is worth, it is what the server signed: if it is no promise, it is the evidence of that.
    let saved = receipt::saved(&address, &sent, &sealed_to).to_json();
    let kept = receipt_file.map(|mut file| {
        let written = file.write(saved.as_bytes());
        written.and_then(|()| file.keep())
    });
    if let Err(failure) = kept.transpose() {
        output.before_failure(&receipt::shown_promise(&sent.promise));
        return Err(failure
            .hint("the drop itself was sent; only the file named could not be kept")
            .field("digest", encoding::hex(&sent.digest))
            .field("promise", sent.promise.to_string()));
    }
    let receipt = args.receipt.as_ref().map(|path| path.display().to_string());
    let promise = promised.map_err(|failure| {
        // Without a mark of what was sent before, an honest server cannot be told from one that lies.
        let may_have_changed = args.resume.as_deref().is_some_and(|id| !id.contains('-'));
        let failure = if may_have_changed {
            failure.also(format!(
                "if {} changed since the upload began, that is the reason: send it anew, without --resume",
                args.file.display()
            ))
        } else {
            failure
        };
        let failure = failure
            .field("state", "taken")
            .field("digest", encoding::hex(&sent.digest))
            .field("promise", sent.promise.to_string())
            .field("receipt", receipt.clone());
        match &receipt {
            Some(path) => failure.also(format!(
                "{path} holds what the server answered, as evidence: keep it"
            )),
            None => failure,
        }
    })?;
    let mut text = format!(
        "{} The server promised to log it by {}.\n",
        output.out(Style::Green, "Sent."),
        receipt::due(&promise, sealed_to.roster().window_length())
    );
    if let Some(path) = &args.receipt {
        text.push_str(&format!(
            "Receipt: {}\n\nLater:\n  {} check --receipt {}\n",
            path.display(),
            global.program(),
            word(path)
        ));
    }
    let fields = fields! {
        "state": "promised",
        "address": address.to_string(),
        "box": address.box_key.to_string(),
        "epoch": sealed_to.roster().epoch(),
        "digest": encoding::hex(&sent.digest),
        "size": sent.size,
        "window": promise.leaf().window.0,
        "promise": sent.promise.to_string(),
        "receipt": receipt,
    };
    output.result(&text, fields);
    Ok(())
}

/// The id of an upload, and what was sent of it, as `post` printed them; or the id alone.
fn parse_resume(text: &str) -> Result<(UploadId, Option<Mark>), Failure> {
    let parsed = match text.split_once('-') {
        None => UploadId::parse(text).map(|id| (id, None)),
        Some((id, mark)) => UploadId::parse(id)
            .zip(Mark::parse(mark))
            .map(|(id, mark)| (id, Some(mark))),
    };
    parsed.ok_or_else(|| {
        Failure::usage("--resume: not the id of an upload").hint(
            "copy it as `post` printed it: 32 characters of 0-9 and a-f, and what follows them",
        )
    })
}

/// What was sent of the file before, if it is still the same.
fn known_blocks(mark: Option<&Mark>, source: &mut FileSource) -> Result<Blocks, Failure> {
    let Some(mark) = mark else {
        return Ok(Blocks::default());
    };
    Blocks::known_by(mark, source).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => changed(source.path()),
        _ => files::cannot_read(source.path(), &error),
    })
}

fn changed(file: &Path) -> Failure {
    Failure::usage(format!(
        "{} changed since the upload began, or the upload is of another file",
        file.display()
    ))
    .hint("nothing more was sent: give the file as it was, or send it anew, without --resume")
}

/// The roster the drop was sealed to: the one recorded or given, otherwise the current one or the one before, whichever the shape fits.
fn roster_of(
    source: &mut FileSource,
    record: Option<Record>,
    args: &PostArgs,
    address: &Address,
    client: &Client,
    current: &VerifiedBox,
) -> Result<VerifiedBox, Failure> {
    let (head, size) = (source.head()?, source.size);
    let fits =
        |the_box: &VerifiedBox| shape::check(&head, size, the_box.roster().members().len()).is_ok();
    let file = source.path.display();
    if !(1..=MAX_MEMBERS).any(|members| shape::check(&head, size, members).is_ok()) {
        return Err(Failure::usage(format!("{file} is not a drop"))
            .hint("give the file that `sealdrop seal -o` wrote, whole and unchanged"));
    }
    if size > current.roster().max_drop() {
        return Err(Failure::refused(format!(
            "{file} is {} long, more than this box takes ({})",
            show::bytes(size),
            show::bytes(current.roster().max_drop())
        ))
        .hint("seal it again with fewer or smaller attachments"));
    }
    let same_log = |the_box: &VerifiedBox| the_box.roster().log_key() == current.roster().log_key();
    let stale = || {
        Failure::refused(format!(
            "{file} was sealed to another roster than the current one or the one before"
        ))
        .hint("seal the report again, to what `sealdrop box` saves now")
    };
    // Its members may have destroyed the identities that it names. An upload that has begun may end.
    let not_expired = |the_box: VerifiedBox| {
        let expires = the_box.roster().expires();
        if args.resume.is_some() || system::now() < expires {
            return Ok(the_box);
        }
        Err(Failure::refused(format!(
            "{file} was sealed to a roster that expired on {}: its members may no longer open it",
            show::minute(expires)
        ))
        .hint("seal the report again, to what `sealdrop box` saves now"))
    };
    let given = args
        .box_file
        .as_deref()
        .map(|path| read_box(path).map(|file| (file, path.to_owned())))
        .transpose()?;
    let not_sealed_to = |path: &Path| {
        Failure::usage(format!(
            "{file} was not sealed to the roster in {}",
            path.display()
        ))
        .hint("give the file that `sealdrop seal --box` was given")
    };
    let recorded = record.map(|record| (record.kept.box_file, record.path));
    if let (Some((given, path)), Some((recorded, _))) = (&given, &recorded)
        && given.roster != recorded.roster
    {
        return Err(not_sealed_to(path));
    }
    if let Some((given, path)) = recorded.or(given) {
        let given = given.verify_ignoring_expiry(&address.box_key)?;
        let (given_epoch, epoch) = (given.roster().epoch(), current.roster().epoch());
        let is_other = given_epoch == epoch && given.roster().note() != current.roster().note();
        if given_epoch > epoch || is_other {
            let relation = if is_other { "another" } else { "an older one" };
            return Err(Failure::refused(format!(
                "the server shows roster {epoch}, {relation} than {} holds",
                path.display()
            ))
            .hint("nothing was sent: tell the project, by another way than this server"));
        }
        if !fits(&given) {
            return Err(not_sealed_to(&path));
        }
        let between = newest_of(given_epoch + 1..epoch, client, address)?;
        return if between.is_none() && same_log(&given) {
            not_expired(given)
        } else {
            Err(stale())
        };
    }
    if fits(current) {
        return Ok(current.clone());
    }
    newest_of(1..current.roster().epoch(), client, address)?
        .filter(|before| fits(before) && same_log(before))
        .ok_or_else(stale)
        .and_then(not_expired)
}

/// The newest roster of these epochs that the server shows. Epochs rise by one or more, so there are gaps; only so many are tried.
fn newest_of(
    epochs: Range<u64>,
    client: &Client,
    address: &Address,
) -> Result<Option<VerifiedBox>, Failure> {
    for epoch in epochs.rev().take(MAX_GAP) {
        match client.fetch_box_at(epoch) {
            Ok(file) => return Ok(Some(file.verify_ignoring_expiry(&address.box_key)?)),
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn unsent(failed: SendError, mark: &Mark, args: &PostArgs, global: &Global) -> Failure {
    let SendError {
        error,
        resume,
        taken,
        ..
    } = failed;
    if taken {
        return receipt::no_promise(&error)
            .also("to post the same file again does no harm: it stays one drop");
    }
    let Some(id) = resume else {
        return error.into_failure();
    };
    if args.resume.is_some() && error.status() == Some(404) {
        return Failure::refused("the server has forgotten this upload")
            .hint("send the drop anew, without --resume");
    }
    if let ClientError::AnotherUpload = error {
        return changed(&args.file);
    }
    let failure = match error {
        ClientError::Local(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Failure::refused(format!(
                "{} changed while it was being sent",
                args.file.display()
            ))
            .hint("what the server has of it is soon forgotten; send it anew when nobody writes to it any more");
        }
        ClientError::Cancelled => Failure {
            exit: interrupt::EXIT,
            ..Failure::refused(
                "stopped: a part of the drop is with the server, which soon forgets it",
            )
        },
        error => error.into_failure(),
    };
    failure
        .hint(format!(
            "to go on where it stopped, within this window or the next:\n  {} post '{}' {}{} --resume {id}-{mark}",
            global.program(),
            args.address,
            word(&args.file),
            kept_options(args)
        ))
        .field("resume", format!("{id}-{mark}"))
}

/// The options that a repeated `post` needs again.
fn kept_options(args: &PostArgs) -> String {
    let option = |name: &str, path: &Option<PathBuf>| {
        path.as_ref()
            .map_or(String::new(), |path| format!(" {name} {}", word(path)))
    };
    option("--box", &args.box_file) + &option("--receipt", &args.receipt)
}

/// A drop on disk.
pub(crate) struct FileSource {
    path: PathBuf,
    file: File,
    pub(crate) size: u64,
}

impl FileSource {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let opened = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                Err(io::ErrorKind::IsADirectory.into())
            } else {
                Ok((file, metadata.len()))
            }
        });
        let (file, size) = opened.map_err(|error| files::cannot_read(path, &error))?;
        Ok(Self {
            path: path.into(),
            file,
            size,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The hash of the header for so many members, which no two drops share.
    pub(crate) fn header_digest(&mut self, members: usize) -> Result<[u8; 32], Failure> {
        let mut head = self.head()?;
        head.truncate(shape::header_len(members));
        Ok(encoding::sha256(&head))
    }

    /// The hash of all of it. `read` is told how much was read.
    pub(crate) fn digest(&mut self, read: impl Fn(u64)) -> Result<[u8; 32], Failure> {
        let failed = |error: io::Error| files::cannot_read(&self.path, &error);
        (&self.file).rewind().map_err(failed)?;
        let (mut hash, mut piece, mut done) = (Sha256::new(), vec![0; 1 << 20], 0);
        loop {
            match (&self.file).read(&mut piece) {
                Ok(0) => return Ok(hash.finalize().into()),
                Ok(n) => {
                    hash.update(&piece[..n]);
                    done += n as u64;
                    read(done);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// The first bytes, which hold the header.
    fn head(&mut self) -> Result<Vec<u8>, Failure> {
        let mut head = Vec::new();
        let limit = shape::header_len(MAX_MEMBERS) as u64;
        let read = self
            .file
            .rewind()
            .and_then(|()| (&self.file).take(limit).read_to_end(&mut head));
        read.map_err(|error| files::cannot_read(&self.path, &error))?;
        Ok(head)
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + '_>> {
        self.file.rewind()?;
        Ok(Box::new(&self.file))
    }
}
