use serde_json::json;

use super::super::{PriceTable, Tokens};
use super::*;

const CALL: Tokens = Tokens {
    prompt: 1000,
    completion: 100,
    cached: 0,
    cache_write: 0,
    reasoning: 0,
};

fn fetched(data: &Value) -> Fetched {
    let list = json!({ "data": data }).to_string();
    Fetched::from_models_json(list.as_bytes(), "2026-11-27").unwrap()
}

/// The cost of a call by the list's only model.
fn cost(pricing: &Value, tokens: Tokens) -> Option<u64> {
    let list = fetched(&json!([{ "id": "o/m", "pricing": pricing }]));
    PriceTable::default()
        .with_fetched(&list)
        .cost("o/m", None, &tokens)
}

#[test]
fn prices_are_decimals_in_dollars_a_token() {
    for (prompt, thousand) in [
        ("0.000003", 3_000_000),
        ("0.000000075", 75_000),
        ("0.0000000375", 37_500),
        ("3.75e-8", 37_500),
        ("0.00000008333333333333334", 83_333),
        (" 0.000003 ", 3_000_000),
        ("0", 0),
    ] {
        let nanos = cost(&json!({"prompt": prompt, "completion": "0"}), CALL);
        assert_eq!(nanos, Some(thousand), "{prompt}");
    }
    let numbers = json!({"prompt": 3e-6, "completion": 0.000_015});
    assert_eq!(cost(&numbers, CALL), Some(3_000_000 + 1_500_000));
}

#[test]
fn parts_are_priced_where_the_list_prices_them() {
    let whole = Tokens {
        cached: 600,
        cache_write: 300,
        reasoning: 40,
        ..CALL
    };
    let pricing = json!({"prompt": "0.000001", "completion": "0.000004", "input_cache_read": "0.0000001",
        "input_cache_write": "0.00000125", "internal_reasoning": "0.000002", "request": "0.5", "image": "7"});
    let parts = 100 * 1000 + 600 * 100 + 300 * 1250 + 60 * 4000 + 40 * 2000 + 500_000_000;
    assert_eq!(cost(&pricing, whole), Some(parts));
    // Zeros stand for what is not charged apart.
    let zeros = json!({"prompt": "0.000001", "completion": "0.000004", "input_cache_read": "0",
        "input_cache_write": "0", "internal_reasoning": "0", "request": "0"});
    assert_eq!(cost(&zeros, whole), Some(1000 * 1000 + 100 * 4000));
    // A write below the price of input is a surcharge.
    let surcharge =
        json!({"prompt": "0.000001", "completion": "0.000004", "input_cache_write": "0.0000005"});
    assert_eq!(
        cost(&surcharge, whole),
        Some(700 * 1000 + 300 * 1500 + 100 * 4000)
    );
}

#[test]
fn a_price_that_depends_is_none() {
    for dynamic in ["-1", "-1.0", " -1"] {
        assert_eq!(
            cost(&json!({"prompt": dynamic, "completion": "-1"}), CALL),
            None,
            "{dynamic}"
        );
    }
    let list = fetched(
        &json!([{"id": "openrouter/auto", "context_length": 2_000_000,
        "pricing": {"prompt": "-1", "completion": "-1"}}]),
    );
    let prices = PriceTable::default().with_fetched(&list);
    assert_eq!(
        prices.context_window("openrouter/auto", None),
        Some(2_000_000)
    );
    assert_eq!(
        prices.cost("openrouter/auto", Some("openai/gpt-4o"), &CALL),
        Some(3_500_000)
    );
    assert_eq!(prices.as_of("openrouter/auto", None), None);
}

#[test]
fn odd_models_are_left_out_and_counted() {
    let good = json!({"prompt": "0.000001", "completion": "0.000001"});
    let list = fetched(&json!([
        {"id": "a", "pricing": good, "context_length": 10, "top_provider": {"max_completion_tokens": 5}},
        {"id": "b", "pricing": good, "context_length": null, "top_provider": null},
        {"id": "c", "pricing": good, "context_length": -5},
        {"id": "A", "pricing": {"prompt": "9", "completion": "9"}},
        {"id": "", "pricing": good},
        {"id": "x".repeat(201), "pricing": good},
        {"id": 5, "pricing": good},
        {"pricing": good},
        {"id": "no pricing"},
        {"id": "no object", "pricing": []},
        {"id": "no prompt", "pricing": {"completion": "0"}},
        {"id": "no number", "pricing": {"prompt": "a", "completion": "0"}},
        {"id": "negative", "pricing": {"prompt": "-2", "completion": "0"}},
        {"id": "empty", "pricing": {"prompt": "", "completion": "0"}},
        {"id": "dear", "pricing": {"prompt": "1.1", "completion": "0"}},
        {"id": "list", "pricing": {"prompt": ["0"], "completion": "0"}},
        {"id": "request", "pricing": {"prompt": "0", "completion": "0", "request": "many"}},
        null, 3, "text", [],
    ]));
    assert_eq!((list.len(), list.unread()), (3, 18));
    let prices = PriceTable::default().with_fetched(&list);
    assert_eq!(prices.context_window("a", None), Some(10));
    assert_eq!(prices.max_output("a", None), Some(5));
    assert_eq!(prices.cost("a", None, &CALL), Some(1_100_000));
    assert_eq!(prices.context_window("c", None), None);
}

#[test]
fn what_is_no_list_is_refused() {
    for body in [
        "",
        "{",
        "[]",
        "{}",
        "{\"data\": 5}",
        "{\"data\": []}",
        "{\"data\": [{\"id\": \"a\"}]}",
        "<html>",
    ] {
        assert!(
            Fetched::from_models_json(body.as_bytes(), "2026-11-27").is_err(),
            "{body}"
        );
    }
}
