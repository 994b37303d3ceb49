use super::*;

const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00";
const TOKEN: &str = "AQoEXAMPLEH4aoAH0gNCAPyJxz4BlCFFxWNE1OPTgk5TthT";

fn credentials_body() -> String {
    format!(
        r#"{{
  "Code" : "Success",
  "LastUpdated" : "2026-04-26T16:39:16Z",
  "Type" : "AWS-HMAC",
  "AccessKeyId" : "ASIAIOSFODNN7EXAMPLE",
  "SecretAccessKey" : "{SECRET}",
  "Token" : "{TOKEN}",
  "Expiration" : "2026-04-27T22:39:16Z"
}}"#
    )
}

fn response(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}")
}

fn parsed(payload: &str) -> Message {
    Message::parse(payload.as_bytes()).unwrap()
}

#[test]
fn a_request() {
    let message = parsed(
        "GET /latest/meta-data/iam/?x=1 HTTP/1.1\r\nHOST: 169.254.169.254\r\nuser-agent:  curl/8.5.0 \r\n\
         Server: none\r\nAccept: */*\r\n\r\n",
    );
    let expected = Message {
        provider: "AWS",
        url: "/latest/meta-data/iam/?x=1".to_owned(),
        host: "169.254.169.254".to_owned(),
        user_agent: "curl/8.5.0".to_owned(),
        ..Message::default()
    };
    assert_eq!(message, expected);
}

#[test]
fn an_answer_with_credentials() {
    let payload = response(
        "Server: EC2ws\r\nHost: a\r\nUser-Agent: b\r\nContent-Type: text/plain\r\n",
        &credentials_body(),
    );
    let expected = Message {
        is_response: true,
        provider: "AWS",
        server: "EC2ws".to_owned(),
        credentials: Some(Credentials {
            code: "Success".to_owned(),
            kind: "AWS-HMAC".to_owned(),
            access_key_id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
            last_updated: "2026-04-26T16:39:16Z".to_owned(),
            expiration: "2026-04-27T22:39:16Z".to_owned(),
        }),
        ..Message::default()
    };
    assert_eq!(parsed(&payload), expected);
}

#[test]
fn providers_of_requests() {
    for (path, headers, provider) in [
        ("/latest/meta-data/", "", "AWS"),
        ("/x", "X-AWS-EC2-Metadata-Token: t", "AWS"),
        ("/x", "x-aws-ec2-metadata-token-ttl-seconds: 60", "AWS"),
        ("/computeMetadata/v1/", "", "GCP"),
        ("/x", "metadata-flavor: Google", "GCP"),
        ("/latest/", "Metadata-Flavor: Google", "GCP"),
        ("/metadata/instance?api-version=2021-02-01", "", "Azure"),
        ("/metadata/identity/oauth2/token", "", "Azure"),
        ("/x", "Metadata: True", "Azure"),
        ("/x", "Metadata: false", ""),
        ("/opc/v2/instance/", "", "Oracle"),
        ("/x", "Authorization: Bearer Oracle", "Oracle"),
        ("/x", "Authorization: Bearer other", ""),
        ("/instance_identity/v1/token", "", "IBM"),
        ("/metadata/v1/instance", "Metadata-Flavor: ibm", "IBM"),
        ("/metadata/v1/instance", "", ""),
        ("/x?y=/latest/", "X-Metadata: true", ""),
        ("/", "", ""),
    ] {
        let message = parsed(&format!("GET {path} HTTP/1.1\r\n{headers}\r\n\r\n"));
        assert_eq!(message.provider, provider, "{path} {headers}");
    }
}

#[test]
fn providers_of_answers() {
    for (header, provider) in [
        ("Server: EC2ws", "AWS"),
        ("X-aws-ec2-metadata-token-ttl-seconds: 60", "AWS"),
        ("Server: Metadata Server for VM", "GCP"),
        ("Metadata-Flavor: Google", "GCP"),
        ("Server: Microsoft-IIS/10.0", "Azure"),
        ("Server: nginx", ""),
    ] {
        let message = parsed(&response(&format!("{header}\r\n"), ""));
        assert!(message.is_response);
        assert_eq!(message.provider, provider, "{header}");
    }
    let other = response("Server: nginx\r\n", &credentials_body());
    assert_eq!(parsed(&other).provider, "AWS", "by its credentials");
}

