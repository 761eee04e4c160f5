//! Vectors in the framing of a body: what is wrong or odd, what is right to make of it, and the bytes. `Case::fill` tells what the braces are.

use super::Verdict::{self, Alone, Clear, Refused, Swallows};

type Vector = (&'static str, Verdict, &'static str);

/// Headers, and after a bar the body where it is not the plain one.
pub(super) const FRAMINGS: [Vector; 53] = [
    ("a length", Clear, "content-length: {n}"),
    ("chunks", Clear, "transfer-encoding: chunked|{c}"),
    // Two ways to tell the end.
    (
        "length, then chunked",
        Alone,
        "content-length: {m}\r\ntransfer-encoding: chunked|{c}",
    ),
    (
        "chunked, then length",
        Alone,
        "transfer-encoding: chunked\r\ncontent-length: {m}|{c}",
    ),
    (
        "short length, then chunked",
        Alone,
        "content-length: 5\r\ntransfer-encoding: chunked|{c}",
    ),
    (
        "chunked, then short length",
        Alone,
        "transfer-encoding: chunked\r\ncontent-length: 5|{c}",
    ),
    (
        "chunked, then zero",
        Alone,
        "transfer-encoding: chunked\r\ncontent-length: 0|{c}",
    ),
    (
        "long length, then chunked",
        Alone,
        "content-length: {l}\r\ntransfer-encoding: chunked|{c}",
    ),
    (
        "chunked, then long length",
        Alone,
        "transfer-encoding: chunked\r\ncontent-length: {l}|{c}",
    ),
    (
        "a tab before chunked",
        Alone,
        "content-length: {m}\r\ntransfer-encoding:\tchunked|{c}",
    ),
    (
        "CHUNKED, then length",
        Alone,
        "Transfer-Encoding: CHUNKED\r\ncontent-length: 5|{c}",
    ),
    (
        "length for a plain body, and chunked",
        Refused,
        "content-length: {n}\r\ntransfer-encoding: chunked",
    ),
    // Lengths.
    (
        "two equal lengths",
        Clear,
        "content-length: {n}\r\ncontent-length: {n}",
    ),
    (
        "two lengths, the first right",
        Refused,
        "content-length: {n}\r\ncontent-length: 5",
    ),
    (
        "two lengths, the second right",
        Refused,
        "content-length: 5\r\ncontent-length: {n}",
    ),
    (
        "a list of equal lengths",
        Refused,
        "content-length: {n}, {n}",
    ),
    ("a list of lengths", Refused, "content-length: {n}, 5"),
    ("a plus", Refused, "content-length: +{n}"),
    ("a minus", Refused, "content-length: -{n}"),
    ("minus zero", Refused, "content-length: -0"),
    ("a blank inside", Refused, "content-length: {n} 0"),
    ("hexadecimal", Refused, "content-length: 0x{x}"),
    ("a fraction", Refused, "content-length: {n}.0"),
    ("an exponent", Refused, "content-length: 1e2"),
    ("an empty length", Refused, "content-length: "),
    ("a quoted length", Refused, "content-length: \"{n}\""),
    ("letters behind", Refused, "content-length: {n}abc"),
    ("2^64", Refused, "content-length: 18446744073709551616"),
    (
        "2^64 and some",
        Refused,
        "content-length: 18446744073709551800",
    ),
    (
        "2^128",
        Refused,
        "content-length: 340282366920938463463374607431768211456",
    ),
    ("a vertical tab", Refused, "content-length: \u{b}{n}"),
    ("digits that are not ASCII", Refused, "content-length: ٣"),
    ("leading zeros", Clear, "content-length: 0000{n}"),
    ("blanks around", Clear, "content-length: \t {n} \t"),
    // Encodings that are not understood.
    ("xchunked", Refused, "transfer-encoding: xchunked|{c}"),
    (
        "chunked, identity",
        Refused,
        "transfer-encoding: chunked, identity|{c}",
    ),
    ("identity", Refused, "transfer-encoding: identity|{c}"),
    (
        "identity and a length",
        Refused,
        "transfer-encoding: identity\r\ncontent-length: {n}",
    ),
    (
        "an empty encoding and a length",
        Refused,
        "transfer-encoding: \r\ncontent-length: {n}",
    ),
    (
        "a parameter",
        Refused,
        "transfer-encoding: chunked;q=0.5|{c}",
    ),
    ("quoted", Refused, "transfer-encoding: \"chunked\"|{c}"),
    ("a comma behind", Refused, "transfer-encoding: chunked,|{c}"),
    (
        "a vertical tab before chunked",
        Refused,
        "transfer-encoding: \u{b}chunked|{c}",
    ),
    (
        "a form feed behind chunked",
        Refused,
        "transfer-encoding: chunked\u{c}|{c}",
    ),
    (
        "chunked, then another",
        Refused,
        "transfer-encoding: chunked\r\ntransfer-encoding: x|{c}",
    ),
    (
        "identity, chunked",
        Refused,
        "transfer-encoding: identity, chunked|{c}",
    ),
    (
        "gzip, chunked",
        Refused,
        "transfer-encoding: gzip, chunked|{c}",
    ),
    (
        "chunked, chunked",
        Refused,
        "transfer-encoding: chunked, chunked|{c}",
    ),
    (
        "a comma before chunked",
        Refused,
        "transfer-encoding: , chunked|{c}",
    ),
    (
        "chunked twice",
        Refused,
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked|{c}",
    ),
    (
        "another, then chunked",
        Refused,
        "transfer-encoding: x\r\ntransfer-encoding: chunked|{c}",
    ),
    (
        "identity, then chunked",
        Refused,
        "transfer-encoding: identity\r\ntransfer-encoding: chunked|{c}",
    ),
    (
        "gzip, chunked and a length",
        Refused,
        "content-length: {m}\r\ntransfer-encoding: gzip, chunked|{c}",
    ),
];

