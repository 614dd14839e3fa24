//! The projects' part of the exposition, rendered when it has changed and not for each scrape.
//!
//! A [`Block`] of projects, or of accounts, owns the bytes of its samples, family by family. A rendering lines up these
//! bytes below the metadata of their family. Only blocks with a changed project are rendered and compressed again.

use std::sync::{Arc, Weak};

use super::{
    being_read::AnswersBeingRead,
    block::{BLOCK, Block, Validity},
    encoding::{EncodedText, Encoding},
    families::families,
    format::Format,
    gzip::Encoder,
    lines::write_metadata,
    pieces::Pieces,
    projects::write_expiries,
};
use crate::snapshot::{Moment, ProjectStatus, Snapshot};

/// The rendering of one snapshot, in each format and encoding that has been asked for.
#[derive(Debug, Default)]
pub(super) struct Rendering {
    /// Weak, so that old usage does not stay in memory when scrapes stop.
    snapshot: Weak<Snapshot>,
    validity: Validity,
    blocks: Vec<Block>,
    outputs: Vec<((Format, Encoding), Arc<Pieces>)>,
    /// The outputs that scrapes are still reading, including outputs of earlier snapshots.
    being_read: AnswersBeingRead,
}

impl Rendering {
    /// The output for this snapshot at `now`, if it has been rendered.
    pub fn get(
        &self,
        format: Format,
        encoding: Encoding,
        snapshot: &Arc<Snapshot>,
        now: Moment,
    ) -> Option<Arc<Pieces>> {
        let (_, pieces) = self.outputs.iter().find(|(output, _)| *output == (format, encoding))?;
        self.shows(snapshot, now).then(|| Arc::clone(pieces))
    }

    /// Renders the output for this snapshot at `now`. Blocks that have not changed are used again.
    pub fn render(&mut self, format: Format, encoding: Encoding, snapshot: &Arc<Snapshot>, now: Moment) -> Arc<Pieces> {
        if !self.shows(snapshot, now) {
            self.update(snapshot, now);
        }
        let pieces = Arc::new(self.concatenate(format, encoding, snapshot, now));
        self.being_read.add(&pieces);
        self.outputs.push(((format, encoding), Arc::clone(&pieces)));
        pieces
    }

    fn shows(&self, snapshot: &Arc<Snapshot>, now: Moment) -> bool {
        self.snapshot.as_ptr() == Arc::as_ptr(snapshot) && self.validity.contains(now)
    }

    fn update(&mut self, snapshot: &Arc<Snapshot>, now: Moment) {
        let old = std::mem::take(self);
        let (being_read, mut old) = (old.being_read, old.blocks.into_iter());
        let blocks = chunks(snapshot).map(|projects| {
            let unchanged = old.next().filter(|block| block.shows(projects, now));
            unchanged.unwrap_or_else(|| Block::new(projects, now))
        });
        let blocks: Vec<Block> = blocks.collect();
        let validity = blocks.iter().fold(Validity::default(), |all, block| all.and(block.validity));
        *self = Rendering { snapshot: Arc::downgrade(snapshot), validity, blocks, outputs: Vec::new(), being_read };
    }

    fn concatenate(&mut self, format: Format, encoding: Encoding, snapshot: &Snapshot, now: Moment) -> Pieces {
        let mut encoder = Encoder::new(encoding);
        let blocks = self.blocks.iter_mut().zip(chunks(snapshot));
        let mut blocks: Vec<_> =
            blocks.map(|(block, projects)| block.samples(encoding, &mut encoder, projects, now).iter_mut()).collect();
        let mut samples: Vec<Vec<&mut EncodedText>> = Vec::new();
        let mut metadata: Vec<EncodedText> = Vec::new();
        // A family without samples has no metadata.
        for family in families() {
            let of_family = blocks.iter_mut().filter_map(Iterator::next).filter(|samples| samples.digest.length > 0);
            let of_family: Vec<_> = of_family.collect();
            if !of_family.is_empty() {
                metadata.push(encoder.encode(|text| write_metadata(text, format, &family.metadata)));
                samples.push(of_family);
            }
        }
        let mut end = encoder.encode(|text| {
            write_expiries(text, format, &snapshot.projects, now.utc);
            if format == Format::OpenMetrics {
                text.extend_from_slice(b"# EOF\n");
            }
        });
        let mut parts = Vec::with_capacity(metadata.len() * (1 + blocks.len()) + 1);
        for (metadata, samples) in metadata.iter_mut().zip(samples) {
            parts.push(metadata);
            parts.extend(samples);
        }
        parts.push(&mut end);
        Pieces::new(parts)
    }
}

/// The projects of each block of projects, then the accounts of each block of accounts.
fn chunks(snapshot: &Snapshot) -> impl Iterator<Item = &[Arc<ProjectStatus>]> {
    snapshot.projects.chunks(BLOCK).chain(snapshot.accounts.chunks(BLOCK))
}
