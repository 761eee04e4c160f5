//! A day of two thousand requests, and what it comes to by four ways of counting.

use futures_util::future::join_all;

use super::*;

/// What the day is to come to, in nano-dollars and requests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    requests: u64,
    cost: u64,
    saved_by_cache: u64,
    saved_by_dedup: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cached_tokens: u64,
    hits: u64,
    joined: u64,
    aborted: u64,
}

/// What a call costs: as the upstream says, else by the prices of [`proxy`].
fn price(model: &str, [prompt, completion, cached]: [u64; 3], reported: Option<u64>) -> u64 {
    reported.unwrap_or(match model {
        "a" => (prompt - cached) * 1_000 + cached * 250 + completion * 2_000,
        "b" => prompt * 10 + completion * 30,
        _ => 0,
    })
}

/// The model, a number of its own, its tokens (prompt, completion, cached), and what the upstream says that it cost.
type Question = (&'static str, u64, [u64; 3], Option<u64>);

/// A stream whose client leaves after the first event, which told what it costs; some providers do so in each.
async fn leave(proxy: &Proxy, (model, n, [prompt, completion, cached], _): Question) {
    let text = format!("{n}{HALF}|{prompt},{completion},{cached}");
    let mut request = asking(model, &text);
    request["stream"] = true.into();
    let mut events = proxy.stream(&request).await;
    assert_eq!(events.headers["x-cache"], "MISS");
    events.next().await;
}

/// Two thousand requests, what they come to, and the calls among them.
async fn live(proxy: &Proxy) -> (Sums, Vec<Question>) {
    let mut sums = Sums::default();
    let mut random = fastrand::Rng::with_seed(7);
    let mut asked: Vec<Question> = Vec::new();
    let mut left: Vec<Question> = Vec::new();
    while sums.requests < 2_000 {
        let is_repeat = !asked.is_empty() && random.bool();
        let (model, n, tokens, reported) = if is_repeat {
            asked[random.usize(..asked.len())]
        } else {
            let model = ["a", "b", "c"][random.usize(..3)];
            let prompt = random.u64(1..5_000);
            let cached = if model == "a" {
                random.u64(0..=prompt)
            } else {
                0
            };
            let tokens = [prompt, random.u64(1..800), cached];
            // The upstream tells the prices of one of them.
            let reported = (model == "c").then(|| random.u64(0..9_000_000));
            let n = asked.len() as u64;
            asked.push((model, n, tokens, reported));
            (model, n, tokens, reported)
        };
        let [prompt, completion, cached] = tokens;
        if !is_repeat && model != "c" && random.u8(..10) == 0 {
            let question = (model, left.len() as u64, tokens, None);
            leave(proxy, question).await;
            left.push(question);
            sums.requests += 1;
            sums.aborted += 1;
            sums.cost += price(model, tokens, None);
            sums.prompt_tokens += prompt;
            sums.completion_tokens += completion;
            sums.cached_tokens += cached;
        }
        let cost = reported.map_or_else(String::new, |nano| format!(",{nano}e-9"));
        let text = format!("{n}|{prompt},{completion},{cached}{cost}");
        let mut request = asking(model, &text);
        let streams = random.bool();
        if streams {
            request["stream"] = true.into();
        }
        let price = price(model, tokens, reported);
        // Some come as a crowd: one of them pays.
        let crowd = if random.u8(..20) == 0 {
            random.u64(2..6)
        } else {
            1
        };
        let answers = join_all((0..crowd).map(|_| async {
            if streams {
                let events = proxy.stream(&request).await;
                let cache = events.headers["x-cache"].to_str().unwrap().to_owned();
                assert_eq!(events.all().await.last().unwrap(), "[DONE]");
                cache
            } else {
                let answer = proxy.chat(&request).await;
                assert_eq!(answer.status, 200);
                answer.header("x-cache").to_owned()
            }
        }))
        .await;
        for cache in answers {
            sums.requests += 1;
            match &*cache {
                "MISS" => {
                    sums.cost += price;
                    sums.prompt_tokens += prompt;
                    sums.completion_tokens += completion;
                    sums.cached_tokens += cached;
                }
                "HIT" => {
                    sums.saved_by_cache += price;
                    sums.hits += 1;
                }
                "COALESCED" => {
                    sums.saved_by_dedup += price;
                    sums.joined += 1;
                }
                other => panic!("{other}"),
            }
        }
    }
    asked.extend(left);
    (sums, asked)
}

#[tokio::test]
async fn a_day_of_two_thousand_requests_comes_to_the_same_by_all_counts() {
    let upstream = Upstream::start().await;
    upstream.script(counted);
    let (proxy, _prices) = proxy(&upstream, "[cache]\nmax_entries = 5000").await;
    let (sums, asked) = live(&proxy).await;
    assert!(sums.hits > 500 && sums.joined > 10, "{sums:?}");
    assert!(sums.aborted > 10, "{sums:?}");
    // Whoever left last may still be on the way out.
    within("the last rows", async {
        while usage(&proxy, "").await["total"]["requests"] != sums.requests {}
    })
    .await;
    the_ledger_agrees(&proxy, &sums, &asked).await;
    the_metrics_agree(&proxy, &sums).await;
    the_statistics_and_the_page_agree(&proxy, &sums, &asked).await;
}

async fn the_ledger_agrees(proxy: &Proxy, sums: &Sums, asked: &[Question]) {
    let total = usage(proxy, "").await["total"].clone();
    let of = |value: &Value| value.as_u64().unwrap();
    let ledger = Sums {
        requests: of(&total["requests"]),
        cost: of(&total["costNanoUsd"]),
        saved_by_cache: of(&total["saved"]["cacheNanoUsd"]),
        saved_by_dedup: of(&total["saved"]["dedupNanoUsd"]),
        prompt_tokens: of(&total["promptTokens"]),
        completion_tokens: of(&total["completionTokens"]),
        cached_tokens: of(&total["cachedTokens"]),
        hits: sums.hits,
        joined: sums.joined,
        aborted: of(&total["aborted"]),
    };
    assert_eq!(&ledger, sums);
    let provider = of(&total["saved"]["providerCacheNanoUsd"]);
    assert_eq!(provider, sums_of_discounts(asked), "each call once");

    // Its parts make the whole, however it is cut.
    for by in [
        "day,model",
        "hour",
        "source,caller,user,endpoint",
        "model,source",
    ] {
        let report = usage(proxy, &format!("?group_by={by}")).await;
        let rows = report["rows"].as_array().unwrap();
        let sum: u64 = rows.iter().map(|row| of(&row["costNanoUsd"])).sum();
        assert_eq!(sum, sums.cost, "{by}");
    }
}

/// What a sample counts, or how many nano-dollars it stands for.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "far below 2^53, and never negative"
)]
pub(super) fn whole(sample: f64) -> u64 {
    sample.round() as u64
}

