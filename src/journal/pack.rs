//! Long texts, packed: what a text has in common with one that was written before is stored once.
//!
//! A packed body is a blob: one byte that says how, the digest of the text that it is packed against, if any, and one
//! frame of zstd (RFC 8878). A case's texts repeat each other, a prompt its row above all, so they are packed against
//! the case's first; that one is packed against a text of the run made for it, the *sample* of what the run's first cases
//! said. Both are texts like any other, found by their digest, so nothing else of the file knows of this.

use std::alloc::{Layout, handle_alloc_error};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use zstd::zstd_safe::{self, CCtx, CDict, DCtx, get_frame_content_size};

use super::Text;
use crate::base::{CaseNo, Digest};

/// Shorter texts stay as they are, for people and their tools; bytes.
const LONG: usize = 1_024;
/// Size of a sample, bytes. Notes of 3 kB of English come to 820 bytes each with one of 128 KiB, 885 with half of it, and
/// 1,540 with none, where all in one stream come to 694.
const SAMPLE: usize = 128 << 10;
/// The default of zstd; with a sample, half as much time as without.
const LEVEL: i32 = 3;
/// Bases remembered for the cases that speak now, bytes. Forgetting one costs space, never a text.
const BASES: usize = 4 << 20;
/// Longest text that is read, bytes: a frame that claims more is damaged.
const LONGEST: u64 = 1 << 31;
/// Longest way from a text to one that needs no other: prompt, row, sample. Damage may close a circle.
const DEPTH: u32 = 4;

const ALONE: u8 = 0;
const AGAINST: u8 = 1;

/// Packs what a journal's writer is about to write.
pub(super) struct Packer {
    /// None until the first long text, and where there was no memory for one.
    context: Option<CCtx<'static>>,
    /// What the first long texts said, until it is enough for a sample; none when there is one, or there never will be.
    heard: Option<String>,
    sample: Option<(Digest, CDict<'static>)>,
    unwritten: Option<Text>,
    bases: BTreeMap<CaseNo, (Digest, Arc<str>)>,
    order: VecDeque<CaseNo>,
    remembered: usize,
}

impl Default for Packer {
    fn default() -> Self {
        Self {
            context: None,
            heard: Some(String::new()),
            sample: None,
            unwritten: None,
            bases: BTreeMap::new(),
            order: VecDeque::new(),
            remembered: 0,
        }
    }
}

impl Packer {
    /// Returns a text's body packed, as it is written under `owner`; none for a text that stays as it is.
    pub(super) fn pack(&mut self, text: &Text, owner: Option<CaseNo>) -> Option<Vec<u8>> {
        if text.body.len() < LONG {
            return None;
        }
        if self.context.is_none() {
            self.context = CCtx::try_create();
        }
        let base = owner.and_then(|case| self.bases.get(&case)).filter(|(digest, _)| *digest != text.digest);
        if let Some((digest, base)) = base {
            let packed = packed(self.context.as_mut()?, &text.body, Against::Text(*digest, base))?;
            // Else it is of its own, and better off with the sample.
            if packed.len() < text.body.len() / 4 {
                return Some(packed);
            }
        }
        self.hear(&text.body);
        let against =
            self.sample.as_ref().map_or(Against::Nothing, |(digest, sample)| Against::Sample(*digest, sample));
        packed(self.context.as_mut()?, &text.body, against)
    }

    /// Returns a new sample, which must be written before what is packed against it.
    pub(super) const fn take_sample(&mut self) -> Option<Text> {
        self.unwritten.take()
    }

    /// Takes note of what a case says, whoever owns the text: the first long one is what its others are packed against.
    pub(super) fn hears(&mut self, text: &Text) {
        if let Some(case) = text.case
            && text.body.len() >= LONG
            && !self.bases.contains_key(&case)
        {
            self.remember(case, text);
        }
    }

