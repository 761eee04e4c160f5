//! Whose trace a request is in, and what goes on upstream.

use super::*;
use crate::process::Process;
use crate::support::{Client, ask};

#[tokio::test]
async fn clients_without_a_trace_begin_one_each() {
    let site = Site::start("").await;
    let bad = format!("ff-{TRACE}-{PARENT}-01");
    for (prompt, headers) in [
        ("one", vec![]),
        (
            "two",
            vec![("traceparent", bad.as_str()), ("tracestate", "a=1")],
        ),
    ] {
        assert_eq!(
            site.proxy.chat_with(&ask(prompt), &headers).await.status,
            200
        );
    }
    let sent = site.upstream.requests();
    let spans = site.end().await;
    let servers: Vec<_> = spans.iter().filter(|span| span.kind == SERVER).collect();
    let [one, two] = &*servers else {
        panic!("{spans:?}")
    };
    assert_ne!(one.trace, two.trace);
    for (server, sent) in [one, two].into_iter().zip(&sent) {
        assert_eq!((server.parent.as_str(), server.state.as_str()), ("", ""));
        assert_ne!(server.trace, TRACE);
        let parent = sent.header("traceparent");
        assert!(
            parent.starts_with(&format!("00-{}-", server.trace)),
            "{parent}"
        );
        assert!(!sent.has_header("tracestate"));
    }
}

#[tokio::test]
async fn the_share_is_for_those_whose_client_did_not_decide() {
    let site = Site::start("sample_ratio = 0.0\n").await;
    let (yes, no) = (recorded(), recorded().replace("-01", "-00"));
    let no = no.replace('4', "6");
    for (prompt, parent) in [("one", None), ("two", Some(&no)), ("three", Some(&yes))] {
        let headers: Vec<_> = parent
            .iter()
            .map(|parent| ("traceparent", parent.as_str()))
            .collect();
        assert_eq!(
            site.proxy.chat_with(&ask(prompt), &headers).await.status,
            200
        );
    }
    let sent: Vec<_> = site.upstream.requests();
    let sent: Vec<_> = sent
        .iter()
        .map(|sent| sent.header("traceparent").to_owned())
        .collect();
    let spans = site.end().await;
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:?}");
    assert_eq!(one(&spans, "POST /v1/chat/completions").parent, PARENT);
    // What is not recorded here should not be recorded further up either.
    assert!(sent[0].ends_with("-00") && sent[0].len() == 55, "{sent:?}");
    let (trace, span) = (&no[3..35], &no[36..52]);
    assert!(
        sent[1].starts_with(&format!("00-{trace}-")) && sent[1].ends_with("-00"),
        "{sent:?}"
    );
    assert!(
        !sent[1].contains(span),
        "the call is the proxy's, not its client's"
    );
    assert_eq!(sent[2], format!("00-{TRACE}-{}-01", one(&spans, "POST").id));
}

#[tokio::test]
async fn without_a_collector_the_clients_own_goes_on_unchanged() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for parent in [recorded(), "00-what-ever".to_owned()] {
        let headers = [("traceparent", parent.as_str()), ("tracestate", "a=1, b=2")];
        let body = ask(&parent);
        assert_eq!(proxy.chat_with(&body, &headers).await.status, 200);
        let sent = upstream.last();
        assert_eq!(sent.header("traceparent"), parent);
        assert_eq!(sent.header("tracestate"), "a=1, b=2");
    }
    let metrics = proxy.get("/metrics").await;
    assert!(!String::from_utf8_lossy(&metrics.body).contains("trace_spans"));
}

#[tokio::test]
async fn lines_in_the_log_name_the_trace() {
    let upstream = Upstream::start().await;
    let collector = Collector::start().await;
    let base_url = format!("http://{}/v1", upstream.address);
    let off = format!("[upstream]\nbase_url = \"{base_url}\"\n");
    let on = format!("{off}{}", collector.setting());
    for (settings, format, expected) in [
        (&on, "text", format!(" trace_id={TRACE} ")),
        (&on, "json", format!("\"trace_id\":\"{TRACE}\"")),
        (&off, "text", String::new()),
    ] {
        let settings = format!("{settings}[log]\nformat = \"{format}\"\n");
        let process = Process::start(&settings, &[], &[]).await;
        let client = Client::new(process.address());
        let (parent, body) = (recorded(), ask("q"));
        let answer = client.chat_with(&body, &[("traceparent", &parent)]).await;
        let id = answer.header("x-request-id").to_owned();
        let stderr = process.stop().await;
        let line = stderr.lines().find(|line| line.contains(&id)).unwrap();
        let line = format!("{line} ");
        if expected.is_empty() {
            assert!(!line.contains("trace_id"), "{line}");
        } else {
            assert!(line.contains(&expected), "{line}");
        }
    }
    assert_eq!(
        collector
            .spans()
            .iter()
            .filter(|span| span.kind == SERVER)
            .count(),
        2
    );
}
