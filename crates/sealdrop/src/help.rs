//! What stands below the options in the help of each command: examples, states, and the fields of the JSON that `--json` prints.

/// The fields of the JSON of what is sent; `$phrase` is one more line.
macro_rules! sent {
    ($phrase:literal) => {
        concat!(
            "\
Fields of --json:
  state       promised; taken: sent, but the promise is not to be believed; kept: not sent
  address     the drop address
  box         the box in it
  epoch       the epoch of the roster that it was sealed to
  members     their names; not with kept
  digest      hex SHA-256 of the drop, or null if it is not known to be sent; not with kept
  size        bytes of the drop, likewise
  window      the window of the promise, or null; not with kept
  promise     the promise as the server signed it, or null; not with kept",
            $phrase,
            "
  receipt     the file of the receipt, or null; not with kept
  key         the file of the file key, or null
  saved       the file of the sealed drop, or null
  post        the command that sends what was kept"
        )
    };
}

pub(crate) const PROGRAM: &str = "\
Examples:
  sealdrop submit 'https://drop.example.org#sdbox1…'
      asks for the report, shows it, and sends it

  sealdrop submit 'https://drop.example.org#sdbox1…' --from report.md --attach poc.py crash.log --receipt r.json
      takes the report from a file; keeps a receipt and, apart, its secret key

  sealdrop --tor submit 'http://….onion#sdbox1…'
      through Tor on this machine

  sealdrop check 'https://drop.example.org#sdbox1…'
      asks for the phrase, and shows what the maintainers answered; `sealdrop reply` answers them

  sealdrop watch 'https://drop.example.org#sdbox1…'
      looks now and then, and says only that there is something new

  sealdrop check --receipt r.json
      says whether the maintainers have collected it, and writes the proof, r.json.tlog-proof

Quote the address: in a shell, # begins a comment.

Exit codes: 0 done; 1 refused or failed, nothing was changed unless it says so; 2 the command line or a file is not right; 130 stopped.

With --json standard output is one object, whether it works or not; the exit code says which. A failure has these fields, and those of its command that apply. The same sentences are on standard error.
  error       one sentence
  hint        what to do next, a line for each step, or null
  exit        the exit code";

pub(crate) const SUBMIT: &str = concat!(
    "\
A report in Markdown:

  # Overflow in the PNG reader
  A width of 0x7fffffff overflows the row buffer.

  ## Steps
  1. Open poc.png.

  ## Versions
  2.4 to 2.6

  ## Credit
  none

What you are asked for on a terminal can come from flags, from --from, or from --edit. Without a terminal, --yes is needed.

At the end you are shown twelve words, once. They are the only key to this conversation: write them down.

If it cannot be sent, the report is kept, sealed, in the file of --save, or where you say when asked: `sealdrop post` sends it later.

",
    sent!("\n  phrase      the twelve words")
);

pub(crate) const SEAL: &str = "\
Examples:
  sealdrop box 'https://drop.example.org#sdbox1…' -o box.json        where there is a network
  sealdrop seal 'https://drop.example.org#sdbox1…' --box box.json --from report.md -o report.drop
                                                                     where there is none
  sealdrop post 'https://drop.example.org#sdbox1…' report.drop --receipt r.json
                                                                     where there is one again

Beside the drop is written FILE.box, which says for which box it was sealed: take both along.

Fields of --json:
  box         the box in the address
  epoch       the epoch of the roster that it was sealed to
  drop        the file of the drop
  record      the file beside it
  size        bytes of the drop
  key         the file of the file key, or null
  phrase      the twelve words";

pub(crate) const CHECK: &str = "\
Examples:
  sealdrop check 'https://drop.example.org#sdbox1…'
      asks for the phrase, and shows what the maintainers answered: who signed what and when, the state, the dates
  sealdrop check 'https://drop.example.org#sdbox1…' --phrase-file - -o files --receipt-dir proofs
      the phrase from standard input; writes the files they sent, and a proof of each drop they received
  sealdrop check 'https://drop.example.org#sdbox1…' --state answers.state
      remembers what it read, and fetches only what is new the next time
  sealdrop check --receipt r.json
      what became of one drop, without the phrase

With the phrase the whole feed is fetched, every time, so that nobody learns whose answers are looked for. The phrase and what was answered are not written down.

With --state FILE the next check fetches only what is new, and refuses a feed, a log or a roster that is older or another than before. FILE is sealed with the phrase and says nothing without it, but that somebody here reads answers, and when they last did. The server sees which segments are fetched, and so when this state was here last.

States of a drop:
  promised   the server promised to log it at the end of a window that is not over yet
  logged     it is in the log, under a signed checkpoint
  collected  machines of the members named hold it
  broken     the promise is overdue and the log does not hold it: the receipt itself is the evidence

Exit codes: 0 for promised, logged and collected; 1 for broken, a log that contradicts itself, or no connection; 2 for a wrong file.

Fields of --json with the phrase (times are seconds since 1970, windows are numbers):
  answered    whether there is a message
  state       what the maintainers last said it is, or null
  dates       objects of what and on: those that hold now
  messages    in order, objects of id, member, kind (ack, question, status, dates, note, closed, file), window, time, team (false:
              it was logged after the member had left, or may have been), readable, text, state, dates, leaves (objects of digest, size, window,
              state and proof), file (name, size and saved)
  incomplete  objects of id, member, kind, window, team, parts_here and parts
  forged      windows of slips that no member signed
  unchecked   objects of window and epoch: slips under a roster that the server does not show
  stale       how many slips were left out: old ones, sent again
  roster      the one that is in force, as the server says: an object of epoch, issued, expires and expired
  not_shown   rosters that the server does not show: pairs of the first and the last epoch
  feed        an object of segments, fetched (how many of them now), first, last (windows) and missing (windows without a segment)

