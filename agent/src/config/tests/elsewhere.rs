//! Keys that stand in another place than their own, or are misspelt there.

use super::{keys, Files, Variables};

const RUNTIME: &str = "DD_RUNTIME_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_ENABLED";
const USUAL: &str = "DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_ENABLED";
const SECOND: &str = "DD_EVENT_MONITORING_CONFIG_NETWORK_INTERFACES_EXCLUDE";

#[test]
fn one_false_switches_the_webhook_off() {
    const ON: &str = "admission_controller: {cws_instrumentation: {enabled: true}}\n";
    const OFF: &str = "admission_controller: {cws_instrumentation: {enabled: false}}\n";
    let cases: [(&str, Variables, bool); 5] = [
        (ON, &[], true),
        (OFF, &[(USUAL, "true")], false),
        (ON, &[(RUNTIME, "false")], false),
        ("", &[(USUAL, "false"), (RUNTIME, "true")], false),
        ("", &[(USUAL, "true"), (RUNTIME, "false")], false),
    ];
    for (number, (text, environment, expected)) in cases.into_iter().enumerate() {
        let files = Files::new(&format!("webhook{number}"), &[("datadog.yaml", text)]);
        let settings = files.load(environment);
        let found = settings.flag(&keys::ADMISSION_ENABLED);
        assert_eq!(found, expected, "case {number}");
    }
}

#[test]
fn a_misspelt_switch_of_the_webhook_is_named() {
    // The second one is somebody else's, and spelt well.
    let text = "admission_controller:\n  cws_instrumentation: {enbled: false}\n  \
                auto_instrumentation: {enabled: true}\n";
    let files = Files::new("misspelt", &[("datadog.yaml", text)]);
    let variable = USUAL.replace("ENABLED", "ENBLED");
    let settings = files.load(&[(&variable, "false")]);
    let all = settings.warnings().join("\n");
    for meant in ["admission_controller.cws_instrumentation.enabled", USUAL] {
        assert!(all.contains(&format!("did you mean {meant}?")), "{all}");
    }
    assert_eq!(settings.warnings().len(), 2, "{all}");
}

#[test]
fn interfaces_may_stand_beside_the_other_keys_of_the_network() {
    let exclude = |section: &str, name: &str| {
        format!("{section}:\n  network:\n    interfaces:\n      exclude: [{name}]\n")
    };
    let (probe, own) = ("event_monitoring_config", "runtime_security_config");
    let both = exclude(probe, "a") + &exclude(own, "b");
    let cases: [(&str, Variables, &str); 4] = [
        (&exclude(probe, "a"), &[], "a"),
        (&exclude(own, "b"), &[], "b"),
        (&both, &[], "b"),
        ("", &[(SECOND, "c")], "c"),
    ];
    for (number, (text, environment, expected)) in cases.into_iter().enumerate() {
        let files = Files::new(&format!("twins{number}"), &[("system-probe.yaml", text)]);
        let settings = files.load(environment);
        let found = settings.list(&keys::INTERFACES_EXCLUDE);
        assert_eq!(found, [expected], "case {number}");
        assert!(settings.warnings().is_empty(), "{:?}", settings.warnings());
    }
}
