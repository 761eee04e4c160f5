//! Everything can be reached and done without a mouse, and what has the focus can be seen.

use std::collections::HashSet;

use super::{Demo, LIVE, says};

/// What has the focus, and whether that can be seen. A radio button shows it on its label.
const FOCUS: &str = "(() => {
    const node = document.activeElement;
    const shown = node.matches('.choice input') ? node.nextElementSibling : node;
    const style = getComputedStyle(shown);
    const name = node.id || node.name || node.className || node.textContent.trim().slice(0, 20);
    return [node.localName, name, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0];
})()";

#[tokio::test]
async fn the_whole_page_is_walked_by_tab_and_each_stop_can_be_seen() {
    let demo = Demo::open("").await;
    let browser = &demo.browser;
    let mut stops = Vec::new();
    let mut seen = HashSet::new();
    loop {
        browser.press("Tab").await;
        let stop = browser.eval(FOCUS).await;
        let name = format!(
            "{} {}",
            stop[0].as_str().unwrap(),
            stop[1].as_str().unwrap()
        );
        // Behind the last stop is the browser's own, which is the body for the page.
        if stop[0] == "body" || stops.first() == Some(&name) {
            break;
        }
        assert_eq!(stop[2], true, "{name} has the focus, which cannot be seen");
        seen.insert(name.clone());
        stops.push(name);
        assert!(stops.len() < 80, "{stops:?}");
    }
    assert_eq!(stops[0], "a skip", "{stops:?}");
    for needed in [
        "a Usage",
        "a Help",
        "button clear-open",
        "input range",
        "input measure",
        "input group",
        "div chart",
        "button csv",
        "textarea prompt",
        "input try-model",
        "button try-go",
    ] {
        assert!(seen.contains(needed), "{needed} is missing in {stops:?}");
    }
    demo.close().await;
}

#[tokio::test]
async fn everything_is_done_by_keys() {
    let demo = Demo::open("").await;
    let browser = &demo.browser;
    browser.press("Tab").await;
    browser.press("Enter").await;
    browser
        .until("document.activeElement.id === 'content'")
        .await;

    let focus = async |selector: &str| {
        browser
            .eval(&format!("document.querySelector({selector:?}).focus()"))
            .await
    };
    focus("#prompt").await;
    browser.press_with("Enter", 2).await;
    browser.until(&says(".verdict", "saved")).await;
    browser
        .until(&says("#readout", "The last 7 days: would"))
        .await;

    focus("input[value='7d']").await;
    browser.press("ArrowRight").await;
    browser
        .until(&says("#readout", "The last 30 days: would"))
        .await;
    focus("#chart").await;
    browser.press("ArrowLeft").await;
    browser.until("/^\\d+ \\w+: would cost|^\\d+ \\w+: would have cost/.test(document.querySelector('#readout').innerText)").await;
    browser.press("Escape").await;
    browser
        .until(&says("#readout", "The last 30 days: would"))
        .await;

    focus("#clear-open").await;
    browser.press("Enter").await;
    browser
        .until(&says("#clear-count", "This would clear 1 answer."))
        .await;
    browser.press("Escape").await;
    browser
        .until("document.activeElement.id === 'clear-open'")
        .await;
    assert_eq!(demo.stats().await["cache"]["entries"], 1);
    browser.press("Enter").await;
    browser.until(&says("#clear-go", "Clear 1 answer")).await;
    browser.press("Enter").await;
    browser
        .until(&says("#clear-count", "1 answer cleared."))
        .await;
    browser
        .until("document.activeElement.id === 'clear-cancel'")
        .await;
    assert_eq!(demo.stats().await["cache"]["entries"], 0);
    assert_eq!(browser.eval(LIVE).await, true);
    demo.close().await;
}
