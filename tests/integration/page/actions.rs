//! What can be done on the page: trying a prompt, clearing the cache, showing a token.

use serde_json::json;

use super::{Demo, LIVE, says};

#[tokio::test]
async fn a_prompt_is_tried_twice_and_only_on_demand() {
    let demo = Demo::open("").await;
    let browser = &demo.browser;
    browser.until(&says("#try-cost", "Costs nothing")).await;
    assert_eq!(demo.stats().await["performance"]["totalRequests"], 0);
    browser.click("#try-go").await;
    browser.until(&says(".verdict", "saved")).await;
    let runs =
        "[...document.querySelectorAll('.run .source')].map((node) => node.innerText).join()";
    assert_eq!(browser.eval(runs).await, "miss,hit");
    assert_eq!(
        browser
            .eval(&says(".run .answer", "[simulated answer]"))
            .await,
        true
    );
    let savings = &demo.stats().await["savings"];
    assert_eq!(
        (&savings["cacheHits"], &savings["cacheMisses"]),
        (&1.into(), &1.into())
    );
    // Once more, and the page does not call a hit a miss.
    browser.click("#try-go").await;
    browser.until(&says(".verdict", "was known already")).await;
    // What the proxy refuses is said in its own words.
    browser
        .eval("document.querySelector('#prompt').value = ' '")
        .await;
    browser.click("#try-go").await;
    browser
        .until(&says("#try-result .notice", "status 4"))
        .await;
    let complaints = browser.complaints();
    assert!(
        complaints
            .iter()
            .all(|all| all.contains("the server responded with a status of 4")),
        "{complaints:#?}"
    );
    demo.browser.close().await;
}

#[tokio::test]
async fn the_cache_is_cleared_after_a_dry_run_alone() {
    let demo = Demo::open("").await;
    let browser = &demo.browser;
    for prompt in ["one", "two"] {
        demo.ask(prompt).await;
    }
    browser.click("#clear-open").await;
    browser
        .until(&says("#clear-count", "This would clear 2 answers."))
        .await;
    browser.click("#clear-cancel").await;
    browser
        .until("!document.querySelector('#clear-dialog').open")
        .await;
    assert_eq!(demo.stats().await["cache"]["entries"], 2);

    browser.click("#clear-open").await;
    browser.until(&says("#clear-go", "Clear 2 answers")).await;
    browser.click("#clear-model").await;
    browser.insert("no/such-model").await;
    browser
        .until(&says("#clear-count", "There is nothing to clear."))
        .await;
    assert_eq!(
        browser
            .eval("document.querySelector('#clear-go').disabled")
            .await,
        true
    );
    browser
        .eval("document.querySelector('#clear-model').select()")
        .await;
    browser.insert("anthropic/claude-sonnet-4").await;
    browser
        .until("!document.querySelector('#clear-go').disabled")
        .await;
    assert_eq!(demo.stats().await["cache"]["entries"], 2);
    browser.click("#clear-go").await;
    browser
        .until(&says("#clear-count", "2 answers cleared."))
        .await;
    assert_eq!(demo.stats().await["cache"]["entries"], 0);
    demo.close().await;
}

#[tokio::test]
async fn a_token_is_asked_for_and_stays_in_its_tab() {
    let demo = Demo::start("[auth]\nadmin_token = \"boss\"").await;
    let browser = &demo.browser;
    let is_asking = "document.querySelector('#token-dialog').open";
    browser.open(&demo.process.url("/")).await;
    browser.until(is_asking).await;
    browser.press("Escape").await;
    browser.until(&says("#status", "waits for a token")).await;
    browser.click("#token-enter").await;
    browser.until(is_asking).await;
    browser.insert("wrong").await;
    browser.press("Enter").await;
    browser
        .until(&says("#token-why", "That token will not do"))
        .await;
    browser.until("document.activeElement.id === 'token'").await;
    browser.insert("boss").await;
    browser.press("Enter").await;
    browser.until(LIVE).await;
    let kept = "JSON.stringify([Object.values(sessionStorage), localStorage.length, document.cookie, location.search])";
    assert_eq!(browser.eval(kept).await, "[[\"boss\"],0,\"\",\"\"]");

    browser.open(&demo.process.url("/dashboard")).await;
    browser.until(LIVE).await;
    assert_eq!(browser.eval(is_asking).await, false);
    browser.click("#clear-open").await;
    browser
        .until(&says("#clear-count", "There is nothing to clear."))
        .await;
    browser.press("Escape").await;
    browser.click("#token-forget").await;
    browser.until(is_asking).await;
    assert_eq!(browser.eval("sessionStorage.length").await, 0);
    let why = browser.eval(&says("#token-why", "will not do")).await;
    assert_eq!(why, false);

    // Browsers report each refusal; there is nothing beside these.
    let complaints = browser.complaints();
    assert!(
        complaints
            .iter()
            .all(|all| all.contains("status of 401") || all.contains("status of 403")),
        "{complaints:#?}"
    );
    demo.browser.close().await;
}

#[tokio::test]
async fn who_may_not_look_is_told_why_and_not_asked_for_a_token_that_does_not_exist() {
    let demo = Demo::start("").await;
    let browser = &demo.browser;
    browser.send("Network.enable", json!({})).await;
    let relayed = json!({"headers": {"x-forwarded-for": "192.0.2.1"}});
    browser.send("Network.setExtraHTTPHeaders", relayed).await;
    browser.open(&demo.process.url("/")).await;
    browser
        .until("document.querySelector('#status').dataset.status === 'denied'")
        .await;
    let why = says("#status", "without auth.admin_token");
    assert_eq!(browser.eval(&why).await, true);
    let is_asking = browser.eval("document.querySelector('#token-dialog').open");
    assert_eq!(is_asking.await, false);
    demo.browser.close().await;
}
