//! Secrets of every kind in their surroundings, of which nothing may be left, and what only looks
//! like one, which has to stay as it is.

use super::super::{Kind, Scrubber};
use super::copied;

/// In the texts, `{s}` stands for this.
const SECRET: &str = "Kp7xW2_qZ9vT";
/// The same where it is in words.
const WORDS: &str = "Kp7xW2_ qZ9vT";

const LINES: &[&str] = &[
    // Names, as configuration and logs write them.
    "password: {s}",
    "password = {s}",
    "password={s}",
    "Password: {w}",
    "login failed: password={s}, user=ann",
    "pwd={s}",
    "pswd: {s}",
    "db_pass={s}",
    "dbPass: {s}",
    "passphrase: {w}",
    "password_v2: {s}",
    "auth_token: {s}",
    "my.jwt: {s}",
    "client_secret={s}",
    "vault_secret_id: {s}",
    "access_key={s}",
    "private_key: {s}",
    "consumer_key: {s}",
    "token_id: {s}",
    "secret_key_base={s}",
    "AccountName=a;AccountKey={s}",
    "encryption_key: {s}",
    "community_string: {s}",
    "community: {s}",
    "community_strings: [{s}, {s}2]",
    "authKey: {s}",
    "privKey: {s}",
    "authentication_key: {s}",
    "privacy_key: {s}",
    "snmp_authorization: {s}",
    // Keys of services.
    "api_key: {s}",
    "api_key={s}&x=1",
    "apikey: '{s}'",
    "app_key: \"{s}\"",
    "application_key={s}",
    "other_service: {\"api_key\": \"{s}\"}",
    "additional_endpoints: {\"https://a.b\": [\"{s}\", \"{s}2\"]}",
    "DD_ADDITIONAL_ENDPOINTS={\"https://a.b\": [\"{s}\"]} next",
    // Headers.
    "Authorization: Basic {w}",
    "proxy-authorization: {s}",
    "Cookie: a={s}; b={s}",
    "Set-Cookie: a={s}; Path=/",
    "X-Api-Key: {s}",
    "x-auth-token: {w}",
    "X-Vault-Token:{s}",
    "x-hub-secret: {s}",
    "x-my-auth={s}",
    "dd-api-key: {s}",
    "private-token: {s}",
    "session_token: {s}",
    "got Bearer {s} from ann",
    "> Cookie: a=\"1\"; session={s}",
    "INFO sent Authorization: Digest username=\"ann\", response=\"{s}\"",
    "INFO sent Authorization: Digest username=\\\"ann\\\", response=\\\"{s}\\\"",
    "Authorization: Bearer \"{s}\"",
    "> Authorization: Bearer '{s}'",
    "Authorization: Bearer <{s}>",
    "got Bearer '{w}' from ann",
    // The environment.
    "AWS_SECRET_ACCESS_KEY={s}",
    "GITHUB_TOKEN={s}",
    "PGPASSWORD={s}",
    "MY_AUTH_TOKEN={w}",
    "DB_PASS={w}",
    "export DB_PASS='{w}'",
    "Environment=\"DB_PASSWORD={w}\"",
    "PATH=/bin\0DB_PASS={w}\0HOME=/",
    "HOME=/\0NPM_TOKEN={s}\0",
    " -  DOCKER_PASSWORD={w}",
    "\tDOCKER_PASSWORD={w}",
    "{\"env\":[\"A=1\",\"DB_PASS={w}\"]}",
    "\"{\\\"env\\\":[\\\"DB_PASS={w}\\\"]}\"",
    // Arguments of processes.
    "tool --password={s}",
    "tool --password {s} -v",
    "tool --password '{w}' -v",
    "tool -password {s}",
    "tool -token {s} -v",
    "tool --db-password {s}",
    "tool --api-key {s}",
    "tool --db_password {s}",
    "tool --auth.token {s}",
    "tool -auth-token {s}",
    "tool --secret-id {s}",
    "tool --secret-key {s}",
    "tool --account-key {s}",
    "tool --consumer-key {s}",
    "tool --token-id {s}",
    "openssl rsa -passin pass:{s}",
    "tool --client-secret={s}",
    "tool\0--password\0{w}\0-v",
    "tool\0--token={s}\0-v",
    "tool\0--password={w}\0-v",
    "mount -o username=ann,password=Kp7xW2&{s}",
    "login password: Kp7xW2<{s} ok",
    "Login { token: Secret(\"{s}\"), a: 1 }",
    "Login { token: Secret(\"{w}\"), a: 1 }",
    "got Login { token: Text(\\\"{w}\\\"), a: 1 }",
    "Config(password=b'{w}')",
    "Config(user='ann', password=u\"{w}\", a=1)",
    "mysql -uroot -p{s} shop",
    "/usr/bin/mysqldump -p{s} shop",
    "mysql\0-uroot\0-p{w}\0shop",
    "sshpass -p {s} ssh host",
    "sshpass -p{s} ssh host",
    "redis-cli -h h -a {s} ping",
    "redis-cli -h h -a '{w}' ping",
    "curl -u ann:{s} https://host/",
    "curl -s --user ann:{s} https://host/",
    "curl -u 'ann:{w}' https://host/",
    "curl\0-u\0ann:{w}\0https://host/",
    "curl -uann:{s} https://host/",
    "curl -H \"Authorization: Token {s}\" https://host/",
    "curl -H 'X-Api-Key: {w}' https://host/",
    "[\"tool\",\"--token\",\"{s}\"]",
    "[\"tool\", \"--password\", \"{w}\"]",
    "[\"curl\", \"-u\", \"ann:{s}\"]",
    "[\"mysql\", \"-p{s}\"]",
    "ran [\\\"tool\\\",\\\"--token\\\",\\\"{w}\\\"]",
    // URLs.
    "postgres://ann:{s}@db/shop",
    "redis://:{s}@db:6379",
    "smtp://ann@corp.com:{s}@mail:587",
    "smtp://a-name-that-is-longer-than-names-are-but-is-still-that-of-an-account:{s}@mail",
    "postgres://ann:Kp7xW2'{s}@db",
    "'postgres://ann:{s}@db' and 'ann@db'",
    "https://ann:{s}@host:80/?x=1",
    "https://h/?token={s}&x=1",
    "https://h/?x=1&access_token={s}#top",
    "https://h/?key={s}",
    "https://h/?X-Amz-Signature={s}&x=1",
    "https://h/?sig={s}",
    // JSON.
    "{\"password\":\"{s}\"}",
    "{\"a\":{\"token\":[\"{s}\"]}}",
    "\"{\\\"secret\\\":\\\"{s}\\\"}\"",
    // Shapes.
    "ghp_0123456789abcdefgh{s}",
    "glpat-0123456789abcdefgh{s}",
    "xoxb-0123456789-{s}",
    "jwt is eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.{s}",
    "-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----\n",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{s}\n{s}\n",
    "data: LS0tLS1CRUdJTiBQUklWQVRF{s}==",
    "{\"data\":\"LS0tLS1CRUdJTiBQUklWQVRF{s}\"}",
    "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1J\n{s}\n",
    "\"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1J\\n{s}\\n\"",
    // What the configuration adds.
    "house_key: {s}",
    "\"Blue.Thing\": \"{s}\"",
    "nextcloud_pin: {s}",
    "SEPA_IBAN={s}",
    "{\"card_type\": \"{s}\"}",
    "card {s} was charged",
];

