//! Questions about the fleet as data: asked of the fleet of this machine, or of each shard of a cluster, whose answers are then
//! joined to the one that a fleet with all of them would give.

use crate::vehicle::keep_nearest;
use crate::{BBox, Fleet, Hit, Nearby, NotReady, Reader, Sight, Vehicle, VehicleIdBuf, coarse};

/// A question about the fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Question {
    /// The nearest vehicles to a position; see [`Sight::nearby`].
    Nearest {
        /// Form of what is seen.
        sight: Sight,
        /// Position and limits.
        nearby: Nearby,
    },
    /// Vehicles in a box; see [`Sight::bbox`].
    Inside {
        /// Form of what is seen.
        sight: Sight,
        /// The box.
        bbox: BBox,
        /// Greatest number of vehicles.
        limit: usize,
    },
    /// A vehicle by its id; see [`Sight::get`].
    One {
        /// Form of what is seen.
        sight: Sight,
        /// Id of the vehicle.
        id: VehicleIdBuf,
    },
    /// The number of vehicles.
    Count,
}

/// The answer to a question, of the kind of the question.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To [`Question::Nearest`]: nearest first.
    Nearest(Vec<Hit>),
    /// To [`Question::Inside`].
    Inside(Vec<Vehicle>),
    /// To [`Question::One`]: `None` for a vehicle that is not known.
    One(Option<Vehicle>),
    /// To [`Question::Count`].
    Count(u64),
}

/// A value that was found in the fleet, and what is known of how much of the fleet it was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole<T> {
    /// The value.
    pub value: T,
    /// Numbers of shards that did not answer, in rising order. Where there are any, the value is partial and must be shown as such.
    pub missing_shards: Vec<u16>,
    /// Age of the content of the oldest shard that answered.
    pub age: Age,
}

/// Age of content: the time since it was seen to be up to date. What is older is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// That of one machine, whose answers are of now.
    Now,
    /// So many ms.
    Ms(u64),
    /// It was not seen to be up to date since its machine started: anything that came meanwhile may be missing.
    Unknown,
}

impl Question {
    /// Returns a word for the question, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nearest { .. } => "nearest",
            Self::Inside { .. } => "inside",
            Self::One { .. } => "one",
            Self::Count => "count",
        }
    }

    /// Asks the fleet of this machine.
    ///
    /// # Errors
    /// [`NotReady`] while a partition that the answer needs is missing.
    pub fn ask(&self, fleet: &Fleet) -> Result<Answer, NotReady> {
        Ok(match self {
            Self::Nearest { sight, nearby } => Answer::Nearest(sight.nearby(fleet, nearby)?),
            Self::Inside { sight, bbox, limit } => Answer::Inside(sight.bbox(fleet, bbox, *limit)?),
            Self::One { sight, id } => Answer::One(sight.get(fleet, id.key())?),
            Self::Count => Answer::Count(fleet.len()? as u64),
        })
    }

    /// Asks one shard. [`Question::join`] makes one answer of those of all shards.
    pub fn ask_shard(&self, reader: &Reader) -> Answer {
        match self {
            Self::Nearest { sight, nearby } => {
                let mut hits = Vec::new();
                match sight {
                    Sight::Exact => reader.nearby(nearby, &mut hits),
                    Sight::Coarse => reader.nearby_coarse(&coarse::nearby(nearby), &mut hits),
                }
                Answer::Nearest(hits)
            }
            Self::Inside { sight: Sight::Exact, bbox, limit } => {
                let mut vehicles = Vec::new();
                reader.bbox(bbox, *limit, &mut vehicles);
                Answer::Inside(vehicles)
            }
            Self::Inside { sight: Sight::Coarse, bbox, limit } => {
                Answer::Inside(coarse::inside(std::slice::from_ref(reader), bbox, *limit))
            }
            Self::One { sight, id } => {
                Answer::One(reader.get(id.key()).map(|vehicle| sight.vehicle(vehicle)))
            }
            Self::Count => Answer::Count(reader.len() as u64),
        }
    }

    /// Joins the answers of shards to the one of a fleet that has all their vehicles. An answer to another kind of question has
    /// no part in it; see [`Question::is_answered_by`].
    pub fn join(&self, answers: impl Iterator<Item = Answer>) -> Answer {
        match self {
            Self::Nearest { nearby, .. } => {
                let mut hits = Vec::new();
                for answer in answers {
                    hits.extend(answer.hits().unwrap_or_default());
                    keep_nearest(&mut hits, nearby.k);
                }
                Answer::Nearest(hits)
            }
            Self::Inside { sight, bbox, limit } => {
                let mut vehicles = Vec::new();
                for answer in answers {
                    vehicles.extend(answer.vehicles().unwrap_or_default());
                    if *sight == Sight::Coarse {
                        coarse::sort(bbox, &mut vehicles);
                    }
                    vehicles.truncate(*limit);
                }
                Answer::Inside(vehicles)
            }
            Self::One { .. } => Answer::One(answers.filter_map(|answer| answer.vehicle().flatten()).next()),
            Self::Count => Answer::Count(answers.filter_map(Answer::count).sum()),
        }
    }

    /// Returns true for an answer of the question's kind.
    pub fn is_answered_by(&self, answer: &Answer) -> bool {
        matches!(
            (self, answer),
            (Self::Nearest { .. }, Answer::Nearest(_))
                | (Self::Inside { .. }, Answer::Inside(_))
                | (Self::One { .. }, Answer::One(_))
                | (Self::Count, Answer::Count(_))
        )
    }
}

impl Answer {
    /// Returns the nearest vehicles, if it was asked for these.
    pub fn hits(self) -> Option<Vec<Hit>> {
        if let Self::Nearest(hits) = self { Some(hits) } else { None }
    }

    /// Returns the vehicles in a box, if it was asked for these.
    pub fn vehicles(self) -> Option<Vec<Vehicle>> {
        if let Self::Inside(vehicles) = self { Some(vehicles) } else { None }
    }

    /// Returns the one vehicle, if it was asked for one; `Some(None)` for one that is not known.
    pub fn vehicle(self) -> Option<Option<Vehicle>> {
        if let Self::One(vehicle) = self { Some(vehicle) } else { None }
    }

    /// Returns the number of vehicles, if it was asked for that.
    pub fn count(self) -> Option<u64> {
        if let Self::Count(count) = self { Some(count) } else { None }
    }
}

impl<T> Whole<T> {
    /// Returns a value that was found in the whole fleet of this machine.
    pub fn here(value: T) -> Self {
        Self { value, missing_shards: Vec::new(), age: Age::Now }
    }

    /// Returns true if a part of the fleet did not answer.
    pub fn is_partial(&self) -> bool {
        !self.missing_shards.is_empty()
    }

    /// Takes the value off what is known of its extent.
    pub fn split(self) -> (T, Whole<()>) {
        let Self { value, missing_shards, age } = self;
        (value, Whole { value: (), missing_shards, age })
    }

    /// Makes another value of this one, found in the same part of the fleet.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Whole<U> {
        let Self { value, missing_shards, age } = self;
        Whole { value: make(value), missing_shards, age }
    }
}
