//! Examples: how the hub is.

use super::{Example, examples};

examples! {
    ShowHealth, _seed => Example::new((), (), ());
    ShowReadyz, _seed => Example::new((), (), ());
    ShowHealthz, _seed => Example::new((), (), ());
    ShowContract, _seed => Example::new((), (), ());
}
