"""Short training runs: settings in, recorded trajectory and outcome out."""
