//! Asking the person in front of the program, on a terminal, for what is missing.

use std::fs;
use std::io::{self, BufRead, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

use inquire::{Confirm, InquireError, Password, Select, Text};
use rand_core::Rng as _;
use sealdrop_client::system;
use sealdrop_core::encoding;
use sealdrop_core::report::{Kind, MAX_REPORT, MAX_TITLE};
use zeroize::Zeroizing;

use crate::cli::ReportArgs;
use crate::failure::Failure;
use crate::files;
use crate::form::Form;
use crate::interrupt::{self, Editing};
use crate::output::Output;

/// Bytes of a line that a terminal keeps until Enter: it drops what is typed or pasted beyond them, without a word. (Linux: N_TTY_BUF_SIZE
/// without the end of the line; what keeps fewer refuses the rest where the person sees it.)
const TERMINAL_LINE: usize = 4095;
/// How often an editor is looked after.
const LOOK: Duration = Duration::from_millis(50);
/// How long an editor that was asked to end may take.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether there is somebody to ask.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Completes a form: in an editor, by questions, or not at all.
pub(crate) fn complete(
    mut form: Form,
    args: &ReportArgs,
    kind: Kind,
    output: &Output,
) -> Result<Form, Failure> {
    if args.edit {
        form = edited(form, kind, output)?;
        // What was written must not be lost for a missing line.
        while let Err(problem) = form.clone().without_empty().completed(kind)
            && is_possible()
        {
            output.failure_note(&problem);
            if !ask_yes_no("Open the editor again?", true)? {
                break;
            }
            form = edited(form, kind, output)?;
        }
    } else if is_possible() && !args.yes && args.from.is_none() {
        ask(&mut form, kind, output)?;
    }
    let form = form.without_empty();
    let missing = form.missing(kind);
    let flags: Vec<String> = missing.iter().map(|name| format!("--{name}")).collect();
    form.completed(kind).map_err(|failure| {
        if failure.hint.is_some() {
            return failure;
        }
        if args.from.is_some() && kind == Kind::Report {
            return failure.hint(format!(
                "begin the file with a line `# Title`, and put the text under it; or give {}",
                flags.join(" and ")
            ));
        }
        failure.hint(format!(
            "give {}, a file with --from, or answer the questions on a terminal",
            flags.join(" and ")
        ))
    })
}

/// What to do with a report that somebody wrote and then did not want to go on with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Seal it and go on.
    Go,
    Edit,
    /// Seal it, and send it later.
    Keep,
}

/// Asks whether to go on. Without a terminal there is nobody to agree. `others` is what else is offered to whoever does not want to.
pub(crate) fn confirm(question: &str, others: &[Wish]) -> Result<Wish, Failure> {
    if !is_possible() {
        return Err(Failure::usage(
            "there is no terminal to show the report on before it is sealed",
        )
        .hint("add --yes to seal it without being asked"));
    }
    match ask_yes_no(question, false) {
        Ok(true) => return Ok(Wish::Go),
        Err(failure) if failure.exit != interrupt::EXIT => return Err(failure),
        // Ctrl-C says no as well: a second one drops it.
        Ok(false) | Err(_) => {}
    }
    if others.is_empty() {
        return Err(interrupt::stopped());
    }
    let mut choices: Vec<&str> = others.iter().map(|wish| wish.name()).collect();
    choices.push("drop it");
    let chosen = ask_choice("What shall become of what you wrote?", choices)?;
    others.get(chosen).copied().ok_or_else(interrupt::stopped)
}

impl Wish {
    fn name(self) -> &'static str {
        match self {
            Self::Go => "go on",
            Self::Edit => "edit it again",
            Self::Keep => "keep it, sealed, to send it later",
        }
    }
}

/// Asks whether to go on with what was shown; `nobody` is what to say where there is no terminal.
pub(crate) fn agree(question: &str, nobody: &str) -> Result<(), Failure> {
    if !is_possible() {
        return Err(Failure::usage(nobody).hint("add --yes to go on without being asked"));
    }
    match ask_yes_no(question, false)? {
        true => Ok(()),
        false => Err(interrupt::stopped()),
    }
}

