"""Remote systems that records are delivered to. `base` is the contract; the rest implement it."""
