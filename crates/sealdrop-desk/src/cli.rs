//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{
    agent, answer, bundle, destroy, inbox, init, policy, publish, recovery, reseal, rotate, sync,
};

/// Sealdrop for maintainers: make a drop box, fetch what reporters left in it, and read it.
///
/// A box is reached by its drop address, https://host#sdbox1…, which you put into SECURITY.md. The server keeps what it cannot read; this program
/// fetches it, checks that the server hides nothing, and opens it here. Opened text is shown and never stored.
#[derive(Parser)]
#[command(
    name = "sealdrop-desk",
    version,
    max_term_width = 80,
    propagate_version = true
)]
#[command(after_long_help = "A new box:
  sealdrop-desk init                                  make the keys
  sealdrop-server --data DIR --box sdbox1…            on the server
  sealdrop-desk publish --origin https://drop.example.org
  sealdrop-desk address                               the address, for SECURITY.md

Every day:
  sealdrop-desk sync                                  fetch, check, cosign
  sealdrop-desk inbox                                 what there is
  sealdrop-desk open 1                                read case 1
  sealdrop-desk attachments 1 -o case-1               write its attachments out
  sealdrop-desk reply 1                               answer, in your editor
  sealdrop-desk sync                                  posts what waits, once per window
  sealdrop-desk agent                                 or leave it to a machine that is always on

Another member joins:
  sealdrop-desk init --join ADDRESS --member ben      Ben makes his keys
  sealdrop-desk keys --card > card.json               and sends this card
  sealdrop-desk member add card.json                  to whoever holds the box key,
  sealdrop-desk publish                               who compares fingerprints and publishes
  sealdrop-desk reseal --all                          gives Ben the older cases

Every month:
  sealdrop-desk rotate                                a new identity for new reports
  sealdrop-desk destroy-epoch                         the end of those that are over

