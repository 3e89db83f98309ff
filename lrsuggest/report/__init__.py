"""Floor 5: tables in, one HTML file out."""
