//! Lines with secrets, and what is left of them.

mod files;
mod table;

use std::borrow::Cow;

use super::*;

const STARS: &str = "****************************";
const HEX32: &str = "0123456789abcdef0123456789abcdef";
const HEX40: &str = "0123456789abcdef0123456789abcdef01234567";
const HEX64: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn scrubber() -> Scrubber {
    Scrubber::new(&[], &[]).unwrap()
}

/// A file without its secrets and the number of replacements. A second time nothing may change, and
/// what was written in place is longer by a mask for each at most.
fn copied(scrubber: &Scrubber, kind: Kind, text: &str) -> (String, u64) {
    let copy = |text: &str| {
        let mut out = Vec::new();
        let replaced = scrubber.copy(kind, &mut text.as_bytes(), &mut out);
        (String::from_utf8(out).unwrap(), replaced.unwrap())
    };
    let (clean, replaced) = copy(text);
    let again = copy(&clean);
    assert_eq!(
        again,
        (clean.clone(), 0),
        "{kind:?} a second time, from {text:?}"
    );
    let most = match kind {
        Kind::Lines => text.len() + 40 * replaced as usize,
        _ => 64 * (text.len() + 1),
    };
    assert!(clean.len() <= most, "{kind:?}: {text:?} grew to {clean:?}");
    (clean, replaced)
}

/// Writes out what the tables abbreviate.
fn written(text: &str) -> String {
    text.replace("{32}", HEX32)
        .replace("{40}", HEX40)
        .replace("{64}", HEX64)
        .replace("{s28}", STARS)
        .replace("{s36}", &format!("{STARS}{MASK}"))
        .replace("{m}", MASK)
}

