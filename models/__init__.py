"""What was learned: predictor, regime, auditor, calibration, and the bundles they are stored in."""
