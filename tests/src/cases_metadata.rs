//! Requests to the metadata service of a cloud and its answers, from a stand-in on 169.254.169.254
//! inside a namespace. What both hold in secret is in no event and not in the log.

use serde_json::Value;

use crate::harness::{policy, rule, rule_of, summary, Agent};
use crate::net_agent::{self, wait_bridged};
use crate::net_places::{Bridged, INTERFACE};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::sender::{ask, Server};
use crate::traffic_metadata::{ACCESS_KEY_ID, ADDRESS, SECRET, SERVER, USER_AGENT};

const ALWAYS: &str = "    every: 0s\n";
const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/role";

type Test = fn(&Bed) -> Outcome;

/// The last one looks at what all others left.
const TESTS: &[(&str, Test)] = &[
    ("metadata_aws", aws),
    ("metadata_aws_second_version", aws_second_version),
    ("metadata_aws_credentials", aws_credentials),
    ("metadata_other_providers", other_providers),
    ("metadata_no_secret", no_secret),
];

struct Bed {
    agent: Agent,
    service: Server,
    places: Bridged,
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    if !report.wants_any(TESTS.iter().map(|(name, _)| *name)) {
        return;
    }
    let bed = match start() {
        Ok(bed) => bed,
        Err(failure) => return report.not_started("metadata_start", failure),
    };
    for (name, test) in TESTS {
        report.case(name, || test(&bed));
    }
}

fn start() -> Result<Bed, Failure> {
    let places = Bridged::new()?;
    let address = format!("{ADDRESS}/32");
    places
        .server
        .ip(&["address", "add", &address, "dev", INTERFACE])?;
    places
        .client
        .ip(&["route", "add", &address, "dev", INTERFACE])?;
    let service = Server::start(&places.server, &["metadata-serve"])?;
    let rules = [
        rule("requested", "imds.url =~ \"/*\"", ALWAYS),
        rule("second_version", "imds.aws.is_imds_v2 == true", ALWAYS),
        rule(
            "credentials",
            "imds.aws.security_credentials.type == \"AWS-HMAC\"",
            ALWAYS,
        ),
    ];
    let agent = net_agent::launch("metadata")?
        .policy("metadata.policy", policy(&rules))?
        .start()?;
    wait_bridged(&agent, &places)?;
    Ok(Bed {
        agent,
        service,
        places,
    })
}

impl Bed {
    /// One request; its process.
    fn request(&self, method: &str, path: &str, headers: &[&str]) -> Result<i64, Failure> {
        let mut arguments = vec!["metadata-ask", method, path];
        arguments.extend(headers);
        let said = ask(&self.places.client, &arguments)?;
        ensure(said.text("status") == "200", || format!("{said:?}"))?;
        Ok(said.pid)
    }

    /// The event of this rule about this process in this direction of the client's interface.
    fn event(&self, rule: &str, pid: i64, direction: &str) -> Result<Value, Failure> {
        let found = self.agent.event(|event| {
            rule_of(event) == rule
                && event["process"]["pid"] == pid
                && event["network"]["network_direction"] == direction
        });
        found.ok_or_else(|| {
            let lines = self.agent.lines();
            let lines = lines
                .get(lines.len().saturating_sub(6)..)
                .unwrap_or_default();
            let last: Vec<String> = lines
                .iter()
                .map(|line| format!("{} {}", summary(&line.event), line.event["imds"]))
                .collect();
            Failure::Failed(format!(
                "no {direction} event of rule {rule} for pid {pid}; the last ones: {last:?}"
            ))
        })
    }
}

/// The provider, however its name is written.
fn provider(event: &Value) -> String {
    let name = event["imds"]["cloud_provider"].as_str();
    name.unwrap_or_default().to_lowercase()
}

