"""What runs trials: this process, or worker processes, side by side where no trial waits for another."""
