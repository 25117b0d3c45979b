//! ASCONFs of this side.

use std::{collections::VecDeque, net::IpAddr};

use smallvec::SmallVec;

use crate::{
    ids::Tsn,
    serial,
    wire::{AddressChange, AsconfAck, AsconfAnswer, AsconfWriter, asconf_value, cause},
};

/// Changes that wait at most; further ones are forgotten. Addresses of an association are fewer.
const MAX_WISHES: usize = 32;
/// Changes in one request at most: it fits every packet.
const MAX_PARTS: usize = 8;

/// A change that the peer is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    /// What the peer is asked for; with a wildcard where it sees the address as another.
    pub(crate) change: AddressChange,
    /// The address of this side that it is about.
    pub(crate) about: IpAddr,
    /// The address to ask from, where it is one that the peer does not know yet.
    pub(crate) via: Option<IpAddr>,
}

/// The request under way.
#[derive(Debug)]
pub(crate) struct Request {
    seq: u32,
    /// The value of the chunk, the same whenever it is sent.
    //= RFC 5061 §5.1
    //# An endpoint MUST NOT add new parameters to this
    //# chunk; it MUST be the same (including its Sequence Number) as
    //# the last ASCONF sent.
    pub(crate) value: Vec<u8>,
    pub(crate) via: Option<IpAddr>,
    /// How often it was sent.
    pub(crate) sent: u32,
    parts: SmallVec<[(u32, Wish); 4]>,
}

impl Request {
    /// Whether it does nothing but add addresses, so that it does no harm wherever it is sent from:
    /// a wildcard then stands for an address that the peer knows.
    pub(crate) fn only_adds(&self) -> bool {
        let adds = |(_, wish): &(u32, Wish)| matches!(wish.change, AddressChange::Add(_));
        self.parts.iter().all(adds)
    }

    /// Whether it names all addresses that it is about, so that it means the same wherever it is sent
    /// from.
    pub(crate) fn is_by_name(&self) -> bool {
        self.parts.iter().all(|(_, wish)| wish.via.is_none())
    }
}

/// What an ASCONF-ACK means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// It answers a request that was answered already.
    Old,
    /// It answers what was never asked.
    Illegal,
    /// Each change that was asked for, and whether the peer performed it.
    Done(Vec<(Wish, bool)>),
}

/// What this side wants to change, one request at a time.
#[derive(Debug)]
pub(crate) struct Outgoing {
    next: u32,
    correlation: u32,
    wishes: VecDeque<Wish>,
    request: Option<Request>,
    /// The peer does not know ASCONF after all (rule A9).
    stopped: bool,
    /// The peer does not know how to add or delete (rule F3a), to set a primary (F3b).
    refuses_addresses: bool,
    refuses_primary: bool,
}

impl Outgoing {
    pub(crate) fn new(local_initial_tsn: Tsn) -> Self {
        Self {
            next: local_initial_tsn.value(),
            correlation: 1,
            wishes: VecDeque::new(),
            request: None,
            stopped: false,
            refuses_addresses: false,
            refuses_primary: false,
        }
    }

    /// Notes a change to be asked for; false if the peer is known to refuse it, or there are too
    /// many. Of an address that came and went before the peer was told it is not told.
    pub(crate) fn wish(&mut self, wish: Wish) -> bool {
        let primary = matches!(wish.change, AddressChange::SetPrimary(_));
        let refused = if primary {
            self.refuses_primary
        } else {
            self.refuses_addresses
        };
        if self.stopped || refused {
            return false;
        }
        let adds = |wish: &Wish| matches!(wish.change, AddressChange::Add(_));
        let deletes = |wish: &Wish| matches!(wish.change, AddressChange::Delete(_));
        if deletes(&wish) {
            let (about_it, others) = std::mem::take(&mut self.wishes)
                .into_iter()
                .partition::<VecDeque<_>, _>(|w| w.about == wish.about);
            self.wishes = others;
            let told = self.request.iter().flat_map(|request| &request.parts);
            let is_told = told.clone().any(|(_, w)| w.about == wish.about && adds(w));
            // One that is to be deleted before it is added once more is known to the peer, too.
            let came = about_it.iter().any(adds) && !about_it.iter().any(deletes);
            if came && !is_told {
                return true;
            }
        }
        let room = self.wishes.len() < MAX_WISHES;
        if room && !self.wishes.contains(&wish) {
            self.wishes.push_back(wish);
        }
        room
    }

