//! Where traces go, and by which names.

use super::*;
use crate::process::{Process, command, config_file, run};
use crate::support::{Client, ask};

#[tokio::test]
async fn spans_are_posted_with_the_operators_headers_and_name() {
    let upstream = Upstream::start().await;
    let collector = Collector::start().await;
    let settings = format!(
        "[upstream]\nbase_url = \"http://{}/v1\"\n[telemetry]\notlp_endpoint = \"http://{}/own/v1/traces\"\n\
         service_name = \"nest of larks\"\nheaders = [\"authorization=Basic c2VjcmV0=\", \"X-Tenant = blue\"]\n",
        upstream.address, collector.address
    );
    let attributes = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "deployment.environment.name=test,service.name=other",
    );
    let process = Process::start(&settings, &[], &[attributes]).await;
    let client = Client::new(process.address());
    assert_eq!(client.chat(&ask("q")).await.status, 200);
    let stderr = process.stop().await;
    let posts = collector.posts();
    let [post] = &*posts else {
        panic!("{} posts", posts.len())
    };
    assert_eq!(post.path, "/own/v1/traces");
    assert_eq!(post.headers["content-type"], "application/x-protobuf");
    assert_eq!(post.headers["authorization"], "Basic c2VjcmV0=");
    assert_eq!(post.headers["x-tenant"], "blue");
    let resource = post.resource();
    assert_eq!(resource["service.name"], "nest of larks");
    assert_eq!(resource["deployment.environment.name"], "test");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert!(resource.contains_key("service.instance.id"));
    assert!(!stderr.contains("c2VjcmV0"), "{stderr}");
}

#[tokio::test]
async fn bad_settings_stop_the_start_and_keep_secrets() {
    let toml = "[telemetry]\notlp_endpoint = \"collector:4317\"\nsample_ratio = 1.5\nservice_name = \" \"\n\
                headers = [\"hunter2\", \"bad name=hunter2\", \"x=\"]\n";
    let file = config_file(toml);
    let output = run(command(&["--config"]).arg(file.path())).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for expected in [
        "telemetry.otlp_endpoint",
        "http://collector:4318",
        "telemetry.sample_ratio",
        "a number from 0 to 1",
        "telemetry.service_name",
        "telemetry.headers",
        "with a = between name and value",
        "letters, digits and hyphens",
        "visible ASCII characters as the value of x",
    ] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[tokio::test]
async fn the_effective_settings_mask_the_headers() {
    let variable = (
        "PEGASUS_TELEMETRY__HEADERS",
        "x-key=hunter2,x-other=hunter3",
    );
    let output = run(command(&["check"]).env(variable.0, variable.1)).await;
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.contains("headers = [\"***\", \"***\"]"), "{stdout}");
    assert!(!stdout.contains("hunter"), "{stdout}");

    let twice = "x-key=hunter2,X-Key=hunter3";
    let output = run(command(&["check"]).env(variable.0, twice)).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.contains("x-key stands there twice") && !stderr.contains("hunter"),
        "{stderr}"
    );
}
