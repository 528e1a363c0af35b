//! What is sent, and in whose conversation; `sealdrop reply` and `sealdrop withdraw`, which are `submit` with a phrase that is there already.

use std::path::Path;
use std::sync::Arc;

use sealdrop_core::phrase::Phrase;
use sealdrop_core::report::Kind;

use crate::cli::{ConversationArgs, Global, ReplyArgs, ReportArgs, SubmitArgs, WithdrawArgs};
use crate::failure::Failure;
use crate::network;
use crate::output::Output;
use crate::phrase;
use crate::submit;

/// A report of a new conversation, or something that belongs to one. The server sees no difference.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) kind: Kind,
    /// The conversation's; `None` for a new one.
    pub(crate) phrase: Option<Arc<Phrase>>,
}

impl Letter {
    pub(crate) fn report() -> Self {
        Self {
            kind: Kind::Report,
            phrase: None,
        }
    }

    /// Whether it gets a phrase of its own, which has to be shown.
    pub(crate) fn is_new(&self) -> bool {
        self.phrase.is_none()
    }

    /// What is asked before it is sealed.
    pub(crate) fn question(&self) -> &'static str {
        match self.kind {
            Kind::Report | Kind::FollowUp => "Seal it and go on?",
            Kind::Withdraw => {
                "Withdraw the report? The maintainers keep what they have, and see that you take it back"
            }
        }
    }
}

pub(crate) fn reply(args: &ReplyArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let stdin = Some(Path::new("-"));
    if args.to.phrase_file.as_deref() == stdin && args.from.as_deref() == stdin {
        return Err(
            Failure::usage("--phrase-file and --from cannot both be standard input")
                .hint("put one of them into a file"),
        );
    }
    let report = ReportArgs {
        description: args.text.clone(),
        from: args.from.clone(),
        edit: args.edit,
        files: args.files.clone(),
        ..ReportArgs::default()
    };
    send(&args.to, report, Kind::FollowUp, global, output)
}

pub(crate) fn withdraw(
    args: &WithdrawArgs,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let report = ReportArgs {
        description: args.text.clone(),
        ..ReportArgs::default()
    };
    send(&args.to, report, Kind::Withdraw, global, output)
}

/// Sends what is said as if it were a report.
fn send(
    to: &ConversationArgs,
    report: ReportArgs,
    kind: Kind,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    network::address(&to.address)?;
    let letter = Letter {
        kind,
        phrase: Some(Arc::new(phrase::get(to.phrase_file.as_deref(), output)?)),
    };
    let args = SubmitArgs {
        address: to.address.clone(),
        report: ReportArgs {
            yes: to.yes,
            ..report
        },
        keep: to.keep.clone(),
    };
    submit::send(&args, letter, global, output)
}