#[test]
fn secrets_are_masked() {
    let scrubber = scrubber();
    let cases = [
        // Keys of the intake.
        ("GET /v1?api_key={32}&a=1", "GET /v1?api_key={s28}cdef&a=1"),
        ("apikey={32}", "apikey={s28}cdef"),
        ("api_key: {32}", "api_key: {s28}cdef"),
        (
            "\"api_key\": \"{32}\", \"a\": 1",
            "\"api_key\": \"{s28}cdef\", \"a\": 1",
        ),
        ("api_key=short", "api_key={m}"),
        ("DD_API_KEY=abcdefghijklmnop", "DD_API_KEY={s28}mnop"),
        ("app_key={40}", "app_key={s36}4567"),
        ("application_key='{40}'", "application_key='{s36}4567'"),
        ("ddapp_abcdefghijklmnopqrstuvwxyz01234567", "{s36}4567"),
        ("the key {32} is wrong", "the key {s28}cdef is wrong"),
        ("- \"{32}\"", "- \"{s28}cdef\""),
        ("0123456789ABCDEF0123456789ABCDEF", "{s28}CDEF"),
        ("{40} was sent", "{s36}4567 was sent"),
        ("DDRCM_ABCDEFGHIJKLMNOP01234", "{m}01234"),
        // Tokens in headers.
        (
            "Authorization: Bearer {64}",
            "Authorization: Bearer {s28}{s28}***bcdef",
        ),
        ("Bearer eyJhbGciOi.J9.x-y_z", "Bearer {m}"),
        (
            "-H 'Authorization: Basic dTpw' next",
            "-H 'Authorization: {m}' next",
        ),
        ("-H \"Cookie: a=b; c=d\" next", "-H \"Cookie: {m}\" next"),
        ("set-cookie: a=b; Path=/", "set-cookie: {m}"),
        ("X-Vault-Token:s.123", "X-Vault-Token:{m}"),
        ("x-custom-api-key: a b c", "x-custom-api-key: {m}"),
        ("x-hub-auth=1234", "x-hub-auth={m}"),
        ("X-Client-Secret: s", "X-Client-Secret: {m}"),
        ("dd-api-key: {32}", "dd-api-key: {m}"),
        ("PRIVATE-TOKEN: glpat-1", "PRIVATE-TOKEN: {m}"),
        ("session_token=abc", "session_token={m}"),
        // Passwords.
        ("postgres://ann:secret@db/x", "postgres://ann:{m}@db/x"),
        ("http://ann:p/ss@db:80/x", "http://ann:{m}@db:80/x"),
        ("redis://:pw@db", "redis://:{m}@db"),
        ("a://b:c@d a://b:c@d", "a://b:{m}@d a://b:{m}@d"),
        ("password=hunter2 user=ann", "password={m} user=ann"),
        (
            "login failed, password: hunter2 for ann",
            "login failed, password: {m} for ann",
        ),
        ("  password: two words", "  password: {m}"),
        ("- passwd = two words", "- passwd = {m}"),
        ("PWD=abc", "PWD={m}"),
        ("pswd: abc", "pswd: {m}"),
        ("db_pass=abc", "db_pass={m}"),
        ("dbPass: 'it''s'", "dbPass: '{m}'"),
        ("password_hash: $1$abc", "password_hash: {m}"),
        ("a=1&password=x&b=2", "a=1&password={m}&b=2"),
        ("tool --password hunter2 -v", "tool --password {m} -v"),
        ("tool --api-key 'a b' -v", "tool --api-key '{m}' -v"),
        ("tool --token = x", "tool --token = {m}"),
        ("a=1&password=x&y&b-c=2", "a=1&password={m}&b-c=2"),
        ("<a password=x</a>", "<a password={m}</a>"),
        ("T { token: S(\"x\"), a: 1 }", "T { token: {m}), a: 1 }"),
        // Members of JSON, also of JSON in JSON.
        (
            "{\"password\":\"x\",\"a\":1}",
            "{\"password\":\"{m}\",\"a\":1}",
        ),
        (
            "{\"password\":12,\"a\":1}",
            "{\"password\":\"{m}\",\"a\":1}",
        ),
        (
            "{\"password\":\"a\\\"b\\\\\",\"a\":1}",
            "{\"password\":\"{m}\",\"a\":1}",
        ),
        (
            "\"{\\\"token\\\":\\\"x\\\",\\\"a\\\":1}\"",
            "\"{\\\"token\\\":\\\"{m}\\\",\\\"a\\\":1}\"",
        ),
        (
            "{\"token\":[\"a]\",\"b\"],\"a\":1}",
            "{\"token\":[\"{m}\"],\"a\":1}",
        ),
        ("{\"password\":\"cut off", "{\"password\":\"{m}"),
        (
            "Login { password: Some(\"x\"), a: 1 }",
            "Login { password: Some(\"{m}\"), a: 1 }",
        ),
        // Other names.
        ("auth_token: abc", "auth_token: {m}"),
        ("my.jwt=abc", "my.jwt={m}"),
        ("client_secret=abc", "client_secret={m}"),
        ("vault_secret_id: abc", "vault_secret_id: {m}"),
        (
            "AWS_SECRET_ACCESS_KEY=abc/def+g",
            "AWS_SECRET_ACCESS_KEY={m}",
        ),
        ("clientSecret: \"abc\"", "clientSecret: \"{m}\""),
        ("ssh_private_key: abc", "ssh_private_key: {m}"),
        ("consumer_key: abc", "consumer_key: {m}"),
        ("token_id=abc", "token_id={m}"),
        ("community_string: public", "community_string: {m}"),
        ("community_strings: [a, b]", "community_strings: [\"{m}\"]"),
        ("authKey: 'x'", "authKey: '{m}'"),
        ("privKey: x", "privKey: {m}"),
        ("authentication_key: x", "authentication_key: {m}"),
        ("privacy_key: x", "privacy_key: {m}"),
        // Blocks, and several secrets in a row.
        (
            "key -----BEGIN RSA KEY-----MII-----END RSA KEY----- end",
            "key {m} end",
        ),
        ("key -----BEGIN RSA KEY-----\\nMII", "key {m}"),
        ("{32} {32}", "{s28}cdef {s28}cdef"),
        ("password=a token=b", "password={m} token={m}"),
        ("password=a\ntoken: b\nc", "password={m}\ntoken: {m}\nc"),
        (
            "ddapp_abcdefghijklmnopqrstuvwxyz0123pass=abc",
            "{s36}pass={m}",
        ),
    ];
    for (line, expected) in cases {
        let (line, expected) = (written(line), written(expected));
        assert_eq!(scrubber.line(&line), expected, "{line}");
        assert_eq!(scrubber.line(&expected), expected, "a second time: {line}");
    }
}

