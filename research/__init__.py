"""How it was learned: splits, networks, training, calibration, and the report of every loss beside its luck."""
