"""The report: one HTML file with everything that was measured, and where it came from."""
