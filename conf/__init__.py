"""What is trained: Hydra's primary search path."""