    fn remember(&mut self, case: CaseNo, text: &Text) {
        self.remembered += text.body.len();
        self.bases.insert(case, (text.digest, Arc::clone(&text.body)));
        self.order.push_back(case);
        while self.remembered > BASES
            && let Some(oldest) = self.order.pop_front()
        {
            self.remembered -= self.bases.remove(&oldest).map_or(0, |(_, body)| body.len());
        }
    }

    /// Takes a text into the sample, until there is one.
    fn hear(&mut self, body: &str) {
        let Some(heard) = self.heard.as_mut() else { return };
        // No one text makes up a sample alone.
        let ends = |end: &usize| body.is_char_boundary(*end);
        heard.push_str(&body[..(0..=body.len().min(SAMPLE / 8)).rev().find(ends).unwrap_or_default()]);
        heard.push('\n');
        if heard.len() >= SAMPLE {
            let sample = Text::of(std::mem::take(heard));
            self.heard = None;
            // Where memory has just ended, texts are packed alone.
            if let Some(prepared) = CDict::try_create(sample.body.as_bytes(), LEVEL) {
                self.sample = Some((sample.digest, prepared));
                self.unwritten = Some(sample);
            }
        }
    }
}

/// Packs a text that needs no other; none where packing fails.
pub(super) fn packed_alone(body: &str) -> Option<Vec<u8>> {
    packed(&mut CCtx::try_create()?, body, Against::Nothing)
}

/// What a text is packed against.
#[derive(Clone, Copy)]
enum Against<'a> {
    Nothing,
    Sample(Digest, &'a CDict<'static>),
    Text(Digest, &'a str),
}

/// Returns the packed body; none where packing fails, which leaves the text as it is.
fn packed(context: &mut CCtx<'_>, body: &str, against: Against<'_>) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(32 + zstd_safe::compress_bound(body.len()));
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(body.len()));
    match against {
        Against::Nothing => {
            packed.push(ALONE);
            context.compress(&mut frame, body.as_bytes(), LEVEL).ok()?;
        }
        Against::Sample(digest, sample) => {
            packed.push(AGAINST);
            packed.extend_from_slice(digest.as_bytes());
            context.compress_using_cdict(&mut frame, body.as_bytes(), sample).ok()?;
        }
        Against::Text(digest, base) => {
            packed.push(AGAINST);
            packed.extend_from_slice(digest.as_bytes());
            context.compress_using_dict(&mut frame, body.as_bytes(), base.as_bytes(), 1).ok()?;
        }
    }
    packed.extend_from_slice(&frame);
    packed.shrink_to_fit();
    Some(packed)
}

/// Unpacks what a journal's reader has read.
#[derive(Default)]
pub(super) struct Unpacker {
    context: Option<DCtx<'static>>,
    /// What texts were packed against, the latest first.
    bases: VecDeque<(Digest, Arc<str>)>,
}

/// Bases that a reader keeps: the sample and those of cases close by.
const KEPT: usize = 4;

