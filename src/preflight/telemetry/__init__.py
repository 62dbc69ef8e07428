"""What a trial leaves behind: recorder (torch) -> run directory -> Recording (no torch)."""