#[test]
fn version_2_of_aws_has_a_token() {
    for (payload, is_imds_v2) in [
        ("GET /latest/ HTTP/1.1\r\n\r\n", false),
        (
            "GET /latest/ HTTP/1.1\r\nX-aws-ec2-metadata-token: t\r\n\r\n",
            true,
        ),
        ("PUT /latest/api/token HTTP/1.1\r\n\r\n", true),
        ("PUT /latest/api/token?x HTTP/1.1\r\n\r\n", true),
        ("GET /latest/api/token HTTP/1.1\r\n\r\n", false),
        ("PUT /latest/api/tokens HTTP/1.1\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nServer: EC2ws\r\n\r\n", false),
        (
            "HTTP/1.1 200 OK\r\nx-AWS-ec2-metadata-token-ttl-seconds: 60\r\n\r\n",
            true,
        ),
    ] {
        assert_eq!(parsed(payload).is_imds_v2, is_imds_v2, "{payload}");
    }
}

#[test]
fn secret_parameters_are_hidden() {
    for (target, url) in [
        ("/a?b=c&d=e", "/a?b=c&d=e"),
        ("/a?access_token=s3cret", "/a?access_token=***"),
        ("/a?token=s3cret&b=c", "/a?token=***&b=c"),
        (
            "/a?b=c&X-Amz-Signature=s3cret",
            "/a?b=c&X-Amz-Signature=***",
        ),
        ("/a?X-Amz-Credential=s3cret/x", "/a?X-Amz-Credential=***"),
        ("/a?PASSWORD=s3cret", "/a?PASSWORD=***"),
        ("/a?client_secret=s=3;c/ret?&b", "/a?client_secret=***&b"),
        ("/a?sig=s3cret&key=s3cret", "/a?sig=***&key=***"),
        ("/a?%74oken=s3cret", "/a?%74oken=***"),
        ("/a?b=1;token=s3cret", "/a?b=1;token=***"),
        ("/a#token=s3cret", "/a#token=***"),
        ("/a;token=s3cret/b", "/a;token=***"),
        ("/a?b=token=s3cret", "/a?b=token=***"),
        ("/a?token", "/a?token"),
        ("/a?token=", "/a?token=***"),
        ("/a?monkey=b", "/a?monkey=b"),
        ("/token/a?b=c", "/token/a?b=c"),
        ("http://me:s3cret@host/a?b", "/a?b"),
        ("HTTP://host?token=s3cret", "?token=***"),
        ("http://host", ""),
    ] {
        let message = parsed(&format!("GET {target} HTTP/1.1\r\n\r\n"));
        assert_eq!(message.url, url, "{target}");
        assert!(!format!("{message:?}").contains("s3cret"), "{target}");
    }
}

#[test]
fn secrets_of_headers_and_bodies_stay_behind() {
    let token = format!("X-aws-ec2-metadata-token: {SECRET}\r\n");
    let folded = format!("User-Agent: a\r\n {SECRET}\r\n");
    for payload in [
        format!("GET /latest/ HTTP/1.1\r\n{token}\r\n"),
        format!("GET /latest/ HTTP/1.1\r\n{folded}\r\n"),
        format!("GET /latest/ HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\n\r\n"),
        format!("GET /latest/?token={SECRET} HTTP/1.1\r\n\r\n"),
        format!("GET /latest/?token={SECRET}"),
        response("Server: EC2ws\r\n", SECRET),
        response("Server: EC2ws\r\n", &credentials_body()),
    ] {
        for end in 0..=payload.len() {
            let Some(message) = Message::parse(&payload.as_bytes()[..end]) else {
                continue;
            };
            let shown = format!("{message:?}");
            assert!(!shown.contains(&SECRET[..4]), "{shown}");
            assert!(!shown.contains(&TOKEN[..4]), "{shown}");
        }
    }
}

