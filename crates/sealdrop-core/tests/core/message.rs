//! Vectors of docs/protocol.md, "Message": what the bodies of a message's parts make together.

use sealdrop_core::slip::message::{Date, Message};

use crate::vector::{self, SUCCESS, Vector};

#[test]
fn vectors() {
    let message = Message {
        text: "A fix is near.".into(),
        dates: vec![Date {
            what: "disclosure".into(),
            on: "2028-02-29".into(),
            met: None,
        }],
        ..Message::default()
    };
    let good = Vector::new(
        "good",
        SUCCESS,
        "a date that is promised",
        message.to_bytes().unwrap(),
    )
    .with("text", &message.text)
    .with("what", "disclosure")
    .with("on", "2028-02-29");
    let promised = r#""on":"2028-02-29""#;
    let broken = |name: &str, comment: &str, to: &str| {
        good.twin(name, "malformed", comment).replace(promised, to)
    };
    let on =
        |name: &str, comment: &str, day: &str| broken(name, comment, &format!(r#""on":"{day}""#));
    let vectors = [
        good.twin("met", SUCCESS, "a date that was met before its day")
            .replace(promised, r#""on":"2028-02-29","met":"2028-02-27""#)
            .with("met", "2028-02-27"),
        on("day", "a day that no February has", "2026-02-30"),
        on("leap", "a leap day of a year without one", "2100-02-29"),
        on("month", "a thirteenth month", "2026-13-01"),
        on("zero", "a month begins with its first day", "2026-04-00"),
        on("short", "a day of one digit", "2026-04-1"),
        on("sign", "a year with a sign", "+026-04-01"),
        broken(
            "met-day",
            "met on a day that April does not have",
            r#""on":"2028-02-29","met":"2026-04-31""#,
        ),
        broken(
            "unpromised",
            "met, and no day was promised",
            r#""met":"2028-02-27""#,
        ),
        broken("null", "what says nothing is absent", r#""on":null"#),
        broken(
            "field",
            "a field that is not known",
            r#""on":"2028-02-29","of":"x""#,
        ),
        good.clone(),
    ];
    vector::run("message", &vectors, |vector| {
        match Message::parse(&vector.body) {
            Ok(message) => {
                let [date] = &message.dates[..] else {
                    panic!("one date")
                };
                assert_eq!(message.text, vector.field("text"));
                assert_eq!(date.what, vector.field("what"));
                assert_eq!(date.on, vector.field("on"));
                assert_eq!(date.met.as_deref(), vector.optional("met"));
                assert_eq!(message.to_bytes().unwrap(), vector.body);
                SUCCESS.into()
            }
            Err(error) => {
                assert_eq!(error, sealdrop_core::slip::message::MessageError::Malformed);
                "malformed".into()
            }
        }
    });
}
