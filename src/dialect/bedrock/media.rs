//! Which formats Bedrock has for pictures, documents and sound, and what they are elsewhere.

/// Each format of a picture (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ImageBlock.html>).
const IMAGES: [(&str, &str); 5] = [
    ("png", "image/png"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    // A common misnomer.
    ("jpeg", "image/jpg"),
];

/// Each format of a document (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html>).
const DOCUMENTS: [(&str, &str); 10] = [
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("md", "text/x-markdown"),
];

/// Formats of sound that have a common name elsewhere
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_AudioBlock.html>).
const SOUNDS: [(&str, &str); 11] = [
    ("mp3", "audio/mpeg"),
    ("mp3", "audio/mp3"),
    ("wav", "audio/wav"),
    ("wav", "audio/x-wav"),
    ("opus", "audio/opus"),
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("mp4", "audio/mp4"),
    ("webm", "audio/webm"),
    ("pcm", "audio/pcm"),
];

/// What a block holds.
#[derive(Clone, Copy)]
pub(super) enum Media {
    /// A picture.
    Image,
    /// A document.
    Document,
    /// Sound.
    Sound,
}

impl Media {
    fn table(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Image => &IMAGES,
            Self::Document => &DOCUMENTS,
            Self::Sound => &SOUNDS,
        }
    }

    /// Bedrock's word for a media type; parameters of it do not count.
    pub(super) fn format(self, media_type: &str) -> Option<&'static str> {
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let found = self.table().iter().find(|(_, one)| one.eq_ignore_ascii_case(media_type));
        found.map(|(format, _)| *format)
    }

    /// The media type of Bedrock's word.
    pub(super) fn media_type(self, format: &str) -> Option<&'static str> {
        self.table().iter().find(|(one, _)| *one == format).map(|(_, media_type)| *media_type)
    }
}
