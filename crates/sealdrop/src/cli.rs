//! The command line. Its help is written to be read once from the top, and every example in it is one that works.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use sealdrop_client::Proxy;

use crate::failure::Failure;
use crate::fields;
use crate::files::NewFile;
use crate::help;
use crate::output::{Output, word};
use crate::watch;

/// Seal a security report so that only a project's maintainers can read it, and leave it in their drop box.
///
/// A drop address stands in a project's SECURITY.md and looks like https://drop.example.org#sdbox1…; the part behind the # is the key
/// that everything is checked against, so copy all of it. The server never sees your report: it is encrypted on this machine.
#[derive(Parser)]
#[command(name = "sealdrop", version, max_term_width = 80, after_long_help = help::PROGRAM, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args)]
pub(crate) struct Global {
    /// Print one JSON object on standard output instead of text, of a failure too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Send everything through Tor on this machine (socks5h://127.0.0.1:9050)
    #[arg(
        long,
        global = true,
        conflicts_with = "proxy",
        help_heading = "Network"
    )]
    pub(crate) tor: bool,
    /// Send everything through this SOCKS proxy: socks5h://[user:password@]host:port
    #[arg(long, global = true, value_name = "URL", help_heading = "Network")]
    pub(crate) proxy: Option<String>,
    /// Trust only the certificate authorities in this PEM file, for a server with a certificate of its own
    #[arg(long, alias = "ca-file", global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Network")]
    pub(crate) ca: Option<PathBuf>,
}

