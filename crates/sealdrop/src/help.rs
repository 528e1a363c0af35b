//! What stands below the options in the help of each command: examples, states, and the fields of the JSON that `--json` prints.

pub(crate) const PROGRAM: &str = "\
Examples:
  sealdrop submit 'https://drop.example.org#sdbox1…'
      asks for the report, shows it, and sends it

  sealdrop submit 'https://drop.example.org#sdbox1…' --from report.md --attach poc.py crash.log --receipt r.json
      takes the report from a file; keeps a receipt and, apart, its secret key

  sealdrop --tor submit 'http://….onion#sdbox1…'
      through Tor on this machine

  sealdrop check --receipt r.json
      says whether the maintainers have collected it, and writes the proof, r.json.tlog-proof

Quote the address: in a shell, # begins a comment.

Exit codes: 0 done; 1 refused or failed, nothing was changed unless it says so; 2 the command line or a file is not right; 130 stopped.

With --json standard output is one object, whether it works or not; the exit code says which. A failure has these fields, and those of its command that apply. The same sentences are on standard error.
  error       one sentence
  hint        what to do next, a line for each step, or null
  exit        the exit code";

pub(crate) const SUBMIT: &str = "\
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

If it cannot be sent, the report is kept, sealed, in the file of --save, or where you say when asked: `sealdrop post` sends it later.";

pub(crate) const SEAL: &str = "\
Examples:
  sealdrop box 'https://drop.example.org#sdbox1…' -o box.json        where there is a network
  sealdrop seal 'https://drop.example.org#sdbox1…' --box box.json --from report.md -o report.drop
                                                                     where there is none
  sealdrop post 'https://drop.example.org#sdbox1…' report.drop --receipt r.json
                                                                     where there is one again

Beside the drop is written FILE.box, which says for which box it was sealed: take both along.";

pub(crate) const CHECK: &str = "\
States:
  promised   the server promised to log it at the end of a window that is not over yet
  logged     it is in the log, under a signed checkpoint
  collected  machines of the members named hold it
  broken     the promise is overdue and the log does not hold it: the receipt itself is the evidence

Exit codes: 0 for promised, logged and collected; 1 for broken, a log that contradicts itself, or no connection; 2 for a wrong file.";

pub(crate) const VERIFY: &str = "\
Examples:
  sealdrop verify r.tlog-proof --address 'https://drop.example.org#sdbox1…'
      that a drop was logged, and whose machines collected it
  sealdrop verify r.tlog-proof --address '…' --key r.json.key --drop report.drop
      and that the drop is this report, addressed to every member

Exit codes: 0 verified; 1 it is not, or the drop is not addressed to every member; 2 a wrong file.";
