"""What a user trains, as a Job that a trial can run."""