/// One of several; its place among them.
fn ask_choice(question: &'static str, choices: Vec<&'static str>) -> Result<usize, Failure> {
    at_terminal(move || {
        let chosen = Select::new(question, choices).raw_prompt();
        chosen.map(|chosen| chosen.index)
    })
}

/// A question to somebody who is there.
pub(crate) fn ask_yes_no(question: &str, default: bool) -> Result<bool, Failure> {
    let question = question.to_owned();
    at_terminal(move || Confirm::new(&question).with_default(default).prompt())
}

/// A line that is not shown as it is typed.
pub(crate) fn ask_hidden(question: &str) -> Result<Zeroizing<String>, Failure> {
    let question = question.to_owned();
    at_terminal(move || {
        let prompt = Password::new(&question).without_confirmation().prompt();
        prompt.map(Zeroizing::new)
    })
}

/// Asks for the name of a file; `None` if there is to be none.
pub(crate) fn ask_name(
    question: &str,
    default: &str,
    help: &str,
) -> Result<Option<PathBuf>, Failure> {
    let [question, default, help] = [question, default, help].map(str::to_owned);
    let name = at_terminal(move || {
        Text::new(&question)
            .with_default(&default)
            .with_help_message(&help)
            .prompt_skippable()
    })?;
    Ok(name
        .filter(|name| !name.trim().is_empty())
        .map(PathBuf::from))
}

fn ask(form: &mut Form, kind: Kind, output: &Output) -> Result<(), Failure> {
    let question = match kind {
        Kind::Report => return ask_report(form, output),
        Kind::FollowUp => "What do you want to say?",
        Kind::Withdraw => "Why, if you want to say so?",
    };
    if form.description.is_none() {
        form.description = Some(lines(question, output)?);
    }
    Ok(())
}

fn ask_report(form: &mut Form, output: &Output) -> Result<(), Failure> {
    if form.title.is_none() {
        let validator = |text: &str| {
            let fits = (1..=MAX_TITLE).contains(&text.trim().chars().count());
            let invalid = || {
                inquire::validator::Validation::Invalid("one line of 1 to 256 characters".into())
            };
            Ok(if fits {
                inquire::validator::Validation::Valid
            } else {
                invalid()
            })
        };
        form.title = Some(at_terminal(move || {
            Text::new("Title:")
                .with_help_message("what it is, in one line")
                .with_validator(validator)
                .prompt()
        })?);
    }
    let parts: [(&str, &mut Option<String>); 2] = [
        (
            "Description: what is wrong, and what does it allow?",
            &mut form.description,
        ),
        ("Steps to reproduce:", &mut form.steps),
    ];
    for (question, text) in parts {
        if text.is_none() {
            *text = Some(lines(question, output)?);
        }
    }
    if form.versions.is_none() {
        form.versions = Some(at_terminal(|| {
            let prompt =
                Text::new("Affected versions:").with_help_message("empty if you do not know");
            prompt.prompt()
        })?);
    }
    if form.credit.is_none() {
        form.credit = Some(at_terminal(|| {
            let prompt = Text::new("Name to credit:")
                .with_default("none")
                .with_help_message("the maintainers see it; `none` keeps you unnamed");
            prompt.prompt()
        })?);
    }
    Ok(())
}

/// Several lines, ended by one with a single full stop, or by the end of input.
fn lines(question: &str, output: &Output) -> Result<String, Failure> {
    output.note(&format!(
        "{question}\n  (end with a line that holds only a full stop)"
    ));
    lines_from(io::stdin().lock())
}

fn lines_from(mut terminal: impl BufRead) -> Result<String, Failure> {
    let mut text = String::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let unreadable = |error: io::Error| {
            Failure::usage(format!("the terminal cannot be read: {error}"))
                .hint("write the text in your editor with --edit, or give a file with --from")
        };
        let read = terminal.read_until(b'\n', &mut line).map_err(unreadable)?;
        // Before anything else: what was cut off may have been cut within a character.
        if line.strip_suffix(b"\n").unwrap_or(&line).len() >= TERMINAL_LINE {
            return Err(Failure::usage(
                "a line is longer than a terminal gives to a program (4,095 bytes), and its end was lost; nothing was sealed or sent",
            )
            .hint("write the text in your editor with --edit, or give a file with --from"));
        }
        let line = str::from_utf8(&line)
            .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        if read == 0 || line.trim_end() == "." {
            return Ok(text);
        }
        text.push_str(line.trim_end_matches(['\r', '\n']));
        text.push('\n');
        if text.len() > MAX_REPORT {
            return Err(
                Failure::usage("the text is longer than 1 MiB").hint("put it into an attachment")
            );
        }
    }
}

