//! Pure: how a server's data goes from node to node, through the hub.
//!
//! The source sends the folder as a list of [`Part`]s in one order: names sorted by their bytes, a
//! folder before what is in it, each file from its beginning to its end. So a place in it is the path
//! of an entry with an offset, and whoever holds everything before a place can go on from there after
//! any interruption. Parts travel in [`MoveChunk`] frames, each with its hash and the place behind it.
//!
//! Holes and blocks of zeros are not sent: a file is made with its size, and [`Part::Bytes`] are
//! written into it. Blocks begin at multiples of [`BLOCK_BYTES`], so that the list of a folder, and
//! [`Digest`] over it, is the same on both nodes.
//!
//! What goes along: content, holes, symbolic links as they are, permissions for reading, writing and
//! running, and the times at which files were changed. What does not: owners, for on every node all
//! belongs to the user that games run as, which the node sees to before the next start; set-user and
//! set-group bits; extended attributes and access lists, which no game that we know keeps anything
//! in; hard links, which become files of their own and take their room; and sockets, pipes and
//! devices, which mean nothing without the process that made them.
//!
//! | step | asked of | answers |
//! |---|---|---|
//! | `Measure` | source | `Size` |
//! | `Prepare` | target | `Done` |
//! | `Write` | target | `At`, then takes chunks, tells `Stored` now and then, at the end `Done` |
//! | `Read` | source | `Size`, then chunks; the last one has no place behind it |
//! | `Count` | source | `Counted` |
//! | `Seal` | target | `Done` or `Differs` |
//! | `Confirm` | target | `Done` |
//! | `Drop` | target | `Done` |

use super::expect;
use crate::frame::{CRITICAL, Frame, FrameError};
use mamba_core::{
    ids::{NodeId, ServerId, TransferId},
    lifecycle::{install::InstallRecord, power::Power},
    server::Mount,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of content in one part at most, and the multiple at which parts of a file begin.
pub const BLOCK_BYTES: u64 = 64 * 1024;
/// A chunk is closed when its parts have so many bytes: few enough for one frame with one more
/// part, enough that a frame's head does not matter.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// What a part counts for besides its content: its path, at most, and numbers.
pub const PART_BYTES: usize = 64;

const CHUNK: u16 = 204;

/// What is asked of a node that takes part in a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MoveStep {
    /// Say how much there is, while the server may run.
    Measure,
    /// Make a place for the data, and have the image here. Throws away what another hand-over left.
    Prepare {
        /// Image of the server.
        image: String,
        /// Folders of the node that it sees.
        mounts: Vec<Mount>,
        /// Bytes that its data had when it was measured; the server may have written more since.
        needed_bytes: u64,
    },
    /// Take chunks.
    Write {
        /// Which copy. With another than before everything that is here is thrown away.
        copy: u32,
        /// Most bytes that the data may have.
        most_bytes: u64,
    },
    /// Send chunks.
    Read {
        /// From here on; from the beginning without.
        from: Option<Place>,
    },
    /// Count the data and tell what belongs to it.
    Count,
    /// Count what came, and put it where the server's data belongs when it is the same.
    Seal(Box<Luggage>),
    /// Say whether wish and data are here.
    Confirm,
    /// Throw away everything of this hand-over, unless the server lives here by now.
    Drop,
}

/// Content of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MoveAnswer {
    /// It is done, and on disk.
    Done,
    /// So much is here already.
    At {
        /// What is missing begins here; the beginning without.
        place: Option<Place>,
        /// Whether nothing is missing.
        is_whole: bool,
        /// Bytes of content that are here.
        bytes: u64,
    },
    /// So much there is, or will be sent in all, as far as can be known.
    Size {
        /// Bytes of content.
        bytes: u64,
    },
    /// So much is on disk.
    Stored {
        /// Bytes of content.
        bytes: u64,
    },
    /// To [`MoveStep::Count`].
    Counted(Box<Luggage>),
    /// What came is not what was counted.
    Differs,
}

/// One server on its way, as its node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MoveLine {
    /// Which server.
    pub server: ServerId,
    /// Which hand-over.
    pub transfer: TransferId,
    /// Which way, and how far.
    pub way: MoveWay,
}

/// Which way a server goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoveWay {
    /// From here: it may not run here any more, and its data stays until the other node has it.
    Leaving {
        /// Where to.
        to: NodeId,
    },
    /// To here, and so much is on the disk.
    Coming {
        /// Bytes of content.
        bytes: u64,
    },
    /// To here: everything came and was compared, and the hub has not said yet that it lives here.
    Sealed,
}

/// What goes with a server's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Luggage {
    /// What the data is.
    pub digest: Digest,
    /// What power actions asked for.
    pub power: Power,
    /// The newest run of its install script.
    pub install: Option<InstallRecord>,
}

/// What a folder holds, whoever counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Digest {
    /// BLAKE3 over all parts in their sent form, without times.
    pub hash: [u8; 32],
    /// How many.
    pub parts: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// A place in a folder's list of parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The entry, as a path below the folder. Names are bytes, whatever they mean.
    pub path: Vec<u8>,
    /// Everything of a file before this is done; a multiple of [`BLOCK_BYTES`].
    pub offset: u64,
}