impl Global {
    /// `sealdrop` with the options that say how the network is reached, for a command that a person is told to run next: without them it would
    /// go around the proxy and give a reporter away. A proxy's password is left out.
    pub(crate) fn program(&self) -> String {
        let mut program = String::from("sealdrop");
        if self.tor {
            program.push_str(" --tor");
        }
        if let Some(proxy) = self.proxy.as_deref().and_then(|url| Proxy::parse(url).ok()) {
            program.push_str(&format!(" --proxy socks5h://{proxy}"));
        }
        if let Some(ca) = &self.ca {
            program.push_str(&format!(" --ca {}", word(ca)));
        }
        program
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Seal a report and send it
    Submit(SubmitArgs),
    /// Show who receives what is sent to a box, or save it for sealing offline
    Box(BoxArgs),
    /// Seal a report without any network
    Seal(SealArgs),
    /// Send a drop that was sealed before
    Post(PostArgs),
    /// Show what the maintainers answered, or what became of a drop
    Check(CheckArgs),
    /// Look for answers at a steady rhythm, and say only that there is something new
    Watch(WatchArgs),
    /// Write again in a conversation: answer a question, add to a report
    Reply(ReplyArgs),
    /// Take a report back
    Withdraw(WithdrawArgs),
    /// Tie your name to a conversation, to take credit; without any network
    Claim(ClaimArgs),
    /// Verify a receipt or proof, without any network
    Verify(VerifyArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them to a folder
    Man(ManArgs),
}

/// What is sent along.
#[derive(Args, Clone, Default)]
#[group(skip)]
pub(crate) struct FileArgs {
    /// Files to send along, many and of any size; only their names are sent, never their paths
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Attachments", value_hint = ValueHint::FilePath)]
    pub(crate) attach: Vec<PathBuf>,
    /// Remove what unmasks (camera, place, software, comments) from JPEG and PNG attachments; the files themselves stay as they are
    #[arg(long, help_heading = "Attachments")]
    pub(crate) strip: bool,
}

/// The report itself.
#[derive(Args, Default)]
#[group(skip)]
pub(crate) struct ReportArgs {
    /// One line that says what it is, at most 256 characters
    #[arg(long, value_name = "TEXT", help_heading = "Report")]
    pub(crate) title: Option<String>,
    /// What is wrong and what it allows
    #[arg(long, value_name = "TEXT", help_heading = "Report")]
    pub(crate) description: Option<String>,
    /// How to reproduce it
    #[arg(long, value_name = "TEXT", help_heading = "Report")]
    pub(crate) steps: Option<String>,
    /// Which versions are affected
    #[arg(long, value_name = "TEXT", help_heading = "Report")]
    pub(crate) versions: Option<String>,
    /// The name to credit, or `none`
    #[arg(long, value_name = "NAME", help_heading = "Report")]
    pub(crate) credit: Option<String>,
    /// Take the report from a file: Markdown, TOML (by its name), or `-` for Markdown on standard input
    ///
    /// Markdown: the first `# heading` is the title; `## Description`, `## Steps`, `## Versions` and `## Credit` begin those parts;
    /// text before the first of them is description. TOML: the keys title, description, steps, versions, credit. Flags come
    /// before the file.
    #[arg(long, value_name = "FILE", help_heading = "Report", value_hint = ValueHint::FilePath)]
    pub(crate) from: Option<PathBuf>,
    /// Write the report in $VISUAL or $EDITOR
    #[arg(long, help_heading = "Report")]
    pub(crate) edit: bool,
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// Do not ask before sealing
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// What is kept of something that is sent.
#[derive(Args, Clone)]
#[group(skip)]
pub(crate) struct KeepArgs {
    /// Write the receipt here, and its secret part, the file key, to FILE.key, readable by you alone; to prove later what the report says, add --save
    #[arg(long, value_name = "FILE", help_heading = "What to keep", value_hint = ValueHint::FilePath)]
    pub(crate) receipt: Option<PathBuf>,
    /// Keep the sealed drop, to be posted later if it cannot be sent now; `verify` needs it to show what was logged: receipt and key prove nothing about its content without it. Ctrl-C keeps nothing
    #[arg(long, value_name = "FILE", help_heading = "What to keep", value_hint = ValueHint::FilePath)]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Args)]
#[command(override_usage = "sealdrop submit <ADDRESS> [OPTIONS]", after_long_help = help::SUBMIT)]
pub(crate) struct SubmitArgs {
    /// The drop address, https://…#sdbox1…
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

#[derive(Args)]
#[command(after_long_help = help::BOX)]
pub(crate) struct BoxArgs {
    /// The drop address, https://…#sdbox1…
    pub(crate) address: String,
    /// Save roster and policy, for `sealdrop seal --box`
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Name the members added or removed since this file was saved, with their fingerprints
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) since: Option<PathBuf>,
    /// Print the policy instead
    #[arg(long)]
    pub(crate) policy: bool,
}

#[derive(Args)]
#[command(override_usage = "sealdrop seal <ADDRESS> --box <FILE> --output <FILE> [OPTIONS]", after_long_help = help::SEAL)]
pub(crate) struct SealArgs {
    /// The drop address, https://…#sdbox1…
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    /// What `sealdrop box -o` saved
    #[arg(long = "box", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) box_file: PathBuf,
    /// Where to write the drop, and beside it, as FILE.box, for which box it was sealed
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
    /// Where to write the file key, readable by you alone; with it `verify` shows what was logged
    #[arg(long, value_name = "FILE", help_heading = "What to keep", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_long_help = help::POST)]
pub(crate) struct PostArgs {
    /// The drop address, https://…#sdbox1…
    pub(crate) address: String,
    /// The drop that `sealdrop seal` wrote, with FILE.box beside it, which says for which box it was sealed
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// What was sealed to, as `sealdrop box -o` saved it, if FILE.box is no longer beside the drop
    #[arg(long = "box", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) box_file: Option<PathBuf>,
    /// Write the receipt here
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) receipt: Option<PathBuf>,
    /// Go on with an upload that was interrupted
    #[arg(long, value_name = "ID")]
    pub(crate) resume: Option<String>,
}

#[derive(Args)]
#[command(after_long_help = help::CHECK)]
pub(crate) struct CheckArgs {
    /// The drop address; with a receipt it can be left out
    #[arg(required_unless_present = "receipt")]
    pub(crate) address: Option<String>,
    /// Ask what became of one drop: what `submit --receipt` wrote, or an older proof
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) receipt: Option<PathBuf>,
    /// Take the phrase from a file, or from standard input (-), instead of being asked
    #[arg(long, value_name = "FILE", conflicts_with = "receipt", value_hint = ValueHint::FilePath)]
    pub(crate) phrase_file: Option<PathBuf>,
    /// With the phrase: the folder for files that the maintainers sent. With a receipt: where the proof (C2SP tlog-proof) goes, instead of to FILE.tlog-proof beside it
    #[arg(long, short, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,
    /// With the phrase: write a proof (C2SP tlog-proof) of each drop that the maintainers say they received to this folder
    #[arg(long, value_name = "DIR", conflicts_with = "receipt", value_hint = ValueHint::DirPath)]
    pub(crate) receipt_dir: Option<PathBuf>,
    /// With the phrase: remember in this file, sealed with the phrase, what was read, and fetch only what is new
    #[arg(long, value_name = "FILE", conflicts_with = "receipt", value_hint = ValueHint::FilePath)]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Args)]
#[command(override_usage = "sealdrop watch <ADDRESS> [OPTIONS]", after_long_help = help::WATCH)]
pub(crate) struct WatchArgs {
    /// The drop address, https://…#sdbox1…
    pub(crate) address: String,
    /// How often to look: a number with s, m, h or d, give or take a quarter
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = watch::parse_rhythm)]
    pub(crate) every: Duration,
    /// Look once, and end: for a timer of your own. Needs --state, which says what is new
    #[arg(long, requires = "state")]
    pub(crate) once: bool,
    /// Take the phrase from a file, or from standard input (-), instead of being asked
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) phrase_file: Option<PathBuf>,
    /// Remember in this file, sealed with the phrase, what was read, and fetch only what is new; `check --state` takes the same file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) state: Option<PathBuf>,
}

/// A conversation that is written to.
#[derive(Args)]
#[group(skip)]
pub(crate) struct ConversationArgs {
    /// The drop address, https://…#sdbox1…
    pub(crate) address: String,
    /// Take the phrase from a file, or from standard input (-), instead of being asked
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) phrase_file: Option<PathBuf>,
    /// Do not ask before sealing
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

#[derive(Args)]
#[command(override_usage = "sealdrop reply <ADDRESS> [OPTIONS]", after_long_help = help::REPLY)]
pub(crate) struct ReplyArgs {
    #[command(flatten)]
    pub(crate) to: ConversationArgs,
    /// What to say
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Take the text from a file, or from standard input (-)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) from: Option<PathBuf>,
    /// Write the text in $VISUAL or $EDITOR
    #[arg(long)]
    pub(crate) edit: bool,
    #[command(flatten)]
    pub(crate) files: FileArgs,
}

