use std::time::SystemTime;

use super::*;
use crate::kube::certificate;

fn rendered(text: &str) -> Rendered {
    render(text, &Options::default()).unwrap()
}

#[test]
fn the_chart_has_the_version_of_the_binary() {
    let metadata = values::read(chart::file("Chart.yaml").unwrap()).unwrap();
    assert_eq!(metadata["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(metadata["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn templates_are_understood_as_go_does() {
    let root = json!({"a": {"b": 1}, "empty": "", "list": ["x", "y"], "text": "a-b"});
    let cases = [
        ("{{ .a.b }}", "1"),
        ("x \n{{- .a.b -}}\n y", "x1y"),
        ("{{/* nothing */}}z", "z"),
        ("{{ .missing.too }}", ""),
        ("{{ if .empty }}a{{ else if .a }}b{{ else }}c{{ end }}", "b"),
        ("{{ if not .a }}a{{ else }}c{{ end }}", "c"),
        ("{{ with .a }}{{ .b }}{{ $.text }}{{ end }}", "1a-b"),
        ("{{ with .empty }}a{{ else }}{{ .text }}{{ end }}", "a-b"),
        ("{{ range .list }}{{ . }};{{ end }}", "x;y;"),
        ("{{ range $k, $v := .a }}{{ $k }}={{ $v }}{{ end }}", "b=1"),
        ("{{ range $v := .list }}{{ $v }}{{ end }}", "xy"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
        ("{{ .empty | default \"d\" | quote }}", "\"d\""),
        ("{{ (.a).b | toString | quote }}", "\"1\""),
        ("{{ toString .missing }}", "<nil>"),
        ("{{ eq \"x\" \"y\" \"x\" }}{{ ne 1 2 }}", "truetrue"),
        ("{{ max 1 (sub 3 1) }}{{ max 1 (sub \"1\" 1) }}", "21"),
        ("{{ or .empty .text }}{{ and .a .empty }}", "a-b"),
        ("{{ $d := dict \"k\" 1 }}{{ $_ := set $d \"l\" 2 }}{{ $_ = unset $d \"k\" }}{{ toYaml $d }}", "l: 2"),
        ("{{ toYaml .list | nindent 2 }}", "\n  - x\n  - y"),
        ("{{ \"k: [1]\" | fromYaml | toYaml }}", "k:\n- 1"),
        ("{{ trunc 2 .text | trimSuffix \"-\" }}{{ .text | trimPrefix \"a\" }}", "a-b"),
        ("{{ if hasPrefix \"a\" .text }}{{ printf \"%s/%s\" .text \"c\" }}{{ end }}", "a-b/c"),
        ("{{ \"ab\" | b64enc }}{{ join \",\" .list }}", "YWI=x,y"),
        ("{{ define \"t\" }}<{{ . }}>{{ end }}{{ include \"t\" .text }}", "<a-b>"),
    ];
    for (text, expected) in cases {
        let mut templates = template::Templates::default();
        templates.add("case", text).unwrap();
        assert_eq!(
            templates.render("case", &root).as_deref(),
            Ok(expected),
            "{text}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_template_is_said() {
    for text in [
        "{{ if .a }}",
        "{{ end }}",
        "{{ .a",
        "{{ nothing }}",
        "{{ $x }}",
        "{{ (.a }}",
        "{{ .a) }}",
        "{{ .a 1 }}",
        "{{ set .a \"k\" 1 }}",
        "{{ include \"none\" . }}",
        "{{ range .t }}x{{ end }}",
        "{{ \"a }}",
    ] {
        let mut templates = template::Templates::default();
        let said = templates
            .add("case", text)
            .and_then(|()| templates.render("case", &json!({"t": "text"})));
        assert!(said.is_err(), "{text}: {said:?}");
    }
}

#[test]
fn unknown_keys_are_named_with_the_nearest_one() {
    let cases = [
        (
            "datadog: {sites: x}",
            "`datadog.sites` has no effect; did you mean `datadog.site`?",
        ),
        (
            "runtime: {enabled: true}",
            "`runtime` has no effect; did you mean `datadog.securityAgent.runtime`?",
        ),
        (
            "securityAgent: {runtime: {enable: true}}",
            "`datadog.securityAgent.runtime.enable` has no effect; did you mean",
        ),
        (
            "datadog: {apm: {portEnabled: true}}",
            "`datadog.apm` has no effect",
        ),
        (
            "datadog: 5",
            "`datadog` has no effect: it must hold further keys",
        ),
    ];
    for (text, expected) in cases {
        let warnings = rendered(text).warnings;
        let told = warnings.iter().any(|warning| warning.starts_with(expected));
        assert!(told, "{text}: {warnings:?}");
    }
    let many: String = (0..100).map(|number| format!("key{number}: 1\n")).collect();
    let warnings = rendered(&many).warnings;
    assert!(warnings.len() < 50, "{}", warnings.len());
}

#[test]
fn yes_and_no_of_older_yaml_are_flags() {
    let on = "DD_RUNTIME_SECURITY_CONFIG_ENABLED\n              value: \"true\"";
    for (word, expected) in [
        ("on", true),
        ("Yes", true),
        ("off", false),
        ("true", true),
        ("'false'", false),
    ] {
        let text = format!("datadog: {{securityAgent: {{runtime: {{enabled: {word}}}}}}}");
        assert_eq!(rendered(&text).manifests.contains(on), expected, "{word}");
    }
}

#[test]
fn null_takes_defaults_away_as_with_helm() {
    let defaults = json!({"a": {"b": 1, "c": 2}, "d": 3});
    for (given, expected) in [
        (json!({"a": null}), json!({"d": 3})),
        (json!({"a": {"b": null}}), json!({"a": {"c": 2}, "d": 3})),
        (
            json!({"a": {"b": {"x": 1}}}),
            json!({"a": {"b": {"x": 1}, "c": 2}, "d": 3}),
        ),
        (
            json!({"e": [1]}),
            json!({"a": {"b": 1, "c": 2}, "d": 3, "e": [1]}),
        ),
    ] {
        assert_eq!(values::laid_over(defaults.clone(), given), expected);
    }
}

#[test]
fn images_are_taken_apart() {
    for (image, expected) in [
        ("a", "image: a:latest\n"),
        ("r:5000/a/b", "image: r:5000/a/b:latest\n"),
        ("r:5000/a/b:1", "image: r:5000/a/b:1\n"),
        ("a@sha256:00", "image: a@sha256:00\n"),
    ] {
        let options = Options {
            image: Some(image.to_owned()),
            ..Options::default()
        };
        let manifests = render("", &options).unwrap().manifests;
        assert!(manifests.contains(expected), "{image}");
    }
}

#[test]
fn a_resource_has_a_name_a_namespace_and_an_environment_from_two_places() {
    let text = "apiVersion: datadoghq.com/v2alpha1\nkind: DatadogAgent\n\
        metadata: {name: mine, namespace: there}\nspec: {override: {nodeAgent: {env: [{name: A, value: b}, {name: E, value: of-all}], \
        containers: {system-probe: {env: [{name: C, value: d}, {name: E, value: own}]}}}}}\n";
    let manifests = rendered(text).manifests;
    assert_eq!(manifests.matches("value: of-all\n").count(), 1);
    assert_eq!(manifests.matches("value: own\n").count(), 1);
    assert!(manifests.contains("name: mine-agent\n  namespace: there\n"));
    assert_eq!(manifests.matches("name: A\n").count(), 2);
    assert_eq!(manifests.matches("name: C\n").count(), 1);
    let options = Options {
        namespace: Some("here".to_owned()),
        ..Options::default()
    };
    let manifests = render(text, &options).unwrap().manifests;
    assert!(manifests.contains("namespace: here\n") && !manifests.contains("namespace: there\n"));
}

#[test]
fn a_value_where_a_section_of_a_resource_belongs_is_named() {
    for (spec, name) in [
        ("{features: {cws: true}}", "spec.features.cws"),
        ("{features: [cws]}", "spec.features"),
        ("all", "spec"),
    ] {
        let text =
            format!("apiVersion: datadoghq.com/v2alpha1\nkind: DatadogAgent\nspec: {spec}\n");
        let warnings = rendered(&text).warnings;
        let expected = format!("`{name}` has no effect: it must hold further keys");
        assert!(warnings.contains(&expected), "{warnings:?}");
    }
}

#[test]
fn authorities_that_do_not_vouch_for_the_certificate_are_named() {
    for (certificate, expected) in [
        ("{caBundle: a}", Some("vouches for no certificate")),
        ("{secretName: a}", Some("is set without `caBundle`")),
        ("{secretName: a, caBundle: b}", None),
        ("{crt: a, key: b}", None),
        ("{crt: a, key: b, caBundle: c}", None),
        ("{}", None),
    ] {
        let values = format!(
            "clusterAgent: {{admissionController: {{certificate: {certificate}, \
             cwsInstrumentation: {{enabled: true}}}}}}"
        );
        let warnings = rendered(&values).warnings;
        let about = warnings.iter().find(|one| one.contains("caBundle"));
        let is_right = match (about, expected) {
            (Some(about), Some(expected)) => about.contains(expected),
            (about, expected) => about.is_none() && expected.is_none(),
        };
        assert!(is_right, "{certificate}: {about:?}");
    }
}

#[test]
fn certificates_are_new_each_time() {
    let made = certificate::make(&["a.b.svc".to_owned()], SystemTime::now()).unwrap();
    let again = certificate::make(&["a.b.svc".to_owned()], SystemTime::now()).unwrap();
    assert!(made
        .certificate
        .starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(made.key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_ne!(made.certificate, again.certificate);
}

#[test]
fn profiles_let_kill_only_with_enforcement() {
    assert!(seccomp_profile(true).unwrap().contains("\"kill\""));
    assert!(!seccomp_profile(false).unwrap().contains("\"kill\""));
}
