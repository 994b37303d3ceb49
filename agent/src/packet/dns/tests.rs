use super::*;

const QUERY: u16 = 0x0100;
const ANSWER: u16 = 0x8180;
const ID: u16 = 0x1234;
/// A pointer to the name of the first question.
const TO_QUESTION: [u8; 2] = [0xc0, 12];

fn header(flags: u16, questions: u16, answers: u16) -> Vec<u8> {
    let numbers = [ID, flags, questions, answers, 0, 0];
    numbers.into_iter().flat_map(u16::to_be_bytes).collect()
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn kind_and_class(kind: u16, class: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (kind.to_be_bytes(), class.to_be_bytes());
    [a, b, c, d]
}

fn question(name: &[u8], kind: u16) -> Vec<u8> {
    [name, &kind_and_class(kind, CLASS_IN)].concat()
}

fn answer(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = question(owner, kind);
    bytes.extend([0, 0, 0, 60]);
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn query(name: &str) -> Vec<u8> {
    [header(QUERY, 1, 0), question(&labels(name), TYPE_A)].concat()
}

fn response(name: &str, answers: &[Vec<u8>]) -> Vec<u8> {
    let question = question(&labels(name), TYPE_A);
    let header = header(ANSWER, 1, answers.len() as u16);
    [header, question, answers.concat()].concat()
}

fn parsed(bytes: &[u8]) -> Message {
    Message::parse(bytes).unwrap()
}

fn address(name: &str, address: &str) -> (String, IpAddr) {
    (name.to_owned(), address.parse().unwrap())
}

#[test]
fn a_query() {
    let bytes = query("Www.Example.COM");
    let expected = Message {
        id: ID,
        questions: 1,
        name: "Www.Example.COM".to_owned(),
        kind: TYPE_A,
        class: CLASS_IN,
        size: 33,
        ..Message::default()
    };
    assert_eq!(Message::parse(&bytes), Some(expected));
}

#[test]
fn a_response_with_aliases_and_addresses_of_both_kinds() {
    let bytes = response(
        "www.example.com",
        &[
            answer(&TO_QUESTION, TYPE_CNAME, b"\x03cdn\xc0\x10"),
            answer(&labels("cdn.example.com"), TYPE_A, &[192, 0, 2, 1]),
            answer(&labels("cdn.example.com"), TYPE_AAAA, &[0x20; 16]),
            answer(&TO_QUESTION, 16, b"\x04text"),
            answer(&TO_QUESTION, TYPE_A, &[192, 0, 2, 2]),
        ],
    );
    let message = parsed(&bytes);
    assert!(message.is_response);
    assert_eq!(message.code, 0);
    assert_eq!(message.size as usize, bytes.len());
    let alias = ("www.example.com".to_owned(), "cdn.example.com".to_owned());
    assert_eq!(message.aliases, [alias]);
    let addresses = [
        address("cdn.example.com", "192.0.2.1"),
        address("cdn.example.com", "2020:2020:2020:2020:2020:2020:2020:2020"),
        address("www.example.com", "192.0.2.2"),
    ];
    assert_eq!(message.addresses, addresses);
}

#[test]
fn a_refusal_has_its_code() {
    let mut bytes = query("nowhere.example");
    bytes[2..4].copy_from_slice(&0x8183_u16.to_be_bytes());
    let message = parsed(&bytes);
    assert_eq!((message.code, message.is_response), (3, true));
}

#[test]
fn names_become_texts() {
    let long = "x".repeat(63);
    for (wire, name) in [
        (&b"\0"[..], ""),
        (b"\x01a\0", "a"),
        (b"\x03a.b\x01c\0", r"a\.b.c"),
        (b"\x03a\\b\0", r"a\\b"),
        (b"\x04\0 \x7f\xff\0", r"\000\032\127\255"),
        (b"\x02_x\x01*\0", "_x.*"),
        (&labels(&long), &*long),
    ] {
        let bytes = [header(QUERY, 1, 0), question(wire, TYPE_A)].concat();
        assert_eq!(parsed(&bytes).name, name);
    }
}

#[test]
fn names_have_at_most_255_bytes() {
    let longest = |last: usize| {
        let mut labels = [b"\x3f".to_vec(), vec![b'x'; 63]].concat().repeat(3);
        labels.push(last as u8);
        labels.extend(vec![0xff; last]);
        labels.push(0);
        [header(QUERY, 1, 0), question(&labels, TYPE_A)].concat()
    };
    assert_eq!(parsed(&longest(61)).name.len(), 3 * 64 + 4 * 61);
    assert_eq!(Message::parse(&longest(62)), None);
}

#[test]
fn labels_of_reserved_kinds_are_none() {
    for size in [64, 0x80, 0xbf] {
        let name = [&[size][..], &[b'x'; 200], &[0]].concat();
        let bytes = [header(QUERY, 1, 0), question(&name, TYPE_A)].concat();
        assert_eq!(Message::parse(&bytes), None, "{size}");
    }
}

#[test]
fn pointers_lead_backwards_only() {
    // Where the owner of the first answer begins.
    let here = 12 + labels("a.b").len() as u8 + 4;
    for (owner, name) in [
        (&[0xc0, 12][..], Some("a.b")),
        (&[0xc0, 14], Some("b")),
        (&[0xc0, 16], Some("")),
        (&[1, b'x', 0xc0, 12], Some("x.a.b")),
        // To itself, to its own labels, forward, into the header, to what ends no name.
        (&[0xc0, here], None),
        (&[1, b'x', 0xc0, here], None),
        (&[0xc0, here + 4], None),
        (&[0xff, 0xff], None),
        (&[0xc0, 0], None),
        (&[0xc0, 11], None),
        (&[0xc0, here - 1], None),
    ] {
        let bytes = response("a.b", &[answer(owner, TYPE_A, &[192, 0, 2, 1])]);
        let addresses = parsed(&bytes).addresses;
        let found = addresses.first().map(|(name, _)| name.as_str());
        assert_eq!(found, name, "{owner:x?}");
    }
}

#[test]
fn a_question_cannot_begin_with_a_pointer() {
    for name in [[0xc0, 12], [0xc0, 4], [0xc0, 40]] {
        let bytes = [header(QUERY, 1, 0), question(&name, TYPE_A)].concat();
        assert_eq!(Message::parse(&bytes), None);
    }
}

#[test]
fn long_chains_of_pointers_are_given_up() {
    let chain = |length: u16| {
        // The data of an answer that nobody reads: pointers to the one before each.
        let start = 12 + labels("a").len() as u16 + 4 + 2 + 10;
        let place = |number: u16| (0xc000 + start + 2 * number).to_be_bytes();
        let mut data = TO_QUESTION.to_vec();
        (0..length).for_each(|number| data.extend(place(number)));
        let last = answer(&place(length), TYPE_A, &[192, 0, 2, 1]);
        response("a", &[answer(&TO_QUESTION, 99, &data), last])
    };
    assert_eq!(parsed(&chain(30)).addresses.len(), 1);
    assert_eq!(parsed(&chain(31)).addresses.len(), 0);
    assert_eq!(parsed(&chain(5_000)).addresses.len(), 0);
}

#[test]
fn answers_that_are_cut_are_left_out() {
    let answers = [
        answer(&TO_QUESTION, TYPE_CNAME, &labels("c.d")),
        answer(&labels("c.d"), TYPE_A, &[192, 0, 2, 1]),
        answer(&labels("c.d"), TYPE_A, &[192, 0, 2, 2]),
    ];
    let bytes = response("a.b", &answers);
    let with_question = 12 + labels("a.b").len() + 4;
    let ends: Vec<usize> = (0..=3)
        .map(|count| with_question + answers[..count].concat().len())
        .collect();
    for end in 0..bytes.len() {
        let Some(message) = Message::parse(&bytes[..end]) else {
            assert!(end < with_question, "{end}");
            continue;
        };
        assert!(end >= with_question, "{end}");
        let whole = ends.iter().filter(|answer| **answer <= end).count() - 1;
        let found = message.aliases.len() + message.addresses.len();
        assert_eq!(found, whole, "{end}");
    }
}

#[test]
fn answers_that_are_odd_are_passed_over() {
    let good = || answer(&TO_QUESTION, TYPE_A, &[192, 0, 2, 1]);
    let mut of_chaos = good();
    of_chaos[5] = 3;
    for odd in [
        of_chaos,
        answer(&TO_QUESTION, TYPE_A, &[192, 0, 2]),
        answer(&TO_QUESTION, TYPE_A, &[0x20; 16]),
        answer(&TO_QUESTION, TYPE_AAAA, &[192, 0, 2, 1]),
        answer(&TO_QUESTION, TYPE_CNAME, b""),
        answer(&TO_QUESTION, TYPE_CNAME, b"\x05ab"),
        // A name that goes on behind the data.
        answer(&TO_QUESTION, TYPE_CNAME, b"\x01a"),
    ] {
        let message = parsed(&response("a.b", &[odd, good()]));
        assert_eq!(message.addresses, [address("a.b", "192.0.2.1")]);
        assert_eq!(message.aliases, []);
    }
}

#[test]
fn at_most_64_answers_of_each_kind_are_kept() {
    let addresses = vec![answer(&TO_QUESTION, TYPE_A, &[192, 0, 2, 1]); 100];
    let aliases = vec![answer(&TO_QUESTION, TYPE_CNAME, &TO_QUESTION); 100];
    let message = parsed(&response("a.b", &[addresses, aliases].concat()));
    assert_eq!((message.addresses.len(), message.aliases.len()), (64, 64));
}

#[test]
fn only_responses_give_addresses() {
    let with_flags = |flags: u16| {
        let mut bytes = response("a.b", &[answer(&TO_QUESTION, TYPE_A, &[192, 0, 2, 1])]);
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        parsed(&bytes).addresses.len()
    };
    const UPDATE: u16 = 5 << 11;
    assert_eq!(with_flags(ANSWER), 1);
    assert_eq!(with_flags(QUERY), 0);
    assert_eq!(with_flags(UPDATE), 0);
    assert_eq!(with_flags(ANSWER | UPDATE), 0);
}

#[test]
fn numbers_of_questions() {
    let answer = answer(&TO_QUESTION, TYPE_A, &[192, 0, 2, 1]);
    let with = |flags: u16, questions: u16| {
        let questions_bytes = question(&labels("a.b"), TYPE_A).repeat(questions.into());
        let bytes = [header(flags, questions, 1), questions_bytes, answer.clone()].concat();
        let message = Message::parse(&bytes)?;
        Some((message.questions, message.addresses.len()))
    };
    for (flags, questions, expected) in [
        (QUERY, 0, None),
        (QUERY, 1, Some((1, 0))),
        (QUERY, 8, Some((8, 0))),
        (QUERY, 9, None),
        (ANSWER, 2, Some((2, 1))),
        (ANSWER, 9, None),
    ] {
        assert_eq!(with(flags, questions), expected, "{flags:#x} {questions}");
    }
    let without = parsed(&header(ANSWER | 1, 0, 0));
    assert_eq!((without.code, &*without.name, without.kind), (1, "", 0));
}

#[test]
fn other_bytes_are_no_message() {
    for bytes in [
        &b""[..],
        b"\0\0",
        &[0; 512],
        &[0xff; 512],
        b"GET /latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 random random random random random",
    ] {
        assert_eq!(Message::parse(bytes), None, "{bytes:?}");
        assert_eq!(messages_of_stream(bytes), [], "{bytes:?}");
    }
}

/// Puts the length before a message.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u16).to_be_bytes();
    [&length, message].concat()
}

/// The names of the messages of a segment, `None` for malformed ones.
fn names(segment: &[u8]) -> Vec<Option<String>> {
    let messages = messages_of_stream(segment).into_iter();
    messages.map(|message| Some(message?.name)).collect()
}

#[test]
fn segments_of_tcp() {
    let (a, b) = (query("a.example"), query("b.example"));
    let some = |name: &str| Some(format!("{name}.example"));
    let malformed = [framed(&a), framed(b"no message")].concat();
    for (segment, expected) in [
        (vec![], vec![]),
        (vec![0], vec![]),
        (framed(&a)[..2].to_vec(), vec![]),
        (framed(&a), vec![some("a")]),
        (
            [framed(&a), framed(&b)].concat(),
            vec![some("a"), some("b")],
        ),
        // The length of the next one is alone at the end, whole or not.
        ([framed(&a), vec![0]].concat(), vec![some("a")]),
        ([framed(&a), vec![0, 30]].concat(), vec![some("a")]),
        // After a length alone.
        (a.clone(), vec![some("a")]),
        (b"the middle of something".to_vec(), vec![]),
        (
            [framed(&a), b"something".to_vec()].concat(),
            vec![some("a")],
        ),
        (framed(b"no message"), vec![None]),
        (framed(b"x"), vec![None]),
        (malformed, vec![some("a"), None]),
        (vec![0; 40], vec![]),
    ] {
        assert_eq!(names(&segment), expected, "{segment:?}");
    }
}

#[test]
fn the_last_message_of_a_segment_may_be_cut() {
    let answer = answer(&TO_QUESTION, TYPE_A, &[192, 0, 2, 1]);
    let long = response("a.example", &[answer.clone(), answer]);
    let segment = framed(&long);
    let with_question = 2 + query("a.example").len();
    for end in 0..=segment.len() {
        let messages = messages_of_stream(&segment[..end]);
        if end < with_question {
            assert_eq!(messages, [], "{end}");
            continue;
        }
        let message = messages[0].clone().unwrap();
        assert_eq!(message.name, "a.example");
        assert_eq!(message.size as usize, long.len());
        let whole = usize::from(end >= segment.len() - 16) + usize::from(end == segment.len());
        assert_eq!(message.addresses.len(), whole, "{end}");
    }
}

#[test]
fn any_cut_or_changed_byte_is_survived() {
    let answers = [
        answer(&TO_QUESTION, TYPE_CNAME, b"\x03cdn\xc0\x0e"),
        answer(b"\x01x\xc0\x1c", TYPE_A, &[192, 0, 2, 1]),
    ];
    let bytes = response("a.b", &answers);
    for position in 0..bytes.len() {
        for byte in 0..=u8::MAX {
            let mut changed = bytes.clone();
            changed[position] = byte;
            let _ = Message::parse(&changed);
            let _ = Message::parse(&changed[..position]);
            assert!(messages_of_stream(&changed).len() <= 2);
        }
    }
}