/// One thing in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A folder.
    Folder {
        /// Where.
        path: Vec<u8>,
        /// Its permissions.
        mode: u32,
    },
    /// A symbolic link; nobody follows it.
    Link {
        /// Where.
        path: Vec<u8>,
        /// What it says.
        target: Vec<u8>,
    },
    /// A file of so many zeros; what follows goes into it. Sent again when its rest is.
    File {
        /// Where.
        path: Vec<u8>,
        /// Its permissions.
        mode: u32,
        /// Its size.
        size: u64,
    },
    /// Content of the file that came last.
    Bytes {
        /// Where in it.
        offset: u64,
        /// At most [`BLOCK_BYTES`].
        bytes: Vec<u8>,
    },
    /// The file that came last is complete.
    End {
        /// When it was changed last: seconds since 1970, and nanoseconds.
        #[serde(with = "times")]
        modified: (i64, u32),
    },
}

/// Times of files. Their nanoseconds take four bytes whatever they are: how long a message is must not
/// hang on the fraction of a second in which a game wrote a file, or no run could be played again.
mod times {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(
        (seconds, nanos): &(i64, u32),
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (seconds, nanos.to_le_bytes()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<(i64, u32), D::Error> {
        let (seconds, nanos) = <(i64, [u8; 4])>::deserialize(deserializer)?;
        Ok((seconds, u32::from_le_bytes(nanos)))
    }
}

/// Some parts, and where the next ones begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// In the order of the list.
    pub parts: Vec<Part>,
    /// The place behind them, `None` at the end.
    pub next: Option<Place>,
}

/// Parts as they travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveChunk {
    /// Postcard of [`Parts`].
    pub body: Vec<u8>,
    /// BLAKE3 over it.
    pub hash: [u8; 32],
}

/// Why a chunk is not what the source sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The hash is another.
    #[error("chunk was damaged on its way")]
    Damaged,
    /// It is no list of parts.
    #[error("chunk is malformed")]
    Malformed,
}

impl MoveChunk {
    /// Packs parts.
    ///
    /// # Errors
    /// `Malformed` when they have no sent form.
    pub fn pack(parts: &Parts) -> Result<Self, ChunkError> {
        let body = postcard::to_stdvec(parts).map_err(|_| ChunkError::Malformed)?;
        let hash = *blake3::hash(&body).as_bytes();
        Ok(Self { body, hash })
    }

    /// Checks the hash and unpacks the parts.
    ///
    /// # Errors
    /// See [`ChunkError`].
    pub fn unpack(&self) -> Result<Parts, ChunkError> {
        if *blake3::hash(&self.body).as_bytes() != self.hash {
            return Err(ChunkError::Damaged);
        }
        match postcard::take_from_bytes(&self.body) {
            Ok((parts, [])) => Ok(parts),
            Ok((_, [_, ..])) | Err(_) => Err(ChunkError::Malformed),
        }
    }

    /// Encodes the chunk.
    ///
    /// # Errors
    /// `TooLarge` when it does not fit.
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        Frame::new(CHUNK, CRITICAL, self)
    }

    /// Decodes a chunk.
    ///
    /// # Errors
    /// When the frame is another or malformed.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        expect(frame, CHUNK)?.open()
    }

    /// Whether a frame is a chunk, for those who only pass it on.
    #[must_use]
    pub fn is_in(frame: &Frame) -> bool {
        frame.kind == CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FRAME_BYTES_MAX;

    #[test]
    fn a_chunk_that_was_changed_is_refused() {
        let parts = Parts { parts: vec![Part::End { modified: (1, 2) }], next: None };
        let chunk = MoveChunk::pack(&parts).unwrap();
        assert_eq!(chunk.unpack(), Ok(parts));
        for at in 0..chunk.body.len() {
            let mut bent = chunk.clone();
            bent.body[at] ^= 1;
            assert_eq!(bent.unpack(), Err(ChunkError::Damaged));
        }
        let mut longer = chunk;
        longer.body.push(0);
        longer.hash = *blake3::hash(&longer.body).as_bytes();
        assert_eq!(longer.unpack(), Err(ChunkError::Malformed));
    }

    #[test]
    fn the_fullest_chunk_fits_a_frame() {
        let path = vec![b'a'; 4_096];
        let file = || Part::File { path: path.clone(), mode: 0o777, size: u64::MAX };
        // Closed as soon as it is over the limit, so that one part may come on top.
        let mut parts: Vec<Part> =
            (0..CHUNK_BYTES / (4_096 + PART_BYTES)).map(|_| file()).collect();
        let bytes = vec![0xff; usize::try_from(BLOCK_BYTES).unwrap()];
        parts.push(Part::Bytes { offset: u64::MAX, bytes });
        let next = Some(Place { path, offset: u64::MAX });
        let frame = MoveChunk::pack(&Parts { parts, next }).unwrap().to_frame().unwrap();
        assert!(frame.body.len() < FRAME_BYTES_MAX);
    }
}
