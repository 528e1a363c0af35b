//! `sealdrop check` with a phrase: what the maintainers answered.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use sealdrop_client::feed::{Feed, Known};
use sealdrop_client::{Found, Standing, show, system};
use sealdrop_core::drop::archive;
use sealdrop_core::encoding;
use sealdrop_core::log::leaf::Leaf;
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::PartKind;
use sealdrop_core::slip::message::{File, Message};
use sealdrop_core::time::{Time, Window};
use serde_json::{Value, json};

use crate::check;
use crate::cli::{CheckArgs, Global};
use crate::conversation::{Conversation, Said, fate};
use crate::failure::Failure;
use crate::fields;
use crate::files::{self, NewFile};
use crate::interrupt::Interrupt;
use crate::network;
use crate::output::{Output, Style};
use crate::phrase;
use crate::reading::Reader;
use crate::state::StateFile;

/// The largest file from a maintainer, decompressed. What may be sent is far smaller; this bounds what a bomb can take.
const MAX_FILE: u64 = 16 << 20;

pub(crate) fn run(args: &CheckArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let address = network::address(args.address.as_deref().unwrap_or_default())?;
    let client = network::client(&address.origin, network::options(global)?, None)?;
    for folder in [&args.output, &args.receipt_dir].into_iter().flatten() {
        make_folder(folder)?;
    }
    let phrase = phrase::get(args.phrase_file.as_deref(), output)?;
    let keys = phrase.keys(&address.box_key);
    let state = args.state.as_deref();
    let mut state = state.map(|path| StateFile::open(path, &keys)).transpose()?;
    let reader = Reader {
        client,
        address,
        keys,
    };

    // Everything from the first request to the last follows from the box, and from the state's age: nothing that is found may change what is asked.
    let known = state.as_ref().and_then(StateFile::state);
    let known = known.map(|state| Known {
        state,
        is_fetched_again: false,
    });
    let reading = reader
        .read(known, Some(output))
        .map_err(|unread| unread.failure)?;
    let unkept = state.as_mut().and_then(|file| {
        // A file that is half made would be in the way of the next check.
        let _interrupt = Interrupt::catch();
        file.keep(reading.to_state(), &reader.keys).err()
    });
    for remark in &reading.remarks {
        output.note(remark);
    }

    let (feed, roster) = (&reading.feed, reading.the_box.roster());
    let conversation = reader.conversation(&reading, &feed.found);
    let mut shown = Shown {
        output,
        roster,
        feed,
        files: args.output.as_deref(),
        receipts: args.receipt_dir.as_deref(),
        text: String::new(),
        failed: unkept,
    };
    let (text, fields) = shown.all(&conversation);
    match shown.failed {
        None => {
            output.result(&text, fields);
            Ok(())
        }
        Some(failure) => {
            output.before_failure(&text);
            Err(failure.with(fields))
        }
    }
}

/// A folder that is there, or a new one of one's own.
fn make_folder(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| {
        Failure::usage(format!(
            "the folder {} cannot be made: {}",
            path.display(),
            files::reason(&error)
        ))
    })
}

/// What is shown, and written on the way.
struct Shown<'a> {
    output: &'a Output,
    roster: &'a Roster,
    feed: &'a Feed,
    files: Option<&'a Path>,
    receipts: Option<&'a Path>,
    text: String,
    /// The first thing that could not be written: the rest is shown all the same.
    failed: Option<Failure>,
}

