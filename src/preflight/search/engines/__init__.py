"""What runs trials that need no answer before they end: in this process, or side by side."""
