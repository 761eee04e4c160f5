use proptest::prelude::*;

use super::model::Rates;
use super::*;

const MILLION: u64 = 1_000_000;

/// Prices that the providers have published for years, as (input, cached, output) in nano-USD a token.
const WELL_KNOWN: [(&str, u64, u64, u64); 22] = [
    ("gpt-4o", 2_500, 1_250, 10_000),
    ("openai/gpt-4o-2024-08-06", 2_500, 1_250, 10_000),
    ("gpt-4o-2024-05-13", 5_000, 5_000, 15_000),
    ("gpt-4o-mini", 150, 75, 600),
    ("gpt-4.1", 2_000, 500, 8_000),
    ("openai/gpt-4.1-mini", 400, 100, 1_600),
    ("gpt-4.1-nano-2025-04-14", 100, 25, 400),
    ("gpt-4-turbo", 10_000, 10_000, 30_000),
    ("gpt-4-0613", 30_000, 30_000, 60_000),
    ("gpt-3.5-turbo-0125", 500, 500, 1_500),
    ("gpt-5", 1_250, 125, 10_000),
    ("gpt-5-mini", 250, 25, 2_000),
    ("o3", 2_000, 500, 8_000),
    ("o4-mini", 1_100, 275, 4_400),
    ("anthropic/claude-sonnet-4", 3_000, 300, 15_000),
    ("claude-3-5-sonnet-20241022", 3_000, 300, 15_000),
    ("claude-opus-4-20250514", 15_000, 1_500, 75_000),
    ("anthropic/claude-haiku-4.5", 1_000, 100, 5_000),
    ("anthropic/claude-3-haiku", 250, 30, 1_250),
    ("gemini-2.5-flash", 300, 30, 2_500),
    ("google/gemini-2.5-pro", 1_250, 125, 10_000),
    ("amazon/nova-pro-v1", 800, 800, 3_200),
];

fn table(text: &str) -> PriceTable {
    PriceTable::from_toml(text).unwrap()
}

fn tokens(prompt: u64, completion: u64) -> Tokens {
    Tokens {
        prompt,
        completion,
        ..Tokens::default()
    }
}

#[test]
fn well_known_models_cost_what_their_providers_say() {
    let prices = PriceTable::default();
    for (model, input, cached, output) in WELL_KNOWN {
        let cost = |tokens| prices.cost(model, None, &tokens);
        assert_eq!(cost(tokens(1000, 0)), Some(1000 * input), "{model}");
        assert_eq!(cost(tokens(0, 1000)), Some(1000 * output), "{model}");
        let held = Tokens {
            cached: 1000,
            ..tokens(1000, 0)
        };
        assert_eq!(cost(held), Some(1000 * cached), "{model}");
        assert!(prices.as_of(model, None).is_some(), "{model}");
    }
    assert_eq!(prices.cost("unheard/of", None, &tokens(1, 1)), None);
    assert_eq!(prices.as_of("unheard/of", None), None);
    assert_eq!(prices.context_window("gpt-4.1", None), Some(1_047_576));
    assert_eq!(prices.max_output("gpt-4.1", None), Some(32_768));
}

#[test]
fn every_entry_of_the_table_is_sane() {
    assert!(BUILT_IN.len() > 300);
    for Entry { names, model } in BUILT_IN.iter() {
        let name = &names[0];
        let price = model.price.as_ref().unwrap();
        let tiers = price.tiers.iter().map(|tier| &tier.rates);
        let mut below = 0;
        for rates in [&price.rates].into_iter().chain(tiers) {
            let Rates {
                input,
                output,
                cached_input,
                cache_write,
                reasoning,
            } = *rates;
            assert!(input >= below, "{name}: long prompts are cheaper");
            assert!(cached_input <= input && cache_write >= input, "{name}");
            assert!(reasoning == output, "{name}");
            // From 0.01 to 200 dollars per million, 1000 for what is written: a slip of the point is outside.
            assert!((10_000..=200 * MILLION).contains(&input), "{name}: {input}");
            let embeds = name.contains("embed");
            assert!(
                embeds || (input..=1000 * MILLION).contains(&output),
                "{name}: {output}"
            );
            below = input;
        }
        for tier in &price.tiers {
            assert!(
                model
                    .context_window
                    .is_none_or(|window| window > tier.above),
                "{name}"
            );
        }
        if let Some(window) = model.context_window {
            assert!((4096..=10 * MILLION).contains(&window), "{name}: {window}");
            assert!(model.max_output.is_none_or(|most| most <= window), "{name}");
        }
        assert!(
            model.as_of.as_deref().is_some_and(|day| day > "2025"),
            "{name}"
        );
        for name in names {
            let dated = format!("{name}-2026-01-01");
            assert!(
                PriceTable::default()
                    .cost(&dated, None, &tokens(1, 1))
                    .is_some(),
                "{dated}"
            );
        }
    }
}