/// Asks, until there is an answer, nobody is there any more, or the program is to end. The question is a thread's, which is left behind at such an end:
/// what reads the keys notices neither, and where the terminal is gone it tries again for ever.
fn at_terminal<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, InquireError> + Send + 'static,
) -> Result<T, Failure> {
    #[cfg(unix)]
    let setting = rustix::termios::tcgetattr(io::stdin()).ok();
    let (tell, answer) = channel();
    // Whoever left does not wait for an answer.
    thread::spawn(move || drop(tell.send(ask())));
    let answer = loop {
        match answer.recv_timeout(LOOK) {
            Ok(answer) => break Some(answer),
            Err(RecvTimeoutError::Timeout) if !(interrupt::is_over() || is_gone()) => {}
            Err(_) => break None,
        }
    };
    match answer {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) if !is_gone() => Err(failure(error)),
        _ => {
            // The thread cannot put the terminal back as it was.
            #[cfg(unix)]
            if let Some(setting) = setting {
                let now = rustix::termios::OptionalActions::Now;
                let _ = rustix::termios::tcsetattr(io::stdin(), now, &setting);
            }
            Err(interrupt::stopped())
        }
    }
}

/// Whether the terminal was closed.
fn is_gone() -> bool {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stdin = io::stdin();
        let mut terminal = [PollFd::new(&stdin, PollFlags::empty())];
        let at_once = Timespec::default();
        poll(&mut terminal, Some(&at_once)).is_ok_and(|_| {
            let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
            terminal[0].revents().intersects(gone)
        })
    }
    #[cfg(not(unix))]
    false
}

fn failure(error: InquireError) -> Failure {
    match error {
        InquireError::OperationCanceled | InquireError::OperationInterrupted => {
            interrupt::stopped()
        }
        error => Failure::usage(format!("the terminal cannot be used: {error}"))
            .hint("give the report by flags or --from, with --yes"),
    }
}

/// The form as edited after its review. What goes wrong now is no reason to lose it.
pub(crate) fn edited_again(form: &Form, kind: Kind, output: &Output) -> Result<Form, Failure> {
    let mut new = form.clone();
    loop {
        let problem = match edited(new.clone(), kind, output).and_then(|form| {
            new = form.without_empty();
            new.clone().completed(kind)
        }) {
            Ok(form) => return Ok(form),
            Err(failure) if failure.exit == interrupt::EXIT => return Err(failure),
            Err(failure) => failure,
        };
        output.failure_note(&problem);
        let question = "Open the editor again? Otherwise the report stays as it was";
        if !ask_yes_no(question, true)? {
            return Ok(form.clone());
        }
    }
}

/// The form after an editor, opened again as long as the person wants that. An editor that fails may still have written something.
pub(crate) fn edited(mut form: Form, kind: Kind, output: &Output) -> Result<Form, Failure> {
    loop {
        let (new, result) = edit(&form, kind)?;
        let is_written = new != form.without_empty();
        form = new;
        let Err(failure) = result else {
            return Ok(form);
        };
        if !is_possible() || !is_written {
            return Err(failure);
        }
        output.failure_note(&failure);
        let choices = vec!["open the editor again", "go on with it", "drop it"];
        match ask_choice("What shall become of what you wrote?", choices)? {
            0 => {}
            1 => return Ok(form),
            _ => return Err(failure),
        }
    }
}

