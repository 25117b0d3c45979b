//! The chunks of a packet, as a log shows them.

use crate::{
    ids::{Ppid, StreamId, Tsn},
    wire::{self, Causes, Chunk, Data, kind},
};

/// One chunk: its header, and the fields that tell what it does. User data is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkHeader {
    /// Chunk type.
    pub kind: u8,
    /// Chunk flags.
    pub flags: u8,
    /// Header and value, bytes.
    pub length: usize,
    /// What the value says, where it is of a known form.
    pub fields: ChunkFields,
}

/// What a chunk says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChunkFields {
    /// DATA or I-DATA.
    Data {
        /// Transmission sequence number.
        tsn: Tsn,
        /// The sender's outbound stream.
        stream: StreamId,
        /// SSN, or MID of I-DATA.
        seq: u32,
        /// Fragment number of I-DATA.
        fsn: Option<u32>,
        /// Payload protocol identifier, where the chunk has one.
        ppid: Option<Ppid>,
        /// Bytes of user data.
        payload: usize,
    },
    /// INIT or INIT ACK.
    Init {
        /// Tag of the packets towards the sender.
        initiate_tag: u32,
        /// Receive window.
        a_rwnd: u32,
        /// Streams the sender wants to send on.
        outbound_streams: u16,
        /// Streams the sender is ready to receive on.
        inbound_streams: u16,
        /// TSN of the sender's first DATA chunk.
        initial_tsn: Tsn,
    },
    /// SACK.
    Sack {
        /// The last TSN received in sequence.
        cumulative: Tsn,
        /// Receive window.
        a_rwnd: u32,
        /// Gap ack blocks: (start, end), both counted from `cumulative`.
        gaps: Vec<(u16, u16)>,
        /// Duplicate TSNs.
        duplicates: Vec<Tsn>,
    },
    /// SHUTDOWN.
    Shutdown {
        /// The last TSN received in sequence.
        cumulative: Tsn,
    },
    /// FORWARD-TSN or I-FORWARD-TSN.
    ForwardTsn {
        /// The TSN to go on after.
        new_cumulative: Tsn,
    },
    /// ABORT or ERROR: the codes of its causes.
    Causes(Vec<u16>),
    /// Nothing, or nothing that is looked into.
    Other,
    /// Not what a chunk of this type must be: what follows it in the packet is not shown.
    Malformed,
}

/// The chunks of an SCTP packet, in order, up to the first whose length cannot be true.
pub fn chunk_headers(packet: &[u8]) -> impl Iterator<Item = ChunkHeader> {
    wire::chunks(packet)
        .map_while(Result::ok)
        .map(|raw| ChunkHeader {
            kind: raw.kind,
            flags: raw.flags,
            length: raw.raw.len(),
            fields: match Chunk::parse(raw) {
                Ok(chunk) => fields(&chunk),
                Err(_) => ChunkFields::Malformed,
            },
        })
}

fn fields(chunk: &Chunk<'_>) -> ChunkFields {
    match chunk {
        Chunk::Data(fields) => data(fields, false),
        Chunk::IData(fields) => data(fields, true),
        Chunk::Init(init) | Chunk::InitAck(init) => ChunkFields::Init {
            initiate_tag: init.initiate_tag,
            a_rwnd: init.a_rwnd,
            outbound_streams: init.outbound_streams,
            inbound_streams: init.inbound_streams,
            initial_tsn: init.initial_tsn,
        },
        Chunk::Sack(sack) | Chunk::NrSack(sack) => ChunkFields::Sack {
            cumulative: sack.cumulative,
            a_rwnd: sack.a_rwnd,
            gaps: sack.gap_blocks().chain(sack.nr_gap_blocks()).collect(),
            duplicates: sack.duplicates().collect(),
        },
        Chunk::Shutdown { cumulative } => ChunkFields::Shutdown {
            cumulative: *cumulative,
        },
        Chunk::ForwardTsn(forward) => ChunkFields::ForwardTsn {
            new_cumulative: forward.new_cumulative,
        },
        Chunk::IForwardTsn(forward) => ChunkFields::ForwardTsn {
            new_cumulative: forward.new_cumulative,
        },
        Chunk::Abort { causes, .. } | Chunk::Error(causes) => codes(causes),
        _ => ChunkFields::Other,
    }
}