Exit codes: 0 done; 1 refused, or something is wrong; 2 the command line is wrong.")]
pub(crate) struct Cli {
    /// The folder with keys and drops [default: ~/.local/share/sealdrop-desk]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SEALDROP_HOME",
        help_heading = "Every command"
    )]
    pub(crate) home: Option<PathBuf>,
    /// Read the passphrase from the first line of FILE, for scripts; otherwise it is asked for
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SEALDROP_PASSPHRASE_FILE",
        help_heading = "Every command"
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Reach the server through a SOCKS proxy: socks5h://[user:password@]host:port
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SEALDROP_PROXY",
        hide_env_values = true,
        help_heading = "Network"
    )]
    pub(crate) proxy: Option<String>,
    /// Reach the server through Tor on this machine: the same as --proxy socks5h://127.0.0.1:9050
    #[arg(
        long,
        global = true,
        conflicts_with = "proxy",
        help_heading = "Network"
    )]
    pub(crate) tor: bool,
    /// Trust only the certificate authorities in this PEM file, for a server with a certificate of its own
    #[arg(
        long,
        alias = "ca-file",
        global = true,
        value_name = "FILE",
        help_heading = "Network"
    )]
    pub(crate) ca: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Every command")]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the keys: of a new box, or of a member or machine of one that exists
    ///
    /// Makes the home folder with a keyring that is sealed with a passphrase. For a new box that is the box key, your identity (which opens
    /// reports), your voice key, and this machine's keys. With --join it is yours alone, and prints a card for whoever holds the box key.
    Init(init::Init),
    /// Sign the next roster and take it to the server
    ///
    /// The roster says who receives reports. It takes in what `member add` and `member remove` have prepared. Needs the box key; on a machine
    /// without it, hands in a roster that came by `bundle in`.
    Publish(publish::Publish),
    /// Who receives reports, and with which keys
    #[command(subcommand)]
    Member(Member),
    /// The drop address, as text and as a code for a camera
    Address {
        /// Write the code as an SVG picture to FILE instead
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Fetch new drops, check the server's log, and cosign it
    ///
    /// Fails loudly, and cosigns nothing, if the server hides, changes or misses a drop, or shows another log than before. Once per window it also
    /// posts your share of slips, decoys where no answer waits, and checks that the ones before are in the feed.
    Sync(sync::Sync),
    /// Sync once per window, at a moment drawn at random, until it is told to stop
    ///
    /// For a machine that is always on; one made with `init --join ADDRESS --device-only` opens nothing and signs no answer. Nobody learns from its
    /// times when you wrote. A sync that fails is tried again within its window. SIGTERM or Ctrl-C ends it. Other commands work beside it, such as
    /// `bundle in`, which brings it answers from the machine where you write. It prints one line for each sync, with --json one object.
    #[command(after_long_help = agent::HELP)]
    Agent(agent::Agent),
    /// The cases there are: a report and what its reporter added to it
    Inbox {
        /// Also list, one by one, what is only counted otherwise: self-tests by `doctor`, and drops that were never meant for you
        #[arg(long)]
        all: bool,
        /// Open again what this program failed at or was stopped in: drops in quarantine not for what is in them
        #[arg(long)]
        again: bool,
        #[command(flatten)]
        from: inbox::From,
    },
    /// Show a case. Control characters in it are shown as escapes
    Open {
        /// The number of the case, from `inbox`
        case: u64,
        #[command(flatten)]
        from: inbox::From,
    },
    /// Write the attachments of a case into a folder
    ///
    /// Files get safe names, appear only after the whole drop was verified, and never replace one that is there. They come from a stranger: open
    /// them where they can do no harm.
    Attachments {
        /// The number of the case, from `inbox`
        case: u64,
        /// The folder
        #[arg(short, long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        from: inbox::From,
    },
    /// Answer the reporter of a case, in words or with a file
    ///
    /// The text comes from --text, from --from, from standard input, or from your editor ($VISUAL or $EDITOR). It is sealed to the reporter, signed by
    /// you, and waits in the outbox as slips of 4,096 bytes: a slip holds some 2,000 bytes of it. `sync` posts as many slips in each window whether
    /// anything waits or not, so nobody can tell when you answered, or whom. The reporter finds it with the phrase.
    Reply(answer::Reply),
    /// Ask the reporter of a case something: a reply that is shown as a question
    Ask(answer::Ask),
    /// Propose a day to the reporter of a case, for instance that of disclosure
    ProposeDate(answer::ProposeDate),
    /// Tell the reporter of a case that what was promised for a day has happened
    Met(answer::Met),
    /// Tell the reporter of a case what state the report is in
    Status(answer::Status),
    /// Tell the reporter of a case that it is closed
    Close(answer::Close),
    /// Tell the reporter of a case which of the drops you received
    ///
    /// It names their entries in the log, of those that are on this machine, so that the reporter can fetch the proof. Nothing acknowledges by itself.
    Ack(answer::Ack),
    /// Verify a reporter's claim on a conversation: the name that its phrase signed
    ///
    /// Needs no passphrase. It names the case, if one of that conversation was opened here. The claim proves that whoever holds the phrase signed that
    /// name, and not that the name is theirs. Whoever else sees it learns who reported what.
    VerifyClaim {
        /// What `sealdrop claim` wrote
        file: PathBuf,
    },
    /// The texts that you send often, for `reply N --canned NAME`
    ///
    /// Each is a file in the folder `canned` of the home folder, which you write there: `canned/thanks.txt` is `--canned thanks`. With --edit it
    /// opens in the editor first.
    Canned,
    /// The answers that wait or are on their way, and when they will have arrived
    Outbox,
    /// Give every member what opens older cases, for instance one who has joined since
    ///
    /// A case's drops are sealed to who was a member when they came. This gives the keys of those drops, and nothing else, to every member of the roster in
    /// force, in a team event that looks to the server like any report. It is also how a case stays readable when the epoch that it was sealed to is destroyed.
    Reseal(reseal::Reseal),
    /// The keys of this machine: fingerprints, what the roster says of them, and your card
    #[command(args_conflicts_with_subcommands = true)]
    Keys {
        /// Print the member card, and nothing else
        #[arg(long)]
        card: bool,
        #[command(subcommand)]
        command: Option<Keys>,
    },
    /// Begin a new recipient epoch: a fresh identity for new reports
    ///
    /// The identities before stay in the keyring and open what was sealed to them, until `destroy-epoch` ends them. Where the box key is, the new recipient is
    /// published at once, unless something else waits for `publish`; elsewhere this prints your card, for whoever holds the box key. Do it once a month: what
    /// is stolen later then opens less.
    Rotate(rotate::Rotate),
    /// End old recipient epochs: destroy the identities for which nothing new can come
    ///
    /// Without a fingerprint, each that is due: `keys` shows from when on. It shows first which cases, drops and answers can be read here no longer, and asks.
    /// Then the identity goes from the keyring and the recovery file; whoever steals them afterwards opens nothing of that epoch. Copies elsewhere are yours to
    /// destroy: backups, exported identities, older recovery files.
    DestroyEpoch(destroy::DestroyEpoch),
    /// Share the box key among members, so that some of them together restore it
    ///
    /// Whoever holds the box key splits it once, and again when members change. Each member keeps a share. When the key is lost, as many as it needs give
    /// theirs to one of them, who joins them and publishes.
    #[command(subcommand)]
    Recovery(recovery::Recovery),
    /// Ask the server to remove the drops of a window before their time
    ///
    /// It does so when every member has cosigned them, that is, holds them.
    Release {
        /// The number of the window
        window: u64,
    },
    /// What a project asks of reporters and promises them: check it, and write SECURITY.md from it
    #[command(subcommand)]
    Policy(policy::Command),
    /// Check everything: keys, roster, server, log; and file a self-test through the public door and open it
    Doctor {
        /// File no self-test
        #[arg(long)]
        no_report: bool,
    },
    /// Carry drops to a machine that never connects, and rosters and verdicts back
    #[command(subcommand)]
    Bundle(Bundle),
    /// Completions for a shell, on standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Manual pages: into DIR, one for each command, or the main one on standard output
    Man {
        /// The folder
        dir: Option<PathBuf>,
    },
}

/// What to do with the keys.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Write your identity, unsealed, to a file that the stock `age` reads
    ///
    /// With it, Go's age 1.3 or later and tar open drops without Sealdrop. Whoever has that file can open every report that was ever sealed to you.
    ExportIdentity {
        /// The file; one that is there is not replaced
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Changes become real with the next `publish`.
#[derive(Subcommand)]
pub(crate) enum Member {
    /// Add a member or a machine from a card, or change their keys
    Add {
        /// The card, as `init --join` or `keys --card` printed it
        card: PathBuf,
    },
    /// Remove a member with all machines, or one machine (`name/machine`)
    Remove {
        /// The name
        name: String,
    },
    /// Who is in the roster, with fingerprints, and what the next one will change
    List,
}

/// To and from a machine that never connects.
#[derive(Subcommand)]
pub(crate) enum Bundle {
    /// Write drops, rosters, the log and verdicts to a file
    Out(bundle::Out),
    /// Take over such a file
    In {
        /// The bundle; `-` is standard input
        file: PathBuf,
    },
}