#[test]
fn parts_have_prices_of_their_own() {
    let prices = table(
        "[models.m]\ninput = 1\ncached_input = 0.1\ncache_write = 1.25\noutput = 4\nreasoning = 2\nrequest = 0.5",
    );
    let fee = 500_000_000;
    let call = Tokens {
        prompt: 1000,
        completion: 100,
        cached: 600,
        cache_write: 300,
        reasoning: 40,
    };
    let cost = 100 * 1000 + 600 * 100 + 300 * 1250 + 60 * 4000 + 40 * 2000;
    assert_eq!(prices.cost("m", None, &call), Some(cost + fee));
    assert_eq!(prices.cached_discount("m", None, &call), Some(600 * 900));
    assert_eq!(prices.cost_of_more_input("m", None, &call, 7), Some(7000));
    // What is said to be part of something smaller is only so much.
    let odd = Tokens {
        cached: 2000,
        cache_write: 50,
        reasoning: 9000,
        ..call
    };
    assert_eq!(
        prices.cost("m", None, &odd),
        Some(1000 * 100 + 100 * 2000 + fee)
    );
    let all = Tokens {
        prompt: u64::MAX,
        completion: u64::MAX,
        ..call
    };
    assert_eq!(prices.cost("m", None, &all), Some(u64::MAX));
    assert_eq!(prices.cost_of_more_input("m", None, &all, 7), Some(0));
    assert_eq!(prices.cached_discount("x", None, &call), None);
}

#[test]
fn what_is_not_priced_by_itself_costs_as_its_whole() {
    let prices = table("[models.m]\ninput = 3\noutput = 15");
    let call = Tokens {
        prompt: 10,
        completion: 10,
        cached: 4,
        cache_write: 5,
        reasoning: 6,
    };
    assert_eq!(prices.cost("m", None, &call), Some(30_000 + 150_000));
    assert_eq!(prices.cached_discount("m", None, &call), Some(0));
}

#[test]
fn long_prompts_cost_more_from_their_first_token_on() {
    let prices = table(
        "[models.m]\ninput = 1\noutput = 2\n[[models.m.above]]\ntokens = 100\ninput = 3\n\
         [[models.m.above]]\ntokens = 200\ninput = 5\noutput = 7",
    );
    let cost = |prompt| prices.cost("m", None, &tokens(prompt, 10)).unwrap();
    assert_eq!(cost(100), 100 * 1000 + 10 * 2000);
    assert_eq!(cost(101), 101 * 3000 + 10 * 2000);
    assert_eq!(cost(200), 200 * 3000 + 10 * 2000);
    assert_eq!(cost(201), 201 * 5000 + 10 * 7000);
    let more = prices.cost_of_more_input("m", None, &tokens(100, 10), 1);
    assert_eq!(more, Some(cost(101) - cost(100)));
    let gemini = PriceTable::default();
    let cost = |prompt| gemini.cost("google/gemini-2.5-pro", None, &tokens(prompt, 1000));
    assert_eq!(cost(200_000), Some(200_000 * 1_250 + 1000 * 10_000));
    assert_eq!(cost(200_001), Some(200_001 * 2_500 + 1000 * 15_000));
}

#[test]
fn costs_are_rounded_once() {
    let prices = table("[models.m]\ninput = 0.0375\noutput = 0.0004");
    // 37.5 and 0.4 nano-dollars a token.
    for (prompt, completion, cost) in [
        (1, 0, 38),
        (2, 0, 75),
        (0, 1, 0),
        (0, 2, 1),
        (1, 2, 38),
        (1000, 1000, 37_900),
    ] {
        assert_eq!(
            prices.cost("m", None, &tokens(prompt, completion)),
            Some(cost)
        );
    }
}

