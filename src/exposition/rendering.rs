//! The projects' part of the exposition, rendered when something changes and not when it is read.
//!
//! It is made of parts: the lines about a family, and its samples for a block of projects. A part only changes with one
//! of its projects; then it is written anew, and the rest is copied. Parts that follow on each other share a chunk, so
//! that they are written to the network in few and large pieces.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use zlib_rs::crc32::crc32_combine;

use super::{
    Format,
    gzip::Segments,
    lines::{About, Kind, Lines},
    projects::{EXPIRY, FAMILIES, Family, Shown, seconds},
};
use crate::snapshot::{Project, Snapshot};

/// Projects in a block: what is written and compressed anew when one of them changes. Fewer compress worse.
const BLOCK: usize = 32;

/// Chunks end after this many bytes, but between parts.
const CHUNK: usize = 64 << 10;

/// How the bytes of a rendering are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    /// Deflate segments that stand on their own, for a member of gzip.
    Deflate,
}

/// One rendering of a snapshot. Immutable: the next one takes over what has not changed.
#[derive(Debug)]
pub(super) struct Rendering {
    snapshot: Arc<Snapshot>,
    blocks: Vec<Block>,
    parts: Vec<Part>,
    chunks: Vec<Chunk>,
    /// Of all chunks.
    pub sum: Sum,
    during: Validity,
}

/// From after one moment until another, samples are the same as long as no project changes: in between no usage grows
/// stale, and no token expires. If the clock is set back, they are not what they were then.
#[derive(Clone, Copy, Debug)]
struct Validity {
    after: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Validity {
    const EVER: Validity = Validity { after: DateTime::<Utc>::MIN_UTC, until: DateTime::<Utc>::MAX_UTC };

    fn has(self, now: DateTime<Utc>) -> bool {
        self.after < now && now <= self.until
    }

    /// Cut off at a moment that is the last one on its side.
    fn cut(self, last: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        if now <= last {
            Validity { until: self.until.min(last), ..self }
        } else {
            Validity { after: self.after.max(last), ..self }
        }
    }

    fn and(self, other: Validity) -> Self {
        Validity { after: self.after.max(other.after), until: self.until.min(other.until) }
    }
}

/// What is known of a block besides its bytes.
#[derive(Clone, Debug)]
struct Block {
    during: Validity,
    /// When credentials expire, by their name.
    expiries: BTreeMap<String, DateTime<Utc>>,
}

/// The place of a part in its chunk.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    start: usize,
    sum: Sum,
}

#[derive(Clone, Debug)]
struct Chunk {
    parts: Range<usize>,
    bytes: Bytes,
    sum: Sum,
}

/// What can be said of bytes, and of the text that they encode, and put together for those that follow on each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// The bytes.
    pub length: usize,
    /// The text, in bytes.
    pub text: usize,
    /// Checksum of the text (RFC 1952, 8); 0 where it is not needed.
    pub crc: u32,
}

impl Sum {
    /// Of both, one after the other.
    pub fn and(self, next: Sum) -> Sum {
        Sum {
            length: self.length + next.length,
            text: self.text + next.text,
            crc: if next.text == 0 { self.crc } else { crc32_combine(self.crc, next.crc, next.text as u64) },
        }
    }
}

impl Rendering {
    /// Renders a snapshot as it is to be seen at `now`; what `before` has already is not rendered again.
    pub fn new(
        (format, encoding): (Format, Encoding),
        before: Option<&Rendering>,
        snapshot: Arc<Snapshot>,
        now: DateTime<Utc>,
    ) -> Self {
        let before = before.filter(|before| before.snapshot.projects.len() == snapshot.projects.len());
        let is_kept = |(index, projects): (usize, &[Arc<Project>])| {
            before.and_then(|before| {
                let known = before.snapshot.projects.chunks(BLOCK).nth(index)?;
                let is_same = known.iter().zip(projects).all(|(known, project)| Arc::ptr_eq(known, project));
                before.blocks.get(index).filter(|block| is_same && block.during.has(now))
            })
        };
        let kept: Vec<Option<&Block>> = snapshot.projects.chunks(BLOCK).enumerate().map(is_kept).collect();
        let blocks = kept.iter().zip(snapshot.projects.chunks(BLOCK)).map(|(kept, projects)| match kept {
            Some(block) => (*block).clone(),
            None => Block::of(projects, now),
        });
        let blocks: Vec<Block> = blocks.collect();
        let mut writer = PartWriter {
            format,
            segments: Segments::new(encoding),
            projects: &snapshot.projects,
            blocks: &blocks,
            now,
        };
        let is_new = |part| match part_at(part, blocks.len()) {
            PartAt::Head(_) => false,
            PartAt::Samples(_, block) => kept.get(block).is_none_or(Option::is_none),
            PartAt::End => true,
        };
        let renewed = before.and_then(|before| before.renew(&mut writer, is_new));
        let (parts, chunks) = renewed.unwrap_or_else(|| writer.everything());
        let sum = chunks.iter().fold(Sum::default(), |sum, chunk| sum.and(chunk.sum));
        let during = blocks.iter().fold(Validity::EVER, |during, block| during.and(block.during));
        Rendering { snapshot, blocks, parts, chunks, sum, during }
    }