/// Bodies of a chunked request.
pub(super) const CHUNKS: [Vector; 31] = [
    ("two chunks", Clear, "1\r\n \r\n{c}"),
    ("0x", Refused, "0x{x}\r\n{b}\r\n0\r\n\r\n"),
    ("a plus", Refused, "+{x}\r\n{b}\r\n0\r\n\r\n"),
    ("a minus", Refused, "-{x}\r\n{b}\r\n0\r\n\r\n"),
    ("minus one", Refused, "-1\r\n{b}\r\n0\r\n\r\n"),
    ("no hexadecimal digit", Refused, "zz\r\n{b}\r\n0\r\n\r\n"),
    ("no size", Refused, "\r\n{b}\r\n0\r\n\r\n"),
    ("an extension alone", Refused, ";a\r\n{b}\r\n0\r\n\r\n"),
    (
        "2^64 and the size",
        Refused,
        "100000000000000{x}\r\n{b}\r\n0\r\n\r\n",
    ),
    (
        "2^128",
        Refused,
        "100000000000000000000000000000000\r\n{b}\r\n0\r\n\r\n",
    ),
    ("a blank before", Refused, " {x}\r\n{b}\r\n0\r\n\r\n"),
    ("a blank inside", Refused, "{x} 0\r\n{b}\r\n0\r\n\r\n"),
    ("an underscore", Refused, "0_{x}\r\n{b}\r\n0\r\n\r\n"),
    ("a NUL behind", Refused, "{x}\0\r\n{b}\r\n0\r\n\r\n"),
    ("an extension", Clear, "{x};a=\"b\"\r\n{b}\r\n0;z\r\n\r\n"),
    (
        "a line feed in an extension",
        Refused,
        "{x};a\nb\r\n{b}\r\n0\r\n\r\n",
    ),
    (
        "a carriage return in an extension",
        Refused,
        "{x};a\rb\r\n{b}\r\n0\r\n\r\n",
    ),
    (
        "an extension without end",
        Refused,
        "{x};aaaaaaaaaaaaaaaa\n{b}\r\n0\r\n\r\n",
    ),
    (
        "a bare line feed after the size",
        Refused,
        "{x}\n{b}\r\n0\r\n\r\n",
    ),
    (
        "a bare carriage return after the size",
        Refused,
        "{x}\r{b}\r\n0\r\n\r\n",
    ),
    ("nothing after the data", Refused, "{x}\r\n{b}0\r\n\r\n"),
    (
        "a bare line feed after the data",
        Refused,
        "{x}\r\n{b}\n0\r\n\r\n",
    ),
    (
        "a bare carriage return after the data",
        Refused,
        "{x}\r\n{b}\r0\r\n\r\n",
    ),
    ("bytes too many", Refused, "{x}\r\n{b}XX\r\n0\r\n\r\n"),
    ("line feeds at the end", Refused, "{x}\r\n{b}\r\n0\n\n"),
    (
        "a line feed, then an end of line",
        Refused,
        "{x}\r\n{b}\r\n0\n\r\n",
    ),
    (
        "a bare line feed for the last line",
        Swallows,
        "{x}\r\n{b}\r\n0\r\n\n",
    ),
    (
        "trailers that frame",
        Clear,
        "{x}\r\n{b}\r\n0\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nhost: b\r\nx-hidden: 1\r\n\r\n",
    ),
    (
        "a trailer without a colon",
        Refused,
        "{x}\r\n{b}\r\n0\r\nx-hidden\r\n\r\n",
    ),
    (
        "a trailer that ends in a line feed",
        Swallows,
        "{x}\r\n{b}\r\n0\r\nx-hidden: 1\n\r\n",
    ),
    (
        "zeros before the size",
        Clear,
        "00000000000000000000{x}\r\n{b}\r\n000\r\n\r\n",
    ),
];