#[test]
fn who_served_is_priced_first() {
    let prices = table(
        "[models.a]\ninput = 1\noutput = 1\n[models.b]\ninput = 2\noutput = 2\ncontext_window = 9",
    );
    let cost = |model, served| prices.cost(model, served, &tokens(1, 0));
    assert_eq!(cost("a", Some("b")), Some(2000));
    assert_eq!(cost("a", Some("b-2026-01-31")), Some(2000));
    assert_eq!(cost("a", Some("x")), Some(1000));
    assert_eq!(cost("x", Some("b")), Some(2000));
    assert_eq!(cost("x", Some("y")), None);
    assert_eq!(cost("o/b:free", Some("b")), Some(0));
    assert_eq!(prices.context_window("a", Some("b")), Some(9));
    assert_eq!(prices.context_window("b", Some("a")), Some(9));
    assert_eq!(prices.context_window("a", None), None);
}

#[test]
fn an_own_price_holds_for_all_names_of_the_model() {
    let prices = table("as_of = 2026-02-03\n[models.\"GPT-4o\"]\ninput = 1\noutput = 2");
    let cost = |model| prices.cost(model, None, &tokens(1, 0));
    for name in [
        "gpt-4o",
        "GPT-4O",
        "openai/gpt-4o",
        "openai/gpt-4o-2024-08-06",
        "openai/gpt-4o:nitro",
    ] {
        assert_eq!(cost(name), Some(1000), "{name}");
        assert_eq!(prices.as_of(name, None), Some("2026-02-03"), "{name}");
        assert_eq!(prices.context_window(name, None), Some(128_000), "{name}");
    }
    // A snapshot that is listed by itself and the other models are as they were.
    assert_eq!(cost("gpt-4o-2024-05-13"), Some(5_000));
    assert_eq!(cost("gpt-4o-mini"), Some(150));

    let two = table(
        "[models.gpt-4o]\ninput = 1\noutput = 2\n[models.\"openai/gpt-4o\"]\ninput = 3\noutput = 4",
    );
    assert_eq!(two.cost("gpt-4o", None, &tokens(1, 0)), Some(1000));
    assert_eq!(two.cost("openai/gpt-4o", None, &tokens(1, 0)), Some(3000));
}

#[test]
fn of_two_own_prices_the_one_for_the_first_name_holds_for_the_others() {
    let prices = table(
        "[models.\"anthropic/claude-3.5-haiku\"]\ninput = 3\noutput = 4\n\
         [models.claude-3-5-haiku-latest]\ninput = 1\noutput = 2",
    );
    let cost = |model| prices.cost(model, None, &tokens(1, 0));
    assert_eq!(cost("anthropic/claude-3.5-haiku"), Some(3000));
    assert_eq!(cost("claude-3-5-haiku-latest"), Some(1000));
    assert_eq!(cost("claude-3-5-haiku-20241022"), Some(3000));
}

#[test]
fn own_prices_stand_above_fetched_ones_and_those_above_the_table() {
    let list = |prompt: &str| {
        let list = serde_json::json!({"data": [
            {"id": "openai/gpt-4o", "pricing": {"prompt": prompt, "completion": "0.00001"}},
            {"id": "openai/gpt-4.1", "pricing": {"prompt": "0.000004", "completion": "0.00001"}},
            {"id": "google/gemini-2.5-pro", "pricing": {"prompt": "0.00000125", "completion": "0.00001"}},
            {"id": "new/one", "pricing": {"prompt": "0.000009", "completion": "0"}, "context_length": 77},
        ]});
        Fetched::from_models_json(list.to_string().as_bytes(), "2026-11-27").unwrap()
    };
    let prices =
        table("[models.\"gpt-4.1\"]\ninput = 1\noutput = 2").with_fetched(&list("0.000005"));
    let cost = |prices: &PriceTable, model| prices.cost(model, None, &tokens(1, 0));
    assert_eq!(cost(&prices, "gpt-4o"), Some(5_000));
    assert_eq!(prices.as_of("gpt-4o", None), Some("2026-11-27"));
    assert_eq!(prices.max_output("gpt-4o", None), Some(16_384));
    assert_eq!(cost(&prices, "openai/gpt-4.1"), Some(1_000));
    assert_eq!(cost(&prices, "gpt-4o-mini"), Some(150));
    assert_eq!(prices.context_window("new/one", None), Some(77));
    // A list without tiers does not make long prompts cheap.
    assert_eq!(
        prices.cost("gemini-2.5-pro", None, &tokens(200_001, 0)),
        Some(200_001 * 2_500)
    );

    let later = prices.with_fetched(&list("0.000006"));
    assert_eq!(cost(&later, "gpt-4o"), Some(6_000));
    assert_eq!(cost(&later, "gpt-4.1"), Some(1_000));
}