impl Shown<'_> {
    fn all(&mut self, conversation: &Conversation) -> (String, serde_json::Map<String, Value>) {
        let mut messages = Vec::new();
        let mut incomplete = Vec::new();
        let is_empty = conversation.said.is_empty()
            && conversation.forged.is_empty()
            && conversation.unchecked.is_empty();
        if is_empty {
            self.text.push_str(&format!(
                "{} A phrase that was never used with this box looks the same.\n",
                self.output.out(Style::Yellow, "No answer yet.")
            ));
        }
        let roster = self.roster();
        let state = conversation.state();
        if let Some(state) = &state {
            let since = self.day(state.since);
            self.text.push_str(&format!(
                "State: {}, since {since}\n",
                self.output.out(Style::Bold, &state.name)
            ));
        }
        let today = show::day(system::now());
        let dates = conversation.dates();
        for date in &dates {
            let fate = match &date.met {
                Some(met) => format!(", met on {met}"),
                None if fate(date, &today) == "overdue" => ", overdue".into(),
                None => String::new(),
            };
            self.text.push_str(&format!(
                "Date: {} promised for {}{fate}\n",
                date.what, date.on
            ));
        }
        for said in &conversation.said {
            match said.message() {
                Some(message) => messages.push(self.message(said, message.ok())),
                None => incomplete.push(self.incomplete(said)),
            }
        }
        for window in &conversation.forged {
            self.text.push_str(&format!(
                "\n{} a slip of {} came for you that no member signed. It is not the team's.\n",
                self.output.out(Style::Red, "FORGED:"),
                self.at(*window),
            ));
        }
        for (window, epoch) in &conversation.unchecked {
            self.text.push_str(&format!(
                "\n{} a slip of {} came for you that cannot be checked: the server does not show roster {epoch}. Take it for nobody's.\n",
                self.output.out(Style::Red, "NOT CHECKED:"),
                self.at(*window),
            ));
        }
        if conversation.stale > 0 {
            self.text.push_str(&format!(
                "\nLeft out: {}, under a roster that was past when the server put it into the feed. It is an old one, sent again.\n",
                match conversation.stale {
                    1 => "1 slip".into(),
                    n => format!("{n} slips, each"),
                }
            ));
        }
        let feed = self.read();
        let not_shown = self.not_shown();
        let fields = fields! {
            "answered": !messages.is_empty(),
            "state": state.map(|state| state.name),
            "dates": dates.iter().map(|date| json!({ "what": date.what, "on": date.on, "met": date.met, "state": fate(date, &today) })).collect::<Vec<_>>(),
            "messages": messages,
            "incomplete": incomplete,
            "forged": conversation.forged.iter().map(|window| window.0).collect::<Vec<_>>(),
            "unchecked": conversation.unchecked.iter().map(|(window, epoch)| json!({ "window": window.0, "epoch": epoch })).collect::<Vec<_>>(),
            "stale": conversation.stale,
            "roster": roster,
            "not_shown": not_shown,
            "feed": feed,
        };
        (std::mem::take(&mut self.text), fields)
    }

    /// One message, whole; `None` for parts that make none.
    fn message(&mut self, said: &Said, message: Option<Message>) -> Value {
        let (envelope, is_of_the_team) = (said.envelope(), said.is_of_the_team());
        // Handles are plain ASCII by the rules of the part.
        let what = match said.kind() {
            PartKind::Ack => "has your report",
            PartKind::Question => "asks",
            PartKind::Status => "says what state it is in",
            PartKind::Dates => "names dates",
            PartKind::Note => "writes",
            PartKind::Closed => "closed the report",
            PartKind::File => "sends a file",
        };
        self.text.push_str(&format!(
            "\n{}  {} {what}\n",
            self.at(said.window),
            self.output.out(Style::Bold, &envelope.member)
        ));
        let member = &envelope.member;
        let why = match said.standing {
            Standing::Team => None,
            Standing::Left => Some(format!("it was logged after {member} had left the team.")),
            Standing::Unclear => Some(format!(
                "{member} has left the team, and the server does not show the rosters that say when."
            )),
        };
        if let Some(why) = why {
            self.text.push_str(&format!(
                "    {} {why}\n",
                self.output.out(Style::Red, "NOT THE TEAM'S:"),
            ));
        }
        let mut json = json!({
            "id": encoding::hex(&envelope.message),
            "member": envelope.member,
            "kind": said.kind().as_str(),
            "window": said.window.0,
            "time": self.end(said.window).0,
            "team": is_of_the_team,
            "readable": message.is_some(),
        });
        let Some(message) = message else {
            self.text
                .push_str("    All parts are here, and they do not make a message.\n");
            return json;
        };
        self.text
            .push_str(&self.output.shown(&message.text, "    "));
        if let Some(state) = &message.state {
            self.text.push_str(&format!("    state: {state}\n"));
        }
        for date in &message.dates {
            let met = date.met.as_ref();
            let met = met.map_or(String::new(), |met| format!(", met on {met}"));
            self.text
                .push_str(&format!("    {} on {}{met}\n", date.what, date.on));
        }
        let leaves: Vec<Value> = message.leaves.iter().map(|leaf| self.leaf(leaf)).collect();
        let file = message
            .file
            .as_ref()
            .map(|file| self.file(said, file, is_of_the_team));
        let more = fields! {
            "text": message.text,
            "state": message.state,
            "dates": message.dates,
            "leaves": leaves,
            "file": file,
        };
        if let Value::Object(fields) = &mut json {
            fields.extend(more);
        }
        json
    }

    /// A drop that the maintainers say they received: it is looked for in the log that is here already.
    fn leaf(&mut self, leaf: &Leaf) -> Value {
        let found = self.feed.log.find(leaf, self.roster);
        let mut proof = None;
        let state = match &found {
            Ok(Some(found)) => {
                if let Some(folder) = self.receipts {
                    match write_proof(folder, leaf, found, self.roster) {
                        Ok(path) => proof = Some(path),
                        Err(failure) => drop(self.failed.get_or_insert(failure)),
                    }
                }
                found.proven.logged().state().as_str()
            }
            Ok(None) => "not in the log",
            Err(_) => "in a log with a cosignature that does not verify",
        };
        let proof = proof.map(|path| path.display().to_string());
        self.text.push_str(&format!(
            "    received: what you left in the window of {} ({}), {state}{}\n",
            self.at(leaf.window),
            show::bytes(leaf.size),
            proof
                .as_ref()
                .map(|path| format!("; proof: {path}"))
                .unwrap_or_default(),
        ));
        json!({
            "digest": encoding::hex(&leaf.digest),
            "size": leaf.size,
            "window": leaf.window.0,
            "state": state,
            "proof": proof,
        })
    }

    /// A file, which is written only where it was asked for, under a name that is ours.
    fn file(&mut self, said: &Said, file: &File, is_of_the_team: bool) -> Value {
        let name = show::line(&file.name);
        let mut saved = None;
        let outcome = match (self.files, unpack(file)) {
            (_, None) => "it is not what it says it is, and is not written".into(),
            (_, Some(_)) if !is_of_the_team => "not written".into(),
            (None, Some(_)) => "-o DIR writes it".into(),
            (Some(folder), Some(content)) => {
                match write_file(folder, &said.envelope().message, &file.name, &content) {
                    Ok(path) => saved.insert(path.display().to_string()).clone(),
                    Err(failure) => {
                        self.failed.get_or_insert(failure);
                        "it could not be written".into()
                    }
                }
            }
        };
        let line = format!("file: {name} ({}): {outcome}", show::bytes(file.size));
        self.text.push_str(&self.output.shown(&line, "    "));
        json!({"name": file.name, "size": file.size, "saved": saved})
    }

    fn incomplete(&mut self, said: &Said) -> Value {
        let (here, parts) = said.parts();
        let member = &said.envelope().member;
        let whose = if said.is_of_the_team() {
            ""
        } else {
            ", who had left the team"
        };
        self.text.push_str(&format!(
            "\nOn its way since {}: a message by {member}{whose}, {here} of {parts} parts so far\n",
            self.at(said.window)
        ));
        json!({
            "id": encoding::hex(&said.envelope().message),
            "member": member,
            "kind": said.kind().as_str(),
            "window": said.window.0,
            "team": said.is_of_the_team(),
            "parts_here": here,
            "parts": parts,
        })
    }

    /// How much of the feed there was. What is not there, a server may be hiding: the reporter is told.
    fn read(&mut self) -> Value {
        let windows: BTreeSet<u64> = self.feed.segments.iter().map(|l| l.window.0).collect();
        let (first, last) = (windows.first().copied(), windows.last().copied());
        // The last window that is over, and one to spare for a clock.
        let due = system::now()
            .window(self.roster.window_length())
            .0
            .saturating_sub(2);
        let begins = self.feed.begins.0;
        let from = first.map_or(begins, |first| first.min(begins));
        let is_missing = |window: &u64| !windows.contains(window);
        let missing = (from..=due).filter(is_missing).count();
        let lately = (last.map_or(from, |last| last + 1)..=due).count();
        match (first, last) {
            (Some(first), Some(last)) => self.text.push_str(&format!(
                "\nRead: {}{} of the feed, from {} to {}.\n",
                match windows.len() {
                    1 => "1 segment".into(),
                    n => format!("{n} segments"),
                },
                match self.feed.fetched {
                    n if n == windows.len() => String::new(),
                    0 => " (none of them new)".into(),
                    n => format!(" ({n} of them new)"),
                },
                self.at(Window(first)),
                self.at(Window(last)),
            )),
            _ => self.text.push_str("\nRead: the feed, which is empty.\n"),
        }
        let windows_have = |count: usize| match count {
            1 => "1 window has".into(),
            n => format!("{n} windows have"),
        };
        if missing > lately {
            self.text.push_str(&format!(
                "{} no segment: the server was down then, or hides what was answered.\n",
                windows_have(missing - lately)
            ));
        }
        if lately > 0 {
            self.text.push_str(&format!(
                "The last {} none: the server is behind, or hides what was answered, or the clock of this machine is wrong (it says {}).\n",
                windows_have(lately),
                show::minute(system::now())
            ));
        }
        json!({
            "segments": windows.len(),
            "fetched": self.feed.fetched,
            "first": first,
            "last": last,
            "missing": missing,
        })
    }

    /// The roster that was shown as the one in force. Without a state nobody can tell whether there is a newer one: the reader sees its dates.
    fn roster(&mut self) -> Value {
        let roster = self.roster;
        let is_expired = roster.expires() <= system::now();
        let expires = show::day(roster.expires());
        let expires = if is_expired {
            self.output.out(Style::Red, &format!("EXPIRED {expires}"))
        } else {
            format!("expires {expires}")
        };
        self.text.push_str(&format!(
            "Roster {}, issued {}, {expires}.\n",
            roster.epoch(),
            show::day(roster.issued()),
        ));
        json!({
            "epoch": roster.epoch(),
            "issued": roster.issued().0,
            "expires": roster.expires().0,
            "expired": is_expired,
        })
    }

    /// The rosters that were in force meanwhile and that the server does not show: pairs of the first and the last epoch.
    fn not_shown(&mut self) -> Vec<[u64; 2]> {
        let gaps = self.feed.rosters.not_shown();
        for gap in &gaps {
            let which = match (gap.start(), gap.end()) {
                (first, last) if first == last => format!("Roster {first} was"),
                (first, last) => format!("Rosters {first} to {last} were"),
            };
            self.text.push_str(&format!(
                "{which} not shown: given up by the project, or the server hides who left the team, or what was answered.\n"
            ));
        }
        gaps.iter().map(|gap| [*gap.start(), *gap.end()]).collect()
    }

    fn end(&self, window: Window) -> Time {
        window.end(self.roster.window_length())
    }

    /// When something was logged: at the end of its window.
    fn at(&self, window: Window) -> String {
        show::minute(self.end(window))
    }

    fn day(&self, window: Window) -> String {
        show::day(self.end(window))
    }
}

