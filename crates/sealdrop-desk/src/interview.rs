//! `policy new`: a policy from a few questions. docs/policy.md.

use std::io::{BufRead, Write};

use anyhow::{Context as _, Result, bail};
use sealdrop_policy::{Finding, Policy};

/// A question, and what becomes of its answer.
struct Question {
    asks: &'static str,
    /// Taken if nothing is typed; `None` if something has to be.
    default: Option<&'static str>,
    /// The lines of the policy for an answer. Whether they are right is for the policy to say.
    lines: fn(&str) -> String,
}

const QUESTIONS: [Question; 9] = [
    Question {
        asks: "What is the project called?",
        default: None,
        lines: |name| {
            format!(
                "schema = 1\n\n[project]\nname = {}\nlanguages = [\"en\"]\n",
                quoted(name)
            )
        },
    },
    Question {
        asks: "An address of e-mail as a fall-back (none to leave it out)",
        default: Some("none"),
        lines: |mail| match mail {
            "none" => String::new(),
            mail => format!(
                "\n[[channels]]\nkind = \"email\"\nuri = {}\nconverts_to = \"case\"\n",
                quoted(&format!("mailto:{mail}"))
            ),
        },
    },
    Question {
        asks: "Which versions get security fixes? Several with commas between them",
        default: Some("the latest release"),
        lines: |versions| {
            let each = versions
                .split(',')
                .map(str::trim)
                .filter(|version| !version.is_empty());
            let each = each.map(|version| {
                format!(
                    "\n[[supported]]\nmatch = {}\nstatus = \"supported\"\n",
                    quoted(version)
                )
            });
            each.collect()
        },
    },
    Question {
        asks: "By when is a report acknowledged? 48h, 5bd (business days), prompt, or none",
        default: Some("none"),
        lines: |clock| format!("\n[clocks]\nack = {}\n", quoted(clock)),
    },
    Question {
        asks: "What must a report have? Names of fields with commas between them, | for either",
        default: Some("description, steps, versions"),
        lines: |fields| {
            let fields: Vec<String> = fields
                .split(',')
                .map(|field| quoted(field.trim()))
                .collect();
            format!("\n[form]\nrequire = [{}]\n", fields.join(", "))
        },
    },
    Question {
        asks: "Where do vulnerabilities in your dependencies go? (none to leave it out)",
        default: Some("the maintainers of the dependency"),
        lines: |to| match to {
            "none" => String::new(),
            to => format!(
                "\n[[routes]]\nwhen = \"third-party\"\nto = {}\n",
                quoted(to)
            ),
        },
    },
    Question {
        asks: "Until when is it kept quiet? reasonable, addressed, fixed, advisory",
        default: Some("advisory"),
        lines: |until| format!("\n[disclosure]\nuntil = {}\n", quoted(until)),
    },
    Question {
        asks: "Do you name those who reported, if they want it? yes, no",
        default: Some("yes"),
        lines: |yes| match yes {
            "yes" => "\n[credit]\noffer = true\nanonymous = true\n".into(),
            "no" => String::new(),
            other => format!("\n[credit]\noffer = {}\n", quoted(other)),
        },
    },
    Question {
        asks: "Is there a reward? none, case-by-case, programme, not-said",
        default: Some("not-said"),
        lines: |mode| format!("\n[bounty]\nmode = {}\n", quoted(mode)),
    },
];

/// Asks one question after the other, and again where the answer makes no policy. `address` is the box's, if there is one.
pub(crate) fn interview(
    address: Option<&str>,
    input: &mut impl BufRead,
    out: &mut impl Write,
) -> Result<String> {
    let mut text = String::new();
    // A policy needs a way to report before it can be held against anything.
    let channel = address.map(|address| {
        format!(
            "\n[[channels]]\nkind = \"sealdrop\"\nuri = {}\n",
            quoted(address)
        )
    });
    let stand_in = "\n[[channels]]\nkind = \"web\"\nuri = \"https://stand.in\"\n";
    for question in &QUESTIONS {
        loop {
            match question.default {
                Some(default) => write!(out, "{} [{default}]: ", question.asks)?,
                None => write!(out, "{} ", question.asks)?,
            }
            out.flush()?;
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                bail!("the answers end before the questions do; nothing was written");
            }
            let typed = line.trim();
            let Some(answer) = (if typed.is_empty() {
                question.default
            } else {
                Some(typed)
            }) else {
                continue;
            };
            let lines = (question.lines)(answer);
            let whole = format!("{text}{lines}{}", channel.as_deref().unwrap_or(stand_in));
            match Policy::parse(&whole) {
                Ok(_) => {
                    text.push_str(&lines);
                    break;
                }
                Err(findings) => writeln!(out, "  {}", said(&findings))?,
            }
        }
    }
    text.push_str(channel.as_deref().unwrap_or_default());
    Policy::parse(&text)
        .map_err(|findings| anyhow::anyhow!(said(&findings)))
        .context("there is no way to report yet: give an address of e-mail, or make the box first (`sealdrop-desk init`, then `publish`)")?;
    Ok(text)
}

fn said(findings: &[Finding]) -> String {
    findings.first().map_or(String::new(), |first| {
        format!("{}; {}", first.message, first.mend)
    })
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    // A string of JSON without control characters is one of TOML.
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    serde_json::Value::String(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(answers: &str) -> (Result<String>, String) {
        let mut out = Vec::new();
        let text = interview(None, &mut answers.as_bytes(), &mut out);
        (text, String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_interview_gives_a_policy_that_is_taken() {
        let (text, _) = ask("Plume \"2\"\nsecurity@plume.dev\n2.x, 1.x\n5bd\n\n\n\n\n\n");
        let policy = Policy::parse(&text.unwrap()).unwrap();
        assert_eq!(policy.project.name, "Plume \"2\"");
        assert_eq!(policy.supported.len(), 2);
        assert_eq!(policy.clocks.ack.to_string(), "5bd");
        assert!(policy.credit.offer);
    }

    #[test]
    fn an_answer_that_makes_no_policy_is_asked_for_again() {
        let (text, said) = ask(
            "\nPlume\nnobody\nsecurity@plume.dev\n\nsoon\n48h\nshoe size\nsteps\n\n\nmaybe\nyes\n\n",
        );
        assert!(
            said.contains("`mailto:nobody` is no address of e-mail"),
            "{said}"
        );
        assert!(said.contains("`soon` is no time"), "{said}");
        assert!(said.contains("no name of a field"), "{said}");
        assert!(said.contains("expected a boolean"), "{said}");
        assert_eq!(
            Policy::parse(&text.unwrap())
                .unwrap()
                .clocks
                .ack
                .to_string(),
            "48h"
        );
    }

    #[test]
    fn no_way_to_report_is_no_policy_and_neither_is_half_an_interview() {
        let (text, _) = ask("Plume\n\n\n\n\n\n\n\n\n");
        assert!(format!("{:#}", text.unwrap_err()).contains("no way to report"));
        let (text, _) = ask("Plume\n");
        assert!(
            text.unwrap_err()
                .to_string()
                .contains("nothing was written")
        );
    }
}