fn data(data: &Data, interleaved: bool) -> ChunkFields {
    ChunkFields::Data {
        tsn: data.tsn,
        stream: data.stream,
        seq: data.seq,
        fsn: interleaved.then_some(data.fsn),
        ppid: (data.begin || !interleaved).then_some(data.ppid),
        payload: data.payload.len(),
    }
}

fn codes(causes: &Causes<'_>) -> ChunkFields {
    ChunkFields::Causes(causes.iter().map(|cause| cause.code).collect())
}

/// The name of a chunk type, "unknown" for one that is not known.
pub fn chunk_name(kind: u8) -> &'static str {
    match kind {
        kind::DATA => "DATA",
        kind::INIT => "INIT",
        kind::INIT_ACK => "INIT ACK",
        kind::SACK => "SACK",
        kind::HEARTBEAT => "HEARTBEAT",
        kind::HEARTBEAT_ACK => "HEARTBEAT ACK",
        kind::ABORT => "ABORT",
        kind::SHUTDOWN => "SHUTDOWN",
        kind::SHUTDOWN_ACK => "SHUTDOWN ACK",
        kind::ERROR => "ERROR",
        kind::COOKIE_ECHO => "COOKIE ECHO",
        kind::COOKIE_ACK => "COOKIE ACK",
        kind::ECNE => "ECNE",
        kind::CWR => "CWR",
        kind::SHUTDOWN_COMPLETE => "SHUTDOWN COMPLETE",
        kind::AUTH => "AUTH",
        kind::I_DATA => "I-DATA",
        kind::ASCONF_ACK => "ASCONF-ACK",
        kind::RE_CONFIG => "RE-CONFIG",
        kind::PAD => "PAD",
        kind::FORWARD_TSN => "FORWARD-TSN",
        kind::ASCONF => "ASCONF",
        kind::I_FORWARD_TSN => "I-FORWARD-TSN",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CommonHeader, DataFields, PacketWriter};

    fn packet(write: impl FnOnce(&mut PacketWriter<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = CommonHeader {
            source_port: 1,
            destination_port: 2,
            verification_tag: 3,
        };
        let mut packet = PacketWriter::new(&mut bytes, 1200, &header);
        write(&mut packet);
        packet.finish();
        bytes
    }

    #[test]
    fn a_packet_is_shown_chunk_by_chunk() {
        let data = DataFields {
            tsn: Tsn::new(7),
            stream: StreamId(3),
            seq: 5,
            fsn: 0,
            ppid: Ppid(9),
            unordered: false,
            begin: true,
            end: true,
            immediate: false,
        };
        let bytes = packet(|packet| {
            packet.sack(Tsn::new(1), 1000, &[(2, 3)], &[Tsn::new(1)]);
            packet.chunk(0x3f, 0, b"what?");
            packet.i_data(&data, b"hello");
            packet.data(&data, b"hi");
        });
        let shown: Vec<_> = chunk_headers(&bytes).collect();
        let names: Vec<_> = shown.iter().map(|chunk| chunk_name(chunk.kind)).collect();
        assert_eq!(names, ["SACK", "unknown", "I-DATA", "DATA"]);
        assert_eq!(
            shown[0].fields,
            ChunkFields::Sack {
                cumulative: Tsn::new(1),
                a_rwnd: 1000,
                gaps: vec![(2, 3)],
                duplicates: vec![Tsn::new(1)],
            }
        );
        let data = |fsn, payload| ChunkFields::Data {
            tsn: Tsn::new(7),
            stream: StreamId(3),
            seq: 5,
            fsn,
            ppid: Some(Ppid(9)),
            payload,
        };
        assert_eq!(shown[2].fields, data(Some(0), 5));
        assert_eq!(shown[3].fields, data(None, 2));
        assert_eq!((shown[3].flags, shown[3].length), (3, 18));
    }

    #[test]
    fn what_is_no_chunk_ends_the_list() {
        let mut bytes = packet(|packet| packet.chunk(kind::SACK, 0, &[0; 4]));
        bytes.extend_from_slice(&[0, 0, 0, 1]);
        let shown: Vec<_> = chunk_headers(&bytes).collect();
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].fields, ChunkFields::Malformed);
        assert_eq!(chunk_headers(&[]).count(), 0);
    }
}
