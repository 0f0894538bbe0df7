"""What every page shows."""