    /// Whether it shows this snapshot as it is to be seen at `now`.
    pub fn shows(&self, snapshot: &Arc<Snapshot>, now: DateTime<Utc>) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot) && self.during.has(now)
    }

    /// The bytes, one chunk after the other.
    pub fn chunk(&self, index: usize) -> Option<Bytes> {
        self.chunks.get(index).map(|chunk| chunk.bytes.clone())
    }

    /// The same parts, of which those that are new are written and the others copied; chunks without new ones stay as
    /// they are. `None` where a family gets its first sample, or loses its last one: what is said of it comes and goes
    /// with that.
    fn renew(&self, writer: &mut PartWriter<'_>, is_new: impl Fn(usize) -> bool) -> Option<(Vec<Part>, Vec<Chunk>)> {
        let mut parts = self.parts.clone();
        let mut chunks = Vec::with_capacity(self.chunks.len());
        for old in &self.chunks {
            if !old.parts.clone().any(&is_new) {
                chunks.push(old.clone());
                continue;
            }
            let mut bytes = Vec::with_capacity(old.bytes.len() + old.bytes.len() / 16);
            let mut first = old.parts.start;
            for index in old.parts.clone() {
                if bytes.len() >= CHUNK {
                    chunks.push(chunk(first..index, std::mem::take(&mut bytes), &parts));
                    first = index;
                }
                let part = parts.get_mut(index)?;
                let start = bytes.len();
                if is_new(index) {
                    part.sum = writer.write(index, &mut bytes);
                } else {
                    bytes.extend_from_slice(old.bytes.get(part.start..part.start + part.sum.length)?);
                }
                part.start = start;
            }
            chunks.push(chunk(first..old.parts.end, bytes, &parts));
        }
        let mut families = parts.chunks(1 + self.blocks.len()).take(FAMILIES.len());
        let is_whole = families.all(|family| {
            let mut texts = family.iter().map(|part| part.sum.text);
            let head = texts.next().unwrap_or_default();
            (head > 0) == texts.any(|samples| samples > 0)
        });
        is_whole.then_some((parts, chunks))
    }
}

impl Block {
    fn of(projects: &[Arc<Project>], now: DateTime<Utc>) -> Self {
        let (mut during, mut expiries) = (Validity::EVER, BTreeMap::new());
        for project in projects {
            if let Some(usage) = &project.usage {
                // Shown as long as it is not older than that.
                let stale_after = TimeDelta::from_std(project.target.stale_after).unwrap_or_default();
                during = during.cut(usage.at + stale_after, now);
            }
            if let Some(expiry) = project.health.last.as_ref().and_then(|last| last.credentials_expiry) {
                // Expired as soon as its time has come.
                during = during.cut(expiry - TimeDelta::nanoseconds(1), now);
                note_expiry(&mut expiries, &project.target.credentials, expiry, now);
            }
        }
        Block { during, expiries: expiries.into_iter().map(|(name, expiry)| (name.to_owned(), expiry)).collect() }
    }
}

/// Projects that share credentials may have tokens of their own: the first to expire counts. But a project that is
/// polled rarely may have seen one that others have renewed since: what lies in the past counts last.
fn note_expiry<'a>(
    expiries: &mut BTreeMap<&'a str, DateTime<Utc>>,
    credentials: &'a str,
    expiry: DateTime<Utc>,
    now: DateTime<Utc>,
) {
    let shown = expiries.entry(credentials).or_insert(expiry);
    *shown = if (*shown > now) == (expiry > now) { expiry.min(*shown) } else { expiry.max(*shown) };
}

/// What a part is.
enum PartAt {
    /// The lines about a family.
    Head(usize),
    /// The samples of a family for a block.
    Samples(usize, usize),
    /// What comes after all families.
    End,
}