#[derive(Args)]
#[command(override_usage = "sealdrop withdraw <ADDRESS> [OPTIONS]", after_long_help = help::WITHDRAW)]
pub(crate) struct WithdrawArgs {
    #[command(flatten)]
    pub(crate) to: ConversationArgs,
    /// Why, if you want to say so
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
}

#[derive(Args)]
#[command(override_usage = "sealdrop claim <ADDRESS> --name <NAME> [OPTIONS]", after_long_help = help::CLAIM)]
pub(crate) struct ClaimArgs {
    /// The drop address, https://…#sdbox1…
    pub(crate) address: String,
    /// Your name, as it is to be credited; at most 256 characters. It unmasks you to whoever sees the claim
    #[arg(long)]
    pub(crate) name: String,
    /// What else is to be signed: one line, at most 1,024 characters
    #[arg(long, value_name = "TEXT")]
    pub(crate) statement: Option<String>,
    /// Take the phrase from a file, or from standard input (-), instead of being asked
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) phrase_file: Option<PathBuf>,
    /// Write the claim here instead of to standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Do not ask before signing
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Args)]
#[command(after_long_help = help::VERIFY)]
pub(crate) struct VerifyArgs {
    /// A receipt (JSON) or a proof (.tlog-proof)
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The drop address, from the project; without it the file is held against the box that it names itself
    #[arg(long)]
    pub(crate) address: Option<String>,
    /// The file key that was saved beside the receipt; it shows what the drop says, so it needs --drop
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// The sealed drop, as `submit --save` or `seal -o` wrote it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) drop: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_long_help = help::COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    pub(crate) shell: Shell,
}

#[derive(Args)]
#[command(after_long_help = help::MAN)]
pub(crate) struct ManArgs {
    /// Write the pages of all commands to this folder
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
}

/// The command line as a whole. What needs no network accepts the options for it, as all commands do, and does not list them.
pub(crate) fn command() -> clap::Command {
    Cli::command().mut_subcommands(|subcommand| {
        if !["seal", "claim", "verify", "completions", "man"].contains(&subcommand.get_name()) {
            return subcommand;
        }
        let unlisted = |id| Arg::new(id).long(id).hide(true);
        subcommand.args([
            unlisted("tor").action(ArgAction::SetTrue),
            unlisted("proxy"),
            unlisted("ca"),
        ])
    })
}

pub(crate) fn completions(args: &CompletionsArgs, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "sealdrop", &mut script);
    let script = String::from_utf8_lossy(&script);
    output.verbatim(&script, fields! {"script": script});
    Ok(())
}

pub(crate) fn man(args: &ManArgs, output: &Output) -> Result<(), Failure> {
    let mut command = command();
    command.build();
    let render = |command: clap::Command| {
        let mut page = Vec::new();
        let name = page_name(&command);
        clap_mangen::Man::new(command)
            .title(name)
            .render(&mut page)
            .expect("a vector takes all that is written");
        page
    };
    let Some(folder) = &args.output else {
        let page = render(command);
        let page = String::from_utf8_lossy(&page);
        output.verbatim(&page, fields! {"page": page});
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|error| crate::files::cannot_read(folder, &error))?;
    let subcommands: Vec<_> = command
        .get_subcommands()
        .filter(|c| c.get_name() != "help")
        .cloned()
        .collect();
    let mut written = Vec::new();
    for page in std::iter::once(command).chain(subcommands) {
        let path = folder.join(format!("{}.1", page_name(&page)));
        let mut file = NewFile::create(&path)?;
        file.write(&render(page))?;
        written.push(file.keep()?.display().to_string());
    }
    output.result(&written.join("\n"), fields! {"written": written});
    Ok(())
}

/// `sealdrop-submit` for `sealdrop submit`.
fn page_name(command: &clap::Command) -> String {
    command
        .get_display_name()
        .unwrap_or(command.get_name())
        .replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_next_command_goes_the_same_way_and_hides_the_password() {
        let program = |args: &[&str]| {
            let args = [&["sealdrop"], args, &["man"]].concat();
            Cli::try_parse_from(args)
                .map(|cli| cli.global.program())
                .ok()
        };
        assert_eq!(program(&[]).as_deref(), Some("sealdrop"));
        assert_eq!(program(&["--tor"]).as_deref(), Some("sealdrop --tor"));
        assert_eq!(
            program(&[
                "--proxy",
                "socks5h://user:secret@127.0.0.1:9150",
                "--ca",
                "ca.pem"
            ])
            .as_deref(),
            Some("sealdrop --proxy socks5h://127.0.0.1:9150 --ca ca.pem")
        );
    }
}
