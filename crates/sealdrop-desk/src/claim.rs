//! `verify-claim`: whether the phrase of a conversation signed a name. docs/protocol.md, "Claim".

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use sealdrop_client::show;
use sealdrop_core::claim::{Claim, ClaimError};
use sealdrop_core::note::{MAX_NOTE, Note};
use serde_json::json;

use crate::context::Answer;
use crate::home::Home;
use crate::judge::Verdicts;

/// Verifies a claim and names its case. It needs no passphrase: what is signed is public to whoever has the claim.
pub(crate) fn verify(home: &Home, path: &Path) -> Result<Answer> {
    let box_key = home.profile()?.box_key;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_NOTE as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))?;
    let claim = Note::parse(&bytes)
        .map_err(|_| ClaimError::Malformed)
        .and_then(|note| Claim::verify(&note, &box_key));
    let file = path.display();
    let claim = match claim {
        Ok(claim) => claim,
        Err(ClaimError::NotSigned) => bail!(
            "bad signature: {file} is not signed by the key that it names, or was changed since; it proves nothing"
        ),
        Err(ClaimError::AnotherConversation) => bail!(
            "{file} names a conversation that does not follow from the key that signed it; it proves nothing"
        ),
        Err(ClaimError::AnotherBox) => bail!(
            "{file} is about a conversation with another box than this one ({box_key}); its maintainers can verify it"
        ),
        Err(_) => bail!(
            "{file} is not a claim: ask for the whole file that `sealdrop claim` wrote, unchanged"
        ),
    };
    let conversation = claim.conversation.to_string();
    let case = Verdicts::load(home)?.cases.get(&conversation).copied();
    let mut lines = vec![match case {
        Some(number) => format!("Case {number}  conversation {conversation}"),
        None => format!("No case here  conversation {conversation}"),
    }];
    lines.push(format!("  name: {}", show::line(&claim.name)));
    if let Some(statement) = &claim.statement {
        lines.push(format!("  statement: {}", show::line(statement)));
    }
    lines.push(
        "The signature is good: whoever holds the phrase of that conversation signed this name. That the name is theirs it does not prove."
            .into(),
    );
    if case.is_none() {
        lines.push(
            "No case of that conversation is on this machine: its reports may not have come, or not have been opened yet (`sync`, `inbox`)."
                .into(),
        );
    }
    Ok(Answer::new(
        json!({
            "case": case,
            "conversation": conversation,
            "name": claim.name,
            "statement": claim.statement,
        }),
        lines.join("\n"),
    ))
}