const YAML: &[&str] = &[
    "password: {s}\n",
    "a:\n  password: {w} # a comment\n",
    "password: '{w}'\n",
    "password: \"{w}\\x41\"\n",
    "password:\n  {s}\n",
    "password: >-\n  {s}\n  {s}\nb: 1\n",
    "private_key: |\n  {s}\n\n  {s}\nb: 1\n",
    "private_key: |2-\n    {s}\n   {s}\nb: 1\n",
    "password: {w}\n  {w}\nb: 1\n",
    "a: {password: {s}, b: 1}\n",
    "a: {\"password\":\"{s}\",\"b\":1}\n",
    "a: {password: '{w}',\n  b: 1}\n",
    "? password\n: {s}\n",
    "? |\n  token\n: {s}\n",
    "\"pass\\u0077ord\": {s}\n",
    "'password' : {s}\n",
    "community_strings:\n  - {s}\n  - {s}2\n",
    "community_strings:\n- {s}\n- {s}2\nb: 1\n",
    "community_strings: [{s},\n  {s}2]\n",
    "token:\n  value: {s}\n  other: [{s}2]\n",
    "additional_endpoints:\n  \"https://a.b\":\n    - {s}\n    - {s}2\n",
    "additional_endpoints:\n- api_key: {s}\n  Host: h\n",
    "password: !secret {s}\n",
    "password: &p {s}\nb: 1\nc: *p\n",
    "a: &p {s}\npassword: *p\n",
    "a: &p {token: {s}}\nb: {<<: *p}\n",
    "a: 1\n---\npassword: {s}\n",
    "# password: {s}\na: 1\n",
    "a: 1 # api_key={s}\n",
    "# key: |\n#   -----BEGIN A KEY-----\n#   {s}\n#   -----END A KEY-----\na: 1\n",
    "password: {s}\nb: and {s} again\n# {s}\n",
    "command: [tool, --token, {s}]\n",
    "command:\n  - curl\n  - -u\n  - ann:{s}\n",
    "env:\n  - DB_PASS={w}\n",
    "url: postgres://ann:{s}@h/\n",
    "script: |\n  a\n  export TOKEN={s}\n  b\n",
    "script: |\n  x:\n    password:\n      {s}\n",
    "key: -----BEGIN A-----\n  {s}\n  -----END A-----\nb: 1\n",
    "a: [\npassword: {s}\n",
    "password: {s}\r\nb: 1\r\n",
    "\u{feff}password: {s}\n",
    "a: \"x: {\\\"password\\\": \\\"{s}\\\"}\"\n",
    "instances:\n  - server: h\n    pass: {s}\n",
    "%YAML 1.1\n---\npassword: {s}\n...\n",
    "house_key: [{s}]\n",
    // What does not parse.
    "a: [\npassword: # the db\n  {s}\n",
    "a: [\nprivate_key: | # note\n  {s}\n",
    "a: [\npassword: !vault |\n  {s}\n",
    "a: [\npassword: &p\n  {s}\n",
    "a: [\npassword: &p !t >- # note\n  {s}\n",
    "a: [\npassword: \"Kp\n  {s}\"\n",
    "a: [\npassword: 'Kp\n\n  {s}'\n",
    "a: [\ncommunity_strings: [a,\n  {s}]\n",
    "a: [\n- token: [ # note\n    {s}]\n",
];