    /// Whether an address is about to be added.
    pub(crate) fn is_adding(&self, about: IpAddr) -> bool {
        let under_way = self.request.iter().flat_map(|request| &request.parts);
        let all = under_way.map(|(_, wish)| wish).chain(&self.wishes);
        let mut adds = all.filter(|wish| matches!(wish.change, AddressChange::Add(_)));
        adds.any(|wish| wish.about == about)
    }

    /// Whether a request is to be made.
    pub(crate) fn waits(&self) -> bool {
        self.request.is_none() && !self.wishes.is_empty()
    }

    /// From where the next request has to leave, if that is not a known address.
    pub(crate) fn next_via(&self) -> Option<IpAddr> {
        self.wishes.front().and_then(|wish| wish.via)
    }

    /// Makes a request of what waits, as far as it is to be asked from one address. The peer may
    /// find the association by the address `lookup`.
    pub(crate) fn advance(&mut self, lookup: IpAddr) {
        //= RFC 5061 §5.1.1
        //# If a sender, after
        //# sending an ASCONF chunk, decides it needs to transfer another
        //# ASCONF Chunk, it MUST wait until the ASCONF-ACK Chunk returns
        //# from the previous ASCONF Chunk before sending a subsequent
        //# ASCONF.
        let Some(via) = self.wishes.front().map(|wish| wish.via) else {
            return;
        };
        if self.request.is_some() {
            return;
        }
        let mut requests = AsconfWriter::new();
        let mut parts = SmallVec::new();
        while parts.len() < MAX_PARTS
            && self.wishes.front().is_some_and(|wish| wish.via == via)
            && let Some(wish) = self.wishes.pop_front()
        {
            requests.request(self.correlation, wish.change);
            parts.push((self.correlation, wish));
            self.correlation = self.correlation.wrapping_add(1);
        }
        self.request = Some(Request {
            seq: self.next,
            value: asconf_value(self.next, lookup, &requests),
            via,
            sent: 0,
            parts,
        });
        self.next = self.next.wrapping_add(1);
    }

    pub(crate) fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    pub(crate) fn request_mut(&mut self) -> Option<&mut Request> {
        self.request.as_mut()
    }

    /// Rules A5 to A8, F0 and F3.
    pub(crate) fn on_ack(&mut self, ack: &AsconfAck<'_>) -> Acked {
        if self.request.as_ref().is_none_or(|r| r.seq != ack.seq) {
            //= RFC 5061 §5.3
            //# If an endpoint receives an ASCONF-ACK that is greater than or
            //# equal to the next Sequence Number to be used but no ASCONF Chunk
            //# is outstanding, the endpoint MUST ABORT the association.
            return if serial::before32(ack.seq, self.next) {
                Acked::Old
            } else {
                Acked::Illegal
            };
        }
        let Some(request) = self.request.take() else {
            return Acked::Old;
        };
        let answers = || ack.answers().map_while(Result::ok);
        let failure = |correlation: u32| {
            answers().find_map(|answer| match answer {
                AsconfAnswer::Error {
                    correlation: of,
                    causes,
                } if of == correlation => Some(causes),
                _ => None,
            })
        };
        let succeeded =
            |correlation| answers().any(|answer| answer == AsconfAnswer::Success { correlation });
        let mut failed = false;
        let mut done = Vec::with_capacity(request.parts.len());
        for (correlation, wish) in request.parts {
            //= RFC 5061 §5.1
            //# If an error response is received for a TLV parameter, all TLVs
            //# with no response before the failed TLV are considered successful
            //# if not reported.  All TLVs after the failed response are
            //# considered unsuccessful unless a specific success indication is
            //# present for the parameter.
            let causes = failure(correlation);
            failed |= causes.is_some();
            let performed = causes.is_none() && (!failed || succeeded(correlation));
            if let Some(causes) = causes
                && causes
                    .iter()
                    .any(|c| c.code == cause::UNRECOGNIZED_PARAMETERS)
            {
                match wish.change {
                    AddressChange::SetPrimary(_) => self.refuses_primary = true,
                    _ => self.refuses_addresses = true,
                }
            }
            done.push((wish, performed));
        }
        let (addresses, primary) = (self.refuses_addresses, self.refuses_primary);
        self.wishes.retain(|wish| match wish.change {
            AddressChange::SetPrimary(_) => !primary,
            _ => !addresses,
        });
        Acked::Done(done)
    }

    /// The peer says that it does not know ASCONF: none is sent any more.
    //= RFC 5061 §5.1
    //# If the peer responds to an ASCONF with an ERROR Chunk reporting
    //# that it did not recognize the ASCONF Chunk Type, the sender of
    //# the ASCONF MUST NOT send any further ASCONF Chunks and MUST stop
    //# its T-4 timer.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.request = None;
        self.wishes.clear();
    }
}