async fn the_metrics_agree(proxy: &Proxy, sums: &Sums) {
    let samples = samples(proxy).await;
    let sum = |name: &str, label: &str| -> f64 {
        let named = format!("{name}{{");
        let of = samples
            .iter()
            .filter(|(key, _)| key.starts_with(&named) && key.contains(label));
        of.map(|(_, value)| value).sum()
    };
    let nano = |name: &str, label: &str| whole(sum(name, label) * 1e9);
    let requests = "pegasus_nest_requests_total";
    assert_eq!(whole(sum(requests, "")), sums.requests);
    assert_eq!(whole(sum(requests, "source=\"cache\"")), sums.hits);
    assert_eq!(nano("pegasus_nest_cost_usd_total", ""), sums.cost);
    let by_cache = nano("pegasus_nest_saved_usd_total", "layer=\"cache\"");
    assert_eq!(by_cache, sums.saved_by_cache);
    let prompts = sum("pegasus_nest_tokens_total", "kind=\"prompt\"");
    assert_eq!(whole(prompts), sums.prompt_tokens);
    assert_eq!(whole(samples["pegasus_nest_cache_hits_total"]), sums.hits);
}

async fn the_statistics_and_the_page_agree(proxy: &Proxy, sums: &Sums, asked: &[Question]) {
    let report = proxy.get("/api/optimization-stats").await.json();
    assert_eq!(report["performance"]["totalRequests"], sums.requests);
    let usd = |nano: u64| pegasus_nest::metering::tally::usd(nano);
    assert_eq!(report["cost"]["spentUsd"], usd(sums.cost));
    let saved = sums.saved_by_cache + sums.saved_by_dedup + sums_of_discounts(asked);
    assert_eq!(report["cost"]["savedUsd"], usd(saved));

    let mut events = proxy
        .request(http::Method::GET, "/api/events")
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    while !text.contains("\n\n") {
        text.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    let sent = text.strip_prefix("event: state\ndata: ").unwrap();
    let state: Value = serde_json::from_str(sent.split("\n\n").next().unwrap()).unwrap();
    assert_eq!(state["today"]["costNanoUsd"], sums.cost);
    assert_eq!(state["overall"]["requests"], sums.requests);
    assert_eq!(state["stack"]["cache"], sums.hits);
    assert_eq!(state["recent"].as_array().unwrap().len(), 50);
    assert_eq!(state["resources"]["upstreamSockets"]["limit"], 100);
}

/// What the provider's cache saved: once for each call, and each question was one call.
fn sums_of_discounts(asked: &[Question]) -> u64 {
    let of_a = asked.iter().filter(|(model, ..)| *model == "a");
    of_a.map(|(_, _, [_, _, cached], _)| cached * 750).sum()
}