const JSON: &[&str] = &[
    "{\"password\": \"{w}\"}",
    "{\"a\": [{\"api_key\": \"{s}\"}]}",
    "{\"token\": {\"value\": \"{s}\"}}",
    "{\"token\": [\"{s}\", {\"a\": \"{s}2\"}]}",
    "{\"pass\\u0077ord\": \"{s}\"}",
    "{\"args\": [\"--token\", \"{w}\"]}",
    "{\"args\": [\"mysql\", \"-p{s}\"]}",
    "{\"args\": [\"sh\", \"-c\", \"a\\nb\", \"--token\", \"{s}\"]}",
    "{\"args\": [\"--token\", \"Kp7xW2\\n{s}\"]}",
    "{\"args\": [null, {\"a\": 1}, [], \"--token\", \"{w}\"]}",
    "{\"args\": [\"tool\", \"--password={w}\"]}",
    "{\"args\": \"tool --password {s}\"}",
    "{\"envs\": [\"DB_PASS={w}\"]}",
    "{\"a\":1}\n{\"password\":\"{s}\"}\nplain password={s}\n",
    "{\"password\":\"{s}\"",
    "{\"text\": \"a\\npassword: {w}\\nb\"}",
    "{\"text\": \"{\\\"token\\\":\\\"{s}\\\"}\"}",
    "{\"additional_endpoints\": {\"https://a.b\": [\"{s}\"]}}",
    "{\"password\": \"{s}\", \"b\": \"x{s}x\"}",
    "{\n  \"token\": [\n    \"{s}\"\n  ],",
    "{\n  \"token\": {\n    \"a\": \"{s}\"\n  },",
    "{\n  \"additional_endpoints\": {\n    \"https://a.b\": [\n      \"{s}\"\n",
    "{\"pem\": \"-----BEGIN A-----\\n{s}\\n-----END A-----\\n\"}",
];

