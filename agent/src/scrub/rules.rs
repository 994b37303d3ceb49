//! The table of what is a secret in a line, and how much of it may be seen.
//!
//! A rule either describes the shape of a secret, or what stands before one. The patterns are
//! compiled to one automaton, which finds the leftmost of them in one pass; where the secret ends
//! is found in `extent`. Nothing is replaced here.

/// What of the text that a pattern matches is the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// All of it.
    Whole,
    /// All of it up to the end of the block that it begins.
    Block,
    /// The word behind it.
    Word,
    /// The value behind it, which is that of a flag of a command line.
    Argument,
    /// The value behind the name and the separator that it ends with.
    Value,
    /// The same for names that the configuration adds, whatever they seem to say.
    ExtraValue,
    /// The same for headers of HTTP, whose values have blanks.
    Header,
    /// What stands between it and the `@` of a URL.
    Url,
    /// A token of a service that it begins.
    Token,
    /// A JSON Web Token that it begins.
    WebToken,
    /// A PEM block in base64 that it begins.
    Armor,
    /// The value of a flag that is secret with certain programs only.
    Program,
    /// The members in braces behind it.
    Members,
}

/// What is shown of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// Nothing.
    Nothing,
    /// This many asterisks, then this many characters of its end.
    End { stars: usize, kept: usize },
    /// The end of a token of 64 hexadecimal digits, nothing of others.
    EndOfToken,
}

/// One rule. Earlier ones win where two match at the same place.
#[derive(Debug)]
pub(super) struct Rule {
    /// A regexp; case does not count, `SEP` stands for [`SEPARATOR`] and `NEXT` for [`NEXT`].
    pub(super) pattern: &'static str,
    pub(super) place: Place,
    pub(super) show: Show,
}

/// Between a name and its value: the end of the name's quotes, a sign, and the `Some(` of text
/// that was made for debugging.
pub(super) const SEPARATOR: &str = r#"(?:\\*["'])?[ \t]*(?:=>|:=|==|[:=])(?:[ \t]*Some\(|[ \t]+)?"#;

/// Between a flag and its value: blanks, the NUL of the kernel's lists, or the next item of a list.
pub(super) const NEXT: &str = r#"(?:[ \t\x00]+|\\*["'][ \t]*,[ \t]*)"#;

const fn rule(pattern: &'static str, place: Place, show: Show) -> Rule {
    Rule {
        pattern,
        place,
        show,
    }
}

/// As much as is shown of a key of the intake.
pub(super) const API_KEY: Show = Show::End { stars: 28, kept: 4 };
const APP_KEY: Show = Show::End { stars: 36, kept: 4 };

/// The rule of names that the configuration adds.
pub(super) static EXTRA_NAME: Rule = rule("", Place::ExtraValue, Show::Nothing);

/// Every rule. No pattern may begin with a repetition, and none may go on without a bound over what
/// other patterns match, or the search would read a long line again and again.
pub(super) static RULES: &[Rule] = &[
    rule(
        r"-----BEGIN [A-Z0-9 ]{1,48}-----",
        Place::Block,
        Show::Nothing,
    ),
    rule(r"(?-i:LS0tLS1CRUdJTi)", Place::Armor, Show::Nothing),
    rule(r"\bddapp_[a-z0-9]{34}\b", Place::Whole, APP_KEY),
    rule(
        r"\bDDRCM_[a-z0-9_]{5,}",
        Place::Whole,
        Show::End { stars: 8, kept: 5 },
    ),
    rule(r"\b[a-f0-9]{40}\b", Place::Whole, APP_KEY),
    rule(r"\b[a-f0-9]{32}\b", Place::Whole, API_KEY),
    rule(r"(?-i:\beyJ)", Place::WebToken, Show::Nothing),
    rule(
        r"(?-i:\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|[rs]k_live_))",
        Place::Token,
        Show::Nothing,
    ),
    rule(r"(?-i:\bBearer)[ \t]+", Place::Word, Show::EndOfToken),
    rule(r#"://[^\s:/?#\["']{0,256}:"#, Place::Url, Show::Nothing),
    rule(
        r"[?&](?:key|sig|signature|auth|x-amz-signature|x-amz-credential)=",
        Place::Word,
        Show::Nothing,
    ),
    rule(
        r"\bx-[a-z0-9_-]{0,32}(?:key|token|auth|secret)SEP",
        Place::Header,
        Show::Nothing,
    ),
    rule(
        r"(?:\b|_)(?:(?:set-)?cookie|(?:proxy-)?authorization|dd-(?:api|app|application)-key|private-token|session[_-]token)SEP",
        Place::Header,
        Show::Nothing,
    ),
    rule(
        r"\B-(?:-[a-z0-9._-]{0,32}|[a-z0-9._-]{0,32}[._-])?(?:pass(?:word|wd|phrase|in|out)?|pwd|(?:token|secret)(?:[_-]?id)?|jwt|(?:api|app|access|private|secret|account|consumer)[_-]?key)NEXT",
        Place::Argument,
        Show::Nothing,
    ),
    rule(
        r"\B(?:(?-i:-[paUu])|--(?:proxy-)?user)",
        Place::Program,
        Show::Nothing,
    ),
    rule(r"additional_endpointsSEP", Place::Members, Show::Nothing),
    rule(r"api[_-]?keySEP", Place::Value, API_KEY),
    rule(r"app(?:lication)?[_-]?keySEP", Place::Value, APP_KEY),
    rule(
        r"(?:password|passwd|passphrase|pswd|pwd)[a-z0-9_.-]{0,32}SEP",
        Place::Value,
        Show::Nothing,
    ),
    rule(
        r"(?:(?:\b|_)pass|(?-i:[a-z]Pass))SEP",
        Place::Value,
        Show::Nothing,
    ),
    rule(r"(?:token|jwt)(?:[_-]?id)?SEP", Place::Value, Show::Nothing),
    rule(
        r"secret(?:[_-]?id|[_-]?key(?:_base)?)?SEP",
        Place::Value,
        Show::Nothing,
    ),
    rule(
        r"(?:access|account|private|consumer|encryption|signing|master)[_-]?keySEP",
        Place::Value,
        Show::Nothing,
    ),
    rule(
        r"(?:\b|_)(?:community(?:_strings?)?|auth_?key|priv_?key|authentication_key|privacy_key)SEP",
        Place::Value,
        Show::Nothing,
    ),
];

/// Ends of names that say something about a password rather than what it is.
pub(super) const ABOUT: &[&str] = &[
    "file", "path", "dir", "stdin", "less", "policy", "length", "size", "count", "enabled",
    "required", "type", "field", "prompt",
];
