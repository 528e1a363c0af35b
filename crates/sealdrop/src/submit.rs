//! `sealdrop submit`: from a report in somebody's head to a drop that its server has promised to log.

use std::path::Path;

use sealdrop_client::{Client, Event, OnFailure, Sent, VerifiedBox};
use sealdrop_core::address::Address;
use sealdrop_core::encoding;
use sealdrop_core::log::promise::Promise;

use crate::cli::{Global, SubmitArgs};
use crate::failure::Failure;
use crate::fields;
use crate::files::{self, NewFile};
use crate::interrupt::Interrupt;
use crate::network;
use crate::output::{Output, Style};
use crate::post::FileSource;
use crate::progress::Progress;
use crate::prompt;
use crate::receipt;
use crate::review;
use crate::seal::{Draft, IntoFailure as _};

pub(crate) fn run(args: &SubmitArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let address = network::address(&args.address)?;
    let options = network::options(global)?;
    let client = network::client(&address.origin, options.clone(), None)?;
    // What would fail at the end fails here, before anybody writes a report.
    let key_path = args.receipt.as_deref().map(files::key_path);
    for path in [
        args.receipt.as_deref(),
        key_path.as_deref(),
        args.save.as_deref(),
    ]
    .into_iter()
    .flatten()
    {
        files::expect_new(path)?;
    }
    let the_box = network::fetch_box(&client, &address)?;
    let draft = Draft::prepare(&args.report, &address, &the_box, output)?;

    let interrupt = Interrupt::catch();
    let client = network::client(&address.origin, options, Some(&interrupt))?;
    let create = |path: Option<&Path>| path.map(NewFile::create).transpose();
    let mut receipt_file = create(args.receipt.as_deref())?;
    let mut key_file = create(key_path.as_deref())?;
    let mut saved_file = create(args.save.as_deref())?;
    if let Some(file) = &mut saved_file {
        draft.write(file, &interrupt, output)?;
    }
    let sent = send(&client, &draft, args, output)?;
    let promise = receipt::verify_promise(&sent, &the_box)?;

    // From here on the drop is with the server: what fails now must not hide the phrase.
    let mut unsaved = Vec::new();
    if let Some(file) = receipt_file.as_mut() {
        unsaved.extend(
            file.write(
                receipt::saved(&address, &sent, &the_box)
                    .to_json()
                    .as_bytes(),
            )
            .err(),
        );
    }
    if let Some(file) = key_file.as_mut() {
        unsaved.extend(file.write(draft.saved_key().to_json().as_bytes()).err());
    }
    for file in [receipt_file, key_file, saved_file].into_iter().flatten() {
        unsaved.extend(file.keep().err());
    }
    report(
        args,
        &address,
        &the_box,
        &sent,
        &promise,
        &draft.phrase.words(),
        output,
    );
    match unsaved.into_iter().next() {
        None => Ok(()),
        Some(failure) => Err(failure.hint("the report itself was sent, and must not be sent again; only the file named could not be kept")),
    }
}

/// Sends the drop. On a terminal a failure that may pass is asked about, because the report is only in this program.
fn send(
    client: &Client,
    draft: &Draft,
    args: &SubmitArgs,
    output: &Output,
) -> Result<Sent, Failure> {
    let sealer = draft.sealer()?;
    loop {
        let result = {
            let progress = Progress::new("sending", draft.size(), output);
            let mut events = |event: Event<'_>| progress.event(&event);
            match &args.save {
                Some(path) => client.send(
                    &mut FileSource::open(path)?,
                    None,
                    OnFailure::Forget,
                    &mut events,
                ),
                None => client.send(
                    &mut draft.source(&sealer),
                    None,
                    OnFailure::Forget,
                    &mut events,
                ),
            }
        };
        let error = match result {
            Ok(sent) => return Ok(sent),
            Err(failed) => failed.error,
        };
        if args.report.yes || !prompt::is_possible() || !error.is_transient() {
            return Err(error.into_failure());
        }
        output.note(&error.to_string());
        if !prompt::ask_yes_no("Try again?", true)? {
            return Err(error.into_failure());
        }
    }
}

fn report(
    args: &SubmitArgs,
    address: &Address,
    the_box: &VerifiedBox,
    sent: &Sent,
    promise: &Promise,
    phrase: &str,
    output: &Output,
) {
    let key = args.receipt.as_deref().map(files::key_path);
    let mut text = format!(
        "{} The server promised to log it by {}; {} can open it.\n\n{}",
        output.out(Style::Green, "Sent."),
        receipt::due(promise, the_box.roster().window_length()),
        review::members_count(the_box.roster()),
        receipt::phrase_text(phrase, output),
    );
    if let (Some(path), Some(key)) = (&args.receipt, &key) {
        text.push_str(&format!(
            "\nReceipt: {}\nIts secret part: {} (whoever has it can read this report; keep it apart)\n\nLater:\n  sealdrop check --receipt {}\n",
            path.display(),
            key.display(),
            path.display()
        ));
    }
    let path = |path: &Path| path.display().to_string();
    let fields = fields! {
        "state": "promised",
        "address": address.to_string(),
        "box": address.box_key.to_string(),
        "epoch": the_box.roster().epoch(),
        "members": the_box.roster().members().iter().map(|member| member.name.as_str()).collect::<Vec<_>>(),
        "digest": encoding::hex(&sent.digest),
        "size": sent.size,
        "window": promise.leaf().window.0,
        "promise": sent.promise.to_string(),
        "phrase": phrase,
        "receipt": args.receipt.as_deref().map(path),
        "key": key.as_deref().map(path),
        "saved": args.save.as_deref().map(path),
    };
    output.result(&text, fields);
}