/// The content of a file, if it is of the size that was announced, and not too large.
fn unpack(file: &File) -> Option<Vec<u8>> {
    if file.size > MAX_FILE {
        return None;
    }
    let limit = usize::try_from(file.size).ok()?;
    // A limit of nothing would be none for the decoder.
    let content = decompress_to_vec_zlib_with_limit(&file.zlib, limit.max(1)).ok()?;
    (content.len() == limit).then_some(content)
}

/// Writes a file from a maintainer. Its name is the message's id and the safe form of what it is called: never a path, never another file's.
fn write_file(
    folder: &Path,
    message: &[u8; 16],
    name: &str,
    content: &[u8],
) -> Result<PathBuf, Failure> {
    let member = archive::attachment_member(0, name);
    let safe = member.trim_start_matches("attachments/001-");
    let path = folder.join(format!("{}-{safe}", encoding::hex(&message[..4])));
    // It was written by an earlier check.
    if files::read(&path, content.len()).is_ok_and(|there| there == content) {
        return Ok(path);
    }
    let mut file = NewFile::create(&path)?;
    file.write(content)?;
    file.keep()
}

/// Writes a proof, unless an earlier one that is there shows as much.
fn write_proof(
    folder: &Path,
    leaf: &Leaf,
    found: &Found,
    roster: &Roster,
) -> Result<PathBuf, Failure> {
    let name = format!("{}.tlog-proof", encoding::hex(&leaf.digest[..8]));
    let path = folder.join(name);
    let older = check::older_proof(&path, leaf, roster);
    let is_better = |older: &Found| check::members(found) > check::members(older);
    if older.as_ref().is_none_or(is_better) {
        if path.exists() && older.is_none() {
            return Err(Failure::usage(format!(
                "{} is not a proof of this drop, and is not overwritten",
                path.display()
            ))
            .hint("move it away, or give another folder"));
        }
        files::replace(&path, found.receipt.to_string().as_bytes())?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    fn file(content: &[u8], size: u64) -> File {
        File {
            name: "f".into(),
            zlib: compress_to_vec_zlib(content, 9),
            size,
        }
    }

    #[test]
    fn a_file_is_unpacked_to_the_size_it_announces_and_no_further() {
        assert_eq!(unpack(&file(b"patch", 5)).as_deref(), Some(&b"patch"[..]));
        assert_eq!(unpack(&file(b"", 0)).as_deref(), Some(&b""[..]));
        for bad in [file(b"patch", 4), file(b"patch", 6), file(b"x", 0)] {
            assert_eq!(unpack(&bad), None);
        }
        let bomb = vec![0; 17 << 20];
        assert_eq!(unpack(&file(&bomb, 17 << 20)), None);
        assert_eq!(unpack(&file(&bomb, 1 << 20)), None);
        let mut broken = file(b"patch", 5);
        broken.zlib.truncate(6);
        assert_eq!(unpack(&broken), None);
    }

    #[test]
    fn a_files_name_is_never_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| write_file(folder.path(), &[0xab; 16], name, b"x").unwrap();
        for name in [
            "../../etc/passwd",
            "/abs",
            "..",
            "a\0b",
            "\u{202e}x",
            ".bashrc",
        ] {
            let path = write(name);
            assert_eq!(path.parent(), Some(folder.path()), "{name:?}");
            assert!(path.is_file(), "{name:?}");
        }
        // The same again is the one that is there; another under its name is not written over it.
        write("fix.patch");
        write("fix.patch");
        assert!(write_file(folder.path(), &[0xab; 16], "fix.patch", b"y").is_err());
    }
}
