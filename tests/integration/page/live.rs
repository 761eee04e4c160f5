//! Figures of real traffic, as it comes: they agree with the API, charts are drawn, and a lost connection is said and found again.

use serde_json::json;

use super::{Demo, LIVE, exactly, says};
use crate::support::{Act, Upstream, ask, ask_stream};

/// How many pixels of the chart have each of two colours of the page.
const PAINTED: &str = "(() => {
    const canvas = document.querySelector('#chart canvas');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const style = getComputedStyle(document.documentElement);
    return ['cache', 'paid'].map((name) => {
        const hex = parseInt(style.getPropertyValue('--' + name).trim().slice(1), 16);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) {
            count += (data[i] << 16 | data[i + 1] << 8 | data[i + 2]) === hex && data[i + 3] === 255;
        }
        return count;
    });
})()";

#[tokio::test]
async fn it_shows_what_comes_and_agrees_with_the_api() {
    let demo = Demo::open("").await;
    let browser = &demo.browser;
    for (place, what) in [
        ("#today-of", "No requests yet."),
        ("#recent", "No requests yet."),
        ("#way-since", "No requests since the start"),
        ("#usage-table", "No requests in this time."),
        ("#demo", "simulated"),
    ] {
        browser.until(&says(place, what)).await;
    }
    for prompt in ["one", "two", "three"] {
        for _ in 0..3 {
            demo.ask(&format!("How do birds count to {prompt}?")).await;
        }
    }
    browser
        .until("document.querySelectorAll('#recent tbody tr').length === 9")
        .await;
    browser.until(&says("#hit-rate", "66.7 %")).await;
    browser.until(&says("#count", "9")).await;
    browser.until("document.querySelector('#river svg').getAttribute('aria-label').includes('66.7 % from the cache; 33.3 % asked the model')").await;
    assert_eq!(
        browser
            .eval("document.querySelectorAll('#river path.part').length")
            .await,
        2
    );
    browser
        .until(&says("#usage-table", "claude-sonnet-4"))
        .await;

    let usage = demo.client.get("/api/usage?group_by=model").await.json();
    let total = &usage["total"];
    assert_eq!(total["requests"], 9);
    assert!(total["savedNanoUsd"].as_u64().unwrap() > 0, "{total}");
    for (place, figure) in [
        ("#today-figure", "savedNanoUsd"),
        ("#overall-figure", "savedNanoUsd"),
        ("#usage-table tbody td:nth-of-type(4)", "costNanoUsd"),
        ("#usage-table tbody td:nth-of-type(5)", "savedNanoUsd"),
    ] {
        let expected = exactly(&total[figure]);
        browser
            .until(&format!(
                "document.querySelector({place:?})?.title === {expected:?}"
            ))
            .await;
    }

    let painted = browser.eval(PAINTED).await;
    for part in painted.as_array().unwrap() {
        assert!(part.as_u64().unwrap() > 100, "{painted}");
    }
    for (choice, says_then) in [
        ("24h", "The last 24 hours: would"),
        ("30d", "The last 30 days: would"),
        ("today", "Today: would"),
    ] {
        browser.click(&format!("input[value='{choice}']")).await;
        browser.until(&says("#readout", says_then)).await;
    }
    browser.click("input[value=requests]").await;
    browser
        .until(&says(
            "#readout",
            "Today: 9 requests, 6 answered without the model (66.7 %)",
        ))
        .await;
    browser.click("input[value=caller]").await;
    browser.until(&says("#usage-table thead", "Caller")).await;
    browser.until(&says("#latency", "From the cache")).await;
    browser.until(&says("#breakers", "calls pass")).await;
    browser.until(&says("#resources", "MiB")).await;
    browser.until(&says("#layers", "Shared calls")).await;
    demo.close().await;
}

#[tokio::test]
async fn it_says_when_it_is_offline_and_comes_back_by_itself() {
    let demo = Demo::start("").await;
    let browser = &demo.browser;
    let from = browser.events();
    let stream = json!({"patterns": [{"urlPattern": "*/api/events"}]});
    browser.send("Fetch.enable", stream).await;
    browser.open(&demo.process.url("/")).await;
    let (paused, _) = browser.event("Fetch.requestPaused", from).await;
    let failure = json!({"requestId": paused["requestId"], "errorReason": "ConnectionRefused"});
    browser.send("Fetch.failRequest", failure).await;
    browser
        .until(&says("#status", "offline: no connection; next try in"))
        .await;
    browser.send("Fetch.disable", json!({})).await;
    browser.until(LIVE).await;
    // What the browser says of the refusal is no defect of the page's.
    let complaints = browser.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    assert!(
        complaints[0].contains("ERR_CONNECTION_REFUSED"),
        "{complaints:#?}"
    );
    demo.browser.close().await;
}

