"""How a strategy is traded: the only folder that knows the clock, the environment and the exchange."""
