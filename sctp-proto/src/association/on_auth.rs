//! AUTH (RFC 4895): packets in and out, and the keys they are made with.

use super::{Association, AuthEvent, Event, cx::Cx, state::Phase, tcb::Tcb};
use crate::{
    auth::{Auth, SharedKey, Verdict},
    error::AuthKeyError,
    wire::PacketWriter,
};

/// Where the chunk loop begins in a packet of which something was processed already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Begin {
    /// Chunks that were.
    pub(crate) skip: usize,
    /// One of them was an AUTH that is right: all that follows is from the peer.
    pub(crate) authenticated: bool,
}

impl Begin {
    /// Behind a COOKIE ECHO that is the `place`-th chunk; what comes before it can only be an AUTH.
    pub(crate) const fn after_echo(place: usize) -> Self {
        Self {
            skip: place + 1,
            authenticated: place > 0,
        }
    }
}

impl Tcb {
    /// Begins a packet to the peer; to be ended by [`finish`](Self::finish).
    pub(super) fn begin<'b>(
        &self,
        cx: &Cx,
        buf: &'b mut Vec<u8>,
        max_size: usize,
    ) -> PacketWriter<'b> {
        let mut packet = PacketWriter::new(buf, max_size, &cx.ports.header(self.agreed.peer_tag));
        if let Some(auth) = &self.auth {
            packet.authenticate(Some(auth.plan(&cx.auth_keys)));
        }
        packet
    }

    /// Authenticates a packet, if the peer wants any of its chunks so, and writes its checksum, unless
    /// it may go without.
    /// Returns its length.
    pub(super) fn finish(&mut self, cx: &Cx, packet: PacketWriter<'_>) -> usize {
        if self.agreed.capabilities.zero_checksum_out() {
            let auth = &mut self.auth;
            return packet.finish_unchecked(|covered| match auth {
                Some(auth) => auth.sign(&cx.auth_keys, covered),
                None => Default::default(),
            });
        }
        match &mut self.auth {
            Some(auth) => packet.finish_signed(|covered| auth.sign(&cx.auth_keys, covered)),
            None => packet.finish(),
        }
    }

    /// Bytes that an AUTH takes in front of a chunk of this type.
    pub(super) fn auth_room(&self, kind: u8) -> usize {
        match &self.auth {
            Some(auth) if auth.requested().contains(kind) => auth.size(),
            _ => 0,
        }
    }

    /// Bytes that every packet keeps free for an AUTH.
    pub(super) fn auth_reserve(&self) -> usize {
        match &self.auth {
            Some(auth) if auth.reserves() => auth.size(),
            _ => 0,
        }
    }

    /// Whether a chunk of this type is taken only behind an AUTH.
    pub(super) fn requires_auth(&self, kind: u8) -> bool {
        self.auth.as_ref().is_some_and(|auth| auth.requires(kind))
    }

    /// An AUTH; whether what follows it is from the peer.
    //= RFC 4895 §6.3
    //# If the field does not match the result of the
    //# calculation, all the chunks following the AUTH chunk MUST be silently
    //# discarded.
    pub(super) fn on_auth(&mut self, cx: &mut Cx, packet: &[u8], offset: usize) -> bool {
        let Some(auth) = &mut self.auth else {
            return false;
        };
        let verdict = auth.verify(&cx.auth_keys, packet, offset);
        self.on_verdict(cx, verdict)
    }

    /// Counts and tells what became of an AUTH; whether what follows it is from the peer.
    pub(super) fn on_verdict(&mut self, cx: &mut Cx, verdict: Verdict) -> bool {
        let Some(auth) = &mut self.auth else {
            return false;
        };
        match verdict {
            Verdict::Genuine { key } => {
                cx.stats.auth_verified += 1;
                if auth.peer_uses(key, cx.auth_keys.active()) && !cx.is_unread() {
                    cx.event(Event::Authentication(AuthEvent::NewKey(key)));
                }
                return true;
            }
            Verdict::Forged => {}
            Verdict::UnknownKey(key) => {
                if auth.is_news(key) && !cx.is_unread() {
                    cx.event(Event::Authentication(AuthEvent::UnknownKey(key)));
                }
            }
            //= RFC 4895 §4.1
            //# This error cause is used to indicate that an AUTH chunk has been
            //# received with an unsupported HMAC Identifier.
            Verdict::UnsupportedAlgorithm(algorithm) => {
                self.due
                    .error(|causes| _ = causes.unsupported_hmac(algorithm));
            }
        }
        cx.stats.auth_rejected += 1;
        false
    }

    /// Tells a user who relies on AUTH that the peer does not speak it.
    pub(super) fn tell_if_not_authenticated(&self, cx: &mut Cx) {
        let config = &cx.config;
        let relied_on = !config.auth_chunks.is_empty() || !config.auth_keys.is_empty();
        if self.auth.is_none() && config.auth && relied_on {
            cx.event(Event::Authentication(AuthEvent::NotSupported));
        }
    }
}

