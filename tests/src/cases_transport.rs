//! The way to the intake: TLS with good and bad certificates, proxies, and who needs none.

use crate::certificates::{Certificate, Certificates};
use crate::delivery::{self, expect_below, expect_status_words, pour, take};
use crate::http_server::HttpServer;
use crate::nginx::Nginx;
use crate::numbers::Numbers;
use crate::report::{ensure, Outcome, Report};
use crate::scratch::{self, patience};

/// Numbers that are sent each time.
const END: usize = 100;
/// Seconds for them to arrive, and for a refusal to be told.
const SECONDS: u64 = 20;
/// A name that only the proxy knows.
const ELSEWHERE: &str = "elsewhere.example";

/// One server with TLS as the agent meets it.
struct Tls {
    name: &'static str,
    certificate: fn(&Certificates) -> &Certificate,
    host: &'static str,
    /// Whether the agent is told to trust the authority.
    trusted: bool,
    skip_validation: bool,
    /// Words of the refusal; none when events arrive.
    refused: &'static [&'static str],
}

const TLS: &[Tls] = &[
    Tls {
        name: "private_authority",
        certificate: |all| &all.good,
        host: "localhost",
        trusted: true,
        skip_validation: false,
        refused: &[],
    },
    Tls {
        name: "address",
        certificate: |all| &all.good,
        host: "127.0.0.1",
        trusted: true,
        skip_validation: false,
        refused: &[],
    },
    Tls {
        name: "unknown_authority",
        certificate: |all| &all.good,
        host: "localhost",
        trusted: false,
        skip_validation: false,
        refused: &["certificate", "tls_ca_file"],
    },
    Tls {
        name: "expired",
        certificate: |all| &all.expired,
        host: "localhost",
        trusted: true,
        skip_validation: false,
        refused: &["certificate", "expired"],
    },
    Tls {
        name: "wrong_name",
        certificate: |all| &all.wrong_name,
        host: "localhost",
        trusted: true,
        skip_validation: false,
        refused: &["certificate", "name"],
    },
    Tls {
        name: "not_validated",
        certificate: |all| &all.wrong_name,
        host: "localhost",
        trusted: false,
        skip_validation: true,
        refused: &[],
    },
];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    for case in TLS {
        report.case_of_user_space(&format!("tls_{}", case.name), || tls(case));
    }
    report.case_of_user_space("proxy_plain", proxy_plain);
    report.case_of_user_space("proxy_tunnel", proxy_tunnel);
    report.case_of_user_space("proxy_not_for_this_host", proxy_not_for_this_host);
}

fn tls(case: &Tls) -> Outcome {
    let made = Certificates::make(&scratch::directory("certificates")?)?;
    let mut nginx = Nginx::start(Some((case.certificate)(&made)))?;
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(END);
    let mut launch = delivery::launch("tls", &numbers, &nginx.url(case.host))?;
    if case.trusted {
        launch = launch.env("DD_TLS_CA_FILE", &made.authority.to_string_lossy());
    }
    if case.skip_validation {
        launch = launch.env("DD_SKIP_SSL_VALIDATION", "true");
    }
    let agent = launch.start()?;
    pour(&agent, &numbers, 0..END)?;
    if case.refused.is_empty() {
        return expect_below(END, &mut tally, &mut nginx, patience(SECONDS));
    }
    expect_status_words(&agent, case.refused, patience(SECONDS))?;
    take(&mut tally, &mut nginx)?;
    ensure(tally.arrived() == 0, || tally.summary())
}

/// Whole URLs go through the proxy for http.
fn proxy_plain() -> Outcome {
    let mut server = HttpServer::start()?;
    let mut proxy = HttpServer::start_proxy(server.address())?;
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(END);
    let agent = delivery::launch("proxy", &numbers, &format!("http://{ELSEWHERE}:8080"))?
        .env("DD_PROXY_HTTP", &proxy.url())
        .start()?;
    pour(&agent, &numbers, 0..END)?;
    expect_below(END, &mut tally, &mut server, patience(SECONDS))?;
    expect_asked_for_elsewhere(&mut proxy)
}

/// A tunnel goes through the proxy for https; the certificate is that of the server behind.
fn proxy_tunnel() -> Outcome {
    let made = Certificates::make(&scratch::directory("certificates")?)?;
    let mut nginx = Nginx::start(Some(&made.wrong_name))?;
    let mut proxy = HttpServer::start_proxy(nginx.address())?;
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(END);
    let agent = delivery::launch("tunnel", &numbers, &format!("https://{ELSEWHERE}"))?
        .env("DD_PROXY_HTTPS", &proxy.url())
        .env("DD_TLS_CA_FILE", &made.authority.to_string_lossy())
        .start()?;
    pour(&agent, &numbers, 0..END)?;
    expect_below(END, &mut tally, &mut nginx, patience(SECONDS))?;
    expect_asked_for_elsewhere(&mut proxy)
}

fn expect_asked_for_elsewhere(proxy: &mut HttpServer) -> Outcome {
    let requests = proxy.take_accepted();
    let asked = requests
        .iter()
        .any(|request| request.target.contains(ELSEWHERE));
    ensure(asked, || {
        let targets: Vec<&str> = requests.iter().map(|one| one.target.as_str()).collect();
        format!("the proxy was asked for {targets:?}")
    })
}

/// What is on this machine is never asked of a proxy.
fn proxy_not_for_this_host() -> Outcome {
    let mut server = HttpServer::start()?;
    let proxy = HttpServer::start_proxy(server.address())?;
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(END);
    let agent = delivery::launch("no-proxy", &numbers, &server.url())?
        .env("DD_PROXY_HTTP", &proxy.url())
        .start()?;
    pour(&agent, &numbers, 0..END)?;
    expect_below(END, &mut tally, &mut server, patience(SECONDS))?;
    let asked = proxy.take_accepted().len() + proxy.take_others().len();
    ensure(asked == 0, || format!("the proxy was asked {asked} times"))
}
