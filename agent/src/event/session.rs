//! Sessions of users: who typed it, as `cws-instrumentation` hands it to the probes.
//!
//! A [`UserInfo`] is what the admission webhook learns of a user; as JSON of at most [`MAX_DATA`]
//! bytes it goes on the command line of `cws-instrumentation inject`, which cuts it into messages
//! ([`messages`]) for an ioctl that the probes watch; [`Chunk::parse`] reads one. No system call is
//! made here, and which process a session belongs to is decided by `resolve`, which keeps it with
//! the process as a [`UserSession`].

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The ioctl's command; no device knows it, so that the call itself fails with ENOTTY.
pub const COMMAND: u32 = 0xdead_c001;
/// The operation of a message that carries a piece of a session.
pub const OPERATION: u8 = 11;
/// Bytes of a message: the operation, the header of the piece, the piece.
pub const MESSAGE_SIZE: usize = 1 + CHUNK_HEADER + CHUNK_DATA;
/// The most bytes of a session's data.
pub const MAX_DATA: usize = 1024;

const CHUNK_HEADER: usize = 17;
const CHUNK_DATA: usize = 256 - CHUNK_HEADER;

/// What kind of session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SessionKind {
    /// `kubectl exec`, `attach` and their like.
    Kubernetes = 1,
    /// SSH.
    Ssh = 2,
}