/// Authentication (RFC 4895).
impl Association {
    /// Adds an endpoint pair shared key, or replaces the one with this identifier (SCTP_AUTH_KEY,
    /// RFC 6458 §8.3.3). It is taken from the peer from now on, and sent with once it is
    /// [active](Self::activate_auth_key). Rotate keys so: set the new key on both sides, activate it
    /// on both, wait for [`AuthEvent::NewKey`], deactivate and delete the old one.
    pub fn set_auth_key(&mut self, id: u16, key: SharedKey) {
        self.cx.auth_keys.set(id, key);
        self.forget_auth_key(id);
    }

    /// Sends with this key from now on, retransmissions included (SCTP_AUTH_ACTIVE_KEY, RFC 6458
    /// §8.1.18).
    pub fn activate_auth_key(&mut self, id: u16) -> Result<(), AuthKeyError> {
        self.cx.auth_keys.activate(id)
    }

    /// Does not send with this key any more; it must not be the active one (SCTP_AUTH_DEACTIVATE_KEY,
    /// RFC 6458 §8.3.4). [`AuthEvent::FreeKey`] follows.
    pub fn deactivate_auth_key(&mut self, id: u16) -> Result<(), AuthKeyError> {
        self.cx.auth_keys.deactivate(id)?;
        // Whatever is sent again is signed anew, with the active key: nothing uses this one.
        self.cx.event(Event::Authentication(AuthEvent::FreeKey(id)));
        Ok(())
    }

    /// Forgets a deactivated key: what the peer sends with it is discarded (SCTP_AUTH_DELETE_KEY,
    /// RFC 6458 §8.3.5).
    pub fn delete_auth_key(&mut self, id: u16) -> Result<(), AuthKeyError> {
        self.cx.auth_keys.delete(id)?;
        self.forget_auth_key(id);
        Ok(())
    }

    /// The identifier of the key that is sent with.
    pub fn active_auth_key(&self) -> u16 {
        self.cx.auth_keys.active()
    }

    /// Whether both sides speak AUTH (SCTP_AUTH_SUPPORTED).
    pub fn can_authenticate(&self) -> bool {
        self.auth().is_some()
    }

    /// Chunk types that this side takes only if they are authenticated, ascending
    /// (SCTP_LOCAL_AUTH_CHUNKS, RFC 6458 §8.2.4); none if the peer does not speak AUTH.
    pub fn local_auth_chunks(&self) -> Vec<u8> {
        self.auth()
            .map(Auth::required)
            .unwrap_or_default()
            .iter()
            .collect()
    }

    /// Chunk types that the peer takes only if they are authenticated, ascending
    /// (SCTP_PEER_AUTH_CHUNKS, RFC 6458 §8.2.3).
    pub fn peer_auth_chunks(&self) -> Vec<u8> {
        self.auth()
            .map(Auth::requested)
            .unwrap_or_default()
            .iter()
            .collect()
    }

    fn auth(&self) -> Option<&Auth> {
        match &self.phase {
            Phase::Open(tcb) => tcb.auth.as_deref(),
            _ => None,
        }
    }

    fn forget_auth_key(&mut self, id: u16) {
        if let Phase::Open(tcb) = &mut self.phase
            && let Some(auth) = &mut tcb.auth
        {
            auth.forget(id);
        }
    }
}
