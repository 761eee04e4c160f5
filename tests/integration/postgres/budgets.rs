//! Budgets of instances that share a ledger, and no Redis: what one spends is missing on the others.

use super::*;
use crate::budgets::{WEB, settings, spend};
use crate::support::Proxy;

/// Waits until an answer that is stored says that so much is spent.
async fn hears(proxy: &Proxy, stored: &str, spent: &str) {
    within("what others have spent", async {
        loop {
            let hit = proxy.chat_with(&ask(stored), &WEB).await;
            assert_eq!((hit.status, hit.header("x-cache")), (200, "HIT"));
            let told = hit.header("x-pegasus-budget");
            if told.contains(&format!("spent={spent};")) {
                return;
            }
        }
    })
    .await;
}

async fn is_refused(proxy: &Proxy) {
    let refused = proxy.chat_with(&ask("one more"), &WEB).await;
    assert_eq!(refused.status, 402, "{refused:?}");
}

#[tokio::test]
async fn what_one_instance_spends_is_missing_on_the_others() {
    let (upstream, mut server) = (Upstream::start().await, PostgresServer::start());
    let (settings, _prices) = settings("budget_usd_per_month = 0.0010");
    let settings = format!("ledger.url = {:?}\n{settings}", server.url());
    let one = Proxy::start(&settings, &upstream).await;
    let other = Proxy::start(&settings, &upstream).await;
    spend(&other, "x", 1).await;
    spend(&one, "q", 7).await;
    hears(&other, "x 0", "0.0008").await;
    hears(&one, "q 0", "0.0008").await;
    spend(&other, "y", 1).await;
    hears(&one, "q 0", "0.0009").await;
    // Without the server each goes by what it knows.
    server.kill();
    spend(&one, "r", 1).await;
    is_refused(&one).await;
    hears(&other, "x 0", "0.0009").await;
    server.revive();
    hears(&other, "x 0", "0.001").await;
    is_refused(&other).await;
    // Who comes later begins with all of it.
    let third = Proxy::start(&settings, &upstream).await;
    is_refused(&third).await;
    for proxy in [one, other, third] {
        proxy.stop().await;
    }
    assert_eq!(
        server.run("SELECT sum(cost_nano_usd) FROM spending"),
        "1000000"
    );
}
