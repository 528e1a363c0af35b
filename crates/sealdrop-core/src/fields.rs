//! The line texts that Sealdrop signs or hashes: a first line with purpose and version, then `name: value` lines in a fixed order.

/// The fields of such a text, taken one after another. A text has exactly one spelling, so there is no skipping and no trimming.
pub(crate) struct Fields<'a> {
    rest: &'a str,
}

impl<'a> Fields<'a> {
    /// Begins after the line `first`; `None` if the text has another.
    pub(crate) fn new(text: &'a str, first: &str) -> Option<Self> {
        let rest = text.strip_prefix(first)?.strip_prefix('\n')?;
        Some(Self { rest })
    }

    /// The value of the next line, which must be called `name`.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        line.strip_prefix(name)?.strip_prefix(": ")
    }

    /// Whether nothing follows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// `Some` if nothing follows.
    pub(crate) fn end(self) -> Option<()> {
        self.is_empty().then_some(())
    }
}
