//! Tells log lines from what only looks alike: by the time, level, counter or address that they begin with.

/// Names of levels, in capitals.
const LEVELS: &[&[u8]] = &[
    b"CRITICAL",
    b"DEBUG",
    b"ERROR",
    b"FATAL",
    b"INFO",
    b"NOTICE",
    b"SEVERE",
    b"TRACE",
    b"WARN",
    b"WARNING",
];
const MONTHS: &[&[u8]] = &[
    b"Jan ", b"Feb ", b"Mar ", b"Apr ", b"May ", b"Jun ", b"Jul ", b"Aug ", b"Sep ", b"Oct ",
    b"Nov ", b"Dec ",
];

/// Whether the line begins as a log's do and says something: a row of numbers is data.
pub(super) fn begins_log(line: &[u8]) -> bool {
    let worded = line
        .windows(2)
        .any(|pair| pair.iter().all(u8::is_ascii_alphabetic));
    worded && (is_bracketed(line) || is_bare(line))
}

/// Whether a value is a date or a time, of which days and hours may stand once for all lines.
pub(super) fn is_time(value: &[u8]) -> bool {
    fits(value, b"00:00:") || fits(value, b"0000-00-00") || fits(value, b"00/aaa/0000:")
}

fn is_bare(line: &[u8]) -> bool {
    let month = MONTHS.iter().find_map(|month| line.strip_prefix(*month));
    let dated = fits(line, b"0000-00-00") || fits(line, b"0000/00/00");
    dated
        && matches!(line.get(10), Some(b' ' | b'T'))
        && line.get(11).is_some_and(u8::is_ascii_digit)
        || fits(line, b"00:00:00")
        || fits(line, b"a0000 00:00:00")
        || month.is_some_and(|day| day.windows(8).take(4).any(|time| fits(time, b"00:00:00")))
        || is_level(line)
        || is_address(line)
}

/// `[2024-01-01 …]`, `[INFO]`, `[  1/200]`, `[   12.345]`, with text behind it.
fn is_bracketed(line: &[u8]) -> bool {
    let Some(inner) = line.strip_prefix(b"[") else {
        return false;
    };
    let Some(end) = inner.iter().take(60).position(|byte| *byte == b']') else {
        return false;
    };
    let stamp = inner[..end].trim_ascii();
    let counts = stamp.iter().any(|byte| b"/.:%".contains(byte))
        && stamp
            .iter()
            .all(|byte| byte.is_ascii_digit() || b" /.:%".contains(byte));
    let behind = inner[end + 1..].iter().any(u8::is_ascii_alphanumeric);
    behind && (counts || is_bare(stamp) || LEVELS.contains(&stamp))
}

/// A level, and not the name of a setting.
fn is_level(line: &[u8]) -> bool {
    let word = line
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase())
        .count();
    let (level, rest) = line.split_at(word);
    let next = rest.trim_ascii_start().first();
    LEVELS.contains(&level)
        && rest.first().is_some_and(|byte| b" :\t".contains(byte))
        && next.is_some_and(|byte| !b"=(".contains(byte))
}

/// The address of a client, as a web server's log has it.
fn is_address(line: &[u8]) -> bool {
    let end = line
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(line.len());
    let (address, rest) = line.split_at(end);
    let parts = address.split(|byte| *byte == b'.');
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    rest.starts_with(b" - ") && parts.clone().count() == 4 && parts.into_iter().all(is_number)
}

/// Whether the text begins as the form does, in which `0` is a digit and `a` a letter.
fn fits(text: &[u8], form: &[u8]) -> bool {
    text.len() >= form.len()
        && text.iter().zip(form).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            _ => byte == form,
        })
}
