//! Cuts a text into lines, so that every rule and every protection speaks of the same ones.

/// One line as byte offsets into the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Where the line begins.
    pub(super) start: usize,
    /// Its first byte that is no blank; `stop` on a blank line.
    pub(super) body: usize,
    /// Past its last byte that is no blank.
    pub(super) end: usize,
    /// Past its content, before the line end.
    pub(super) stop: usize,
    /// Past its line end.
    pub(super) next: usize,
}

impl Line {
    pub(super) const fn is_blank(&self) -> bool {
        self.body == self.stop
    }

    /// The line without its indentation and trailing blanks.
    pub(super) fn body<'t>(&self, text: &'t str) -> &'t str {
        &text[self.body..self.end]
    }

    pub(super) fn indent<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start..self.body]
    }
}

/// The lines of `text`. A carriage return counts as part of the line end only before a line feed.
pub(super) fn split(text: &str) -> Vec<Line> {
    let bytes = text.as_bytes();
    let mut lines = Vec::with_capacity(memchr::memchr_iter(b'\n', bytes).count() + 1);
    let mut start = 0;
    while start < bytes.len() {
        let feed = memchr::memchr(b'\n', &bytes[start..]).map(|at| start + at);
        let stop = match feed {
            Some(at) if at > start && bytes[at - 1] == b'\r' => at - 1,
            Some(at) => at,
            None => bytes.len(),
        };
        let next = feed.map_or(bytes.len(), |at| at + 1);
        let content = &bytes[start..stop];
        let body = content
            .iter()
            .position(|b| !is_blank(*b))
            .map_or(stop, |at| start + at);
        let end = content
            .iter()
            .rposition(|b| !is_blank(*b))
            .map_or(stop, |at| start + at + 1);
        lines.push(Line {
            start,
            body,
            end,
            stop,
            next,
        });
        start = next;
    }
    lines
}

/// Other white space, such as a no-break space or a form feed, is content.
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