Fields of --json with a receipt:
  state       of the drop, as above
  digest      hex SHA-256 of the drop
  window      the window of the promise or of the entry
  due         of promised: when it is to be in the log
  index       of logged and collected: the entry of the log
  log_size    entries under its checkpoint
  collected_by  names of members
  cosigners   objects of member, device and time
  proof       the file of the proof, or null
  promise     of broken: the promise, which is the evidence
  checkpoints of a log with two histories: the two that contradict each other";

pub(crate) const WATCH: &str = "\
Examples:
  sealdrop --tor watch 'http://….onion#sdbox1…'
      asks for the phrase, and prints a line with the time when there is something new; Ctrl-C ends it
  sealdrop watch 'https://drop.example.org#sdbox1…' --every 12h --state answers.state --phrase-file phrase
      fetches only what is new, and tells of nothing twice

Whoever sees your connection sees that something looks at the feed, and how often: never whether there was anything. The times are drawn from the rhythm and from chance, before anything is fetched, and each look makes the requests of `sealdrop check`. Without --state each fetches the whole feed.

The first look is what later ones are compared with; with --state that is what the file knows. It prints nothing of what was answered: `sealdrop check` shows it. The phrase's keys stay in memory as long as it runs. A network that fails is said once, and does not end it; a feed that cannot be believed does, with exit code 1.

Fields of --json: one object in a line for each look, and one at the end if it fails.
  time        seconds since 1970
  new         whether there is a message that was not there before
  error       why it could not look, or null";

pub(crate) const REPLY: &str = concat!(
    "\
Examples:
  sealdrop reply 'https://drop.example.org#sdbox1…'
      asks for the phrase and the text, shows it, and sends it
  sealdrop reply 'https://drop.example.org#sdbox1…' --from answer.txt --attach crash.log
      the text from a file

To everybody but the maintainers it looks like any report: the server cannot tell which conversation it belongs to, or that it belongs to one.
Before you write, `sealdrop check` shows what they asked; leave some time between the two, for both go to one server.

",
    sent!("")
);

pub(crate) const WITHDRAW: &str = concat!(
    "\
The maintainers see that you take the report back, and why if you say so. What they have read they have read.

To everybody else it looks like any report.

",
    sent!("")
);

pub(crate) const CLAIM: &str = "\
Examples:
  sealdrop claim 'https://drop.example.org#sdbox1…' --name 'Jane Doe' -o claim.txt
      asks for the phrase, shows what will be signed, and signs it
  sealdrop claim 'https://drop.example.org#sdbox1…' --name 'Jane Doe' --statement 'I found CVE-2026-1234.'
      prints it

A claim unmasks you: whoever sees it learns that this name wrote in this conversation, and it cannot be taken back. It is for after the disclosure. Nothing is sent: give it to the maintainers yourself, who verify it with `sealdrop-desk verify-claim FILE`.

It proves that whoever holds the phrase signed that name. To anybody but the maintainers, who have the report, it does not say what was reported.

Fields of --json:
  name        the name that was signed
  statement   the statement, or null
  box         the box in the address
  conversation  hex of its id, which the maintainers see too
  claim       the signed note
  file        the file that -o wrote, or null";

pub(crate) const VERIFY: &str = "\
Examples:
  sealdrop verify r.tlog-proof --address 'https://drop.example.org#sdbox1…'
      that a drop was logged, and whose machines collected it
  sealdrop verify r.tlog-proof --address '…' --key r.json.key --drop report.drop
      and that the drop is this report, addressed to every member

Exit codes: 0 verified; 1 it is not, or the drop is not addressed to every member; 2 a wrong file.

Fields of --json (times are seconds since 1970):
  state       promised, logged or collected
  address_checked   whether --address was given, and held
  origin_in_roster  whether the roster names the origin of the address, given or the receipt's
  box         the box
  epoch       the epoch of the roster that it was sealed to
  issued      when that roster was
  expires     when it does
  collected_by  names of members, or null for a promise
  digest      hex SHA-256 of the drop
  size        bytes of the drop
  window      the window of the promise or of the entry
  title       of the report, with --key and --drop; otherwise null
  addressed_to  names of members, likewise
  not_addressed_to  of a failure: names of members who cannot open it";

pub(crate) const BOX: &str = "\
Fields of --json (times are seconds since 1970):
  box         the box in the address
  fingerprint of the box key
  epoch       the epoch of the roster
  issued      when it was
  expires     when it does
  window      seconds of a window
  max_drop    bytes of the largest drop that it takes
  members     objects of name, role and fingerprint
  policy      its text
  policy_hash hex SHA-256 of it
  changes     with --since: a line for each member added, removed or changed; otherwise null
  saved       the file that -o wrote, or null";

pub(crate) const POST: &str = "\
Fields of --json:
  state       promised; taken: sent, but the promise is not to be believed
  address     the drop address
  box         the box in it
  epoch       the epoch of the roster that it was sealed to
  digest      hex SHA-256 of the drop
  size        bytes of the drop
  window      the window of the promise
  promise     the promise as the server signed it
  receipt     the file of the receipt, or null
  resume      of a failure: what --resume takes";

pub(crate) const COMPLETIONS: &str = "\
Fields of --json:
  script      the completion script";

pub(crate) const MAN: &str = "\
Fields of --json:
  page        the manual page
  written     with -o: the files of all pages";