#[test]
fn look_alikes_are_left_alone() {
    let scrubber = scrubber();
    let cases = [
        "",
        "a plain message about nothing",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "container {64}",
        "/sys/fs/cgroup/docker-{64}.scope",
        "sha256:{64}",
        "passwordless login",
        "passwordless=true",
        "password_file=/etc/agent/password",
        "password_policy: strict",
        "--password-stdin is better",
        "--password-file /etc/x",
        "tool --password --verbose",
        "password is wrong",
        "the password changed",
        "password=",
        "password: ",
        "{\"password\":null}",
        "{\"password\":\"\"}",
        "{\"token\":{\"a\":1}}",
        "tokenizer=fast",
        "max_tokens: 5",
        "unexpected token: }",
        "/var/run/secrets/token",
        "open /run/secrets/kubernetes.io/serviceaccount/token failed",
        "token_path=/run/token",
        "http://token:8080/",
        "registry/token:1.2",
        "token::parse failed",
        "monkey=1",
        "monkey: banana",
        "keyboard=us",
        "key=value",
        "public_key: abc",
        "AWS_ACCESS_KEY_ID=AKIA1",
        "compass: north",
        "bypass=1",
        "trespass: no",
        "passenger=ann",
        "cat /etc/passwd",
        "root:x:0:0:root:/root",
        "passwd:x:0",
        "http://host:80/a@b",
        "http://host/a:b@c",
        "http://[::1]:80/a@b",
        "ann@host:22",
        "the bearer of bad news",
        "community of practice",
        "secretary: ann",
        "/run/secrets",
        "the cookie was eaten",
        "author: ann",
        "max-key=1",
        "api_key_file=/etc/key",
        "api_key: ENC[agent/api_key]",
        "\"api_key\": \"ENC[agent/api_key]\"",
        "-----BEGIN of the end",
        "größe: 5, naïve: ja",
        "deadbeef 0123456789abcdef",
        "2024-01-01T00:00:00.000Z",
    ];
    for line in cases {
        let line = written(line);
        let clean = scrubber.line(&line);
        assert_eq!(clean, line);
        assert!(matches!(clean, Cow::Borrowed(_)), "{line} was copied");
    }
}

#[test]
fn what_was_given_is_hidden_everywhere() {
    let secrets = [
        "hunter2hunter",
        "hunter2",
        "two\"quotes",
        "short",
        "ter2hunterX",
    ];
    let secrets = secrets.map(str::to_owned);
    let scrubber = Scrubber::new(&secrets, &["card [0-9]+".to_owned()]).unwrap();
    for (line, expected) in [
        ("xhunter2hunter", "x********"),
        ("hunter2,hunter2", "********,********"),
        ("hunter2hunterX", "********"),
        ("{\"a\":\"two\\\"quotes\"}", "{\"a\":\"********\"}"),
        ("short", "short"),
        ("card 1234 and card 5", "******** and ********"),
    ] {
        assert_eq!(scrubber.line(line), expected);
    }
}

#[test]
fn too_many_secrets_are_hidden_as_they_are() {
    let secrets: Vec<String> = (0..1_000)
        .map(|n| format!("hunter hunter {n:04}"))
        .collect();
    let scrubber = Scrubber::new(&secrets, &[]).unwrap();
    assert!(scrubber.known.is_cut);
    for secret in &secrets {
        assert_eq!(scrubber.line(secret), MASK);
    }
    assert!(!Scrubber::new(&secrets[..10], &[]).unwrap().known.is_cut);
}

#[test]
fn patterns_that_cannot_be_used_are_refused_in_words() {
    let of_mask = "it matches what stands for secrets";
    for (pattern, reason) in [
        ("a(", "unclosed group"),
        ("a*", "it matches every line"),
        (".", of_mask),
        (r"\W", of_mask),
        ("[^a-z]", of_mask),
        (r"\S{1,4}", of_mask),
    ] {
        let error = Scrubber::new(&[], &[pattern.to_owned()]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(pattern) && text.contains(reason), "{text}");
    }
}

