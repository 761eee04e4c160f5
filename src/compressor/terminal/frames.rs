//! Finds frames of progress displays that a carriage return let the next frame overwrite.

use std::ops::Range;

use memchr::{memchr, memchr_iter};

use super::{ESCAPE, end_of_sequence};

/// Two lines that are alike may be lines of an old system, unless they draw a bar.
const DISPLAY: usize = 3;

/// The frames, each with the carriage return behind it, in runs that touch.
pub(super) fn overwritten(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    // Text with no line feed at all may be lines of an old system, which end with a return.
    if memchr(b'\n', bytes).is_none() && memchr(b'%', bytes).is_none() {
        return runs;
    }
    let mut at = 0;
    while let Some(found) = memchr(b'\r', &bytes[at..]) {
        let start = memchr::memrchr(b'\n', &bytes[at..at + found]).map_or(at, |feed| at + feed + 1);
        let feed = memchr(b'\n', &bytes[at + found..]);
        let stop = feed.map_or(bytes.len(), |feed| at + found + feed);
        let line = &bytes[start..stop];
        // A return next to the line feed is part of the line end.
        let trimmed = line.iter().rev().take_while(|byte| **byte == b'\r').count();
        in_line(&line[..line.len() - trimmed], start, &mut runs);
        at = stop;
    }
    runs
}

/// The last frame stays; each before it goes if the next that stays shows all of its words.
fn in_line(line: &[u8], offset: usize, runs: &mut Vec<Range<usize>>) {
    let mut ends: Vec<usize> = memchr_iter(b'\r', line).collect();
    if ends.is_empty() {
        return;
    }
    ends.push(line.len());
    let begin = |frame: usize| frame.checked_sub(1).map_or(0, |last| ends[last] + 1);
    let first_run = runs.len();
    let mut next = Frame::read(&line[begin(ends.len() - 1)..]);
    // The frames that `next` replaces, and whether one of the display has a bar.
    let (mut run, mut bar): (Option<Range<usize>>, bool) = (None, next.bar);
    let mut frames = 1;
    let mut close = |run: Option<Range<usize>>, frames: usize, bar: bool| {
        if let Some(run) = run.filter(|_| frames >= DISPLAY || bar) {
            runs.push(run);
        }
    };
    for frame in (0..ends.len() - 1).rev() {
        let at = begin(frame)..ends[frame];
        let this = Frame::read(&line[at.clone()]);
        if next.replaces(&this) {
            let gone = offset + at.start..offset + at.end + 1;
            bar |= this.bar;
            frames += 1;
            run = Some(gone.start..run.map_or(gone.end, |run| run.end));
        } else {
            close(run.take(), frames, bar);
            (frames, bar) = (1, this.bar);
            next = this;
        }
    }
    close(run, frames, bar);
    runs[first_run..].reverse();
}

/// What a frame of a display says.
struct Frame {
    /// Everything but what moves.
    words: Vec<u8>,
    /// Whether something in it moves as progress does.
    moves: bool,
    /// Whether it draws a bar or sends codes to a terminal.
    bar: bool,
}

// === impl Frame ===

impl Frame {
    fn read(frame: &[u8]) -> Self {
        let text = without_sequences(frame);
        let shown = String::from_utf8_lossy(&text);
        let mut words = Vec::new();
        let mut moves = false;
        let mut bar = memchr(ESCAPE, frame).is_some();
        let mut digits = false;
        let mut last = '\0';
        for shown in shown.chars() {
            moves |= match shown {
                '%' => digits,
                '/' => last.is_ascii_digit(),
                '>' if last == '=' => true,
                '#' | '=' | '-' | '.' | '>' => last == shown,
                _ => is_drawn(shown),
            };
            bar |= is_drawn(shown)
                || last == shown && "#=".contains(shown)
                || last == '=' && shown == '>';
            digits |= shown.is_ascii_digit();
            last = shown;
            let still = !(shown.is_ascii_digit()
                || shown.is_whitespace()
                || is_drawn(shown)
                || "=#>.-|/\\:?".contains(shown));
            if still {
                words.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        // A spinner turns at the end or the start of its line.
        let edge = |edge: Option<char>| edge.is_some_and(|edge| "|/-\\".contains(edge));
        let trimmed = shown.trim();
        moves |= edge(trimmed.chars().next()) || edge(trimmed.chars().next_back());
        Self { words, moves, bar }
    }

    /// Whether a terminal that drew `other` and then this shows nothing less.
    fn replaces(&self, other: &Self) -> bool {
        other.moves && self.words.starts_with(&other.words)
    }
}

/// Blocks, lines and dots of bars and spinners.
fn is_drawn(shown: char) -> bool {
    matches!(shown, '\u{2500}'..='\u{259f}' | '\u{25a0}'..='\u{25ff}' | '\u{2800}'..='\u{28ff}')
}

fn without_sequences(frame: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(frame.len());
    let mut at = 0;
    while let Some(found) = memchr(ESCAPE, &frame[at..]) {
        text.extend_from_slice(&frame[at..at + found]);
        at = match end_of_sequence(frame, at + found) {
            Ok(end) | Err(end) => end,
        };
    }
    text.extend_from_slice(&frame[at..]);
    text
}
