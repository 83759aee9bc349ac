//! Vector tiles with one layer of points, as in Mapbox Vector Tile Specification 2.1.
//!
//! Written by hand: points with a handful of properties are a small part of the format.

/// Name of the layer.
pub(crate) const LAYER: &str = "vehicles";

/// Wire types of protobuf.
const VARINT: u32 = 0;
const LEN: u32 = 2;

// Fields of the messages Tile, Layer, Value and Feature, by their numbers in the specification.
const TILE_LAYERS: u32 = 3;
const LAYER_NAME: u32 = 1;
const LAYER_FEATURES: u32 = 2;
const LAYER_KEYS: u32 = 3;
const LAYER_VALUES: u32 = 4;
const LAYER_EXTENT: u32 = 5;
const LAYER_VERSION: u32 = 15;
const VALUE_STRING: u32 = 1;
const VALUE_UINT: u32 = 5;
const VALUE_BOOL: u32 = 7;
const FEATURE_ID: u32 = 1;
const FEATURE_TAGS: u32 = 2;
const FEATURE_TYPE: u32 = 3;
const FEATURE_GEOMETRY: u32 = 4;

/// Geometry type of a point.
const POINT: u64 = 1;
/// Command "move to", once.
const MOVE_TO_ONCE: u64 = 1 | 1 << 3;

/// A value in the layer's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValueIndex(u32);

/// A layer that is being written.
#[derive(Default)]
pub(crate) struct Layer {
    keys: Vec<&'static str>,
    values: Vec<u8>,
    values_count: u32,
    features: Vec<u8>,
    /// The feature under way.
    feature: Vec<u8>,
    tags: Vec<u8>,
    geometry: Vec<u8>,
}

impl Layer {
    /// Returns a layer whose features may have these properties.
    pub(crate) fn new(keys: &[&'static str]) -> Self {
        Self { keys: keys.to_vec(), ..Self::default() }
    }

    /// Adds a text to the values.
    pub(crate) fn text(&mut self, text: &str) -> ValueIndex {
        // A short text, so that its length takes one byte, and so does that of the value.
        let mut value = Vec::with_capacity(text.len() + 4);
        bytes(&mut value, VALUE_STRING, text.as_bytes());
        self.value(&value)
    }

    /// Adds a number to the values.
    pub(crate) fn number(&mut self, number: u64) -> ValueIndex {
        let mut value = Vec::with_capacity(12);
        field(&mut value, VALUE_UINT, number);
        self.value(&value)
    }

    /// Adds "true" to the values.
    pub(crate) fn truth(&mut self) -> ValueIndex {
        let mut value = Vec::with_capacity(2);
        field(&mut value, VALUE_BOOL, 1);
        self.value(&value)
    }

    fn value(&mut self, value: &[u8]) -> ValueIndex {
        bytes(&mut self.values, LAYER_VALUES, value);
        self.values_count += 1;
        ValueIndex(self.values_count - 1)
    }

    /// Adds a point, with an id if it has one, at a place in units. A property is the index of its key and its value.
    pub(crate) fn point(&mut self, id: Option<u32>, (x, y): (u32, u32), properties: &[(u32, ValueIndex)]) {
        self.feature.clear();
        if let Some(id) = id {
            field(&mut self.feature, FEATURE_ID, u64::from(id));
        }
        self.tags.clear();
        for (key, ValueIndex(value)) in properties {
            varint(&mut self.tags, u64::from(*key));
            varint(&mut self.tags, u64::from(*value));
        }
        bytes(&mut self.feature, FEATURE_TAGS, &self.tags);
        field(&mut self.feature, FEATURE_TYPE, POINT);
        self.geometry.clear();
        varint(&mut self.geometry, MOVE_TO_ONCE);
        // Zigzag: no coordinate here is negative.
        varint(&mut self.geometry, u64::from(x) << 1);
        varint(&mut self.geometry, u64::from(y) << 1);
        bytes(&mut self.feature, FEATURE_GEOMETRY, &self.geometry);
        bytes(&mut self.features, LAYER_FEATURES, &self.feature);
    }

    /// Writes the tile of this one layer.
    pub(crate) fn finish(self, extent: u32) -> Vec<u8> {
        let mut layer = Vec::with_capacity(self.features.len() + self.values.len() + 64);
        field(&mut layer, LAYER_VERSION, 2);
        bytes(&mut layer, LAYER_NAME, LAYER.as_bytes());
        layer.extend_from_slice(&self.features);
        for key in &self.keys {
            bytes(&mut layer, LAYER_KEYS, key.as_bytes());
        }
        layer.extend_from_slice(&self.values);
        field(&mut layer, LAYER_EXTENT, u64::from(extent));
        let mut tile = Vec::with_capacity(layer.len() + 8);
        bytes(&mut tile, TILE_LAYERS, &layer);
        tile
    }
}

fn field(out: &mut Vec<u8>, number: u32, value: u64) {
    varint(out, u64::from(number << 3 | VARINT));
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number << 3 | LEN));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
