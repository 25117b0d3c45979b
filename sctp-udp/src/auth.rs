//! Keys of authenticated chunks (RFC 4895).

use sctp_proto::{AuthKeyError, SharedKey};

use crate::Association;

/// Authentication (RFC 4895). Which chunks need it, and the first keys, are settings:
/// [`AssociationConfig::auth_chunks`](crate::AssociationConfig::auth_chunks) and
/// [`auth_keys`](crate::AssociationConfig::auth_keys).
impl Association {
    /// Adds an endpoint pair shared key, or replaces the one with this identifier. It is taken from
    /// the peer from now on, and sent with once it is [active](Self::activate_auth_key). Rotate keys
    /// so: set the new key on both sides, activate it on both, wait for
    /// [`AuthEvent::NewKey`](crate::AuthEvent::NewKey), deactivate and delete the old one.
    pub fn set_auth_key(&self, id: u16, key: SharedKey) {
        self.shared()
            .with(|state, _| state.proto.set_auth_key(id, key));
    }

    /// Sends with this key from now on, retransmissions included.
    pub fn activate_auth_key(&self, id: u16) -> Result<(), AuthKeyError> {
        self.shared()
            .with(|state, _| state.proto.activate_auth_key(id))
    }

    /// Does not send with this key any more; it must not be the active one.
    pub fn deactivate_auth_key(&self, id: u16) -> Result<(), AuthKeyError> {
        self.shared().with(|state, wakes| {
            state.wake_driver(wakes);
            state.proto.deactivate_auth_key(id)
        })
    }

    /// Forgets a deactivated key: what the peer sends with it is discarded.
    pub fn delete_auth_key(&self, id: u16) -> Result<(), AuthKeyError> {
        self.shared()
            .with(|state, _| state.proto.delete_auth_key(id))
    }

    /// The identifier of the key that is sent with.
    pub fn active_auth_key(&self) -> u16 {
        self.shared().lock().proto.active_auth_key()
    }

    /// Whether both sides speak AUTH.
    pub fn can_authenticate(&self) -> bool {
        self.shared().lock().proto.can_authenticate()
    }

    /// Chunk types that this side takes only if they are authenticated, ascending.
    pub fn local_auth_chunks(&self) -> Vec<u8> {
        self.shared().lock().proto.local_auth_chunks()
    }

    /// Chunk types that the peer takes only if they are authenticated, ascending.
    pub fn peer_auth_chunks(&self) -> Vec<u8> {
        self.shared().lock().proto.peer_auth_chunks()
    }
}
