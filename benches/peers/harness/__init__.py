"""The machinery of `benches/peers/run`: standard library only."""
