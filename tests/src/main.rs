//! End-to-end tests: they start the agent, cause events on the running kernel and look at what
//! comes out of its sockets, its standard output and its exit codes.
//!
//! Arguments are parts of test names; without any, all tests run. `SECURITY_AGENT_BIN` names the
//! agent, `SECURITY_AGENT_TOOLS` the directory of the compiled C tools, `SECURITY_AGENT_VM=1` says
//! that this is the test virtual machine. Each test prints one line; the last line is the sum. The
//! tests run in a child process, so that whatever way they end, [`guard`] leaves nothing behind.

#![forbid(unsafe_code)]

mod cases_actions;
mod cases_admission;
mod cases_bad_input;
mod cases_churn;
mod cases_coexistence;
mod cases_commands;
mod cases_container;
mod cases_delivery;
mod cases_deployment;
mod cases_environment;
mod cases_figures;
mod cases_filters;
mod cases_flare;
mod cases_flare_dialogue;
mod cases_flare_secrets;
mod cases_flare_trouble;
mod cases_flare_upload;
mod cases_image;
mod cases_instrument;
mod cases_kube_api;
mod cases_loss;
mod cases_manifests;
mod cases_metadata;
mod cases_metrics;
mod cases_network;
mod cases_network_bed;
mod cases_network_filter;
mod cases_network_off;
mod cases_off;
mod cases_operator;
mod cases_output;
mod cases_outputs;
mod cases_paths;
mod cases_policies;
mod cases_process;
mod cases_reload;
mod cases_self_test;
mod cases_servers;
mod cases_sessions;
mod cases_socket;
mod cases_sockets;
mod cases_spool;
mod cases_supervisor;
mod cases_throughput;
mod cases_transport;
mod certificates;
mod cgroup;
mod classifiers;
mod delivery;
mod finished;
mod flare_answers;
mod flare_archive;
mod flare_host;
mod flare_logs;
mod flare_planted;
mod flare_server;
mod flare_templates;
mod flare_terminal;
mod guard;
mod harness;
mod http_server;
mod intake;
mod kube_api;
mod namespace;
mod neighbours;
mod net_agent;
mod net_places;
mod nginx;
mod numbers;
mod oci;
mod places;
mod report;
mod run_lock;
mod scratch;
mod sender;
mod socket;
mod terminal;
mod tool;
mod traffic;
mod traffic_dns;
mod traffic_flood;
mod traffic_metadata;
mod traffic_raw;
mod webhook;

use std::process::ExitCode;

use report::Report;

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).collect();
    if let Some((traffic::WORD, rest)) = filters
        .split_first()
        .map(|(word, rest)| (word.as_str(), rest))
    {
        return traffic::run(rest);
    }
    if std::env::var_os(scratch::ROOT_VARIABLE).is_none() {
        return guard::run(&filters);
    }
    let mut report = Report::new(filters);
    if let Err(missing) = scratch::check_settings() {
        report.failed("settings", &missing);
        return report.finish();
    }
    cases_self_test::run(&mut report);
    cases_output::run(&mut report);
    cases_socket::run(&mut report);
    cases_paths::run(&mut report);
    cases_process::run(&mut report);
    cases_sessions::run(&mut report);
    cases_actions::run(&mut report);
    cases_reload::run(&mut report);
    cases_filters::run(&mut report);
    cases_commands::run(&mut report);
    cases_instrument::run(&mut report);
    cases_container::run(&mut report);
    cases_loss::run(&mut report);
    cases_supervisor::run(&mut report);
    cases_servers::run(&mut report);
    cases_delivery::run(&mut report);
    cases_transport::run(&mut report);
    cases_spool::run(&mut report);
    cases_outputs::run(&mut report);
    cases_metrics::run(&mut report);
    cases_operator::run(&mut report);
    cases_off::run(&mut report);
    cases_policies::run(&mut report);
    cases_bad_input::run(&mut report);
    cases_deployment::run(&mut report);
    cases_manifests::run(&mut report);
    cases_environment::run(&mut report);
    cases_flare::run(&mut report);
    cases_flare_upload::run(&mut report);
    cases_flare_dialogue::run(&mut report);
    cases_flare_trouble::run(&mut report);
    cases_flare_secrets::run(&mut report);
    cases_kube_api::run(&mut report);
    cases_network_bed::run(&mut report);
    cases_network::run(&mut report);
    cases_metadata::run(&mut report);
    cases_sockets::run(&mut report);
    cases_network_filter::run(&mut report);
    cases_network_off::run(&mut report);
    cases_coexistence::run(&mut report);
    cases_churn::run(&mut report);
    cases_throughput::run(&mut report);
    cases_figures::run(&mut report);
    cases_image::run(&mut report);
    cases_admission::run(&mut report);
    report.finish()
}
