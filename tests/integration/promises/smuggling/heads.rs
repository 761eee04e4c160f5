//! Vectors in the head of a request: what is wrong or odd, what is right to make of it, and the bytes. `Case::fill` tells what the braces are.

use super::Verdict::{self, Clear, Refused};

type Vector = (&'static str, Verdict, &'static str);

/// Header lines after good ones.
pub(super) const HEADS: [Vector; 24] = [
    (
        "a folded encoding",
        Refused,
        "transfer-encoding:\r\n chunked",
    ),
    ("a folded length", Refused, "content-length:\r\n {n}"),
    (
        "a length in a fold",
        Refused,
        "x-hidden: 1\r\n content-length: {n}",
    ),
    (
        "a fold with a tab",
        Refused,
        "x-hidden: 1\r\n\tcontent-length: {n}",
    ),
    ("a blank before the colon", Refused, "content-length : {n}"),
    ("a tab before the colon", Refused, "content-length\t: {n}"),
    (
        "a blank before the colon of the encoding",
        Refused,
        "content-length: {n}\r\ntransfer-encoding : chunked",
    ),
    ("no colon", Refused, "x-hidden\r\ncontent-length: {n}"),
    ("no name", Refused, ": x\r\ncontent-length: {n}"),
    (
        "a NUL in a value",
        Refused,
        "x-hidden: a\0b\r\ncontent-length: {n}",
    ),
    (
        "a NUL in a name",
        Refused,
        "x-hid\0den: a\r\ncontent-length: {n}",
    ),
    ("a NUL in the length", Refused, "content-length: {n}\0"),
    (
        "a NUL in the encoding",
        Refused,
        "transfer-encoding: chunked\0\r\ncontent-length: {n}",
    ),
    (
        "an escape in a value",
        Refused,
        "x-hidden: a\u{1b}b\r\ncontent-length: {n}",
    ),
    (
        "a bare carriage return for an end of line",
        Refused,
        "x-hidden: a\rcontent-length: {n}",
    ),
    (
        "a bare carriage return in a value",
        Refused,
        "x-hidden: a\rb\r\ncontent-length: {n}",
    ),
    (
        "two carriage returns",
        Refused,
        "x-hidden: a\r\r\ncontent-length: {n}",
    ),
    (
        "a name that is not ASCII",
        Refused,
        "x-hiddén: a\r\ncontent-length: {n}",
    ),
    (
        "a parenthesis in a name",
        Refused,
        "x(hidden): a\r\ncontent-length: {n}",
    ),
    (
        "a bare line feed",
        Clear,
        "x-hidden: a\ncontent-length: {n}",
    ),
    (
        "Connection names the length",
        Clear,
        "connection: content-length\r\ncontent-length: {n}",
    ),
    (
        "Connection names the host",
        Clear,
        "connection: host\r\ncontent-length: {n}",
    ),
    (
        "an upgrade to HTTP/2",
        Clear,
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\ncontent-length: {n}",
    ),
    (
        "an upgrade to WebSocket",
        Clear,
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\ncontent-length: {n}",
    ),
];

/// Start lines with what follows them, up to the content type.
pub(super) const STARTS: [Vector; 37] = [
    ("no host", Refused, "POST {p} HTTP/1.1"),
    (
        "two hosts",
        Refused,
        "POST {p} HTTP/1.1\r\nhost: a\r\nhost: b",
    ),
    (
        "the same host twice",
        Refused,
        "POST {p} HTTP/1.1\r\nhost: a\r\nhost: a",
    ),
    (
        "two hosts, one empty",
        Refused,
        "POST {p} HTTP/1.1\r\nhost: a\r\nhost:",
    ),
    (
        "two hosts in HTTP/1.0",
        Refused,
        "POST {p} HTTP/1.0\r\nhost: a\r\nhost: b",
    ),
    (
        "a target with a host, and no other",
        Refused,
        "POST http://a{p} HTTP/1.1",
    ),
    (
        "a target with a host, and two others",
        Refused,
        "POST http://a{p} HTTP/1.1\r\nhost: a\r\nhost: b",
    ),
    (
        "a host and a target that disagree",
        Clear,
        "POST http://b{p} HTTP/1.1\r\nhost: a",
    ),
    (
        "a host in a fold",
        Refused,
        "POST {p} HTTP/1.1\r\nx-hidden: 1\r\n host: a",
    ),
    (
        "a blank before the host's colon",
        Refused,
        "POST {p} HTTP/1.1\r\nhost : a",
    ),
    (
        "a blank before the first header",
        Refused,
        "POST {p} HTTP/1.1\r\n host: a",
    ),
    (
        "chunked in HTTP/1.0",
        Refused,
        "POST {p} HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked",
    ),
    (
        "chunked in HTTP/1.0, kept alive",
        Refused,
        "POST {p} HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ntransfer-encoding: chunked",
    ),
    (
        "empty lines before",
        Clear,
        "\r\n\r\nPOST {p} HTTP/1.1\r\nhost: a",
    ),
    (
        "a blank before the method",
        Refused,
        " POST {p} HTTP/1.1\r\nhost: a",
    ),
    ("two blanks", Refused, "POST  {p} HTTP/1.1\r\nhost: a"),
    ("a tab", Refused, "POST\t{p} HTTP/1.1\r\nhost: a"),
    (
        "a blank in the target",
        Refused,
        "POST {p} x HTTP/1.1\r\nhost: a",
    ),
    (
        "a NUL in the target",
        Refused,
        "POST {p}\0 HTTP/1.1\r\nhost: a",
    ),
    (
        "a carriage return in the target",
        Refused,
        "POST {p}\r HTTP/1.1\r\nhost: a",
    ),
    ("no version", Refused, "POST {p}\r\nhost: a"),
    ("HTTP/1.2", Refused, "POST {p} HTTP/1.2\r\nhost: a"),
    ("HTTP/3.0", Refused, "POST {p} HTTP/3.0\r\nhost: a"),
    ("http/1.1", Refused, "POST {p} http/1.1\r\nhost: a"),
    ("HTTP/01.1", Refused, "POST {p} HTTP/01.1\r\nhost: a"),
    ("no method", Refused, "{p} HTTP/1.1\r\nhost: a"),
    (
        "the host that is empty",
        Refused,
        "POST {p} HTTP/1.1\r\nhost: ",
    ),
    ("the host a b", Refused, "POST {p} HTTP/1.1\r\nhost: a b"),
    ("the host a, b", Refused, "POST {p} HTTP/1.1\r\nhost: a, b"),
    ("the host a/b", Refused, "POST {p} HTTP/1.1\r\nhost: a/b"),
    ("the host x@a", Refused, "POST {p} HTTP/1.1\r\nhost: x@a"),
    (
        "the host a:99999999",
        Refused,
        "POST {p} HTTP/1.1\r\nhost: a:99999999",
    ),
    ("the host a:b", Refused, "POST {p} HTTP/1.1\r\nhost: a:b"),
    ("the host é", Refused, "POST {p} HTTP/1.1\r\nhost: é"),
    (
        "the host http://a",
        Refused,
        "POST {p} HTTP/1.1\r\nhost: http://a",
    ),
    (
        "the host \"a\"",
        Refused,
        "POST {p} HTTP/1.1\r\nhost: \"a\"",
    ),
    (
        "a bad host in HTTP/1.0",
        Refused,
        "POST {p} HTTP/1.0\r\nhost: a b",
    ),
];