fn part_at(index: usize, blocks: usize) -> PartAt {
    match (index / (blocks + 1), index % (blocks + 1)) {
        (family, _) if family >= FAMILIES.len() => PartAt::End,
        (family, 0) => PartAt::Head(family),
        (family, block) => PartAt::Samples(family, block - 1),
    }
}

/// Writes single parts.
struct PartWriter<'a> {
    format: Format,
    segments: Segments,
    projects: &'a [Arc<Project>],
    blocks: &'a [Block],
    now: DateTime<Utc>,
}

impl PartWriter<'_> {
    /// All parts, in new chunks.
    fn everything(&mut self) -> (Vec<Part>, Vec<Chunk>) {
        let count = FAMILIES.len() * (1 + self.blocks.len()) + 1;
        let mut parts: Vec<Part> = Vec::with_capacity(count);
        let mut chunks = Vec::new();
        let mut bytes = Vec::new();
        let mut first = 0;
        // Where the family that is being written begins.
        let mut head = (0, 0);
        let mut has_samples = true;
        for index in 0..count {
            let is_head = !matches!(part_at(index, self.blocks.len()), PartAt::Samples(..));
            if is_head
                && !has_samples
                && let Some(part) = parts.get_mut(head.0)
            {
                // Nothing but its head has been written, and nothing is said of a family without samples.
                part.sum = Sum::default();
                bytes.truncate(head.1);
            }
            // Not between a head and its first sample: it must be in the chunk that it could be taken out of.
            if (is_head || has_samples) && bytes.len() >= CHUNK {
                chunks.push(chunk(first..index, std::mem::take(&mut bytes), &parts));
                first = index;
            }
            let start = bytes.len();
            let sum = self.write(index, &mut bytes);
            if is_head {
                (head, has_samples) = ((index, start), false);
            } else {
                has_samples |= sum.text > 0;
            }
            parts.push(Part { start, sum });
        }
        chunks.push(chunk(first..count, bytes, &parts));
        (parts, chunks)
    }

    /// Appends a part.
    fn write(&mut self, index: usize, out: &mut Vec<u8>) -> Sum {
        let (format, blocks, now) = (self.format, self.blocks, self.now);
        match part_at(index, blocks.len()) {
            PartAt::Head(family) => self.segments.append(out, |text| {
                if let Some(family) = FAMILIES.get(family) {
                    write_head(text, format, &family.about);
                }
            }),
            PartAt::Samples(family, block) => {
                let projects = self.projects.chunks(BLOCK).nth(block).unwrap_or_default();
                self.segments.append(out, |text| {
                    let Some(Family { about, write }) = FAMILIES.get(family) else { return };
                    for project in projects {
                        let mut lines = Lines::new(text, about, ("project", &project.target.name));
                        write(&mut lines, &Shown::at(now, project));
                    }
                })
            }
            PartAt::End => self.segments.append(out, |text| write_expiries(text, format, blocks, now)),
        }
    }
}

fn chunk(parts: Range<usize>, mut bytes: Vec<u8>, all: &[Part]) -> Chunk {
    let sum = all.get(parts.clone()).unwrap_or_default().iter().fold(Sum::default(), |sum, part| sum.and(part.sum));
    bytes.shrink_to_fit();
    Chunk { parts, bytes: Bytes::from(bytes), sum }
}

fn write_head(out: &mut Vec<u8>, format: Format, about: &About) {
    let About { name, kind, unit, help } = about;
    let (suffix, kind) = match (format, kind) {
        (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
        (Format::OpenMetrics, Kind::Info) => ("", "info"),
        (Format::Text, Kind::Counter) => ("_total", "counter"),
        (Format::Text, Kind::Info) => ("_info", "gauge"),
        (_, Kind::Gauge) => ("", "gauge"),
        (_, Kind::Histogram) => ("", "histogram"),
    };
    let mut line = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    line(&["# HELP ", name, suffix, " ", help, "\n", "# TYPE ", name, suffix, " ", kind, "\n"]);
    if let (Format::OpenMetrics, Some(unit)) = (format, unit) {
        line(&["# UNIT ", name, " ", unit, "\n"]);
    }
}

fn write_expiries(out: &mut Vec<u8>, format: Format, blocks: &[Block], now: DateTime<Utc>) {
    let mut expiries = BTreeMap::new();
    for (credentials, expiry) in blocks.iter().flat_map(|block| &block.expiries) {
        note_expiry(&mut expiries, credentials, *expiry, now);
    }
    if !expiries.is_empty() {
        write_head(out, format, &EXPIRY);
    }
    for (credentials, expiry) in expiries {
        Lines::new(out, &EXPIRY, ("credentials", credentials)).sample([], seconds(expiry));
    }
    if format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
}
