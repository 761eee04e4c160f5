use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::json::Json;

fn parse(body: &serde_json::Value) -> Json {
    Json::parse(Bytes::from(body.to_string())).unwrap()
}

fn prompt(model: &str, body: &serde_json::Value) -> Counted {
    count_prompt(model, parse(body).root())
}

fn exact(tokens: u64) -> Counted {
    Counted {
        tokens,
        certainty: Certainty::Exact,
    }
}

/// The example of `OpenAI`'s cookbook, "How to count tokens with tiktoken": 129 tokens for GPT-4 and GPT-3.5,
/// 124 for GPT-4o, as the API reported.
fn cookbook() -> serde_json::Value {
    let example = |name, content| json!({"role": "system", "name": name, "content": content});
    json!({"messages": [
        {"role": "system", "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
        example("example_user", "New synergies will help drive top-line growth."),
        example("example_assistant", "Things working well together will increase revenue."),
        example("example_user", "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."),
        example("example_assistant", "Let's talk later when we're less busy about how to do better."),
        {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client deliverable."},
    ]})
}

#[test]
fn counts_what_the_api_reports() {
    for (model, tokens) in [
        ("gpt-4-0613", 129),
        ("gpt-3.5-turbo", 129),
        ("gpt-4o", 124),
        ("openai/gpt-4o-mini", 124),
    ] {
        assert_eq!(prompt(model, &cookbook()), exact(tokens), "{model}");
    }
}

#[test]
fn is_exact_for_plain_texts_and_published_frames_alone() {
    let plain = json!({"messages": [{"role": "user", "content": "hello world"}], "tools": null});
    assert_eq!(prompt("gpt-4o", &plain), exact(3 + 1 + 2 + 3));
    assert_eq!(prompt("gpt-4o", &json!({"messages": []})), exact(3));
    for model in ["gpt-5", "o1", "anthropic/claude-sonnet-4", "unheard/of"] {
        assert_eq!(
            prompt(model, &plain).certainty,
            Certainty::Estimated,
            "{model}"
        );
    }
    let base = prompt("gpt-4o", &plain).tokens;
    let message = |extra: serde_json::Value| {
        let mut message = json!({"role": "user", "content": "hello world"});
        message
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        json!({"messages": [message]})
    };
    let image = |detail| {
        let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAA", "detail": detail}});
        json!({"content": [{"type": "text", "text": "hello world"}, image]})
    };
    for (body, more) in [
        (message(image("low")), 85),
        (message(image("high")), 765),
        (
            message(json!({"content": [{"type": "text", "text": "hello world"}]})),
            0,
        ),
        // {"a":[1,true,null]} is seven tokens.
        (message(json!({"tool_calls": {"a": [1, true, null]}})), 7),
        (
            json!({"messages": plain["messages"], "tools": {"a": [1, true, null]}}),
            7,
        ),
    ] {
        let counted = prompt("gpt-4o", &body);
        assert_eq!(counted.certainty, Certainty::Estimated, "{body}");
        assert_eq!(counted.tokens, base + more, "{body}");
    }
    assert_eq!(
        prompt("gpt-4o", &message(json!({"refusal": null}))),
        exact(base)
    );
    assert_eq!(
        prompt("gpt-4o", &json!({"messages": ["x"]})).certainty,
        Certainty::Estimated
    );
}

#[test]
fn texts_are_exact_where_the_vocabulary_is_known() {
    assert_eq!(count_text("gpt-5", "hello world"), exact(2));
    assert_eq!(
        count_text("text-embedding-3-small", "hello world"),
        exact(2)
    );
    let claude = count_text("claude-2.1", "hello world");
    assert_eq!(
        claude,
        Counted {
            tokens: 2,
            certainty: Certainty::Estimated
        }
    );
}

fn chat(texts: &[String]) -> Json {
    let messages: Vec<_> = texts
        .iter()
        .map(|text| json!({"role": "user", "content": text}))
        .collect();
    parse(&json!({ "messages": messages }))
}

#[test]
fn only_a_prompt_that_surely_overflows_does() {
    // As many tokens as words in every vocabulary at hand.
    let words = |count: usize| " the".repeat(count);
    let half = chat(&[words(500), words(500)]);
    let parts = parse(&json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": words(500)}, {"type": "text", "text": words(500)}, {"type": "image_url"}]}]}));
    for json in [&half, &parts] {
        for model in ["gpt-4o", "gpt-4"] {
            assert_eq!(overflows(model, json.root(), 1000), None, "{model}");
            let overflow = Overflow {
                at_least: 1000,
                window: 999,
                certainty: Certainty::Exact,
            };
            assert_eq!(
                overflows(model, json.root(), 999),
                Some(overflow),
                "{model}"
            );
        }
    }
    // 1003 tokens for Llama 3, which must be 19 % above the window.
    let llama = |window| overflows("meta-llama/llama-3.1-8b-instruct", half.root(), window);
    assert_eq!(llama(843), None);
    let overflow = llama(841).unwrap();
    assert_eq!(
        (overflow.window, overflow.certainty),
        (841, Certainty::Estimated)
    );
    assert!(overflow.at_least > 1000);
    assert_eq!(overflows("unheard/of", half.root(), 1), None);
    assert_eq!(
        overflows("gpt-4o", parse(&json!({"input": words(9)})).root(), 1),
        None
    );
}

#[test]
fn counting_stops_early() {
    // What follows the first text is not looked at, nor is most of a long one.
    let many = chat(&[" the".repeat(20), " the".repeat(200_000)]);
    let at_least = |model, window| overflows(model, many.root(), window).unwrap().at_least;
    assert_eq!(at_least("gpt-4o", 10), 11);
    assert_eq!(at_least("gpt-4o", 30), 31);
    let llama = at_least("llama-4-scout", 30);
    assert!(
        (8_000..9_000).contains(&llama),
        "{llama}: one part of 32 KiB, not 800 KB"
    );
    // Fewer bytes than the window has tokens: nothing to count.
    assert_eq!(overflows("gpt-4o", many.root(), 800_080), None);
}

#[test]
fn parts_end_at_characters() {
    let text = format!("{}{}", "a".repeat(PART - 1), "é".repeat(PART));
    let family = Family::of("claude-2");
    let parts = estimate_up_to(family, &text, u64::MAX);
    assert!(parts.abs_diff(family.count(&text)) <= 4);
}