#[tokio::test]
async fn a_hidden_tab_does_not_listen() {
    let demo = Demo::start("").await;
    let browser = &demo.browser;
    browser.send("Network.enable", json!({})).await;
    browser.open(&demo.process.url("/")).await;
    browser.until(LIVE).await;
    let hide = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});
            document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    let from = browser.events();
    browser.eval(&hide(true)).await;
    browser.until(&says("#status", "paused while hidden")).await;
    // Of all that is on the way, only the events never end by themselves.
    let (ended, _) = browser.event("Network.loadingFailed", from).await;
    assert_eq!(
        (&ended["canceled"], &ended["type"]),
        (&true.into(), &"Fetch".into()),
        "{ended}"
    );
    demo.ask("Who sees this?").await;
    browser.eval(&hide(false)).await;
    browser
        .until("document.querySelectorAll('#recent tbody tr').length === 1")
        .await;
    assert_eq!(browser.eval(LIVE).await, true);
    demo.close().await;
}

/// Names of models come from clients.
#[tokio::test]
async fn what_clients_call_their_models_is_only_text() {
    let demo = Demo::open("").await;
    let browser = &demo.browser;
    let name = "<img src=x onerror=console.error(1)>";
    let mut request = ask("Who am I?");
    request["model"] = name.into();
    assert_eq!(demo.client.chat(&request).await.status, 200);
    for place in ["#recent", "#usage-table", "#layers", "#breakers"] {
        browser.until(&says(place, name)).await;
    }
    // Nobody knows what it costs, and that is said.
    browser
        .until(&says("#usage-table", "price unknown, counts as $0"))
        .await;
    browser
        .until(&says("#layers", "Without a known price, so counted as $0"))
        .await;
    let images = browser.eval("document.querySelectorAll('main img').length");
    assert_eq!(images.await, 0);
    demo.close().await;
}

#[tokio::test]
async fn estimates_are_marked() {
    let demo = Demo::open("").await;
    let browser = &demo.browser;
    let mut request = ask_stream("Who leaves before the end?");
    request["model"] = "openai/gpt-4o-mini".into();
    let mut events = demo.client.stream(&request).await;
    assert!(events.next().await.is_some());
    drop(events);
    browser.until(&says("#recent", "aborted")).await;
    browser.until(&says("#recent", "≈")).await;
    browser
        .until(&says(
            "#honesty",
            "≈ 1 of 1 request rests on estimated token counts",
        ))
        .await;
    browser.until(&says("#today-figure", "≈$")).await;
    browser.until(&says("#usage-table", "≈")).await;
    demo.close().await;
}

#[tokio::test]
async fn what_a_breaker_stops_leaves_the_river_there() {
    let upstream = Upstream::start().await;
    for _ in 0..2 {
        upstream.once(Act::error(500, &[]));
    }
    let settings = "[retry]\nmax_attempts = 1\n[breaker]\nfailure_threshold = 2\n[cache]\nstale_if_error = \"0s\"";
    let url = format!("http://{}/v1", upstream.address);
    let demo = Demo::with(settings, &["--upstream", &url]).await;
    let browser = &demo.browser;
    for prompt in ["one", "two", "three", "four"] {
        demo.client.chat(&ask(prompt)).await;
    }
    browser.open(&demo.process.url("/")).await;
    for (place, what) in [
        ("#breakers", "1 breaker of 1 not closed"),
        ("#recent", "503 circuit_open"),
        ("#resources", "0 of 100"),
        // This is no demo.
        ("#try-cost", "may cost money"),
    ] {
        browser.until(&says(place, what)).await;
    }
    let river = browser
        .eval("document.querySelector('#river svg').getAttribute('aria-label')")
        .await;
    assert!(
        river
            .as_str()
            .unwrap()
            .contains("50.0 % stopped by a breaker"),
        "{river}"
    );
    assert_eq!(upstream.calls(), 2);
    demo.close().await;
}

/// A page may be open all day.
#[tokio::test]
async fn an_open_page_holds_up_no_stop() {
    let Demo {
        process, browser, ..
    } = Demo::open("[server]\nshutdown_grace = \"10m\"").await;
    process.stop().await;
    browser.until(&says("#status", "offline")).await;
    browser.close().await;
}

#[tokio::test]
async fn nothing_moves_where_no_motion_is_wanted() {
    let demo = Demo::open("").await;
    let browser = &demo.browser;
    let launch = "import(document.querySelector('script[type=module]').src.replace('main.js', 'motion.js')).then(({launch}) =>
        launch([], [{id: '1', source: 'cache'}], new Map([['cache', {line: 'M0 0L9 9', class: 'drop cache'}]])))";
    for (motion, launched) in [("reduce", 0), ("no-preference", 1)] {
        browser.prefer("light", motion).await;
        assert_eq!(browser.eval(launch).await, launched, "{motion}");
    }
    browser
        .until("document.querySelector('#river .drops circle')")
        .await;
    demo.close().await;
}