impl Unpacker {
    /// Returns the text of a packed body; `stored` finds the bodies under a digest, as they are stored.
    ///
    /// # Errors
    /// What is wrong with it, in words; what `stored` returns.
    pub(super) fn unpack<E>(
        &mut self,
        body: &[u8],
        stored: &mut dyn FnMut(&Digest) -> Result<Vec<Stored>, E>,
    ) -> Result<Result<String, &'static str>, E> {
        self.unpack_within(body, stored, DEPTH)
    }

    fn unpack_within<E>(
        &mut self,
        body: &[u8],
        stored: &mut dyn FnMut(&Digest) -> Result<Vec<Stored>, E>,
        depth: u32,
    ) -> Result<Result<String, &'static str>, E> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(Err("it is packed against itself")) };
        match body {
            [ALONE, frame @ ..] => Ok(self.frame(frame, "")),
            [AGAINST, rest @ ..] => {
                let Some((digest, frame)) = rest.split_first_chunk::<16>() else { return Ok(Err("it is cut off")) };
                let digest = Digest::from_bytes(*digest);
                let base = match self.bases.iter().find(|(known, _)| *known == digest) {
                    Some((_, base)) => Arc::clone(base),
                    None => match self.base(digest, stored, depth)? {
                        Ok(base) => base,
                        Err(why) => return Ok(Err(why)),
                    },
                };
                Ok(self.frame(frame, &base))
            }
            _ => Ok(Err("it is packed in a way that is not known")),
        }
    }

    /// Finds the text that others are packed against.
    fn base<E>(
        &mut self,
        digest: Digest,
        stored: &mut dyn FnMut(&Digest) -> Result<Vec<Stored>, E>,
        depth: u32,
    ) -> Result<Result<Arc<str>, &'static str>, E> {
        let mut found = Err("the text that it is packed against is missing");
        for body in stored(&digest)? {
            let base = match body {
                Stored::Plain(body) => Ok(body),
                Stored::Packed(body) => self.unpack_within(&body, stored, depth)?.map(Arc::from),
            };
            found = match base {
                Ok(base) if Digest::of(base.as_bytes()) == digest => return Ok(Ok(self.keep(digest, base))),
                Ok(_) => Err("the text that it is packed against is damaged"),
                Err(why) => Err(why),
            };
        }
        Ok(found)
    }

    fn keep(&mut self, digest: Digest, base: Arc<str>) -> Arc<str> {
        self.bases.push_front((digest, Arc::clone(&base)));
        // A sample stands behind every case's base, so it would be the first to go: the longest stays.
        if self.bases.len() > KEPT
            && let Some(shortest) = (1..self.bases.len()).min_by_key(|place| self.bases[*place].1.len())
        {
            drop(self.bases.remove(shortest));
        }
        base
    }

    fn frame(&mut self, frame: &[u8], base: &str) -> Result<String, &'static str> {
        let Ok(Some(size)) = get_frame_content_size(frame) else { return Err("it is not a packed text") };
        if size > LONGEST {
            return Err("it is not a packed text");
        }
        let size = usize::try_from(size).map_err(|_| "it is too long for this machine")?;
        let mut body = Vec::with_capacity(size);
        let context = self.context.get_or_insert_with(reading);
        context.decompress_using_dict(&mut body, frame, base.as_bytes()).map_err(|_| "it cannot be unpacked")?;
        String::from_utf8(body).map_err(|_| "it is no text")
    }
}