#[test]
fn the_example_file_is_right() {
    let prices = table(include_str!("../../../config/prices.toml"));
    let cost = |prompt| prices.cost("large", None, &tokens(prompt, 0));
    assert_eq!(cost(1000), Some(2_500_000 + 2_000_000));
    assert_eq!(cost(200_001), Some(200_001 * 5000 + 2_000_000));
    assert_eq!(prices.cost("local/small", None, &tokens(9, 9)), Some(0));
    assert_eq!(
        prices.max_output("example/large-20260131", None),
        Some(65_536)
    );
}

#[test]
fn all_mistakes_are_told_with_their_lines() {
    let text = "as_of = \"soon\"\n[models.a]\ninput = 1\n[models.b]\ninput = -1\noutput = \"2\"\ncached = 1\n\
                [models.c]\ninput = 0.0000001\noutput = 1000001\nnames = [\"a\", 5, \" \"]\nmax_output = 0\n\
                [models.d]\ninput = 1\noutput = 1\nabove = [{ tokens = 5 }, { tokens = 5 }, 7, { input = 1, x = 1 }]\n\
                [models.e]\ninput = 1\noutput = nan\nrequest = 1001\ncontext_window = 1.5\nas_of = 1979-05-27T07:32:00\n\
                [models]\nf = 3\n[prices]";
    let error = PriceTable::from_toml(text).unwrap_err().to_string();
    let told: Vec<&str> = error.split("; ").collect();
    for part in [
        "line 1: as_of is not a day",
        "line 2: model \"a\": output is missing",
        "line 5: model \"b\": input is not from 0 to 1000000 USD per million tokens",
        "line 6: model \"b\": output is not a number",
        "line 7: model \"b\": \"cached\" is none of input, output",
        "line 9: model \"c\": input = 0.0000001 is finer than 1e-6 USD per million tokens",
        "line 10: model \"c\": output is not from 0",
        "line 11: model \"c\": the name \"a\" is there twice",
        "line 11: model \"c\": names: expected text",
        "line 11: model \"c\": a name is empty",
        "line 12: model \"c\": max_output is not a whole number above zero",
        "line 16: model \"d\": above: the longest prompts come last",
        "line 16: model \"d\": above: expected a table",
        "line 16: model \"d\": above: tokens is missing",
        "line 16: model \"d\": above: \"x\" is none of tokens",
        "line 19: model \"e\": output is not from 0",
        "line 20: model \"e\": request is not from 0 to 1000 USD per request",
        "line 21: model \"e\": context_window is not",
        "line 22: model \"e\": as_of is not a day",
        "line 24: model \"f\": expected a table with input and output",
        "line 25: \"prices\" is neither as_of nor",
    ] {
        let found = told.iter().filter(|told| told.starts_with(part)).count();
        assert_eq!(found, 1, "{part}\n{error}");
    }
    assert_eq!(told.len(), 21, "{error}");
    let error = PriceTable::from_toml("[models.a]\ninput = = 1").unwrap_err();
    assert!(error.to_string().starts_with("line 2: "), "{error}");
}

proptest! {
    #[test]
    fn prices_are_kept_digit_for_digit(picos in 0..1_000_000_000_000_u64, prompt in 0..10_000_000_u64) {
        let text = format!("[models.m]\ninput = {}.{:06}\noutput = 0", picos / MILLION, picos % MILLION);
        let cost = (u128::from(picos) * u128::from(prompt) + 500) / 1000;
        prop_assert_eq!(table(&text).cost("m", None, &tokens(prompt, 0)), u64::try_from(cost).ok());
    }
}

#[test]
fn the_table_in_the_binary_is_the_same_read_at_once_and_in_parts() {
    let whole = file::read(TABLE).unwrap();
    assert!(whole.len() > 300);
    assert_eq!(format!("{:?}", built_in().unwrap()), format!("{whole:?}"));
}
