//! Numbers of the classifiers, which the kernel would not question.

use super::Files;

#[test]
fn numbers_of_classifiers_are_judged_while_packets_are_watched() {
    const NETWORK: &str = "DD_EVENT_MONITORING_CONFIG_NETWORK_";
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[], ""),
        (
            &[("CLASSIFIER_PRIORITY", "0")],
            "network.classifier_priority must be",
        ),
        (&[("CLASSIFIER_PRIORITY", "65535")], ""),
        (
            &[("CLASSIFIER_PRIORITY", "65536")],
            "from 1 to 65535: got 65536",
        ),
        (&[("CLASSIFIER_HANDLE", "5")], "none or both of network."),
        (
            &[("CLASSIFIER_HANDLE", "5"), ("RAW_CLASSIFIER_HANDLE", "5")],
            "can't be equal and not null: got classifier_handle=5",
        ),
        (
            &[("CLASSIFIER_HANDLE", "5"), ("RAW_CLASSIFIER_HANDLE", "6")],
            "",
        ),
        (&[("CLASSIFIER_PRIORITY", "0"), ("ENABLED", "false")], ""),
    ];
    for (number, (variables, expected)) in cases.into_iter().enumerate() {
        let files = Files::new(&format!("classifiers{number}"), &[]);
        let names: Vec<String> = variables
            .iter()
            .map(|(name, _)| format!("{NETWORK}{name}"))
            .collect();
        let environment: Vec<_> = names
            .iter()
            .zip(variables)
            .map(|(name, (_, value))| (name.as_str(), *value))
            .collect();
        let settings = files.load(&environment);
        match expected {
            "" => assert_eq!(settings.errors(), Vec::<String>::new()),
            text => {
                assert_eq!(settings.errors().len(), 1, "{variables:?}");
                let error = settings.errors().concat();
                assert!(error.contains(text), "{error}");
            }
        }
    }
}
