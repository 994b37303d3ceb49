//! Bytes to [`Record`]s: every field is read at its offset in `wire.h`, with its bounds checked.

use std::net::{IpAddr, SocketAddr};

use super::{
    Arguments, Body, Cgroup, Error, Exec, Exit, File, FileBlock, Fork, Header, Identity, Kind,
    Packet, Record, Session, Socket, WalkedPath, ARGUMENTS_RECORD_SIZE, PACKET_RECORD_SIZE,
    SESSION_RECORD_SIZE,
};

impl<'a> Record<'a> {
    /// Reads a record; trailing bytes beyond its own size are padding and ignored.
    pub fn decode(bytes: &'a [u8]) -> Result<Record<'a>, Error> {
        let raw = Raw(bytes);
        let header = raw.header()?;
        let body = match header.kind {
            Kind::Fork => Body::Fork(raw.fork()?),
            Kind::Exec => Body::Exec(raw.exec()?),
            Kind::Exit => Body::Exit(raw.exit()?),
            Kind::Arguments => Body::Arguments(raw.arguments()?),
            Kind::Cgroup => Body::Cgroup(raw.cgroup()?),
            Kind::Session => Body::Session(raw.session()?),
            Kind::Open | Kind::Chmod | Kind::Chown => Body::File(raw.file()?),
            Kind::Connect | Kind::Bind | Kind::Accept => Body::Socket(raw.socket()?),
            Kind::Dns | Kind::Imds | Kind::Packet => Body::Packet(raw.packet()?),
        };
        Ok(Record { header, body })
    }
}

/// The stamp of a record, read without decoding the rest; 0 for bytes too short to have one.
pub fn timestamp(bytes: &[u8]) -> u64 {
    Raw(bytes).u64(0).unwrap_or(0)
}

struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], Error> {
        self.0
            .get(offset..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied()
            .ok_or(Error::Short { offset })
    }

    fn u16(&self, offset: usize) -> Result<u16, Error> {
        self.array(offset).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: usize) -> Result<u32, Error> {
        self.array(offset).map(u32::from_le_bytes)
    }

    fn u64(&self, offset: usize) -> Result<u64, Error> {
        self.array(offset).map(u64::from_le_bytes)
    }

    fn bytes(&self, offset: usize, size: usize) -> Result<&'a [u8], Error> {
        self.0
            .get(offset..)
            .and_then(|rest| rest.get(..size))
            .ok_or(Error::Short { offset })
    }

    /// A zero-padded field of fixed width.
    fn padded(&self, offset: usize, size: usize) -> Result<&'a [u8], Error> {
        let field = self.bytes(offset, size)?;
        Ok(field.split(|byte| *byte == 0).next().unwrap_or(field))
    }

    /// A `struct string_block` at `offset`.
    fn string(&self, offset: usize) -> Result<&'a [u8], Error> {
        let start = self.u16(offset)?;
        let size = self.u16(offset + 2)?;
        if size == 0 {
            return Ok(&[]);
        }
        self.bytes(start.into(), size.into())
    }

    /// A `struct path_block` at `offset`.
    fn path(&self, offset: usize) -> Result<WalkedPath<'a>, Error> {
        Ok(WalkedPath {
            names: self.string(offset)?,
            how: self.u16(offset + 4)?,
        })
    }

    /// A `struct file_block` at `offset`; `None` when the probe did not fill it.
    fn file_block(&self, offset: usize) -> Result<Option<FileBlock>, Error> {
        if self.u16(offset + 46)? == 0 {
            return Ok(None);
        }
        Ok(Some(FileBlock {
            inode: self.u64(offset)?,
            modified: self.u64(offset + 8)?,
            changed: self.u64(offset + 16)?,
            mount_id: self.u32(offset + 24)?,
            device: self.u32(offset + 28)?,
            magic: self.u32(offset + 32)?,
            uid: self.u32(offset + 36)?,
            gid: self.u32(offset + 40)?,
            mode: self.u16(offset + 44)?,
            links: self.u32(offset + 48)?,
        }))
    }

    fn socket(&self) -> Result<Socket, Error> {
        let (family, port) = (self.u16(80)?, self.u16(82)?);
        let address = match i32::from(family) {
            libc::AF_INET => Some(IpAddr::from(self.array::<4>(64)?)),
            libc::AF_INET6 => Some(IpAddr::from(self.array::<16>(64)?)),
            _ => None,
        };
        Ok(Socket {
            family,
            address: address.map(|address| SocketAddr::new(address, port)),
            protocol: self.u16(84)?,
            kind: self.u16(86)?,
            net_namespace: self.u32(88)?,
            descriptor: self.u32(92)?,
            cookie: self.u64(96)?,
        })
    }

    fn packet(&self) -> Result<Packet<'a>, Error> {
        let captured = self.u16(92)?;
        Ok(Packet {
            cookie: self.u64(64)?,
            learnt: self.u64(72)?,
            net_namespace: self.u32(80)?,
            interface: self.u32(84)?,
            length: self.u32(88)?,
            segment: self.u16(94)?,
            egress: self.u32(96)? != 0,
            data: self.bytes(PACKET_RECORD_SIZE, captured.into())?,
        })
    }

    fn header(&self) -> Result<Header, Error> {
        let number = self.u16(8)?;
        Ok(Header {
            timestamp: self.u64(0)?,
            kind: Kind::from_number(number).ok_or(Error::UnknownKind(number))?,
            tgid: self.u32(12)?,
            tid: self.u32(16)?,
            retval: self.u32(20)? as i32,
            identity: Identity {
                uid: self.u32(24)?,
                gid: self.u32(28)?,
                suid: self.u32(32)?,
                sgid: self.u32(36)?,
                euid: self.u32(40)?,
                egid: self.u32(44)?,
                fsuid: self.u32(48)?,
                fsgid: self.u32(52)?,
            },
        })
    }

    fn file(&self) -> Result<File<'a>, Error> {
        Ok(File {
            file: self.file_block(64)?,
            arguments: [
                self.u32(120)?,
                self.u32(124)?,
                self.u32(128)?,
                self.u32(132)?,
            ],
            path: self.path(136)?,
            string: self.string(144)?,
            dirfd: self.u32(148)? as i32,
            syscall: self.u32(152)?,
            root: self.path(156)?,
        })
    }

    fn fork(&self) -> Result<Fork, Error> {
        Ok(Fork {
            start_time: self.u64(64)?,
            cgroup_id: self.u64(72)?,
            child: self.u32(80)?,
            mount_namespace: self.u32(84)?,
            net_namespace: self.u32(88)?,
            session: self.u32(92)?,
            caller: self.u32(96)?,
        })
    }

    fn exec(&self) -> Result<Exec<'a>, Error> {
        Ok(Exec {
            exec_id: self.u64(64)?,
            start_time: self.u64(72)?,
            cgroup_id: self.u64(80)?,
            cap_effective: self.u64(88)?,
            cap_permitted: self.u64(96)?,
            parent: self.u32(104)?,
            session: self.u32(108)?,
            login_uid: self.u32(112)?,
            mount_namespace: self.u32(116)?,
            net_namespace: self.u32(120)?,
            arguments_size: self.u32(124)?,
            environment_size: self.u32(128)?,
            script: self.u32(132)? != 0,
            comm: self.padded(136, 16)?,
            tty: self.padded(152, 16)?,
            file: self.file_block(168)?,
            path: self.path(224)?,
            directory: self.path(232)?,
            string: self.string(240)?,
        })
    }

    fn exit(&self) -> Result<Exit, Error> {
        Ok(Exit {
            start_time: self.u64(64)?,
            code: self.u32(72)?,
            parent: self.u32(76)?,
        })
    }

    fn arguments(&self) -> Result<Arguments<'a>, Error> {
        let size = self.u16(76)?;
        Ok(Arguments {
            exec_id: self.u64(64)?,
            index: self.u16(72)?,
            environment: self.u16(74)? != 0,
            data: self.bytes(ARGUMENTS_RECORD_SIZE, size.into())?,
        })
    }

    fn cgroup(&self) -> Result<Cgroup<'a>, Error> {
        Ok(Cgroup {
            cgroup_id: self.u64(64)?,
            hierarchy: self.u32(72)?,
            pid: self.u32(76)?,
            path: self.string(80)?,
            whole_group: self.u32(84)? != 0,
        })
    }

    fn session(&self) -> Result<Session<'a>, Error> {
        let size = self.u16(72)?;
        Ok(Session {
            start_time: self.u64(64)?,
            message: self.bytes(SESSION_RECORD_SIZE, size.into())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        CGROUP_RECORD_SIZE, EXEC_RECORD_SIZE, EXIT_RECORD_SIZE, FILE_RECORD_SIZE, FORK_RECORD_SIZE,
        HEADER_SIZE, SOCKET_RECORD_SIZE,
    };
    use super::*;

    fn record(kind: u16, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        bytes[0..8].copy_from_slice(&77u64.to_le_bytes());
        bytes[8..10].copy_from_slice(&kind.to_le_bytes());
        bytes[12..16].copy_from_slice(&42u32.to_le_bytes());
        bytes
    }

    #[test]
    fn decodes_a_file_record() {
        let mut bytes = record(8, FILE_RECORD_SIZE);
        bytes[120..124].copy_from_slice(&0o1101u32.to_le_bytes());
        bytes[136..138].copy_from_slice(&168u16.to_le_bytes());
        bytes[138..140].copy_from_slice(&2u16.to_le_bytes());
        bytes[144..146].copy_from_slice(&170u16.to_le_bytes());
        bytes[146..148].copy_from_slice(&3u16.to_le_bytes());
        bytes.extend_from_slice(b"x\0y/z");
        let decoded = Record::decode(&bytes).unwrap();
        assert_eq!(decoded.header.tgid, 42);
        let Body::File(file) = decoded.body else {
            panic!("not a file record");
        };
        assert_eq!(file.path.join(), "/x");
        assert_eq!(file.string, b"y/z");
        assert_eq!(file.arguments[0], 0o1101);
        assert_eq!(file.file, None);
    }

    #[test]
    fn decodes_a_socket_record() {
        let mut bytes = record(12, SOCKET_RECORD_SIZE);
        bytes[64..68].copy_from_slice(&[192, 0, 2, 1]);
        bytes[80..82].copy_from_slice(&2u16.to_le_bytes());
        bytes[82..84].copy_from_slice(&53u16.to_le_bytes());
        bytes[88..92].copy_from_slice(&8u32.to_le_bytes());
        let Body::Socket(socket) = Record::decode(&bytes).unwrap().body else {
            panic!("not a socket record");
        };
        assert_eq!(socket.address, "192.0.2.1:53".parse().ok());
        assert_eq!((socket.family, socket.net_namespace), (2, 8));
        bytes[80..82].copy_from_slice(&1u16.to_le_bytes());
        let Body::Socket(socket) = Record::decode(&bytes).unwrap().body else {
            panic!("not a socket record");
        };
        assert_eq!(socket.address, None);
    }

    #[test]
    fn decodes_a_packet_record() {
        let mut bytes = record(14, PACKET_RECORD_SIZE);
        bytes[72..80].copy_from_slice(&5u64.to_le_bytes());
        bytes[84..88].copy_from_slice(&2u32.to_le_bytes());
        bytes[92..94].copy_from_slice(&3u16.to_le_bytes());
        bytes[96..100].copy_from_slice(&1u32.to_le_bytes());
        bytes.extend_from_slice(b"abcpadding");
        let Body::Packet(packet) = Record::decode(&bytes).unwrap().body else {
            panic!("not a packet record");
        };
        assert_eq!((packet.learnt, packet.interface), (5, 2));
        assert_eq!((packet.data, packet.egress), (&b"abc"[..], true));
        // A record that says more than there is.
        bytes[92..94].copy_from_slice(&300u16.to_le_bytes());
        assert!(Record::decode(&bytes).is_err());
    }

    #[test]
    fn decodes_a_message_of_a_session() {
        let mut bytes = record(6, SESSION_RECORD_SIZE);
        bytes[64..72].copy_from_slice(&5u64.to_le_bytes());
        bytes[72..74].copy_from_slice(&3u16.to_le_bytes());
        bytes.extend_from_slice(b"abcpadding");
        let Body::Session(session) = Record::decode(&bytes).unwrap().body else {
            panic!("not a message");
        };
        assert_eq!((session.start_time, session.message), (5, &b"abc"[..]));
        bytes[72..74].copy_from_slice(&300u16.to_le_bytes());
        assert!(Record::decode(&bytes).is_err());
    }

    #[test]
    fn every_cut_is_an_error_and_not_a_panic() {
        for (kind, size) in [
            (1, FORK_RECORD_SIZE),
            (2, EXEC_RECORD_SIZE),
            (3, EXIT_RECORD_SIZE),
            (4, ARGUMENTS_RECORD_SIZE),
            (5, CGROUP_RECORD_SIZE),
            (6, SESSION_RECORD_SIZE),
            (8, FILE_RECORD_SIZE),
            (11, SOCKET_RECORD_SIZE),
            (14, PACKET_RECORD_SIZE),
        ] {
            let bytes = record(kind, size);
            assert!(Record::decode(&bytes).is_ok(), "kind {kind}");
            for end in 0..HEADER_SIZE {
                assert!(Record::decode(&bytes[..end.min(55)]).is_err());
            }
        }
        assert_eq!(Record::decode(&record(99, 64)), Err(Error::UnknownKind(99)));
    }
}
