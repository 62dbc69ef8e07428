"""A run directory -> one HTML page. Reads; never trains, and never imports torch or optuna."""
