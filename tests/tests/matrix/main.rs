//! The tables of RFC 9260, cell by cell: what an association in any state does with any packet.
//!
//! Each matrix runs through its dimensions in nested loops, makes a host for every cell, gives it
//! one packet, and compares what comes of it with an oracle that is written from the text of the
//! RFC and shares nothing with the code. A cell that an association keeps its TCB in ends with a
//! probe: the TCB must still go by the tags it is supposed to have. The number of cells is
//! asserted, so that none can vanish unseen; `--nocapture` prints it.

mod cell;
mod forge;
mod setup;
mod tags;
