//! Packets out of the blue: what to do when no association wants a packet (§8.4).

use crate::wire::{COMMON_HEADER, Chunk, Malformed, cause, chunks, kind};

/// T bit of ABORT and SHUTDOWN COMPLETE: the verification tag is the receiver's own, reflected.
const T_BIT: u8 = 1;

/// The answer to a packet out of the blue. Both kinds reflect its verification tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Silence,
    ShutdownComplete,
    Abort,
}

impl Answer {
    /// Rules 2 and 5 to 8 of §8.4. Rule 1 is the caller's; rules 3 and 4 (INIT, COOKIE ECHO) never
    /// come here, but for an INIT with a tag.
    pub(super) fn to(packet: &[u8]) -> Result<Self, Malformed> {
        let mut answer = Self::Abort;
        for raw in chunks(packet) {
            let raw = raw?;
            match raw.kind {
                //= RFC 9260 §8.4
                //# If the OOTB packet contains an ABORT chunk, the receiver MUST
                //# silently discard the OOTB packet and take no further action.
                kind::ABORT => return Ok(Self::Silence),
                //= RFC 9260 §12.3
                //# The receiver of an INIT chunk MUST silently discard the INIT chunk and all
                //# further chunks if the INIT chunk is bundled with other chunks or the packet has
                //# a non-zero Verification Tag.
                kind::INIT if raw.offset == COMMON_HEADER => return Ok(Self::Silence),
                kind::INIT => break,
                //= RFC 9260 §8.4
                //# If the packet contains a SHUTDOWN ACK chunk, the receiver SHOULD
                //# respond to the sender of the OOTB packet with a SHUTDOWN COMPLETE
                //# chunk.
                kind::SHUTDOWN_ACK => answer = Self::ShutdownComplete,
                //= RFC 9260 §8.4
                //# If the packet contains a SHUTDOWN COMPLETE chunk, the receiver
                //# SHOULD silently discard the packet and take no further action.
                kind::SHUTDOWN_COMPLETE if answer == Self::Abort => answer = Self::Silence,
                //= RFC 9260 §8.4
                //# If the packet contains an ERROR chunk with the "Stale Cookie"
                //# error cause or a COOKIE ACK chunk, the SCTP packet SHOULD be
                //# silently discarded.
                kind::COOKIE_ACK if answer == Self::Abort => answer = Self::Silence,
                kind::ERROR if answer == Self::Abort => {
                    if let Chunk::Error(causes) = Chunk::parse(raw)?
                        && causes.iter().any(|c| c.code == cause::STALE_COOKIE)
                    {
                        answer = Self::Silence;
                    }
                }
                _ => {}
            }
        }
        Ok(answer)
    }
}

/// Whether a packet with a foreign verification tag may all the same be for an association of its
/// sender, which has to look at the tag itself (§8.5.1 B, C, E).
pub(super) fn is_tag_exception(packet: &[u8]) -> bool {
    chunks(packet)
        .map_while(Result::ok)
        .any(|raw| match raw.kind {
            kind::ABORT | kind::SHUTDOWN_COMPLETE => raw.flags & T_BIT != 0,
            kind::SHUTDOWN_ACK => true,
            _ => false,
        })
}

/// Whether the packet has an ABORT with this T bit that is in order.
pub(super) fn has_abort(packet: &[u8], t_bit: bool) -> bool {
    chunks(packet)
        .map_while(|raw| raw.and_then(Chunk::parse).ok())
        .any(|chunk| matches!(chunk, Chunk::Abort { t_bit: t, .. } if t == t_bit))
}

#[cfg(test)]
mod tests;
