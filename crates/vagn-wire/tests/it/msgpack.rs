//! A second, naive msgpack writer, so that the tests do not lean on the crate's own.

/// Any msgpack object. Text and bytes are both kept as bytes: neither needs to be UTF-8.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    F32(f32),
    F64(f64),
    Str(Vec<u8>),
    Bin(Vec<u8>),
    Ext(i8, Vec<u8>),
    Array(Vec<Object>),
    Map(Vec<(Object, Object)>),
    /// Bytes as they are, for what is not msgpack.
    Raw(Vec<u8>),
}

impl From<bool> for Object {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Object {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Object {
    fn from(number: f64) -> Self {
        Self::F64(number)
    }
}

impl From<f32> for Object {
    fn from(number: f32) -> Self {
        Self::F32(number)
    }
}

impl From<&str> for Object {
    fn from(text: &str) -> Self {
        Self::Str(text.as_bytes().to_vec())
    }
}

/// A map with text keys.
pub(crate) fn map<const N: usize>(pairs: [(&str, Object); N]) -> Object {
    Object::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

impl Object {
    /// The shortest encoding.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_widened(&mut || 0)
    }

    /// An encoding in which each length and integer is as many steps wider than it need be as `widen` says.
    pub(crate) fn bytes_widened(&self, widen: &mut dyn FnMut() -> usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, widen);
        out
    }

    fn write(&self, out: &mut Vec<u8>, widen: &mut dyn FnMut() -> usize) {
        match self {
            Self::Nil => out.push(0xc0),
            Self::Bool(flag) => out.push(0xc2 + u8::from(*flag)),
            Self::Int(number) => int(out, *number, widen()),
            Self::Uint(number) => uint(out, *number, widen()),
            Self::F32(number) => tagged(out, 0xca, &number.to_be_bytes()),
            Self::F64(number) => tagged(out, 0xcb, &number.to_be_bytes()),
            Self::Str(bytes) => {
                head(out, bytes.len(), [Some((0xa0, 32)), Some((0xd9, 0))], 0xda, widen());
                out.extend_from_slice(bytes);
            }
            Self::Bin(bytes) => {
                head(out, bytes.len(), [None, Some((0xc4, 0))], 0xc5, widen());
                out.extend_from_slice(bytes);
            }
            Self::Ext(kind, bytes) => ext(out, *kind, bytes, widen()),
            Self::Array(items) => {
                head(out, items.len(), [Some((0x90, 16)), None], 0xdc, widen());
                items.iter().for_each(|item| item.write(out, widen));
            }
            Self::Map(pairs) => {
                head(out, pairs.len(), [Some((0x80, 16)), None], 0xde, widen());
                for (key, value) in pairs {
                    key.write(out, widen);
                    value.write(out, widen);
                }
            }
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    out.push(tag);
    out.extend_from_slice(payload);
}

/// Writes a length in one of its forms: within the first byte if there is such a form, in 8 bits if there is, in 16
/// under `tag16`, in 32 under the tag after it.
fn head(out: &mut Vec<u8>, len: usize, short: [Option<(u8, usize)>; 2], tag16: u8, widen: usize) {
    let [fix, eight] = short;
    let mut forms = Vec::new();
    if let Some((base, _)) = fix.filter(|(_, below)| len < *below) {
        forms.push(vec![base | len as u8]);
    }
    if let Some((tag, _)) = eight.filter(|_| len < 0x100) {
        forms.push(vec![tag, len as u8]);
    }
    if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        forms.push(vec![tag16, high, low]);
    }
    let [a, b, c, d] = (len as u32).to_be_bytes();
    forms.push(vec![tag16 + 1, a, b, c, d]);
    out.extend_from_slice(&forms[widen.min(forms.len() - 1)]);
}

fn ext(out: &mut Vec<u8>, kind: i8, bytes: &[u8], widen: usize) {
    match bytes.len() {
        len @ (1 | 2 | 4 | 8 | 16) if widen == 0 => out.push(0xd4 + len.ilog2() as u8),
        len => head(out, len, [None, Some((0xc7, 0))], 0xc8, widen.saturating_sub(1)),
    }
    out.push(kind.cast_unsigned());
    out.extend_from_slice(bytes);
}

fn uint(out: &mut Vec<u8>, number: u64, widen: usize) {
    let narrowest = match number {
        0..0x80 => 0,
        0x80..0x100 => 1,
        0x100..0x1_0000 => 2,
        0x1_0000..0x1_0000_0000 => 3,
        _ => 4,
    };
    match (narrowest + widen).min(4) {
        0 => out.push(number as u8),
        1 => tagged(out, 0xcc, &(number as u8).to_be_bytes()),
        2 => tagged(out, 0xcd, &(number as u16).to_be_bytes()),
        3 => tagged(out, 0xce, &(number as u32).to_be_bytes()),
        _ => tagged(out, 0xcf, &number.to_be_bytes()),
    }
}

fn int(out: &mut Vec<u8>, number: i64, widen: usize) {
    let narrowest = match number {
        0.. if widen == 0 => return uint(out, number as u64, 0),
        -32..128 => 0,
        -128..-32 => 1,
        -0x8000..0x8000 => 2,
        -0x8000_0000..0x8000_0000 => 3,
        _ => 4,
    };
    match (narrowest + widen).min(4) {
        0 => out.push(number as u8),
        1 => tagged(out, 0xd0, &(number as i8).to_be_bytes()),
        2 => tagged(out, 0xd1, &(number as i16).to_be_bytes()),
        3 => tagged(out, 0xd2, &(number as i32).to_be_bytes()),
        _ => tagged(out, 0xd3, &number.to_be_bytes()),
    }
}
