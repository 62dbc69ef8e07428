"""How it is searched: Hydra's second search path."""
