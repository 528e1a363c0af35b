//! Sealing, where what is sealed changes under it.

use std::io::{self, BufRead as _, Cursor, Read};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealdrop_core::drop::{FileKey, Sealer};
use sealdrop_core::phrase::Phrase;
use sealdrop_core::report::{Attachment, Kind, Report};

use crate::world;

/// Seals an attachment that is said to have `said` bytes and has `has`, and reads on after the end or an error.
fn seal(said: u64, has: usize) -> (u64, Option<io::ErrorKind>) {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let roster = world::roster();
    let keys = Phrase::generate(&mut rng).keys(roster.box_key());
    let mut report = Report::new(Kind::Report, &roster, &keys, &mut rng);
    report.attachments = vec![Attachment {
        name: "a".into(),
        size: said,
    }];
    let file_key = FileKey::from_bytes([2; 16]);
    let sealer = Sealer::new(&roster, &report, &keys.voice, &file_key, [3; 16]).unwrap();
    let content = || Box::new(Cursor::new(vec![7_u8; has])) as Box<dyn Read + Send>;
    let mut sealed = sealer.seal(|_| Ok(content()));
    let mut len = 0;
    let end = loop {
        match sealed.fill_buf().map(<[u8]>::len) {
            Ok(0) => break None,
            Ok(n) => {
                len += n as u64;
                sealed.consume(n);
            }
            Err(error) => break Some(error.kind()),
        }
    };
    if end.is_some() {
        assert!(
            len < sealer.len(),
            "an error comes before the drop is whole"
        );
        for _ in 0..3 {
            let again = sealed.read(&mut [0; 10]);
            assert!(again.is_err(), "what failed never looks ended");
        }
    } else {
        assert_eq!(len, sealer.len());
    }
    (len, end)
}

#[test]
fn an_attachment_that_changes_while_it_is_sealed_never_makes_a_whole_drop() {
    // Within the first batch, at its edges, and some batches on.
    for size in [0, 1, 511, 512, 40_000, 2_097_152, 9_000_000] {
        assert_eq!(seal(size, size as usize).1, None, "{size}");
        let invalid = Some(io::ErrorKind::InvalidData);
        assert_eq!(seal(size, size as usize + 1).1, invalid, "{size}");
        assert_eq!(seal(size + 1, size as usize).1, invalid, "{size}");
    }
}