/// The form in the person's editor, and whether that ended well. The text is in a folder of their own, in memory where the system has such a place, and gone afterwards.
fn edit(form: &Form, kind: Kind) -> Result<(Form, Result<(), Failure>), Failure> {
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| {
        std::env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty())
    });
    let editor = editor.ok_or_else(|| {
        Failure::usage("no editor is set")
            .hint("set EDITOR, for instance EDITOR=nano, or leave out --edit")
    })?;
    // From before there is anything to remove until it is removed.
    let editing = Editing::start();
    let folder = PrivateFolder::create()?;
    let path = folder.0.join("report.md");
    let mut file = files::NewFile::create(&path)?;
    file.write(form.to_text(kind).as_bytes())?;
    file.file().flush().map_err(|error| file.failed(&error))?;
    let mut words = editor.split_whitespace();
    let program = words.next().expect("it is not empty");
    let ended = match run_editor(Command::new(program).args(words).arg(&path), &editing) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            return Err(interrupt::stopped());
        }
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(
            Failure::usage(format!("the editor {program} ended with an error"))
                .hint("nothing was sealed or sent"),
        ),
        Err(error) => {
            return Err(Failure::usage(format!(
                "the editor {program} cannot be run: {}",
                files::reason(&error)
            ))
            .hint("set EDITOR to another one"));
        }
    };
    // Editors may write another file under the name; so it is opened anew.
    let mut text = String::new();
    let read = fs::File::open(&path)
        .and_then(|file| file.take(MAX_REPORT as u64).read_to_string(&mut text));
    match (read, ended.is_ok()) {
        (Err(error), true) => return Err(files::cannot_read(&path, &error)),
        // That the editor failed says more.
        (Err(_), false) => text = form.to_text(kind),
        (Ok(_), _) => {}
    }
    drop(folder);
    // What came since the editor ended is not lost.
    if editing.is_over() {
        return Err(interrupt::stopped());
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok((Form::from_text(text, kind), ended))
}

/// Waits until the editor ends. When this program is to end, the editor is too, and [`io::ErrorKind::Interrupted`] says so.
fn run_editor(command: &mut Command, editing: &Editing) -> io::Result<ExitStatus> {
    let mut child = command.spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if editing.is_over() {
            end(&mut child);
            break child.wait()?;
        }
        thread::sleep(LOOK);
    };
    // A closed terminal tells both, and an editor may have ended well for it, the text unfinished.
    if editing.is_over() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok(status)
}

/// Asks an editor to end, so that it leaves the terminal as it was, and does not ask twice.
fn end(child: &mut Child) {
    #[cfg(unix)]
    if rustix::process::kill_process(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::TERM,
    )
    .is_ok()
    {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(LOOK);
        }
    }
    // It may have ended by itself.
    let _ = child.kill();
}

/// A folder that nobody else can enter, removed with all that an editor leaves in it.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn create() -> Result<Self, Failure> {
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let in_memory = own.into_iter().chain([PathBuf::from("/dev/shm")]);
        let mut random = [0; 8];
        system::rng().fill_bytes(&mut random);
        let name = format!("sealdrop-{}", encoding::hex(&random));
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        for path in in_memory.filter(|path| path.is_dir()) {
            let path = path.join(&name);
            if builder.create(&path).is_ok() {
                return Ok(Self(path));
            }
        }
        let path = std::env::temp_dir().join(name);
        builder
            .create(&path)
            .map_err(|error| files::cannot_read(&path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &[u8]) -> Result<String, String> {
        lines_from(text).map_err(|failure| failure.message)
    }

    #[test]
    fn lines_end_with_a_full_stop_or_the_end_of_input() {
        assert_eq!(typed(b"one\r\n\ntwo\n.\nmore\n").unwrap(), "one\n\ntwo\n");
        assert_eq!(typed(b"one").unwrap(), "one\n");
        assert_eq!(typed(b"").unwrap(), "");
    }

    #[test]
    fn a_line_that_the_terminal_cut_off_is_refused() {
        let fits = format!("{}\n", "x".repeat(TERMINAL_LINE - 1));
        assert_eq!(typed(fits.as_bytes()).unwrap(), fits);
        for cut in ["x".repeat(TERMINAL_LINE).into_bytes(), {
            // Within a character.
            let mut line = "ö".repeat(2048).into_bytes();
            line.truncate(TERMINAL_LINE);
            line
        }] {
            let error = typed(&[&cut[..], b"\n.\n"].concat()).unwrap_err();
            assert!(error.contains("its end was lost"), "{error}");
        }
    }
}