impl SessionKind {
    /// Its name on the command line and in events.
    pub fn name(self) -> &'static str {
        match self {
            SessionKind::Kubernetes => "k8s",
            SessionKind::Ssh => "ssh",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<SessionKind> {
        [SessionKind::Kubernetes, SessionKind::Ssh]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    fn from_number(number: u8) -> Option<SessionKind> {
        [SessionKind::Kubernetes, SessionKind::Ssh]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// A user of Kubernetes (`authentication.k8s.io/v1`, UserInfo).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// Name that identifies the user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Id that stays the same when a name is given again.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups that the user belongs to.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub groups: Vec<String>,
    /// What the authenticator adds.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub extra: BTreeMap<String, Vec<String>>,
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl UserInfo {
    /// The user that a session's data describes; `None` when the data is something else.
    pub fn from_data(data: &[u8]) -> Option<UserInfo> {
        // Through a value, which other readers of JSON need as well: less code.
        let value: serde_json::Value = serde_json::from_slice(data).ok()?;
        serde_json::from_value(value).ok()
    }

    /// As JSON that fits into a session: without what the authenticator adds when that is too
    /// long, then without groups; `None` when that does not help either.
    pub fn to_data(&self) -> Option<String> {
        let mut user = self.clone();
        let drops: [fn(&mut UserInfo); 3] = [
            |_| {},
            |user| user.extra.clear(),
            |user| user.groups.clear(),
        ];
        drops.iter().find_map(|drop| {
            drop(&mut user);
            let json = serde_json::to_string(&user).ok()?;
            (json.len() <= MAX_DATA).then_some(json)
        })
    }
}

/// A session, shared by the processes in it. Who its user is becomes known once every piece of
/// its data is there.
#[derive(Debug)]
pub struct UserSession {
    /// Its number as rules and events have it: hexadecimal digits.
    pub id: String,
    /// What kind of session it is.
    pub kind: SessionKind,
    user: OnceCell<UserInfo>,
}

impl UserSession {
    /// A session whose user is not known yet.
    pub fn new(id: u64, kind: SessionKind) -> UserSession {
        UserSession {
            id: format!("{id:x}"),
            kind,
            user: OnceCell::new(),
        }
    }

    /// Notes who its user is; the first user stays.
    pub fn set_user(&self, user: UserInfo) {
        // A second one is no error: it has no effect.
        let _ = self.user.set(user);
    }

    /// Its user of Kubernetes, once known; sessions of other kinds have none.
    pub fn kubernetes_user(&self) -> Option<&UserInfo> {
        let user = self.user.get();
        user.filter(|_| self.kind == SessionKind::Kubernetes)
    }
}

/// A piece of a session's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The session: a random number above, seconds since the epoch below; never 0.
    pub id: u64,
    /// Its place among the pieces, the first one is 1.
    pub index: u8,
    /// What kind of session it is.
    pub kind: SessionKind,
    /// The piece, without the zero bytes that fill up the last one.
    pub data: &'a [u8],
}

impl Chunk<'_> {
    /// The most pieces of a session.
    pub const MAX: u8 = MAX_DATA.div_ceil(CHUNK_DATA) as u8;

    /// Reads a message; `None` when it is not one of a session.
    pub fn parse(message: &[u8]) -> Option<Chunk<'_>> {
        let (operation, rest) = message.split_first()?;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let (index, rest) = rest.split_first_chunk::<8>()?;
        let (kind, data) = rest.split_first()?;
        let id = u64::from_le_bytes(*id);
        let index = u8::try_from(u64::from_le_bytes(*index)).ok()?;
        let is_sound = *operation == OPERATION && id != 0 && (1..=Chunk::MAX).contains(&index);
        let length = data.iter().rposition(|byte| *byte != 0)? + 1;
        let data = data.get(..length)?;
        (is_sound && length <= CHUNK_DATA).then_some(Chunk {
            id,
            index,
            kind: SessionKind::from_number(*kind)?,
            data,
        })
    }

    /// Whether a piece of this size is filled, so that another one may follow.
    pub fn is_full(size: usize) -> bool {
        size == CHUNK_DATA
    }
}

/// The messages that carry a session's data, in order.
pub fn messages(
    id: u64,
    kind: SessionKind,
    data: &[u8],
) -> impl Iterator<Item = [u8; MESSAGE_SIZE]> + '_ {
    (1u64..)
        .zip(data.chunks(CHUNK_DATA))
        .map(move |(index, piece)| {
            let mut message = [0; MESSAGE_SIZE];
            let header = [OPERATION]
                .into_iter()
                .chain(id.to_le_bytes())
                .chain(index.to_le_bytes())
                .chain([kind as u8]);
            let bytes = header.chain(piece.iter().copied());
            message
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = from);
            message
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_comes_back_from_its_messages() {
        for length in [1, 238, 239, 240, 478, 1024] {
            let data: Vec<u8> = (0..length).map(|n| b'a' + (n % 26) as u8).collect();
            let messages: Vec<_> = messages(7, SessionKind::Kubernetes, &data).collect();
            assert!(messages.len() <= usize::from(Chunk::MAX));
            let mut whole = Vec::new();
            for (place, message) in messages.iter().enumerate() {
                let chunk = Chunk::parse(message).unwrap();
                assert_eq!((chunk.id, usize::from(chunk.index)), (7, place + 1));
                assert_eq!(chunk.kind, SessionKind::Kubernetes);
                whole.extend_from_slice(chunk.data);
            }
            assert_eq!(whole, data);
        }
    }

    #[test]
    fn messages_that_are_none_are_refused() {
        let good = messages(7, SessionKind::Ssh, b"x").next().unwrap();
        assert!(Chunk::parse(&good).is_some());
        for (place, byte) in [(0, 4), (9, 0), (9, 6), (10, 1), (17, 0), (17, 3), (18, 0)] {
            let mut bad = good;
            bad[place] = byte;
            assert_eq!(Chunk::parse(&bad), None, "{place}");
        }
        for length in 0..19 {
            assert_eq!(Chunk::parse(&good[..length]), None);
        }
        let mut without_id = good;
        without_id[1..9].fill(0);
        assert_eq!(Chunk::parse(&without_id), None);
    }

    #[test]
    fn what_does_not_fit_is_dropped_in_order() {
        let long = "x".repeat(600);
        let mut user = UserInfo {
            username: "jane".to_owned(),
            groups: vec![long.clone()],
            extra: BTreeMap::from([("scopes".to_owned(), vec![long.clone()])]),
            ..UserInfo::default()
        };
        let data = user.to_data().unwrap();
        assert!(data.contains("groups") && !data.contains("extra"));
        user.groups.push(long.clone());
        assert_eq!(user.to_data().unwrap(), r#"{"username":"jane"}"#);
        user.username = long.repeat(2);
        assert_eq!(user.to_data(), None);
    }

    #[test]
    fn null_lists_are_empty_ones() {
        let user: UserInfo =
            serde_json::from_str(r#"{"username":"a","groups":null,"extra":null,"new":1}"#).unwrap();
        assert_eq!(user.to_data().unwrap(), r#"{"username":"a"}"#);
    }
}