/// A request of the first version, at the client and at the server.
fn aws(bed: &Bed) -> Outcome {
    let path = "/latest/meta-data/instance-id";
    let pid = bed.request("GET", path, &[])?;
    for (process, direction) in [(pid, "EGRESS"), (bed.service.pid, "INGRESS")] {
        let event = bed.event("requested", process, direction)?;
        let (imds, network) = (&event["imds"], &event["network"]);
        let good = event["evt"]["name"] == "imds"
            && provider(&event) == "aws"
            && imds["type"] == "request"
            && imds["url"] == path
            && imds["host"] == ADDRESS
            && imds["user_agent"] == USER_AGENT
            && imds["aws"]["is_imds_v2"] != true
            && network["destination"]["ip"] == ADDRESS
            && network["destination"]["port"] == 80;
        ensure(good, || format!("{} {imds} {network}", event["evt"]))?;
    }
    Ok(())
}

/// The second version gives a token and wants it back.
fn aws_second_version(bed: &Bed) -> Outcome {
    let lifetime = "X-aws-ec2-metadata-token-ttl-seconds: 60";
    let pid = bed.request("PUT", "/latest/api/token", &[lifetime])?;
    bed.event("requested", pid, "EGRESS")?;
    let token = format!("X-aws-ec2-metadata-token: {SECRET}token==");
    let pid = bed.request("GET", "/latest/meta-data/ami-id", &[&token])?;
    let event = bed.event("second_version", pid, "EGRESS")?;
    let good = provider(&event) == "aws" && event["imds"]["aws"]["is_imds_v2"] == true;
    ensure(good, || event["imds"].to_string())
}

/// Of credentials only what is public is told.
fn aws_credentials(bed: &Bed) -> Outcome {
    let pid = bed.request("GET", CREDENTIALS, &[])?;
    let event = bed.event("credentials", pid, "INGRESS")?;
    let imds = &event["imds"];
    let credentials = &imds["aws"]["security_credentials"];
    let good = imds["type"] == "response"
        && imds["server"] == SERVER
        && credentials["code"] == "Success"
        && credentials["type"] == "AWS-HMAC"
        && credentials["access_key_id"] == ACCESS_KEY_ID
        && credentials["expiration"]
            .as_str()
            .is_some_and(|text| text.starts_with("2026-01-02"));
    ensure(good, || imds.to_string())
}

fn other_providers(bed: &Bed) -> Outcome {
    let table = [
        (
            "gcp",
            "/computeMetadata/v1/instance/service-accounts/default/token",
            "Metadata-Flavor: Google",
        ),
        (
            "azure",
            "/metadata/instance?api-version=2021-02-01",
            "Metadata: true",
        ),
    ];
    for (name, path, header) in table {
        let pid = bed.request("GET", path, &[header])?;
        let event = bed.event("requested", pid, "EGRESS")?;
        let good = provider(&event) == name && event["imds"]["url"] == path;
        ensure(good, || format!("{name}: {}", event["imds"]))?;
    }
    Ok(())
}

fn no_secret(bed: &Bed) -> Outcome {
    // One more request with all of them, whose answer is seen as well.
    let token = format!("X-aws-ec2-metadata-token: {SECRET}token==");
    let path = format!("{CREDENTIALS}?token={SECRET}");
    let pid = bed.request("GET", &path, &[&token, &format!("Cookie: {SECRET}")])?;
    bed.event("credentials", pid, "INGRESS")?;
    let asked = bed.event("requested", pid, "EGRESS")?;
    let url = asked["imds"]["url"].as_str().unwrap_or_default();
    ensure(url.ends_with("?token=***"), || {
        format!("the url is {}", asked["imds"])
    })?;
    let lines = bed.agent.lines();
    let told = lines.iter().find(|line| {
        let mut event = line.event.clone();
        // The command lines of the clients hold the word: they are no part of what was on the wire.
        event["process"].take();
        event.to_string().contains(SECRET)
    });
    ensure(told.is_none(), || {
        format!("a secret is told: {:?}", told.map(|line| &line.text))
    })?;
    ensure(!bed.agent.log().contains(SECRET), || {
        format!("a secret is in the log: {}", bed.agent.log())
    })
}
