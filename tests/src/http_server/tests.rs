use std::io::{Read, Write};

use super::*;
use crate::scratch::{patience, wait_for};

const POST: &str = "POST /a?b HTTP/1.1\r\nHost: x\r\nDD-API-KEY: k\r\nContent-Length: 3\r\n\r\nabc";

/// Sends this and returns all that comes until the server ends.
fn exchange(address: SocketAddr, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience(10)))?;
    stream.write_all(text.as_bytes())?;
    // A reset may have come already; reading tells.
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn an_accepted_request_is_kept_as_it_was_sent() {
    let server = HttpServer::start().unwrap();
    let chunked = "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
                   2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n";
    let answer = exchange(server.address(), &format!("{POST}{chunked}")).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 202 ").count(), 2, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 100 ").count(), 1, "{answer}");
    let requests = server.take_accepted();
    let targets: Vec<_> = requests.iter().map(|one| one.target.as_str()).collect();
    assert_eq!(targets, ["/a?b", "/c"]);
    assert!(requests.iter().all(|one| one.body == b"abc"));
    assert!(requests.iter().all(|one| one.method == "POST"));
    assert_eq!(requests.first().unwrap().header("dd-api-key"), "k");
    assert!(server.take_accepted().is_empty() && server.take_others().is_empty());
}

#[test]
fn each_request_meets_what_is_queued_for_it() {
    let server = HttpServer::start().unwrap();
    let retry_after = vec![("Retry-After", "7".to_owned())];
    let cases = [
        (Behaviour::Status(429, retry_after), "Retry-After: 7\r\n", 0),
        (Behaviour::status(500), "HTTP/1.1 500 ", 0),
        (Behaviour::HalfAnswer, "HTTP/1.1 202 ", 0),
        (Behaviour::TooLarge(2), "HTTP/1.1 413 ", 0),
        (Behaviour::TooLarge(3), "HTTP/1.1 202 ", 1),
        (Behaviour::Slow(Duration::from_millis(1)), "\r\n\r\n", 1),
        (Behaviour::status(200), "HTTP/1.1 200 ", 1),
    ];
    for (behaviour, expected, accepted) in cases {
        server.then([behaviour.clone()]);
        let answer = exchange(server.address(), POST).unwrap();
        assert!(answer.contains(expected), "{behaviour:?}: {answer}");
        assert_eq!(server.still_queued(), 0);
        assert_eq!(server.take_accepted().len(), accepted, "{behaviour:?}");
        assert_eq!(server.take_others().len(), 1 - accepted, "{behaviour:?}");
    }
}

#[test]
fn half_an_answer_is_no_answer() {
    let server = HttpServer::start().unwrap();
    server.always(Behaviour::HalfAnswer);
    let answer = exchange(server.address(), POST).unwrap();
    assert!(!answer.contains("\r\n\r\n"), "{answer}");
}

#[test]
fn a_reset_comes_after_the_whole_request() {
    let server = HttpServer::start().unwrap();
    server.then([Behaviour::Reset]);
    let error = exchange(server.address(), POST).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let others = server.take_others();
    assert_eq!(others.first().unwrap().body, b"abc");
    assert!(exchange(server.address(), POST).unwrap().contains(" 202 "));
}

#[test]
fn what_hangs_goes_on_when_it_is_released() {
    let server = HttpServer::start().unwrap();
    server.then([Behaviour::Hang]);
    let address = server.address();
    let sender = thread::spawn(move || exchange(address, POST));
    wait_for(patience(10), || (server.hanging() == 1).then_some(())).unwrap();
    assert!(server.take_accepted().is_empty());
    assert!(exchange(server.address(), POST).unwrap().contains(" 202 "));
    server.release();
    assert!(sender.join().unwrap().unwrap().contains(" 202 "));
    assert_eq!(server.take_accepted().len(), 2);
}

#[test]
fn down_means_refused_and_up_is_the_same_port() {
    let mut server = HttpServer::start().unwrap();
    let address = server.address();
    let mut open = TcpStream::connect(address).unwrap();
    open.write_all(POST.as_bytes()).unwrap();
    wait_for(patience(10), || server.take_accepted().pop()).unwrap();
    server.down();
    let mut rest = String::new();
    open.read_to_string(&mut rest).unwrap();
    let error = TcpStream::connect(address).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    server.up().unwrap();
    assert_eq!(server.address(), address);
    assert!(exchange(address, POST).unwrap().contains(" 202 "));
}

#[test]
fn going_down_ends_what_hangs() {
    let mut server = HttpServer::start().unwrap();
    server.always(Behaviour::Hang);
    let address = server.address();
    let sender = thread::spawn(move || exchange(address, POST));
    wait_for(patience(10), || (server.hanging() == 1).then_some(())).unwrap();
    server.down();
    assert!(!sender
        .join()
        .unwrap()
        .is_ok_and(|text| text.contains("202")));
    wait_for(patience(10), || server.take_others().pop()).unwrap();
}

#[test]
fn a_proxy_passes_urls_and_tunnels_on() {
    let server = HttpServer::start().unwrap();
    let proxy = HttpServer::start_proxy(server.address()).unwrap();
    let host = "intake.example:80";
    let absolute = POST.replacen("/a", &format!("http://{host}/a"), 1);
    let answer = exchange(proxy.address(), &absolute).unwrap();
    assert!(answer.contains(" 202 "), "{answer}");
    let through = server.take_accepted();
    let first = through.first().unwrap();
    assert_eq!(
        (first.target.as_str(), first.header("dd-api-key")),
        ("/a?b", "k")
    );
    assert_eq!(first.body, b"abc");

    let connect = format!("CONNECT {host} HTTP/1.1\r\nProxy-Authorization: y\r\n\r\n{POST}");
    let answer = exchange(proxy.address(), &connect).unwrap();
    assert!(
        answer.contains(" 200 ") && answer.contains(" 202 "),
        "{answer}"
    );
    assert_eq!(server.take_accepted().len(), 1);
    let seen = proxy.take_accepted();
    let methods: Vec<_> = seen.iter().map(|one| one.method.as_str()).collect();
    assert_eq!(methods, ["POST", "CONNECT"]);
    assert_eq!(seen.last().unwrap().header("proxy-authorization"), "y");

    proxy.then([Behaviour::status(407)]);
    let answer = exchange(proxy.address(), &connect).unwrap();
    assert!(answer.contains(" 407 "), "{answer}");
}
