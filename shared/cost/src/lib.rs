//! What a run used, and what that costs. No AWS, no clock, no environment: prices, assumptions and
//! measured figures are dated files beside the code (`prices/`, `measured/`).
//!
//! [`Usage`] is what a run counted; [`Measured`] has two of them and says what lies between;
//! [`price`] makes dollars of one for a [`Load`]; [`knobs`] says which setting matters most;
//! [`limits`] what a rate needs of each service.

mod cost;
mod knobs;
pub mod limits;
mod load;
mod measured;
mod month;
mod naive;
mod prices;
mod usage;

pub use cost::{
    ByService, Cost, Fixed, PLATFORM_2016_DOLLARS_PER_BILLION, billed_ms, price, price_as_counted,
};
pub use knobs::{Knob, knobs};
pub use load::{Load, StreamMode};
pub use measured::Measured;
pub use month::{Batches, Month, ShardLimit, shards_for};
pub use naive::naive;
pub use prices::{Assumed, Assumptions, Price, PriceList, Prices, Rates, assumptions_by_name};
pub use usage::{
    ApiUse, DynamodbUse, FunctionUse, IoWaits, KinesisUse, KmsUse, LambdaUse, LogsUse, S3Use,
    SnsUse, Usage,
};
