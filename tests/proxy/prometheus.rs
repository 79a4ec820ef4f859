//! A strict reader of the text format of Prometheus, version 0.0.4. It shares nothing with what
//! writes it.

use std::collections::{BTreeMap, HashSet};

/// A page: its families by their names.
#[derive(Debug, Default)]
pub(crate) struct Page(pub(crate) BTreeMap<String, Family>);

/// All samples of one name.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        labels
            .find(|(own, _)| own == name)
            .map(|(_, value)| &value[..])
    }
}

impl Page {
    /// Reads a page, and fails at whatever a collector might not take.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let (mut page, mut helped, mut current) = (Self::default(), None, String::new());
        let mut seen = HashSet::new();
        for line in text[..text.len() - 1].split('\n') {
            assert!(!line.is_empty() && line.trim() == line, "`{line}`");
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect(line);
                assert!(is_name(name) && !help.is_empty(), "{line}");
                assert!(!page.0.contains_key(name), "{name} comes twice");
                assert_eq!(helped.replace(name.to_owned()), None, "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect(line);
                assert_eq!(helped.take().as_deref(), Some(name), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                name.clone_into(&mut current);
                let family = page.0.entry(current.clone()).or_default();
                kind.clone_into(&mut family.kind);
            } else {
                assert!(!line.starts_with('#') && helped.is_none(), "{line}");
                let sample = sample(line);
                let family = page.0.get_mut(&current).expect(line);
                let suffix = sample.name.strip_prefix(&current).expect(line);
                match &family.kind[..] {
                    "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix)),
                    _ => assert_eq!(suffix, "", "{line}"),
                }
                assert!(
                    seen.insert(line.rsplit_once(' ').expect(line).0.to_owned()),
                    "{line}"
                );
                family.samples.push(sample);
            }
        }
        assert_eq!(helped, None);
        for (name, family) in &page.0 {
            assert!(!family.samples.is_empty(), "{name} has no values");
            match &family.kind[..] {
                "histogram" => family.check_histogram(name),
                "counter" => assert!(name.ends_with("_total"), "{name}"),
                _ => {}
            }
        }
        page
    }

    /// The one value of a name.
    pub(crate) fn value(&self, name: &str) -> f64 {
        match &self.0.get(name).expect(name).samples[..] {
            [sample] if sample.labels.is_empty() => sample.value,
            other => panic!("{name}: {other:?}"),
        }
    }
}

impl Family {
    /// The values with a suffix.
    pub(crate) fn of(&self, name: &str) -> Vec<&Sample> {
        self.samples
            .iter()
            .filter(|sample| sample.name == name)
            .collect()
    }

    /// Buckets rise, both in bounds and in counts, and the last one has all.
    fn check_histogram(&self, name: &str) {
        let (sums, counts) = (
            self.of(&format!("{name}_sum")),
            self.of(&format!("{name}_count")),
        );
        assert_eq!((sums.len(), counts.len()), (1, 1), "{name}");
        let (mut bound, mut below) = (f64::NEG_INFINITY, 0.0);
        for bucket in self.of(&format!("{name}_bucket")) {
            let le: f64 = bucket.label("le").expect(name).parse().expect(name);
            assert!(le > bound && bucket.labels.len() == 1, "{bucket:?}");
            assert!(
                bucket.value >= below && bucket.value.fract() == 0.0,
                "{bucket:?}"
            );
            (bound, below) = (le, bucket.value);
        }
        assert_eq!((bound, below), (f64::INFINITY, counts[0].value), "{name}");
        assert!(sums[0].value >= 0.0 && sums[0].value.is_finite());
    }
}

/// A line with a value: `name{label="value",...} 1.5`.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let (name, labels) = match series.split_once('{') {
        None => (series, Vec::new()),
        Some((name, labels)) => {
            let labels = labels.strip_suffix('}').expect(line);
            let labels = labels.split(',').map(|label| {
                let (name, value) = label.split_once('=').expect(line);
                let value = value
                    .strip_prefix('"')
                    .and_then(|value| value.strip_suffix('"'));
                let value = value.expect(line);
                assert!(is_name(name) && !value.contains(['"', '\\']), "{line}");
                (name.to_owned(), value.to_owned())
            });
            (name, labels.collect())
        }
    };
    assert!(is_name(name), "{line}");
    let plain = value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    assert!(plain, "{line}");
    Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().expect(line),
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