/// Makes what unpacks. Where memory has ended the process does, as anywhere else: the text is not to count as damaged.
fn reading() -> DCtx<'static> {
    DCtx::try_create().unwrap_or_else(|| handle_alloc_error(Layout::new::<DCtx<'static>>()))
}

/// A body as it is stored.
pub(super) enum Stored {
    /// The text.
    Plain(Arc<str>),
    /// See the module.
    Packed(Vec<u8>),
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// What a journal would hold.
    #[derive(Default)]
    struct Shelf {
        packer: Packer,
        bodies: BTreeMap<Digest, Vec<Vec<u8>>>,
    }

    impl Shelf {
        /// Writes a text and returns the bytes that it took; none when it stays as it is.
        fn put(&mut self, text: &Text) -> Option<usize> {
            let packed = self.packer.pack(text, text.case);
            if let Some(sample) = self.packer.take_sample() {
                let body = packed_alone(&sample.body).unwrap();
                self.bodies.insert(sample.digest, vec![body.clone(), body]);
            }
            self.packer.hears(text);
            let packed = packed?;
            let size = packed.len();
            self.bodies.insert(text.digest, vec![packed]);
            Some(size)
        }

        fn get(&self, unpacker: &mut Unpacker, digest: &Digest) -> Result<String, &'static str> {
            let mut stored = |digest: &Digest| {
                let bodies = self.bodies.get(digest).cloned().unwrap_or_default();
                Ok::<_, Infallible>(bodies.into_iter().map(Stored::Packed).collect())
            };
            let Ok(body) = unpacker.unpack(&self.bodies[digest][0], &mut stored);
            body
        }
    }

    /// Some 3 kB of claims, of which there are a few hundred.
    fn row(number: u64) -> String {
        let mut draw = Digest::of(&number.to_le_bytes()).low_bits();
        let words = std::iter::from_fn(|| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = (draw >> 40) % 400;
            Some(format!("{:x} rests on {:x}. ", number * 7_919, number * 104_729))
        });
        words.take(120).collect()
    }

    #[test]
    fn texts_come_back_as_they_were() {
        let mut shelf = Shelf::default();
        let mut all = Vec::new();
        for number in 0..120 {
            let case = CaseNo(number);
            let row = Text::of(row(number)).in_case(case);
            let prompt = Text::of(format!("What do you make of this? \u{1F98A}\n{}\nSay.", row.body)).in_case(case);
            let (own, again) = (shelf.put(&row).unwrap(), shelf.put(&prompt).unwrap());
            assert!(again < 150, "a prompt over a row costs {again} bytes, the row {own}");
            assert_eq!(shelf.put(&Text::of("x".repeat(LONG - 1)).in_case(case)), None);
            all.extend([row, prompt]);
        }
        assert!(shelf.packer.sample.is_some());
        let size = |text: &Text| shelf.bodies[&text.digest][0].len();
        assert!(
            size(&all[238]) * 10 < size(&all[0]) * 9,
            "{} with a sample, {} without",
            size(&all[238]),
            size(&all[0])
        );
        let mut unpacker = Unpacker::default();
        for text in all.iter().rev().chain(&all) {
            assert_eq!(shelf.get(&mut unpacker, &text.digest).as_deref(), Ok(&*text.body));
        }
    }

    #[test]
    fn the_second_sample_serves_where_the_first_is_damaged() {
        let mut shelf = Shelf::default();
        let rows: Vec<Text> = (0..80).map(|number| Text::of(row(number)).in_case(CaseNo(number))).collect();
        for row in &rows {
            shelf.put(row);
        }
        let sample = shelf.packer.sample.as_ref().unwrap().0;
        shelf.bodies.get_mut(&sample).unwrap()[0].truncate(100);
        assert_eq!(shelf.get(&mut Unpacker::default(), &rows[79].digest).as_deref(), Ok(&*rows[79].body));
        shelf.bodies.remove(&sample);
        let lost = "the text that it is packed against is missing";
        assert_eq!(shelf.get(&mut Unpacker::default(), &rows[79].digest), Err(lost));
        assert_eq!(shelf.get(&mut Unpacker::default(), &rows[0].digest).as_deref(), Ok(&*rows[0].body));
    }

    #[test]
    fn damage_is_never_a_text_of_its_own_making() {
        let mut shelf = Shelf::default();
        let text = Text::of(row(1));
        shelf.put(&text);
        let whole = shelf.bodies[&text.digest][0].clone();
        for cut in 0..whole.len() {
            shelf.bodies.insert(text.digest, vec![whole[..cut].to_vec()]);
            assert!(shelf.get(&mut Unpacker::default(), &text.digest).is_err(), "cut at {cut}");
        }
        // Packed against itself, one that claims two gigabytes and more, and a kind of no version.
        let circle = [&[AGAINST][..], text.digest.as_bytes(), &whole[1..]].concat();
        let huge = [ALONE, 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x70].to_vec();
        for (body, why) in [
            (circle, "it is packed against itself"),
            (huge, "it is not a packed text"),
            (vec![9, 9], "it is packed in a way that is not known"),
        ] {
            shelf.bodies.insert(text.digest, vec![body]);
            assert_eq!(shelf.get(&mut Unpacker::default(), &text.digest), Err(why));
        }
    }

    #[test]
    fn remembers_as_much_as_it_may() {
        let mut packer = Packer::default();
        for number in 0..2_000 {
            packer.hears(&Text::of(row(number)).in_case(CaseNo(number)));
        }
        assert!(packer.remembered <= BASES);
        assert_eq!(packer.remembered, packer.bases.values().map(|(_, body)| body.len()).sum::<usize>());
        assert!(packer.bases.contains_key(&CaseNo(1_999)) && !packer.bases.contains_key(&CaseNo(0)));
    }
}
