//! `sealdrop claim`: ties a name to a conversation, with no network. docs/protocol.md, "Claim".

use sealdrop_client::show;
use sealdrop_core::claim::{Claim, MAX_NAME, MAX_STATEMENT};

use crate::cli::ClaimArgs;
use crate::failure::Failure;
use crate::fields;
use crate::files::NewFile;
use crate::network;
use crate::output::{Output, Style};
use crate::phrase;
use crate::prompt;

pub(crate) fn run(args: &ClaimArgs, output: &Output) -> Result<(), Failure> {
    let address = network::address(&args.address)?;
    let name = args.name.trim();
    let statement = args.statement.as_deref().map(str::trim);
    let file = args.output.as_deref().map(NewFile::create).transpose()?;
    let keys = phrase::get(args.phrase_file.as_deref(), output)?.keys(&address.box_key);
    let note = Claim::sign(&keys, &address.box_key, name, statement).map_err(|_| {
        Failure::usage(format!(
            "a claim holds a name of 1 to {MAX_NAME} characters and a statement of up to {MAX_STATEMENT}, each one line"
        ))
        .hint("give shorter texts with --name and --statement, without line ends or other control characters")
    })?;
    let conversation = keys.conversation.to_string();
    let mut text = format!(
        "\n{}\n  name: {}\n",
        output.err(Style::Bold, "Claim"),
        show::line(name)
    );
    if let Some(statement) = statement {
        text.push_str(&format!("  statement: {}\n", show::line(statement)));
    }
    text.push_str(&format!(
        "  on conversation {conversation}\n  with the box {}\n\n\
         {} Whoever sees it learns that this name wrote in this conversation, and it cannot be taken back: \
         sign it after the disclosure, when you want the credit, and give it to whom you choose.\n",
        address.box_key.fingerprint(),
        output.err(Style::Yellow, "It unmasks you."),
    ));
    output.note(&text);
    if !args.yes {
        prompt::agree(
            "Sign it?",
            "there is no terminal to show the claim on before it is signed",
        )?;
    }
    let note = note.to_string();
    let written = match file {
        None => None,
        Some(mut file) => {
            file.write(note.as_bytes())?;
            Some(file.keep()?.display().to_string())
        }
    };
    let fields = fields! {
        "name": name,
        "statement": statement,
        "box": address.box_key.to_string(),
        "conversation": conversation,
        "claim": note,
        "file": written,
    };
    match &written {
        None => output.verbatim(&note, fields),
        Some(path) => output.result(
            &format!(
                "{} {path}\nThe maintainers verify it with `sealdrop-desk verify-claim`.\n",
                output.out(Style::Green, "Signed:"),
            ),
            fields,
        ),
    }
    Ok(())
}
