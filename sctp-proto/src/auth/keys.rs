//! Endpoint pair shared keys (RFC 4895 §6.1), which the users of both sides agree on by other
//! means.

use zeroize::Zeroizing;

use crate::error::AuthKeyError;

/// Bytes that a user has agreed on with the peer's. Shown to nobody, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey(Zeroizing<Box<[u8]>>);

impl SharedKey {
    /// A key of these bytes. Of none is what everybody has who was not given one.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The key that everybody has.
    pub(crate) fn null() -> Self {
        Self::new([])
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedKey").finish_non_exhaustive() // no key in a log
    }
}

/// The keys of an association, and which of them it sends with. The active one is always there.
#[derive(Debug, Clone)]
pub(crate) struct AuthKeys {
    list: Vec<Key>,
    active: u16,
}

#[derive(Debug, Clone)]
struct Key {
    id: u16,
    secret: SharedKey,
    /// Not sent with any more; still taken from the peer.
    deactivated: bool,
}

impl AuthKeys {
    /// These keys, the first of them active. Without any: the empty key with identifier 0.
    //= RFC 4895 §6.1
    //# If there is no endpoint pair shared key, only one association shared
    //# key is computed by using an empty byte vector as the endpoint pair
    //# shared key.
    pub(crate) fn new(keys: &[(u16, SharedKey)]) -> Self {
        let mut list = Self {
            list: Vec::new(),
            active: keys.first().map_or(0, |(id, _)| *id),
        };
        if keys.is_empty() {
            list.set(0, SharedKey::null());
        }
        for (id, secret) in keys {
            list.set(*id, secret.clone());
        }
        list
    }

    /// The identifier of the key to send with.
    pub(crate) const fn active(&self) -> u16 {
        self.active
    }

    pub(super) fn get(&self, id: u16) -> Option<&SharedKey> {
        self.list
            .iter()
            .find(|key| key.id == id)
            .map(|key| &key.secret)
    }

    /// Adds a key, or puts it in the place of the one with its identifier.
    pub(crate) fn set(&mut self, id: u16, secret: SharedKey) {
        let key = Key {
            id,
            secret,
            deactivated: false,
        };
        match self.list.iter_mut().find(|key| key.id == id) {
            Some(known) => *known = key,
            None => self.list.push(key),
        }
    }

    pub(crate) fn activate(&mut self, id: u16) -> Result<(), AuthKeyError> {
        let key = self.find(id)?;
        key.deactivated = false;
        self.active = id;
        Ok(())
    }

    pub(crate) fn deactivate(&mut self, id: u16) -> Result<(), AuthKeyError> {
        let active = self.active;
        let key = self.find(id)?;
        if id == active {
            return Err(AuthKeyError::InUse(id));
        }
        key.deactivated = true;
        Ok(())
    }

    pub(crate) fn delete(&mut self, id: u16) -> Result<(), AuthKeyError> {
        let active = self.active;
        let key = self.find(id)?;
        if id == active || !key.deactivated {
            return Err(AuthKeyError::InUse(id));
        }
        self.list.retain(|key| key.id != id);
        Ok(())
    }

    fn find(&mut self, id: u16) -> Result<&mut Key, AuthKeyError> {
        let found = self.list.iter_mut().find(|key| key.id == id);
        found.ok_or(AuthKeyError::Unknown(id))
    }
}