#[test]
fn masks_are_not_masked_again_and_again() {
    let secrets = ["******".to_owned(), "********".to_owned()];
    let patterns = [r"\S+", r"a\*|\*a", ".{9}"].map(str::to_owned);
    for pattern in patterns {
        let scrubber = Scrubber::new(&secrets, std::slice::from_ref(&pattern)).unwrap();
        for line in [
            "abc",
            "aaaaaaaaaa",
            "a b a ******** a",
            "****** *******a*********",
        ] {
            let once = scrubber.line(line);
            assert!(once.len() <= 64 * (line.len() + 64), "{pattern}: {once}");
            assert_eq!(scrubber.line(&once), once, "{pattern}");
        }
    }
}

#[test]
fn secrets_over_several_lines_are_hidden() {
    let scrubber = scrubber();
    let text = "\
a: 1
key: -----BEGIN RSA PRIVATE KEY-----
MIIEabc
-----END RSA PRIVATE KEY----- rest
b: 2
communities:
  - left
snmp:
  community_strings:
  - public
  - private
  private_key: |
    MIIEabc

  c: 3
-----BEGIN CERTIFICATE-----
MIIEabc
-----END CERTIFICATE-----
d: 4";
    let mut stream = Stream::new(&scrubber);
    let lines: Vec<_> = text.lines().filter_map(|line| stream.line(line)).collect();
    let expected = "\
a: 1
key: ********
 rest
b: 2
communities:
  - left
snmp:
  community_strings:
  - ********
  private_key: |
    ********
  c: 3
********
d: 4";
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn a_block_without_an_end_does_not_hide_a_whole_file() {
    let scrubber = scrubber();
    let mut stream = Stream::new(&scrubber);
    assert_eq!(stream.line("-----BEGIN X-----").as_deref(), Some(MASK));
    let hidden = (0..5_000)
        .take_while(|_| stream.line("x").is_none())
        .count();
    assert_eq!(hidden, 1_000);
}

#[test]
fn whatever_stands_together_a_second_time_changes_nothing() {
    let pieces = [
        "password",
        "=",
        ": ",
        ":",
        "\"",
        "'",
        "\\",
        "token",
        HEX32,
        HEX40,
        HEX64,
        "Bearer ",
        "://",
        "@",
        "/",
        "ddapp_abcdefghijklmnopqrstuvwxyz0123pass",
        "DDRCM_ABCDEFGHIJtoken",
        "api_key",
        "app-key",
        "x-a-key",
        "cookie",
        "--secret ",
        "[",
        "]",
        "{",
        "}",
        ",",
        " ",
        "\n",
        "-----BEGIN A-----",
        "-----END A-----",
        "ENC[",
        "null",
        "ß",
        "pass",
        "hunter2",
        "Some(",
        "_",
        "-",
        "*",
        "&",
        MASK,
        "community",
        "secret",
        "80",
        "Secret(",
        "b'",
        "&a=",
        "</",
        "Bearer \"",
        "=\"",
        "--token_id ",
        "curl -u ",
        "A_TOKEN=",
    ];
    let scrubber = Scrubber::new(&["hunter2".to_owned()], &[]).unwrap();
    let mut state: usize = 1;
    let mut next = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % limit
    };
    for _ in 0..30_000 {
        let length = next(12);
        let line: String = (0..length).map(|_| pieces[next(pieces.len())]).collect();
        let once = scrubber.line(&line);
        assert_eq!(scrubber.line(&once), once, "from {line:?}");
        assert!(!once.contains("hunter2"), "{line:?}");
        assert!(once.len() <= line.len() + 48 * length, "{line:?}");
    }
}

/// A search that takes the square of the length would need hours for these.
#[test]
fn lines_that_are_all_triggers_once_looked_endless() {
    let scrubber = scrubber();
    for piece in [
        "://a:",
        "--token ",
        "token",
        "x-",
        "password",
        "token:",
        "[",
        "\\\"",
        "token=[",
        "--",
        "-----BEGIN A-----",
        "pass\n",
        "://a:b@",
        "password=",
        "\"token\":\"",
        "password=b'",
        "password=S(\"",
        "x Cookie: a=\"b\" ",
        "x Cookie: a=",
        "password=&a",
        "&a",
        "curl -u '",
        "curl \"-u\" ",
        "-a.",
        "-secret-id",
        "://a@",
        "://a:'",
        "Bearer \"",
    ] {
        let line = piece.repeat(500_000 / piece.len());
        let once = scrubber.line(&line);
        assert_eq!(scrubber.line(&once), once, "{piece}");
    }
}
