//! Hand-made processes and events for the tests of this folder and of `resolve`.

use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use super::model::{Body, Cgroup, Event, File, HostInfo, Names, Network, PathSource, Seen, Socket};
use super::process::{Image, Process, ProcessInfo};
use super::session::{SessionKind, UserInfo, UserSession};
use super::types::EventType;
use super::wire::Identity;
use crate::packet::headers::Headers;
use crate::packet::{dns, imds};

/// 2026-01-02 03:04:05.678 UTC in nanoseconds since the epoch.
pub(crate) const NOW: u64 = 1_767_323_045_678_000_000;

pub(crate) fn file(path: &str) -> File {
    File {
        path: path.to_owned(),
        source: PathSource::Kernel,
        path_error: "",
        known: true,
        inode: 1234,
        mount_id: 29,
        device: 8 << 20 | 1,
        filesystem: "ext4",
        mode: 0o100755,
        uid: 0,
        gid: 0,
        links: 1,
        modified: NOW - 86_400_000_000_000,
        changed: NOW - 3_600_000_000_000,
        ..File::default()
    }
}

pub(crate) fn process(
    pid: u32,
    args: &[&str],
    path: &str,
    parent: Option<&Rc<Process>>,
) -> Rc<Process> {
    let info = ProcessInfo {
        pid,
        ppid: parent.map_or(0, |parent| parent.info.pid),
        start_time: u64::from(pid) * 1_000_000_000,
        fork_time: NOW - 20_000_000_000,
        exec_time: NOW - 10_000_000_000,
        tty: "pts0".to_owned(),
        login_uid: 1000,
        cap_effective: 1,
        cap_permitted: 1 << 21 | 1,
        session: 900,
        mount_namespace: 4_026_531_841,
        net_namespace: 4_026_531_840,
        is_exec: true,
        ..ProcessInfo::default()
    };
    let image = Image {
        comm: path.rsplit('/').next().unwrap().to_owned(),
        file: file(path),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        envs: vec!["HOME".to_owned(), "PATH=/usr/bin:/bin".to_owned()],
        ..Image::default()
    };
    let cgroup = Cgroup {
        path: "/system.slice/docker-abc.scope".to_owned(),
        manager: "docker",
        container_id: "abc".to_owned(),
        version: 2,
        inode: 77,
        created: NOW - 60_000_000_000,
    };
    let parent = parent.map(Rc::clone);
    Rc::new(Process::new(
        info,
        Rc::new(image),
        parent,
        root(),
        Rc::new(cgroup),
    ))
}

pub(crate) fn root() -> Identity {
    Identity::default()
}

/// init, a shell and `cat -n /etc/shadow`.
pub(crate) fn cat() -> Rc<Process> {
    let init = process(1, &["/sbin/init"], "/usr/lib/systemd/systemd", None);
    let shell = process(1000, &["bash"], "/usr/bin/bash", Some(&init));
    process(
        1001,
        &["cat", "-n", "/etc/shadow"],
        "/usr/bin/cat",
        Some(&shell),
    )
}

/// A session of a user of Kubernetes.
pub(crate) fn jane() -> Rc<UserSession> {
    let session = UserSession::new(0x5eed_0000_abcd, SessionKind::Kubernetes);
    let data = br#"{"username":"jane","uid":"u-1","groups":["dev","ops"],"extra":{"node":["n1"]}}"#;
    session.set_user(UserInfo::from_data(data).unwrap());
    Rc::new(session)
}

pub(crate) fn names() -> Rc<Names> {
    Rc::new(Names {
        users: [(0, "root".to_owned()), (1000, "ann".to_owned())].into(),
        groups: [(0, "root".to_owned()), (42, "shadow".to_owned())].into(),
    })
}

pub(crate) fn host() -> HostInfo {
    HostInfo {
        hostname: "edge-1".to_owned(),
        version: "0.1.0".to_owned(),
        kernel_version: "6.1.0".to_owned(),
        distribution: "debian - 12".to_owned(),
        arch: "x86_64".to_owned(),
    }
}

pub(crate) fn event(kind: EventType, process: Rc<Process>) -> Event {
    let time = UNIX_EPOCH + Duration::from_nanos(NOW);
    Event::new(kind, time, process, names(), "edge-1".into())
}

pub(crate) fn file_event(kind: EventType, path: &str, arguments: [u32; 4]) -> Event {
    let mut event = event(kind, cat());
    event.body = Body::File {
        file: file(path),
        arguments,
        syscall_path: path.to_owned(),
        syscall: 257,
    };
    event
}

/// An event of a `curl` without a parent.
pub(crate) fn network_event(kind: EventType, body: Body) -> Event {
    let mut event = event(kind, process(1001, &["curl"], "/usr/bin/curl", None));
    event.body = body;
    event
}

/// A connection to 192.0.2.1:443, which two names stand for.
pub(crate) fn socket() -> Box<Socket> {
    Box::new(Socket {
        family: 2,
        address: Some("192.0.2.1:443".parse().unwrap()),
        protocol: 6,
        is_public: true,
        hostnames: vec!["www.example.com".to_owned(), "cdn.example.net".to_owned()],
    })
}

/// A packet of UDP that 10.0.0.2 sends to the port of name servers of 192.0.2.53.
pub(crate) fn packet() -> Box<Network> {
    Box::new(Network {
        device: "eth0".to_owned(),
        interface: 3,
        namespace: 4_026_531_840,
        egress: true,
        size: 75,
        headers: Headers {
            l3_protocol: 0x0800,
            l4_protocol: 17,
            source: Some("10.0.0.2".parse().unwrap()),
            destination: Some("192.0.2.53".parse().unwrap()),
            source_port: 40_000,
            destination_port: 53,
            ..Headers::default()
        },
        is_source_public: false,
        is_destination_public: true,
    })
}

/// A question for the addresses of a name.
pub(crate) fn question() -> Box<dns::Message> {
    Box::new(dns::Message {
        id: 4660,
        questions: 1,
        name: "Www.Example.com".to_owned(),
        kind: 1,
        class: 1,
        size: 33,
        ..dns::Message::default()
    })
}

/// An answer of AWS with credentials.
pub(crate) fn credentials() -> Box<imds::Message> {
    Box::new(imds::Message {
        is_response: true,
        provider: "AWS",
        server: "EC2ws".to_owned(),
        is_imds_v2: true,
        credentials: Some(imds::Credentials {
            code: "Success".to_owned(),
            kind: "AWS-HMAC".to_owned(),
            access_key_id: "ASIAEXAMPLE".to_owned(),
            last_updated: "2026-01-02T00:00:00Z".to_owned(),
            expiration: "2026-01-02T06:00:00Z".to_owned(),
        }),
        ..imds::Message::default()
    })
}

/// What two filters saw in a packet of TLS 1.2.
pub(crate) fn seen() -> Box<Seen> {
    Box::new(Seen {
        filters: vec!["udp port 53".to_owned(), "host 192.0.2.53".to_owned()],
        tls_version: 0x0303,
    })
}