/// What stays, as lines and as the values of YAML and JSON.
const LOOK_ALIKES: &[&str] = &[
    "commit 0123456789abcdef0123456789abcdef012345678",
    "short commit 0123456789",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "image registry/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "123e4567-e89b-12d3-a456-426614174000",
    "00:11:22:33:44:55",
    "fe80::0211:22ff:fe33:4455",
    "2001:db8::1/64",
    "[2001:db8::1]:443",
    "/etc/pam.d/common-password",
    "/etc/pam.d/common-auth",
    "/run/secrets/x",
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/etc/passwd",
    "/etc/shadow-",
    "/etc/ssl/private/key.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "token_ttl: 30",
    "token_path: /run/token",
    "password_policy: strict",
    "password_file: /etc/agent/password",
    "password_length: 12",
    "passwordless: true",
    "tokenizer: x",
    "tokens: 5",
    "max_tokens: 5",
    "api_key_count: 3",
    "api_key_file: /etc/key",
    "api_keys: 3",
    "monkey: banana",
    "donkey=grey",
    "keyboard: us",
    "keymap=de",
    "passthrough: true",
    "passenger: ann",
    "bypass: no",
    "compass=north",
    "compass: north",
    "trespass=1",
    "public_key: abc",
    "key: value",
    "primary_key: id",
    "secretary: ann",
    "secret_backend_command: /bin/x",
    "secretName: db",
    "author: ann",
    "authority: x",
    "authorized_keys: /root/.ssh",
    "cookie_path: /",
    "cookies: 3",
    "community_id: 1:abc",
    "communities: [a]",
    "jwtalk: 1",
    "password:",
    "token: null",
    "token: ENC[agent/token]",
    "api_key: ENC[agent/api_key]",
    "open.file.path == \"/etc/shadow\"",
    "open.file.path in [\"/etc/passwd\", \"/etc/shadow\"] && process.uid == 0",
    "exec.args in [\"--password-stdin\"]",
    "exec.file.name == \"passwd\" && exec.args_flags in [\"d\", \"delete\"]",
    "process.file.path =~ \"/usr/bin/*\"",
    "do_sys_openat2+0x1f/0x80",
    "ffffffff81000000 T _text",
    "kprobe security_inode_unlink",
    "sys_key_control",
    "rule credential_modified_chmod is loaded",
    "expression: open.file.path in [ \"/etc/pam.d/common-password\" ]",
    "id: potential_web_shell_parent",
    "tool --verbose --output file",
    "tool --password-file /etc/x",
    "tool --password-stdin",
    "tool --token-ttl 30",
    "tool -p 8080 -u root",
    "docker run -u 1000:1000 -p 8080:80 image",
    "ssh -p 22 host",
    "mkdir -p /var/lib/mysql",
    "curl -u ann https://host/",
    "curl --user-agent a:b https://host/",
    "tool -bypass x -compass north --tokens 5",
    "mysql -p shop",
    "mysql -u root -h db",
    "ps -aux",
    "http://host:80/a@b",
    "http://host/?page=1&sort=key",
    "https://host/?keyword=x&tokens=1",
    "git@github.com:a/b.git",
    "ssh://git@github.com/a/b",
    "ssh://git@github.com:22/a/b",
    "'http://host:80' 'ann@host'",
    "'tcp://host:x/y','ann@host'",
    "tcp://127.0.0.1:5000",
    "unix:///run/agent.sock",
    "ann@host:22",
    "root:x:0:0:root:/root",
    "the bearer of bad news",
    "unexpected token: }",
    "-----BEGIN of the end",
    "eyJ is how a token begins",
    "eyJhbGciOiJub25lIn0.txt",
    "TERM=xterm",
    "LS_COLORS=rs=0:di=01;34",
    "PATH=/usr/bin:/bin",
    "AWS_ACCESS_KEY_ID=AKIA1",
    "SSH_AUTH_SOCK=/tmp/agent.1",
    "größe: 5",
    "2026-01-01T00:00:00.000Z INFO started in 12ms",
    "uid=0 gid=0 pid=12345",
    "deadbeef",
    "LS0tLS0=",
    "********",
];

