//! A bar on a terminal, and nothing anywhere else.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealdrop_client::Event;

use crate::output::Output;

pub(crate) struct Progress<'a> {
    bar: ProgressBar,
    output: &'a Output,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(what: &'static str, total: u64, output: &'a Output) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{msg} {bar:30} {decimal_bytes}/{decimal_total_bytes} {eta}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(what);
        Self { bar, output }
    }

    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// What the client tells while it sends.
    pub(crate) fn event(&self, event: &Event<'_>) {
        match event {
            Event::Sent(bytes) => self.bar.set_position(*bytes),
            Event::Retrying(error, pause) => self.bar.suspend(|| {
                let what = if error.status().is_some() {
                    "the server is busy"
                } else {
                    "the connection broke"
                };
                self.output
                    .note(&format!("{what}; going on in {} s", pause.as_secs().max(1)));
            }),
            _ => {}
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