#[test]
fn credentials_in_documents_of_any_shape() {
    let id = "ASIAIOSFODNN7EXAMPLE";
    for (body, expected) in [
        (r#"{"AccessKeyId":"ASIAIOSFODNN7EXAMPLE"}"#, Some(("", id))),
        (
            "1a\r\n{\"Code\":\r\n \"Success\",\"AccessKeyId\"\t:\t\"ASIAIOSFODNN7EXAMPLE\"",
            Some(("Success", id)),
        ),
        (
            r#"{"n":1,"a":["AccessKeyId"],"o":{"AccessKeyId":"ASIAIOSFODNN7EXAMPLE"},"Code":null}"#,
            Some(("", id)),
        ),
        // The first one counts, and only values of their letters do.
        (
            r#"{"AccessKeyId":"ASIAIOSFODNN7EXAMPLE","AccessKeyId":"B","Code":"a\"b","Code":"c"}"#,
            Some(("c", id)),
        ),
        (r#"{"x":"\"AccessKeyId\":\"A\"","Code":"Success"}"#, None),
        (r#"{"Code":"Success"}"#, None),
        (r#"{"AccessKeyId":"ASIA"#, None),
        (r#"{"AccessKeyId":"ASIA\"#, None),
        (r#"{"AccessKeyId""ASIA"}"#, None),
        (r#"{"AccessKeyId":5,"ASIA":"x"}"#, None),
        (r#""""""":":":"#, None),
        ("", None),
    ] {
        let credentials = parsed(&response("", body)).credentials;
        let found = credentials
            .as_ref()
            .map(|found| (&*found.code, &*found.access_key_id));
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn a_request_has_no_credentials() {
    let payload = format!("PUT /x HTTP/1.1\r\n\r\n{}", credentials_body());
    assert_eq!(parsed(&payload).credentials, None);
}

#[test]
fn what_is_left_of_a_cut_request_is_known() {
    for (payload, url, host) in [
        ("GET /", "/", ""),
        ("GET /lat", "/lat", ""),
        ("GET /latest/ ", "/latest/", ""),
        ("GET /latest/ HTT", "/latest/", ""),
        ("GET /latest/ HTTP/1.", "/latest/", ""),
        ("GET /latest/ HTTP/1.1\r\nHo", "/latest/", ""),
        ("GET /latest/ HTTP/1.1\r\nHost: 169.2", "/latest/", "169.2"),
        ("GET /latest/ HTTP/1.0\nHost:a\n", "/latest/", "a"),
    ] {
        let message = parsed(payload);
        assert_eq!((&*message.url, &*message.host), (url, host), "{payload}");
    }
}

#[test]
fn other_bytes_are_no_message() {
    for payload in [
        &b""[..],
        b"GET",
        b"GET ",
        b"get / HTTP/1.1\r\n",
        b"GET latest HTTP/1.1\r\n",
        b"GET https://host/ HTTP/1.1\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET /\r\n",
        b"GET / HTTP\r\n",
        b"BREW / HTTP/1.1\r\n",
        b"HTTP/1.",
        b"HTTP/1.1",
        b"HTTP/1.1 20",
        b"HTTP/1.1 2000 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.x 200 OK",
        b"{\"AccessKeyId\": \"ASIAIOSFODNN7EXAMPLE\"}",
        b"\x16\x03\x01\x02\x00",
    ] {
        assert_eq!(Message::parse(payload), None, "{payload:?}");
    }
}

#[test]
fn texts_and_numbers_of_headers_are_bounded() {
    let long = "x".repeat(100_000);
    let message = parsed(&format!(
        "GET /{long} HTTP/1.1\r\nHost: {long}\r\nUser-Agent: {long}\r\n\r\n"
    ));
    for text in [&message.url, &message.host, &message.user_agent] {
        assert_eq!(text.len(), MAX_TEXT);
    }
    let many = "a: b\r\n".repeat(MAX_HEADERS);
    let message = parsed(&format!("GET / HTTP/1.1\r\n{many}Host: late\r\n\r\n"));
    assert_eq!(message.host, "");
    let body = format!(r#"{{"AccessKeyId":"{long}"}}"#);
    assert_eq!(parsed(&response("", &body)).credentials, None);
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let message = Message::parse(b"GET /\xff HTTP/1.1\r\nHost: \xc3\xa9\xc3\r\n").unwrap();
    assert_eq!((&*message.url, &*message.host), ("/\u{fffd}", "é\u{fffd}"));
}