fn scrubber() -> Scrubber {
    use crate::config::{keys, Settings, Value};
    let mut settings = Settings::empty(true);
    let texts = |texts: &[&str]| Value::List(texts.iter().map(|text| text.to_string()).collect());
    for (key, value) in [
        (
            &keys::SCRUBBER_ADDITIONAL_KEYS,
            texts(&["house_key", "", "NEXTCLOUD_PIN", "SEPA_IBAN", "card_type"]),
        ),
        (&keys::FLARE_STRIPPED_KEYS, texts(&["blue.thing"])),
        (
            &keys::SCRUBBER_ADDITIONAL_PATTERNS,
            texts(&["card \\w+", "a(", "b*"]),
        ),
    ] {
        settings.set(key, value, "");
    }
    let (scrubber, warnings) = Scrubber::of_settings(&settings).unwrap();
    let starts = [
        "scrubber.additional_keys: a name is left out",
        "scrubber.additional_patterns: the pattern `a(`",
        "scrubber.additional_patterns: the pattern `b*`",
    ];
    assert_eq!(warnings.len(), starts.len());
    for (warning, start) in warnings.iter().zip(starts) {
        assert!(warning.starts_with(start), "{warning}");
    }
    scrubber
}

#[test]
fn nothing_is_left_of_secrets() {
    let scrubber = scrubber();
    let of_kind = |kind, texts: &'static [&str]| texts.iter().map(move |text| (kind, *text));
    let all = of_kind(Kind::Lines, LINES).chain(of_kind(Kind::Yaml, YAML));
    let mut left = Vec::new();
    for (kind, text) in all.chain(of_kind(Kind::Json, JSON)) {
        let text = text.replace("{s}", SECRET).replace("{w}", WORDS);
        let kinds = match kind {
            Kind::Lines => vec![Kind::Lines, Kind::Yaml, Kind::Json],
            kind => vec![kind],
        };
        for kind in kinds {
            let (clean, replaced) = copied(&scrubber, kind, &text);
            if clean.contains("Kp7xW2") || clean.contains("qZ9vT") || replaced == 0 {
                left.push(format!("{kind:?}: {text:?} => {clean:?}"));
            }
        }
    }
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn what_only_looks_like_a_secret_is_left_alone() {
    let scrubber = scrubber();
    let mut changed = Vec::new();
    for text in LOOK_ALIKES {
        let json = serde_json::to_string(text).unwrap();
        for (kind, text) in [
            (Kind::Lines, format!("{text}\n")),
            (Kind::Yaml, format!("{text}\n")),
            (Kind::Yaml, format!("- {json}\n")),
            (Kind::Json, format!("{{\"a\": {json}}}\n")),
        ] {
            let (clean, replaced) = copied(&scrubber, kind, &text);
            if clean != text || replaced != 0 {
                changed.push(format!("{kind:?}: {text:?} => {clean:?}"));
            }
        }
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}
