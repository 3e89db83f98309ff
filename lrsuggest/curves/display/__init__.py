"""Curves and suggestions as a person sees them: pictures, and pages of HTML."""
