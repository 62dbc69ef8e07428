"""The stages of a run, in the order in which they happen: inspect, range, explore, confirm, write."""
