//! Formats of tables, by the words and the endings that name them.

/// How rows stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFormat {
    /// One JSON object a line.
    JsonLines,
    /// Values between commas, or what stands for them, under a line of column names.
    Csv,
    /// The same between tabs.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl TableFormat {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::JsonLines, Self::Csv, Self::Tsv, Self::Parquet];

    /// Returns its word in a file: the ending of its files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
        }
    }

    /// Returns the format that a path's ending names; `.gz` after it changes nothing, whatever may read that.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let (stem, ending) = name.rsplit_once('.')?;
        if stem.is_empty() {
            return None;
        }
        match ending {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_name_formats() {
        for (path, format) in [
            ("a.jsonl", Some(TableFormat::JsonLines)),
            ("data/*.ndjson", Some(TableFormat::JsonLines)),
            ("a.b/C.CSV", Some(TableFormat::Csv)),
            ("a.csv.gz", Some(TableFormat::Csv)),
            ("a.tsv", Some(TableFormat::Tsv)),
            ("a.parquet", Some(TableFormat::Parquet)),
            (".csv", None),
            ("a.json", None),
            ("csv", None),
            ("-", None),
        ] {
            assert_eq!(TableFormat::of_path(path), format, "{path}");
        }
    }
}
